//! The records of one collection that changed since the base was written: sorted, in memory.
//!
//! A list of sorted leaves. Eight bytes of each key stand in a vector of their own, so that a
//! search runs over a few cache lines of numbers and rarely looks at a key.

use std::cmp::Ordering;

use super::Head;
use super::prefix::{last_not_greater, locate, words};

/// A leaf is split when it holds this many records.
const LEAF_RECORDS: usize = 128;
/// Keys are kept in pieces of this size: growing never moves them.
const KEYS_BYTES: usize = 1 << OFFSET_BITS;

/// Records in key order, from a key to its newest change.
#[derive(Debug, Default)]
pub(super) struct Tree {
    /// What keys are expected to begin with; what differs is only slower.
    common: Box<[u8]>,
    /// The prefix of the first key of each leaf.
    firsts: Vec<u64>,
    leaves: Vec<Leaf>,
    keys: Keys,
}

#[derive(Debug, Default)]
struct Leaf {
    prefixes: Vec<u64>,
    entries: Vec<Entry>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    /// The eight bytes of the key behind its prefix: most keys end there, and are then compared
    /// without being looked at.
    second: u64,
    key: KeyPlace,
    head: Head,
}

/// All keys, one behind the other.
#[derive(Debug, Default)]
struct Keys {
    pieces: Vec<Vec<u8>>,
}

/// Where a key stands: piece, offset in it, and length, packed to keep entries small.
#[derive(Clone, Copy, Debug)]
struct KeyPlace(u64);

const LENGTH_BITS: u32 = 17;
const OFFSET_BITS: u32 = 18;

impl KeyPlace {
    fn new(piece: usize, offset: usize, length: usize) -> Self {
        Self(((piece << OFFSET_BITS | offset) << LENGTH_BITS | length) as u64)
    }

    const fn length(self) -> usize {
        Self::field(self.0, LENGTH_BITS)
    }

    const fn offset(self) -> usize {
        Self::field(self.0 >> LENGTH_BITS, OFFSET_BITS)
    }

    const fn piece(self) -> usize {
        Self::field(self.0 >> (LENGTH_BITS + OFFSET_BITS), u64::BITS - LENGTH_BITS - OFFSET_BITS)
    }

    #[expect(clippy::cast_possible_truncation, reason = "what was put in was a usize")]
    const fn field(bits: u64, width: u32) -> usize {
        (bits & ((1 << width) - 1)) as usize
    }
}

impl Keys {
    fn push(&mut self, key: &[u8]) -> KeyPlace {
        let fits = |piece: &Vec<u8>| piece.len() + key.len() <= piece.capacity();
        if !self.pieces.last().is_some_and(fits) {
            // The first piece is small: most collections are.
            let bytes = if self.pieces.is_empty() { 1 << 10 } else { KEYS_BYTES };
            self.pieces.push(Vec::with_capacity(bytes.max(key.len())));
        }
        let last = self.pieces.len() - 1;
        let offset = self.pieces.last().map_or(0, Vec::len);
        if let Some(piece) = self.pieces.last_mut() {
            piece.extend_from_slice(key);
        }
        KeyPlace::new(last, offset, key.len())
    }

    fn get(&self, place: KeyPlace) -> &[u8] {
        let start = place.offset();
        let piece = self.pieces.get(place.piece());
        piece.and_then(|piece| piece.get(start..start + place.length())).unwrap_or_default()
    }
}

/// A key that is looked for, with its first words.
struct Sought<'a> {
    key: &'a [u8],
    words: (u64, u64),
}

/// A place in a tree: a leaf, and a record in it.
#[derive(Clone, Copy, Debug)]
struct Place {
    leaf: usize,
    index: usize,
}

impl Tree {
    /// An empty tree whose keys will mostly begin with `common`.
    pub(super) fn new(common: &[u8]) -> Self {
        Self { common: common.into(), ..Self::default() }
    }

    pub(super) fn get(&self, key: &[u8]) -> Option<Head> {
        let (place, found) = self.find(key);
        if !found {
            return None;
        }
        Some(self.leaves.get(place.leaf)?.entries.get(place.index)?.head)
    }

    /// Sets a record's newest change.
    pub(super) fn set(&mut self, key: &[u8], head: Head) {
        let (place, found) = self.find(key);
        let Some(leaf) = self.leaves.get_mut(place.leaf) else {
            self.begin_leaf(self.leaves.len(), key, head);
            return;
        };
        if found {
            if let Some(entry) = leaf.entries.get_mut(place.index) {
                entry.head = head;
            }
        } else if leaf.entries.len() < LEAF_RECORDS {
            self.insert(place, key, head);
        } else if place.leaf + 1 == self.leaves.len() && place.index == LEAF_RECORDS {
            // Keys that only grow fill their leaves.
            self.begin_leaf(self.leaves.len(), key, head);
        } else {
            self.split(place.leaf);
            let (place, _) = self.find(key);
            self.insert(place, key, head);
        }
    }

