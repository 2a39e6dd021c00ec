//! Ways to a moment: which pieces of the journal, from which base or from the first transaction,
//! lead there, and which of these ways is the cheapest.
//!
//! A moment can be restored if it is that of a base, or if slices lead to it without a gap from a
//! base or from the first transaction. The moment 0, the empty store, can be restored if a slice
//! begins with the first transaction.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::backup::object::{BaseRef, ObjectName, SliceRef};
use crate::error::{Error, Result, code};
use crate::lsn::Lsn;

/// An error names at most so many windows.
const WINDOWS_NAMED_MAX: usize = 8;

/// Moments without a gap between them, the last one included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Window {
    /// The first of them.
    pub from: Lsn,
    /// The last of them.
    pub to: Lsn,
}

/// Windows in order, none of which touches another.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Windows(Vec<Window>);

impl Windows {
    /// All moments of these windows, which may overlap.
    #[must_use]
    pub fn of(windows: impl IntoIterator<Item = Window>) -> Self {
        let mut sorted: Vec<Window> =
            windows.into_iter().filter(|window| window.from <= window.to).collect();
        sorted.sort_unstable();
        let mut joined: Vec<Window> = Vec::with_capacity(sorted.len());
        for window in sorted {
            match joined.last_mut() {
                Some(last) if window.from <= last.to.next() => last.to = last.to.max(window.to),
                _ => joined.push(window),
            }
        }
        Self(joined)
    }

    /// The windows.
    #[must_use]
    pub fn as_slice(&self) -> &[Window] {
        &self.0
    }

    /// Whether there is no moment in them.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether this moment is in one of them.
    #[must_use]
    pub fn contains(&self, lsn: Lsn) -> bool {
        self.covers(lsn, lsn)
    }

    /// Whether all moments from `from` up to and including `to` are in them.
    #[must_use]
    pub fn covers(&self, from: Lsn, to: Lsn) -> bool {
        let behind = self.0.partition_point(|window| window.from <= from);
        behind.checked_sub(1).and_then(|index| self.0.get(index)).is_some_and(|w| to <= w.to)
    }

    /// Whether any moment from `from` up to and including `to` is in them.
    #[must_use]
    pub fn touches(&self, from: Lsn, to: Lsn) -> bool {
        let behind = self.0.partition_point(|window| window.from <= to);
        behind.checked_sub(1).and_then(|index| self.0.get(index)).is_some_and(|w| from <= w.to)
    }

    /// The moments that are in these windows and not in the others.
    #[must_use]
    pub fn without(&self, others: &Self) -> Self {
        let mut left = Vec::new();
        let mut others = others.0.iter().peekable();
        for window in &self.0 {
            let mut from = window.from;
            while let Some(other) = others.peek().filter(|other| other.from <= window.to) {
                if from < other.from {
                    left.push(Window { from, to: other.from.previous() });
                }
                from = from.max(other.to.next());
                if other.to > window.to {
                    break;
                }
                others.next();
            }
            if from <= window.to {
                left.push(Window { from, to: window.to });
            }
        }
        Self(left)
    }
}

/// `1 to 300, 500, 700 to 900`; of many the first and the last.
impl fmt::Display for Windows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("nothing");
        }
        let left_out = self.0.len().saturating_sub(WINDOWS_NAMED_MAX);
        for (index, window) in self.0.iter().enumerate() {
            let behind_first = index >= WINDOWS_NAMED_MAX / 2;
            if behind_first && index < WINDOWS_NAMED_MAX / 2 + left_out {
                continue;
            }
            if index > 0 {
                f.write_str(", ")?;
            }
            if left_out > 0 && index == WINDOWS_NAMED_MAX / 2 + left_out {
                f.write_str("…, ")?;
            }
            if window.from == window.to {
                write!(f, "{}", window.from)?;
            } else {
                write!(f, "{} to {}", window.from, window.to)?;
            }
        }
        Ok(())
    }
}

