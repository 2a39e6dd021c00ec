//! The current state: which change of which record is the newest. Knows no journal, only positions
//! in one, so that restore, rehearsal and followers can fold the same state from elsewhere.
//!
//! Sorted layers: a [`delta`] in memory over [`base`]s, mapped checkpoints that each hold what
//! changed since the one below. While a checkpoint is being written there is one more between them,
//! frozen. [`merge`] reads them as one.
//!
//! Invariants:
//! * [`apply`] is the only code that changes what is newest.
//! * A deleted record stays, as a tombstone, so that views of the past can be scanned.
//! * Values are never held here; keys are.
//! * Of two layers the newer one holds the newer change.
//! * Only what a base holds can be found damaged, and the journal holds all of that: whoever gets
//!   such an error folds the state anew.

pub(crate) mod apply;
pub(crate) mod base;
pub(crate) mod checkpoint;
mod delta;
mod key;
mod merge;
mod order;
mod prefix;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use crate::error::Result;
use crate::format::block::{Numbers, common_prefix};
use crate::lsn::{Lsn, Position};
use base::Base;
use delta::Delta;
use merge::Merge;

pub(crate) use apply::{Applied, apply, carry_over};

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

    const fn from_numbers((position, version): Numbers) -> Self {
        Self { position: Position::from_bits(position), version }
    }

    const fn numbers(&self) -> Numbers {
        (self.position.bits(), self.version)
    }
}

/// A range of keys.
pub(crate) type Range<'a> = (Bound<&'a [u8]>, Bound<&'a [u8]>);

/// The state after one LSN.
#[derive(Debug, Default)]
pub(crate) struct State {
    /// The last transaction applied.
    pub(crate) lsn: Lsn,
    counts: Counts,
    delta: Delta,
    frozen: Option<Frozen>,
    /// Newest first.
    bases: Vec<Arc<Base>>,
}

type Counts = BTreeMap<u32, Count>;

/// How many records a collection has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Count {
    /// Tombstones included.
    records: u64,
    live: u64,
}

/// What a checkpoint is written from: immutable from here on.
#[derive(Clone, Debug)]
pub(crate) struct Frozen {
    lsn: Lsn,
    delta: Arc<Delta>,
    bases: Vec<Arc<Base>>,
    counts: Counts,
}

/// Records of a range, as far as one look at the index goes.
#[derive(Debug)]
pub(crate) struct Page {
    /// How many records it may hold.
    pub(crate) limit: usize,
    pub(crate) heads: Vec<Head>,
    /// The key of the last record.
    pub(crate) last: Vec<u8>,
}

impl Page {
    /// An empty page for up to `limit` records.
    pub(crate) const fn new(limit: usize) -> Self {
        Self { limit, heads: Vec::new(), last: Vec::new() }
    }

    /// Whether there may be more records than the page holds.
    pub(crate) const fn is_full(&self) -> bool {
        self.heads.len() == self.limit
    }
}

/// The layers that hold records of one collection.
#[derive(Clone, Copy, Debug)]
struct Layers<'a> {
    collection: u32,
    /// Newest first.
    deltas: [Option<&'a Delta>; 2],
    bases: &'a [Arc<Base>],
}

impl<'a> Layers<'a> {
    /// What keys of the collection are known to begin with.
    fn common(&self) -> &'a [u8] {
        let known = self.bases.iter().filter_map(|base| base.common(self.collection));
        let delta =
            self.deltas.into_iter().flatten().find_map(|delta| delta.common(self.collection));
        known.reduce(common_prefix).or(delta).unwrap_or_default()
    }
}

impl State {
    /// The state that a checkpoint holds, with those below it.
    pub(crate) fn from_bases(bases: Vec<Base>) -> Self {
        let Some(newest) = bases.first() else { return Self::default() };
        let count = |(id, section): (u32, &base::Section)| {
            (id, Count { records: section.records, live: section.live })
        };
        Self {
            lsn: newest.lsn(),
            counts: newest.collections().map(count).collect(),
            bases: bases.into_iter().map(Arc::new).collect(),
            ..Self::default()
        }
    }

    /// Calls something that applies many transactions and asks for single records only: what it
    /// adds gets its place among the others when it is through.
    pub(crate) fn apply_many<T>(&mut self, call: impl FnOnce(&mut Self) -> T) -> T {
        self.delta.begin_many();
        let result = call(self);
        self.delta.end_many();
        result
    }

    /// What of this state lies in its bases.
    pub(crate) fn bases_alone(&self) -> Self {
        Self { bases: self.bases.clone(), ..Self::default() }
    }

    /// The newest change of a record, which may be a deletion.
    pub(crate) fn head(&self, collection: u32, key: &[u8]) -> Result<Option<Head>> {
        if let Some(head) = self.head_since_base(collection, key) {
            return Ok(Some(head));
        }
        let layers = self.layers(collection);
        for base in layers.bases {
            if let Some(head) = base.get(collection, key)? {
                return Ok(Some(head));
            }
        }
        Ok(None)
    }

    /// The newest change of a record if it came after the newest base.
    pub(crate) fn head_since_base(&self, collection: u32, key: &[u8]) -> Option<Head> {
        let deltas = self.layers(collection).deltas.into_iter().flatten();
        deltas.into_iter().find_map(|delta| delta.get(collection, key))
    }

