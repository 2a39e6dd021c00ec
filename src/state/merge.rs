//! The layers of the index, read as one: what is newer hides what is older.

use std::cmp::Ordering;
use std::ops::Bound;

use super::base::BaseCursor;
use super::delta::DeltaCursor;
use super::{Head, Layers};
use crate::error::Result;
use crate::format::block::Block;

/// A record of the base: the block that holds it, and its number there.
type InBase<'a> = (Block<'a>, usize);

/// The records of a range of one collection, in key order or against it.
#[derive(Debug)]
pub(super) struct Merge<'a> {
    /// Newest first.
    deltas: Vec<DeltaSource<'a>>,
    base: Option<BaseCursor<'a>>,
    /// The record of the base that comes next, going backwards.
    base_before: Option<InBase<'a>>,
    stop: Bound<&'a [u8]>,
    reverse: bool,
    /// The key of the record that was returned last.
    key: Vec<u8>,
}

#[derive(Debug)]
struct DeltaSource<'a> {
    cursor: DeltaCursor<'a>,
    /// The record that comes next.
    next: Option<(&'a [u8], Head)>,
}

impl DeltaSource<'_> {
    fn step(&mut self, reverse: bool) {
        self.next = if reverse { self.cursor.previous() } else { self.cursor.next() };
    }
}

impl<'a> Merge<'a> {
    pub(super) fn new(
        layers: &Layers<'a>,
        (start, end): (Bound<&'a [u8]>, Bound<&'a [u8]>),
        reverse: bool,
    ) -> Result<Self> {
        let (from, stop) = if reverse { (end, start) } else { (start, end) };
        let mut deltas = Vec::with_capacity(2);
        for delta in layers.deltas.into_iter().flatten() {
            let cursor = match from {
                Bound::Unbounded if reverse => delta.end(layers.collection),
                Bound::Unbounded => delta.start(layers.collection),
                Bound::Included(key) | Bound::Excluded(key) => delta.seek(layers.collection, key),
            };
            let Some(mut cursor) = cursor else { continue };
            if let Bound::Included(key) | Bound::Excluded(key) = from
                && passes_equal(from, reverse)
            {
                let mut ahead = cursor;
                if ahead.next().is_some_and(|(found, _)| found == key) {
                    cursor = ahead;
                }
            }
            let mut source = DeltaSource { cursor, next: None };
            source.step(reverse);
            deltas.push(source);
        }
        let base = match (layers.base, from) {
            (None, _) => None,
            (Some(base), Bound::Unbounded) if reverse => base.end(layers.collection),
            (Some(base), Bound::Unbounded) => base.start(layers.collection),
            (Some(base), Bound::Included(key) | Bound::Excluded(key)) => {
                let mut cursor = base.seek(layers.collection, key)?;
                if let Some(cursor) = &mut cursor
                    && passes_equal(from, reverse)
                    && let Some((block, index)) = cursor.behind()?
                    && block.compare(index, key).is_eq()
                {
                    cursor.advance(1);
                }
                cursor
            }
        };
        let mut merge = Self { deltas, base, base_before: None, stop, reverse, key: Vec::new() };
        if reverse {
            merge.step_base_back()?;
        }
        Ok(merge)
    }

    /// The key of the record that was returned last.
    pub(super) fn key(&self) -> &[u8] {
        &self.key
    }

    /// The next record; its key is then [`key`](Self::key).
    pub(super) fn next(&mut self) -> Result<Option<Head>> {
        let in_base = if self.reverse { self.base_before } else { self.base_behind()? };
        let nearest = self.nearest_in_deltas();
        let from_delta = match (nearest, in_base) {
            (None, None) => return Ok(None),
            (Some(_), None) => true,
            (None, Some(_)) => false,
            (Some((key, _)), Some((block, index))) => {
                // The newer layer hides the base's record of the same key.
                let order = block.compare(index, key);
                if order.is_eq() {
                    self.pass_base()?;
                }
                self.is_not_behind(order)
            }
        };
        self.key.clear();
        let head = match (from_delta, nearest, in_base) {
            (true, Some((key, head)), _) => {
                self.key.extend_from_slice(key);
                self.pass_in_deltas(key);
                head
            }
            (_, _, Some((block, index))) => {
                self.key.extend_from_slice(block.shared());
                self.key.extend_from_slice(block.suffix(index));
                self.pass_base()?;
                Head::from_numbers(block.numbers(index))
            }
            (_, _, None) => return Ok(None),
        };
        Ok(self.is_inside().then_some(head))
    }

