//! The records of one collection in key order: sorted leaves of numbers of entries.

use super::delta::{Entries, Sought};
use super::prefix::{last_not_greater, locate};

/// A leaf is split when it holds this many records.
const LEAF_RECORDS: usize = 128;
/// Leaves that are made at once leave room for what comes between.
const LEAF_RECORDS_AT_ONCE: usize = 96;

/// Numbers of entries in key order.
#[derive(Debug, Default)]
pub(super) struct Order {
    /// What keys are expected to begin with; what differs is only slower.
    common: Box<[u8]>,
    /// The prefix of the first key of each leaf.
    firsts: Vec<u64>,
    leaves: Vec<Leaf>,
}

#[derive(Debug, Default)]
struct Leaf {
    prefixes: Vec<u64>,
    ids: Vec<u32>,
}

/// A place between two records: a leaf, and a place in it. No leaf is empty.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    leaf: usize,
    index: usize,
}

impl Place {
    /// Before the first record.
    pub(super) const START: Self = Self { leaf: 0, index: 0 };
}

impl Order {
    pub(super) fn new(common: &[u8]) -> Self {
        Self { common: common.into(), ..Self::default() }
    }

    pub(super) const fn common(&self) -> &[u8] {
        &self.common
    }

    /// Behind the last record.
    pub(super) const fn end(&self) -> Place {
        Place { leaf: self.leaves.len(), index: 0 }
    }

    /// Before the first record whose key is not less than the one sought.
    pub(super) fn seek(&self, entries: &Entries, sought: &Sought<'_>) -> Place {
        let is_behind = |id: Option<&u32>, least: std::cmp::Ordering| {
            let entry = id.and_then(|id| entries.get(*id));
            entry.is_none_or(|entry| entries.compare(entry, sought) >= least)
        };
        let leaf = last_not_greater(locate(&self.firsts, sought.words.0), |leaf| {
            let first = self.leaves.get(leaf).and_then(|leaf| leaf.ids.first());
            is_behind(first, std::cmp::Ordering::Greater)
        });
        // A key below all others belongs into the first leaf.
        let leaf = leaf.unwrap_or(0);
        let Some(found) = self.leaves.get(leaf) else { return Place { leaf, index: 0 } };
        let before = last_not_greater(locate(&found.prefixes, sought.words.0), |index| {
            is_behind(found.ids.get(index), std::cmp::Ordering::Equal)
        });
        Place { leaf, index: before.map_or(0, |before| before + 1) }
    }

    /// Adds an entry, which is the one sought and not there yet.
    pub(super) fn insert(&mut self, entries: &Entries, id: u32, sought: &Sought<'_>) {
        let mut place = self.seek(entries, sought);
        let full = self.leaves.get(place.leaf).is_some_and(|leaf| leaf.ids.len() >= LEAF_RECORDS);
        if self.leaves.is_empty() {
            self.begin_leaf(0);
        } else if full && place.leaf + 1 == self.leaves.len() && place.index == LEAF_RECORDS {
            // Keys that only grow fill their leaves.
            place = Place { leaf: place.leaf + 1, index: 0 };
            self.begin_leaf(place.leaf);
        } else if full {
            self.split(place.leaf);
            place = self.seek(entries, sought);
        }
        if let Some(leaf) = self.leaves.get_mut(place.leaf) {
            leaf.prefixes.insert(place.index, sought.words.0);
            leaf.ids.insert(place.index, id);
        }
        if place.index == 0
            && let Some(first) = self.firsts.get_mut(place.leaf)
        {
            *first = sought.words.0;
        }
    }

    /// Adds entries of which none is there yet, in any order.
    pub(super) fn extend(&mut self, entries: &Entries, mut ids: Vec<u32>) {
        let word = |id: u32| entries.get(id).map_or(0, |entry| entry.words.0);
        let key = |id: u32| entries.get(id).map_or(&[][..], |entry| entries.key(entry));
        let compare = |a: u32, b: u32| word(a).cmp(&word(b)).then_with(|| key(a).cmp(key(b)));
        ids.sort_unstable_by(|a, b| compare(*a, *b));
        let there: Vec<u32> = self.leaves.drain(..).flat_map(|leaf| leaf.ids).collect();
        self.firsts.clear();
        let mut merged = Vec::with_capacity(there.len() + ids.len());
        let mut there = there.into_iter().peekable();
        for id in ids {
            while let Some(before) = there.next_if(|before| compare(*before, id).is_lt()) {
                merged.push(before);
            }
            merged.push(id);
        }
        merged.extend(there);
        for ids in merged.chunks(LEAF_RECORDS_AT_ONCE) {
            let prefixes: Vec<u64> = ids.iter().map(|id| word(*id)).collect();
            self.firsts.extend(prefixes.first());
            self.leaves.push(Leaf { prefixes, ids: ids.to_vec() });
        }
    }

    /// How many records it holds, about.
    pub(super) const fn size(&self) -> usize {
        self.leaves.len() * LEAF_RECORDS
    }

    fn begin_leaf(&mut self, at: usize) {
        self.firsts.insert(at, 0);
        self.leaves.insert(at, Leaf::default());
    }

    /// Moves the upper half of a leaf into a new one behind it.
    fn split(&mut self, at: usize) {
        let Some(leaf) = self.leaves.get_mut(at) else { return };
        let half = leaf.ids.len() / 2;
        let mut prefixes = Vec::with_capacity(LEAF_RECORDS);
        let mut ids = Vec::with_capacity(LEAF_RECORDS);
        prefixes.extend(leaf.prefixes.drain(half..));
        ids.extend(leaf.ids.drain(half..));
        self.firsts.insert(at + 1, prefixes.first().copied().unwrap_or_default());
        self.leaves.insert(at + 1, Leaf { prefixes, ids });
    }

    fn at(&self, place: Place) -> Option<u32> {
        self.leaves.get(place.leaf)?.ids.get(place.index).copied()
    }

    /// The record behind a place, which is passed.
    pub(super) fn next(&self, place: &mut Place) -> Option<u32> {
        let mut next = *place;
        if self.at(next).is_none() {
            // Behind the last record of a leaf.
            next = Place { leaf: next.leaf + 1, index: 0 };
        }
        let id = self.at(next)?;
        *place = Place { index: next.index + 1, ..next };
        Some(id)
    }

    /// The next few records behind a place, each time they begin; else nothing.
    pub(super) fn ahead(&self, place: &Place) -> &[u32] {
        const AHEAD: usize = 16;
        if place.index % AHEAD != 1 {
            return &[];
        }
        let ids = self.leaves.get(place.leaf).map_or(&[][..], |leaf| &leaf.ids);
        let rest = ids.get(place.index..).unwrap_or_default();
        rest.get(..AHEAD).unwrap_or(rest)
    }

    /// The record before a place, which is passed.
    pub(super) fn previous(&self, place: &mut Place) -> Option<u32> {
        let before = if let Some(index) = place.index.checked_sub(1) {
            Place { index, ..*place }
        } else {
            let leaf = place.leaf.checked_sub(1)?;
            let length = self.leaves.get(leaf)?.ids.len();
            Place { leaf, index: length.checked_sub(1)? }
        };
        let id = self.at(before)?;
        *place = before;
        Some(id)
    }
}