    fn insert(&mut self, place: Place, key: &[u8], head: Head) {
        let (number, second) = words(&self.common, key);
        let key = self.keys.push(key);
        if let Some(leaf) = self.leaves.get_mut(place.leaf) {
            leaf.prefixes.insert(place.index, number);
            leaf.entries.insert(place.index, Entry { second, key, head });
        }
        if place.index == 0
            && let Some(first) = self.firsts.get_mut(place.leaf)
        {
            *first = number;
        }
    }

    fn begin_leaf(&mut self, at: usize, key: &[u8], head: Head) {
        self.firsts.insert(at, 0);
        self.leaves.insert(at, Leaf::default());
        self.insert(Place { leaf: at, index: 0 }, key, head);
    }

    /// Moves the upper half of a leaf into a new one behind it.
    fn split(&mut self, at: usize) {
        let Some(leaf) = self.leaves.get_mut(at) else { return };
        let half = leaf.entries.len() / 2;
        let mut prefixes = Vec::with_capacity(LEAF_RECORDS);
        let mut entries = Vec::with_capacity(LEAF_RECORDS);
        prefixes.extend(leaf.prefixes.drain(half..));
        entries.extend(leaf.entries.drain(half..));
        self.firsts.insert(at + 1, prefixes.first().copied().unwrap_or_default());
        self.leaves.insert(at + 1, Leaf { prefixes, entries });
    }

    /// Where the key stands, or would stand; and whether it does.
    fn find(&self, key: &[u8]) -> (Place, bool) {
        let sought = Sought { key, words: words(&self.common, key) };
        let (wanted, _) = sought.words;
        let leaf = last_not_greater(locate(&self.firsts, wanted), |leaf| {
            self.compare(Place { leaf, index: 0 }, &sought).is_gt()
        });
        // A key below all others belongs into the first leaf.
        let leaf = leaf.unwrap_or(0);
        let Some(found) = self.leaves.get(leaf) else { return (Place { leaf, index: 0 }, false) };
        let mut is_equal = false;
        let index = last_not_greater(locate(&found.prefixes, wanted), |index| {
            let order = self.compare(Place { leaf, index }, &sought);
            is_equal |= order.is_eq();
            order.is_gt()
        });
        match index {
            Some(index) if is_equal => (Place { leaf, index }, true),
            Some(index) => (Place { leaf, index: index + 1 }, false),
            None => (Place { leaf, index: 0 }, false),
        }
    }

    /// How the key at a place, whose prefix is that of the key sought, compares to it.
    fn compare(&self, place: Place, sought: &Sought<'_>) -> Ordering {
        let entry = self.leaves.get(place.leaf).and_then(|leaf| leaf.entries.get(place.index));
        let Some(entry) = entry else { return Ordering::Greater };
        let (_, second) = sought.words;
        let in_words = self.common.len() + 2 * size_of::<u64>();
        let in_words = entry.key.length() <= in_words && sought.key.len() <= in_words;
        if !in_words || second == u64::MAX || entry.second == u64::MAX {
            return self.keys.get(entry.key).cmp(sought.key);
        }
        // Filled up with zeros, the shorter of two keys that are equal so far is the lesser.
        entry.second.cmp(&second).then(entry.key.length().cmp(&sought.key.len()))
    }

    /// Stands before the first record whose key is not less than `key`.
    pub(super) fn seek(&self, key: &[u8]) -> TreeCursor<'_> {
        TreeCursor { tree: self, place: self.find(key).0 }
    }

    /// Stands before the first record.
    pub(super) const fn start(&self) -> TreeCursor<'_> {
        TreeCursor { tree: self, place: Place { leaf: 0, index: 0 } }
    }

    /// Stands behind the last record.
    pub(super) const fn end(&self) -> TreeCursor<'_> {
        TreeCursor { tree: self, place: Place { leaf: self.leaves.len(), index: 0 } }
    }
}

/// A place between two records of a tree.
#[derive(Clone, Copy, Debug)]
pub(super) struct TreeCursor<'a> {
    tree: &'a Tree,
    place: Place,
}

impl<'a> TreeCursor<'a> {
    fn at(&self, place: Place) -> Option<(&'a [u8], Head)> {
        let entry = self.tree.leaves.get(place.leaf)?.entries.get(place.index)?;
        Some((self.tree.keys.get(entry.key), entry.head))
    }

    /// The record behind this place, which is passed.
    pub(super) fn next(&mut self) -> Option<(&'a [u8], Head)> {
        let mut place = self.place;
        if self.at(place).is_none() {
            // Behind the last record of a leaf; no leaf is empty.
            place = Place { leaf: place.leaf + 1, index: 0 };
        }
        let found = self.at(place)?;
        self.place = Place { index: place.index + 1, ..place };
        Some(found)
    }

    /// The record before this place, which is passed.
    pub(super) fn previous(&mut self) -> Option<(&'a [u8], Head)> {
        let place = if let Some(index) = self.place.index.checked_sub(1) {
            Place { index, ..self.place }
        } else {
            let leaf = self.place.leaf.checked_sub(1)?;
            let length = self.tree.leaves.get(leaf)?.entries.len();
            Place { leaf, index: length.checked_sub(1)? }
        };
        let found = self.at(place)?;
        self.place = place;
        Some(found)
    }
}