    /// [`head`](Self::head) of several records, into `heads`: what waits for memory waits together.
    pub(crate) fn heads<K: AsRef<[u8]>>(
        &self,
        collection: u32,
        keys: &[K],
        heads: &mut Vec<Option<Head>>,
    ) -> Result<()> {
        heads.clear();
        heads.resize(keys.len(), None);
        let layers = self.layers(collection);
        for delta in layers.deltas.into_iter().flatten().filter(|delta| delta.has(collection)) {
            delta.prefetch(&keys.iter().map(|key| (collection, key.as_ref())));
            let unknown = heads.iter_mut().zip(keys).filter(|(head, _)| head.is_none());
            unknown.for_each(|(head, key)| *head = delta.get(collection, key.as_ref()));
        }
        layers.bases.iter().try_for_each(|base| base.get_all(collection, keys, heads))
    }

    /// Asks for what [`head`](Self::head) looks at in memory, for all of these records at once.
    pub(crate) fn prefetch<'k>(&self, records: &(impl Iterator<Item = (u32, &'k [u8])> + Clone)) {
        self.delta.prefetch(records);
        if let Some(frozen) = &self.frozen {
            frozen.delta.prefetch(records);
        }
    }

    fn layers(&self, collection: u32) -> Layers<'_> {
        let frozen = self.frozen.as_ref().map(|frozen| &*frozen.delta);
        Layers { collection, deltas: [Some(&self.delta), frozen], bases: &self.bases }
    }

    /// How many live records a collection holds.
    pub(crate) fn live(&self, collection: u32) -> u64 {
        self.counts.get(&collection).map_or(0, |count| count.live)
    }

    /// How many records, tombstones included, all collections hold.
    pub(crate) fn len(&self) -> u64 {
        self.counts.values().map(|count| count.records).sum()
    }

    /// As many records of a range as the page holds, tombstones included: the first ones, or with
    /// `reverse` the last ones, in the order in which they are passed.
    pub(crate) fn page(
        &self,
        collection: u32,
        range: Range<'_>,
        reverse: bool,
        page: &mut Page,
    ) -> Result<()> {
        page.heads.clear();
        page.last.clear();
        if is_empty(range) {
            return Ok(());
        }
        let mut merge = Merge::new(&self.layers(collection), range, reverse)?;
        merge.fill(page.limit, &mut page.heads)?;
        merge.key().append_to(&mut page.last);
        Ok(())
    }

    /// A record of the range that was changed after `lsn`, if there is one.
    pub(crate) fn changed_since(
        &self,
        collection: u32,
        range: Range<'_>,
        lsn: Lsn,
    ) -> Result<Option<(Vec<u8>, Head)>> {
        if is_empty(range) {
            return Ok(None);
        }
        let mut layers = self.layers(collection);
        let newer = layers.bases.partition_point(|base| base.lsn() > lsn);
        layers.bases = layers.bases.get(..newer).unwrap_or_default();
        let mut merge = Merge::new(&layers, range, false)?;
        while let Some(head) = merge.next()? {
            if head.lsn() > lsn {
                return Ok(Some((merge.key().to_vec(), head)));
            }
        }
        Ok(None)
    }

    /// Whether both hold the same records, each with the same newest change.
    pub(crate) fn is_equal(&self, other: &Self) -> Result<bool> {
        if self.lsn != other.lsn || self.counts != other.counts {
            return Ok(false);
        }
        let ids: BTreeSet<u32> = self.counts.keys().copied().collect();
        for id in ids {
            let everything = (Bound::Unbounded, Bound::Unbounded);
            let mut ours = Merge::new(&self.layers(id), everything, false)?;
            let mut theirs = Merge::new(&other.layers(id), everything, false)?;
            loop {
                let heads = (ours.next()?, theirs.next()?);
                match heads {
                    (None, None) => break,
                    (a, b) if a != b || ours.key().compare(&theirs.key()).is_ne() => {
                        return Ok(false);
                    }
                    (_, _) => {}
                }
            }
        }
        Ok(true)
    }

    /// Freezes what changed since the newest base was written, for a checkpoint to hold it; or
    /// returns what a checkpoint that failed left frozen.
    pub(crate) fn freeze(&mut self) -> Frozen {
        let frozen = self.frozen.take().unwrap_or_else(|| Frozen {
            lsn: self.lsn,
            delta: {
                let empty = Delta::like(&self.delta);
                Arc::new(std::mem::replace(&mut self.delta, empty))
            },
            bases: self.bases.clone(),
            counts: self.counts.clone(),
        });
        self.frozen = Some(frozen.clone());
        frozen
    }

    /// Replaces what was frozen, and the `merged` newest of the bases, by a checkpoint of them.
    /// Returns what was replaced, since giving its memory back takes time that need not be spent
    /// under a lock.
    pub(crate) fn install(
        &mut self,
        base: Base,
        merged: usize,
    ) -> (Option<Frozen>, Vec<Arc<Base>>) {
        let merged = merged.min(self.bases.len());
        let replaced: Vec<_> = self.bases.splice(..merged, [Arc::new(base)]).collect();
        (self.frozen.take(), replaced)
    }

    /// The checkpoints that the state stands on, newest first.
    pub(crate) fn bases(&self) -> &[Arc<Base>] {
        &self.bases
    }
}

impl Frozen {
    /// The checkpoints that the frozen state stands on, newest first.
    pub(crate) fn bases(&self) -> &[Arc<Base>] {
        &self.bases
    }
}

/// A range that ends before it begins holds nothing.
fn is_empty(range: Range<'_>) -> bool {
    match range {
        (Bound::Unbounded, _) | (_, Bound::Unbounded) => false,
        (Bound::Included(start), Bound::Included(end)) => start > end,
        (Bound::Included(start) | Bound::Excluded(start), Bound::Excluded(end))
        | (Bound::Excluded(start), Bound::Included(end)) => start >= end,
    }
}