/// How a moment is restored: from the base, or from nothing, over the slices in their order. Of a
/// slice only what is behind the one before it and up to the moment is taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The moment.
    pub target: Lsn,
    /// What it begins with; without it the slices begin with the first transaction.
    pub base: Option<BaseRef>,
    /// The slices that lead from there to the moment.
    pub slices: Vec<SliceRef>,
    /// The size of all these objects.
    pub bytes: u64,
}

impl Route {
    /// The names of its objects, in the order in which they are needed.
    pub fn objects(&self) -> impl Iterator<Item = ObjectName> + '_ {
        let base = self.base.iter().map(BaseRef::name);
        base.chain(self.slices.iter().map(SliceRef::name))
    }
}

/// The slices and bases of one timeline, from which its moments can be restored.
#[derive(Clone, Debug, Default)]
pub struct Chains {
    /// By their last transaction, then by their first.
    slices: Vec<SliceRef>,
    bases: Vec<BaseRef>,
    windows: Windows,
}

impl Chains {
    /// What these objects lead to.
    #[must_use]
    pub fn new(mut slices: Vec<SliceRef>, mut bases: Vec<BaseRef>) -> Self {
        slices.sort_unstable_by_key(|slice| (slice.last, slice.first, slice.hash));
        slices.dedup_by_key(|slice| slice.name());
        bases.sort_unstable_by_key(|base| (base.lsn, base.hash));
        bases.dedup_by_key(|base| base.name());
        let windows = reachable(&slices, &bases);
        Self { slices, bases, windows }
    }

    /// The slices.
    #[must_use]
    pub fn slices(&self) -> &[SliceRef] {
        &self.slices
    }

    /// The bases.
    #[must_use]
    pub fn bases(&self) -> &[BaseRef] {
        &self.bases
    }

    /// The moments that can be restored.
    #[must_use]
    pub fn windows(&self) -> &Windows {
        &self.windows
    }

    /// The cheapest way to this moment: the fewest bytes, of equals the fewest objects.
    ///
    /// # Errors
    /// `OutsideWindow`, naming the windows, if there is none.
    pub fn route(&self, target: Lsn) -> Result<Route> {
        self.cheapest(target, |piece| match piece {
            Piece::Slice(slice) => slice.bytes,
            Piece::Base(base) => base.bytes,
        })
        .ok_or_else(|| self.outside(target))
    }

    /// The error about a moment to which nothing leads.
    pub(super) fn outside(&self, target: Lsn) -> Error {
        let message =
            format!("transaction {target} is not in the backups, which hold {}", self.windows);
        Error::new(&code::OUTSIDE_WINDOW, message).at_lsn(target)
    }

    /// The way whose pieces cost least, at these prices.
    pub(super) fn cheapest(&self, target: Lsn, price: impl Fn(Piece<'_>) -> u64) -> Option<Route> {
        if !self.windows.contains(target) {
            return None;
        }
        if target == Lsn::ZERO {
            return Some(Route { target, base: None, slices: Vec::new(), bytes: 0 });
        }
        let mut search = Search { stops: Vec::new(), ways: Vec::new() };
        search.arrive(Lsn::ZERO, Way { cost: Cost::default(), piece: None, from: None });
        let mut bases = self.bases.iter().filter(|base| base.lsn <= target).peekable();
        for slice in self.slices.iter().filter(|slice| slice.first <= target) {
            let end = slice.last.min(target);
            // Bases up to this one's end come first: it may go on from any of them.
            while let Some(base) = bases.next_if(|base| base.lsn <= end) {
                search.begin(base, price(Piece::Base(base)));
            }
            search.go_on(slice, end, price(Piece::Slice(slice)));
        }
        for base in bases {
            search.begin(base, price(Piece::Base(base)));
        }
        search.route(target)
    }
}

/// What a way is made of.
#[derive(Clone, Copy, Debug)]
pub(super) enum Piece<'a> {
    Slice(&'a SliceRef),
    Base(&'a BaseRef),
}

/// What a way costs: its price, then the number of its pieces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Cost(u128, u64);

impl Cost {
    fn and(self, price: u64) -> Self {
        Self(self.0 + u128::from(price), self.1 + 1)
    }
}

/// The cheapest way known to a moment, by its last piece and the way before that.
struct Way<'a> {
    cost: Cost,
    piece: Option<Piece<'a>>,
    from: Option<usize>,
}

/// A search over moments in ascending order.
struct Search<'a> {
    /// Moments that were reached, each with its way. Both moments and costs ascend: a moment that
    /// is followed by one at no higher cost is of no use, since whatever goes on from it can go on
    /// from that one too.
    stops: Vec<(Lsn, usize)>,
    ways: Vec<Way<'a>>,
}