    /// Appends the newest changes of up to `limit` records to `heads`; the key of the last one is
    /// then [`key`](Self::key). Runs of the base that nothing newer touches are copied as they are.
    pub(super) fn fill(&mut self, limit: usize, heads: &mut Vec<Head>) -> Result<()> {
        while heads.len() < limit {
            if !self.reverse && self.copy_run(limit, heads)? {
                continue;
            }
            match self.next()? {
                Some(head) => heads.push(head),
                None => break,
            }
        }
        Ok(())
    }

    /// Copies records of the base up to the next one of a newer layer; says whether there were any.
    fn copy_run(&mut self, limit: usize, heads: &mut Vec<Head>) -> Result<bool> {
        let Some((block, from)) = self.base_behind()? else { return Ok(false) };
        let mut to = block.len();
        if let Some((key, _)) = self.nearest_in_deltas() {
            to = to.min(block.lower_bound(key));
        }
        to = match self.stop {
            Bound::Unbounded => to,
            // The record of the bound itself goes the slow way.
            Bound::Included(key) | Bound::Excluded(key) => to.min(block.lower_bound(key)),
        };
        to = to.min(from.saturating_add(limit - heads.len()));
        if to <= from {
            return Ok(false);
        }
        heads.extend((from..to).map(|index| Head::from_numbers(block.numbers(index))));
        self.key.clear();
        self.key.extend_from_slice(block.shared());
        self.key.extend_from_slice(block.suffix(to - 1));
        if let Some(base) = &mut self.base {
            base.advance(to - from);
        }
        Ok(true)
    }

    fn base_behind(&mut self) -> Result<Option<InBase<'a>>> {
        match &mut self.base {
            Some(base) => base.behind(),
            None => Ok(None),
        }
    }

    fn step_base_back(&mut self) -> Result<()> {
        self.base_before = match &mut self.base {
            Some(base) => base.previous()?,
            None => None,
        };
        Ok(())
    }

    fn pass_base(&mut self) -> Result<()> {
        if self.reverse {
            return self.step_base_back();
        }
        if let Some(base) = &mut self.base {
            base.advance(1);
        }
        Ok(())
    }

    /// The record of the deltas that comes next, from the newest delta that has it.
    fn nearest_in_deltas(&self) -> Option<(&'a [u8], Head)> {
        let mut nearest: Option<(&'a [u8], Head)> = None;
        for found in self.deltas.iter().filter_map(|source| source.next) {
            let nearer = nearest.is_none_or(|(key, _)| {
                let order = found.0.cmp(key);
                if self.reverse { order.is_gt() } else { order.is_lt() }
            });
            if nearer {
                nearest = Some(found);
            }
        }
        nearest
    }

    fn pass_in_deltas(&mut self, key: &[u8]) {
        for source in &mut self.deltas {
            if source.next.is_some_and(|(found, _)| found == key) {
                source.step(self.reverse);
            }
        }
    }

    /// Whether a record of the deltas comes before, or in place of, that of the base, which
    /// compares to it like this.
    const fn is_not_behind(&self, base_to_delta: Ordering) -> bool {
        if self.reverse { base_to_delta.is_le() } else { base_to_delta.is_ge() }
    }

    fn is_inside(&self) -> bool {
        let key = &self.key[..];
        match (self.stop, self.reverse) {
            (Bound::Unbounded, _) => true,
            (Bound::Included(stop), false) => key <= stop,
            (Bound::Excluded(stop), false) => key < stop,
            (Bound::Included(stop), true) => key >= stop,
            (Bound::Excluded(stop), true) => key > stop,
        }
    }
}

/// Whether a walk that begins at this bound begins behind a record of that very key.
const fn passes_equal(from: Bound<&[u8]>, reverse: bool) -> bool {
    match from {
        Bound::Unbounded => false,
        Bound::Included(_) => reverse,
        Bound::Excluded(_) => !reverse,
    }
}
