//! What can be restored of one timeline of a store, and what of it is needed for that.

use std::collections::{BTreeMap, BTreeSet};

use super::{Backup, Listed};
use crate::backup::object::{BaseRef, ObjectName, SliceRef};
use crate::backup::route::{Chains, Piece, Route, Windows};
use crate::error::{Error, Result, code};
use crate::lsn::Lsn;
use crate::time::Timestamp;

/// The moments of one timeline that can be restored.
#[derive(Clone, Debug)]
pub struct Line {
    chains: Chains,
    /// The newest moment that is known, and until when nothing was committed after it.
    known_until: Option<(Lsn, Timestamp)>,
}

/// The last transaction that committed at or before a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeMoment {
    /// It is this one.
    At(Lsn),
    /// It is one of this slice, whose table of times says which.
    Within(SliceRef),
}

impl Line {
    /// The slices and bases that are counted on.
    #[must_use]
    pub fn chains(&self) -> &Chains {
        &self.chains
    }

    /// The moments that can be restored.
    #[must_use]
    pub fn windows(&self) -> &Windows {
        self.chains.windows()
    }

    /// The newest moment that can be restored. An incremental backup has to follow this one, so
    /// that something leads to it.
    #[must_use]
    pub fn newest(&self) -> Option<Lsn> {
        self.windows().as_slice().last().map(|window| window.to)
    }

    /// The cheapest way to this moment.
    ///
    /// # Errors
    /// `OutsideWindow`, naming the windows, if nothing leads there.
    pub fn route(&self, target: Lsn) -> Result<Route> {
        self.chains.route(target)
    }

    /// The moment of a time: that of the last transaction that committed at or before it.
    ///
    /// # Errors
    /// `OutsideWindow` if the backups do not tell, or nothing leads to that moment: the time is
    /// before all that is kept, in a gap, or after the newest backup began.
    pub fn moment_at(&self, time: Timestamp) -> Result<TimeMoment> {
        let found = self.moment_by_pieces(time).ok_or_else(|| {
            let windows = self.windows();
            let message = format!("no backup reaches to {time}; transactions {windows} are held");
            Error::new(&code::OUTSIDE_WINDOW, message)
        })?;
        let reachable = match found {
            TimeMoment::At(lsn) => self.windows().contains(lsn),
            // Its last transaction committed later.
            TimeMoment::Within(slice) => self.windows().touches(slice.first, slice.last.previous()),
        };
        match found {
            TimeMoment::At(lsn) if !reachable => Err(self.chains.outside(lsn)),
            TimeMoment::Within(slice) if !reachable => Err(self.chains.outside(slice.first)),
            TimeMoment::At(_) | TimeMoment::Within(_) => Ok(found),
        }
    }

    fn moment_by_pieces(&self, time: Timestamp) -> Option<TimeMoment> {
        let slices = self.chains.slices();
        let inside = slices.iter().filter(|s| s.first_time <= time && time < s.last_time);
        if let Some(slice) = inside.min_by_key(|slice| slice.bytes) {
            return Some(TimeMoment::Within(*slice));
        }
        let ends = slices.iter().map(|slice| (slice.last, slice.last_time));
        let bases = self.chains.bases().iter().map(|base| (base.lsn, base.time));
        let known = ends.chain(bases).chain([(Lsn::ZERO, Timestamp::from_micros(i64::MIN))]);
        let before = known.filter(|(_, at)| *at <= time).map(|(lsn, _)| lsn).max()?;
        // The one after it must be known to be later, else it may have committed by then too.
        let next = slices.iter().any(|s| s.first == before.next() && s.first_time > time);
        let newest = self.known_until.is_some_and(|(lsn, until)| lsn == before && time <= until);
        (next || newest).then_some(TimeMoment::At(before))
    }
}

/// The line of these backups, which are of one timeline, and the objects that it needs: all of
/// those that are kept, and for each of these a way to its first transaction, which may lead over
/// objects of deleted ones.
pub(super) fn draw(
    backups: &[&Backup],
    objects: &BTreeMap<ObjectName, Listed>,
) -> (Line, BTreeSet<ObjectName>) {
    let known = |name: &ObjectName, bytes| objects.get(name).is_some_and(|o| o.bytes == bytes);
    let mut all = Pieces::default();
    let mut kept = Pieces::default();
    for backup in backups {
        let slices = backup.manifest.slices.iter().filter(|s| known(&s.name(), s.bytes));
        let base = backup.manifest.base.filter(|base| known(&base.name(), base.bytes));
        for pieces in [Some(&mut all), (!backup.is_deleted()).then_some(&mut kept)] {
            let Some(pieces) = pieces else { continue };
            pieces.slices.extend(slices.clone().copied());
            pieces.bases.extend(base);
        }
    }
    let all = all.chains();
    let mut chains = kept.clone().chains();
    let mut names = kept.names();
    // The newest first: what leads to it leads past most of the others.
    for start in starts(backups).into_iter().rev() {
        if chains.windows().contains(start) {
            continue;
        }
        let way = all.cheapest(start, |piece| {
            let (name, bytes) = match piece {
                Piece::Slice(slice) => (slice.name(), slice.bytes),
                Piece::Base(base) => (base.name(), base.bytes),
            };
            // What is kept anyway costs nothing more.
            if names.contains(&name) { 0 } else { bytes }
        });
        if let Some(way) = way {
            names.extend(way.objects());
            kept.slices.extend(way.slices);
            kept.bases.extend(way.base);
            chains = kept.clone().chains();
        }
    }
    let whole = backups.iter().filter(|backup| !backup.is_deleted()).map(|b| &b.manifest);
    let known_until = whole.map(|manifest| (manifest.last_lsn, manifest.started)).max();
    (Line { chains, known_until }, names)
}

/// The moments just before those that backups promise, in order.
fn starts(backups: &[&Backup]) -> Vec<Lsn> {
    let kept = backups.iter().filter(|backup| backup.is_complete());
    let incremental = kept.filter(|backup| backup.manifest.base.is_none());
    let mut starts: Vec<Lsn> =
        incremental.map(|backup| backup.manifest.first_lsn.previous()).collect();
    starts.sort_unstable();
    starts.dedup();
    starts
}

#[derive(Clone, Default)]
struct Pieces {
    slices: Vec<SliceRef>,
    bases: Vec<BaseRef>,
}

impl Pieces {
    fn chains(self) -> Chains {
        Chains::new(self.slices, self.bases)
    }

    fn names(&self) -> BTreeSet<ObjectName> {
        let slices = self.slices.iter().map(SliceRef::name);
        slices.chain(self.bases.iter().map(BaseRef::name)).collect()
    }
}