impl<'a> Search<'a> {
    fn begin(&mut self, base: &'a BaseRef, price: u64) {
        let cost = Cost::default().and(price);
        self.arrive(base.lsn, Way { cost, piece: Some(Piece::Base(base)), from: None });
    }

    /// Goes on over a slice from the cheapest moment at which it begins or that it holds.
    fn go_on(&mut self, slice: &'a SliceRef, end: Lsn, price: u64) {
        let start = slice.first.previous();
        let at = self.stops.partition_point(|(lsn, _)| *lsn < start);
        let Some((lsn, from)) = self.stops.get(at).copied() else { return };
        let Some(before) = self.ways.get(from).filter(|_| lsn < end) else { return };
        let cost = before.cost.and(price);
        self.arrive(end, Way { cost, piece: Some(Piece::Slice(slice)), from: Some(from) });
    }

    /// Notes a way to a moment that is not before any that was reached.
    fn arrive(&mut self, lsn: Lsn, way: Way<'a>) {
        let cost = |search: &Self, index: usize| search.ways.get(index).map(|way| way.cost);
        if let Some((last, index)) = self.stops.last()
            && *last == lsn
            && cost(self, *index) <= Some(way.cost)
        {
            return;
        }
        while let Some((_, index)) = self.stops.last()
            && cost(self, *index) >= Some(way.cost)
        {
            self.stops.pop();
        }
        if let Some((last, _)) = self.stops.last()
            && *last == lsn
        {
            self.stops.pop();
        }
        self.stops.push((lsn, self.ways.len()));
        self.ways.push(way);
    }

    fn route(self, target: Lsn) -> Option<Route> {
        let (_, mut index) = self.stops.last().copied().filter(|(lsn, _)| *lsn == target)?;
        let mut route = Route { target, base: None, slices: Vec::new(), bytes: 0 };
        while let Some(way) = self.ways.get(index) {
            match way.piece {
                Some(Piece::Slice(slice)) => {
                    route.slices.push(*slice);
                    route.bytes = route.bytes.saturating_add(slice.bytes);
                }
                Some(Piece::Base(base)) => {
                    route.base = Some(*base);
                    route.bytes = route.bytes.saturating_add(base.bytes);
                }
                None => {}
            }
            let Some(from) = way.from else { break };
            index = from;
        }
        route.slices.reverse();
        Some(route)
    }
}

/// The moments to which these objects lead.
fn reachable(slices: &[SliceRef], bases: &[BaseRef]) -> Windows {
    let mut windows: BTreeMap<Lsn, Lsn> = bases.iter().map(|base| (base.lsn, base.lsn)).collect();
    if slices.iter().any(|slice| slice.first == Lsn::new(1)) {
        windows.insert(Lsn::ZERO, Lsn::ZERO);
    }
    let mut ascending: Vec<&SliceRef> = slices.iter().collect();
    // By the first transaction: what leads to a slice begins before it.
    ascending.sort_unstable_by_key(|slice| (slice.first, slice.last));
    for slice in ascending {
        let start = slice.first.previous();
        let holds = windows.range(..=start).next_back().filter(|(_, to)| **to >= start);
        let begins = holds.or_else(|| windows.range(start..).next());
        let Some((from, to)) = begins.map(|(from, to)| (*from, *to)) else { continue };
        if from >= slice.last || to >= slice.last {
            continue;
        }
        let mut end = slice.last;
        while let Some((next, to)) = windows.range(from.next()..=end.next()).next() {
            let (next, to) = (*next, *to);
            windows.remove(&next);
            end = end.max(to);
        }
        windows.insert(from, end);
    }
    Windows::of(windows.into_iter().map(|(from, to)| Window { from, to }))
}
