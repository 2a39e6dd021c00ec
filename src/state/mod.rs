//! The current state: which change of which record is the newest. Knows no journal, only positions
//! in one, so that restore, rehearsal and followers can fold the same state from elsewhere.
//!
//! Invariants:
//! * [`apply`] is the only code that changes the state.
//! * A deleted record stays, as a tombstone, so that views of the past can be scanned.
//! * Values are never held here; keys are.
//!
//! The interface is small on purpose: look one record up, page through a range, apply a
//! transaction, write out and read back.

pub(crate) mod apply;
pub(crate) mod checkpoint;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::ops::Bound;

use crate::lsn::{Lsn, Position};

pub(crate) use apply::{Applied, apply};

/// The newest change of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    /// Where that change begins.
    pub(crate) position: Position,
    /// Its LSN, shifted left by one; the lowest bit says that it is a deletion.
    version: u64,
}

impl Head {
    pub(crate) const fn new(position: Position, lsn: Lsn, deleted: bool) -> Self {
        Self { position, version: (lsn.get() << 1) | deleted as u64 }
    }

    pub(crate) const fn lsn(&self) -> Lsn {
        Lsn::new(self.version >> 1)
    }

    pub(crate) const fn is_deleted(&self) -> bool {
        self.version & 1 == 1
    }
}

/// The state after one LSN.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct State {
    collections: BTreeMap<u32, Records>,
    /// The last transaction applied.
    pub(crate) lsn: Lsn,
}

/// The records of one collection.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Records {
    heads: BTreeMap<Box<[u8]>, Head>,
    live: u64,
}

impl State {
    /// The newest change of a record, which may be a deletion.
    pub(crate) fn head(&self, collection: u32, key: &[u8]) -> Option<Head> {
        self.collections.get(&collection)?.heads.get(key).copied()
    }

    /// How many live records a collection holds.
    pub(crate) fn live(&self, collection: u32) -> u64 {
        self.collections.get(&collection).map_or(0, |records| records.live)
    }

    /// How many records, tombstones included, all collections hold.
    pub(crate) fn len(&self) -> u64 {
        self.collections.values().map(|records| records.heads.len() as u64).sum()
    }

    /// Up to `limit` records of a range, tombstones included: the first ones, or with `reverse`
    /// the last ones, in the order in which they are passed.
    pub(crate) fn page(
        &self,
        collection: u32,
        range: (Bound<&[u8]>, Bound<&[u8]>),
        reverse: bool,
        limit: usize,
    ) -> Vec<(Box<[u8]>, Head)> {
        let Some(records) = self.collections.get(&collection) else { return Vec::new() };
        if is_empty(range) {
            return Vec::new();
        }
        let found = records.heads.range::<[u8], _>(range);
        if reverse {
            found.rev().take(limit).map(|(key, head)| (key.clone(), *head)).collect()
        } else {
            found.take(limit).map(|(key, head)| (key.clone(), *head)).collect()
        }
    }

    /// Whether a record of the range was changed after `lsn`.
    pub(crate) fn changed_since(
        &self,
        collection: u32,
        range: (Bound<&[u8]>, Bound<&[u8]>),
        lsn: Lsn,
    ) -> Option<(&[u8], Head)> {
        let records = self.collections.get(&collection)?;
        if is_empty(range) {
            return None;
        }
        records
            .heads
            .range::<[u8], _>(range)
            .find(|(_, head)| head.lsn() > lsn)
            .map(|(key, head)| (&**key, *head))
    }
}

/// `BTreeMap::range` panics on a range that ends before it begins.
fn is_empty(range: (Bound<&[u8]>, Bound<&[u8]>)) -> bool {
    match range {
        (Bound::Unbounded, _) | (_, Bound::Unbounded) => false,
        (Bound::Included(start), Bound::Included(end)) => start > end,
        (Bound::Included(start) | Bound::Excluded(start), Bound::Excluded(end))
        | (Bound::Excluded(start), Bound::Included(end)) => start >= end,
    }
}
