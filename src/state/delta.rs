//! What changed since the base was written, in memory: a hash table finds a record by its key, and
//! sorted leaves of each collection keep the order.
//!
//! Both lead to the same entries, so that setting a record that is known already costs two cache
//! misses and moves nothing. Eight bytes of each key stand beside its number in a leaf, so that a
//! search there runs over numbers and rarely looks at a key.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::Head;
use super::order::{Order, Place};
use super::prefix::words;
use crate::sys::mmap::prefetch;

/// Keys are kept in pieces of this size: growing never moves them.
const PIECE_BYTES: usize = 1 << OFFSET_BITS;
/// An order is made anew if no more than so many times what is added stands in it.
const FEW_TO_MANY: usize = 8;
/// Slots of the hash table to begin with.
const SLOTS_MIN: usize = 64;

/// Records by collection and key, from a key to its newest change.
#[derive(Debug, Default)]
pub(super) struct Delta {
    entries: Entries,
    /// For each entry its number, one more, beside the upper half of its hash; zero is free.
    slots: Vec<u64>,
    orders: BTreeMap<u32, Order>,
    /// The first entry that has no place in the order yet, while many are added.
    unordered: Option<u32>,
}

/// The entries, numbered in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Entries {
    entries: Vec<Entry>,
    /// All keys, one behind the other, in pieces.
    keys: Vec<Vec<u8>>,
}

/// A record.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    /// The first sixteen bytes of the key behind what is common: most keys end there, and are then
    /// compared without being looked at.
    pub(super) words: (u64, u64),
    key: KeyPlace,
    collection: u32,
    /// The lower half of the key's hash.
    hash: u32,
    pub(super) head: Head,
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

/// A key that is looked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sought<'a> {
    pub(super) key: &'a [u8],
    pub(super) words: (u64, u64),
    /// How many bytes of a key its words tell.
    told: usize,
}

impl<'a> Sought<'a> {
    pub(super) fn new(common: &[u8], key: &'a [u8]) -> Self {
        Self { key, words: words(common, key), told: common.len() + 2 * size_of::<u64>() }
    }
}

impl Entries {
    pub(super) fn get(&self, id: u32) -> Option<&Entry> {
        self.entries.get(id as usize)
    }

    pub(super) fn key(&self, entry: &Entry) -> &[u8] {
        let place = entry.key;
        let start = place.offset();
        let piece = self.keys.get(place.piece());
        piece.and_then(|piece| piece.get(start..start + place.length())).unwrap_or_default()
    }

    /// How the key of an entry compares to the one sought in the same collection.
    pub(super) fn compare(&self, entry: &Entry, sought: &Sought<'_>) -> Ordering {
        let (first, second) = sought.words;
        // A key that does not begin with what is common is not told by its words.
        let told = entry.key.length() <= sought.told
            && sought.key.len() <= sought.told
            && second != u64::MAX
            && entry.words.1 != u64::MAX;
        if !told {
            return self.key(entry).cmp(sought.key);
        }
        // Filled up with zeros, the shorter of two keys that are equal so far is the lesser.
        let words = entry.words.0.cmp(&first).then(entry.words.1.cmp(&second));
        words.then(entry.key.length().cmp(&sought.key.len()))
    }

    /// Has entries and their keys brought nearer to the processor, all at once.
    fn touch(&self, ids: &[u32]) {
        let entries = || ids.iter().filter_map(|id| self.get(*id));
        let heads = entries().fold(0, |sum, entry| sum ^ entry.head.lsn().get());
        let first = |entry| self.key(entry).first().copied();
        let keys = entries().filter_map(first).fold(0, |sum, byte| sum ^ byte);
        std::hint::black_box((heads, keys));
    }

    fn push(&mut self, entry: Entry, key: &[u8]) -> u32 {
        let fits = |piece: &Vec<u8>| piece.len() + key.len() <= piece.capacity();
        if !self.keys.last().is_some_and(fits) {
            // The first piece is small: most states are.
            let bytes = if self.keys.is_empty() { 1 << 10 } else { PIECE_BYTES };
            self.keys.push(Vec::with_capacity(bytes.max(key.len())));
        }
        let piece = self.keys.len() - 1;
        let offset = self.keys.last().map_or(0, Vec::len);
        if let Some(piece) = self.keys.last_mut() {
            piece.extend_from_slice(key);
        }
        let id = u32::try_from(self.entries.len()).unwrap_or(u32::MAX);
        self.entries.push(Entry { key: KeyPlace::new(piece, offset, key.len()), ..entry });
        id
    }
}

impl Delta {
    /// An empty one with room for as many records, so that it need not grow while it is filled.
    pub(super) fn like(other: &Self) -> Self {
        Self { slots: vec![0; other.slots.len()], ..Self::default() }
    }

    /// How many records it holds.
    pub(super) const fn len(&self) -> u64 {
        self.entries.entries.len() as u64
    }

    /// Whether it holds any record of a collection.
    pub(super) fn has(&self, collection: u32) -> bool {
        self.orders.contains_key(&collection)
    }

    /// What keys of a collection are expected to begin with, if it holds any.
    pub(super) fn common(&self, collection: u32) -> Option<&[u8]> {
        self.orders.get(&collection).map(Order::common)
    }

    pub(super) fn get(&self, collection: u32, key: &[u8]) -> Option<Head> {
        let common = self.orders.get(&collection)?.common();
        let sought = Sought::new(common, key);
        let (_, id) = self.find(collection, &sought, hash(collection, key));
        Some(self.entries.get(id?)?.head)
    }

    /// Sets a record's newest change; `common` is what keys of its collection are expected to begin
    /// with, and is asked for once.
    pub(super) fn set<'a>(
        &mut self,
        (collection, key): (u32, &[u8]),
        head: Head,
        common: impl FnOnce() -> &'a [u8],
    ) {
        let order = self.orders.entry(collection).or_insert_with(|| Order::new(common()));
        let sought = Sought::new(order.common(), key);
        let hash = hash(collection, key);
        let (slot, id) = self.find(collection, &sought, hash);
        if let Some(entry) = id.and_then(|id| self.entries.entries.get_mut(id as usize)) {
            entry.head = head;
            return;
        }
        let entry =
            Entry { words: sought.words, key: KeyPlace(0), collection, hash: lower(hash), head };
        let id = self.entries.push(entry, key);
        if self.unordered.is_none()
            && let Some(order) = self.orders.get_mut(&collection)
        {
            order.insert(&self.entries, id, &sought);
        }
        if self.entries.entries.len() * 2 > self.slots.len() {
            self.grow();
        } else if let Some(slot) = self.slots.get_mut(slot) {
            *slot = slot_of(hash, id);
        }
    }

    /// From here on many records are added, and nothing is asked for but single ones.
    pub(super) fn begin_many(&mut self) {
        self.unordered = self.unordered.or_else(|| u32::try_from(self.entries.entries.len()).ok());
    }

    /// Gives the records that were added since [`begin_many`](Self::begin_many) their places in the
    /// order, which costs less for all at once than for one after the other.
    pub(super) fn end_many(&mut self) {
        let Some(first) = self.unordered.take() else { return };
        let mut added: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        let entries = self.entries.entries.get(first as usize..).unwrap_or_default();
        for (id, entry) in (first..).zip(entries) {
            added.entry(entry.collection).or_default().push(id);
        }
        for (collection, ids) in added {
            let Some(order) = self.orders.get_mut(&collection) else { continue };
            if order.size() / FEW_TO_MANY < ids.len() {
                order.extend(&self.entries, ids);
                continue;
            }
            for id in ids {
                let Some(entry) = self.entries.get(id) else { continue };
                let sought = Sought::new(order.common(), self.entries.key(entry));
                order.insert(&self.entries, id, &sought);
            }
        }
    }

    /// The slot that holds a record, with its number, or the free one where it belongs.
    fn find(&self, collection: u32, sought: &Sought<'_>, hash: u64) -> (usize, Option<u32>) {
        let mask = self.slots.len().wrapping_sub(1);
        let mut at = place_of(hash) & mask;
        while let Some(slot) = self.slots.get(at) {
            if *slot == 0 {
                return (at, None);
            }
            let id = lower(*slot) - 1;
            if slot >> 32 == hash >> 32
                && let Some(entry) = self.entries.get(id)
                && entry.collection == collection
                && self.entries.compare(entry, sought).is_eq()
            {
                return (at, Some(id));
            }
            at = (at + 1) & mask;
        }
        (at, None)
    }

    /// Doubles the hash table and puts every entry into it.
    fn grow(&mut self) {
        let length = (self.slots.len() * 2).max(SLOTS_MIN);
        let mask = length - 1;
        let old = std::mem::replace(&mut self.slots, vec![0; length]);
        let kept = old.into_iter().filter(|slot| *slot != 0);
        // The newest entry has no slot yet.
        let newest = self.entries.entries.len().checked_sub(1).and_then(|index| {
            let entry = self.entries.entries.get(index)?;
            let hash = hash(entry.collection, self.entries.key(entry));
            Some(slot_of(hash, u32::try_from(index).unwrap_or(u32::MAX)))
        });
        for slot in kept.chain(newest) {
            let entry = self.entries.get(lower(slot) - 1);
            // The place is made of both halves of the hash: one in the slot, one in the entry.
            let hash = (slot >> 32 << 32) | u64::from(entry.map_or(0, |entry| entry.hash));
            let mut at = place_of(hash) & mask;
            while self.slots.get(at).is_some_and(|slot| *slot != 0) {
                at = (at + 1) & mask;
            }
            if let Some(free) = self.slots.get_mut(at) {
                *free = slot;
            }
        }
    }

    /// Asks for what [`get`](Self::get) will look at, for all of these records at once: first the
    /// slots, then the entries they lead to.
    pub(super) fn prefetch<'k>(&self, records: &(impl Iterator<Item = (u32, &'k [u8])> + Clone)) {
        let slots = || {
            let slot = |(collection, key)| self.slots.get(self.first_slot(collection, key));
            records.clone().filter_map(slot)
        };
        for slot in slots() {
            prefetch(slot);
        }
        for id in slots().filter_map(|slot| lower(*slot).checked_sub(1)) {
            if let Some(entry) = self.entries.get(id) {
                prefetch(&entry.words);
                prefetch(&entry.head);
            }
        }
    }

    fn first_slot(&self, collection: u32, key: &[u8]) -> usize {
        place_of(hash(collection, key)) & self.slots.len().wrapping_sub(1)
    }

    fn order(&self, collection: u32) -> Option<&Order> {
        self.orders.get(&collection)
    }

    /// Stands before the first record of a collection.
    pub(super) fn start(&self, collection: u32) -> Option<DeltaCursor<'_>> {
        let order = self.order(collection)?;
        Some(DeltaCursor { entries: &self.entries, order, place: Place::START })
    }

    /// Stands behind the last record of a collection.
    pub(super) fn end(&self, collection: u32) -> Option<DeltaCursor<'_>> {
        let order = self.order(collection)?;
        Some(DeltaCursor { entries: &self.entries, order, place: order.end() })
    }

    /// Stands before the first record of a collection whose key is not less than `key`.
    pub(super) fn seek(&self, collection: u32, key: &[u8]) -> Option<DeltaCursor<'_>> {
        let order = self.order(collection)?;
        let place = order.seek(&self.entries, &Sought::new(order.common(), key));
        Some(DeltaCursor { entries: &self.entries, order, place })
    }
}

/// A place between two records of a collection.
#[derive(Clone, Copy, Debug)]
pub(super) struct DeltaCursor<'a> {
    entries: &'a Entries,
    order: &'a Order,
    place: Place,
}

impl<'a> DeltaCursor<'a> {
    /// The record behind this place, which is passed.
    pub(super) fn next(&mut self) -> Option<(&'a [u8], Head)> {
        let id = self.order.next(&mut self.place)?;
        self.entries.touch(self.order.ahead(&self.place));
        self.view(id)
    }

    /// The record before this place, which is passed.
    pub(super) fn previous(&mut self) -> Option<(&'a [u8], Head)> {
        let id = self.order.previous(&mut self.place)?;
        self.view(id)
    }

    fn view(&self, id: u32) -> Option<(&'a [u8], Head)> {
        let entry = self.entries.get(id)?;
        Some((self.entries.key(entry), entry.head))
    }
}

fn hash(collection: u32, key: &[u8]) -> u64 {
    xxh3_64_with_seed(key, u64::from(collection))
}

/// Where the search for a hash begins: its lower half, so that slots need only hold the upper.
#[expect(clippy::cast_possible_truncation, reason = "the lower half is meant")]
const fn place_of(hash: u64) -> usize {
    hash as u32 as usize
}

fn slot_of(hash: u64, id: u32) -> u64 {
    (hash >> 32 << 32) | (u64::from(id) + 1)
}

#[expect(clippy::cast_possible_truncation, reason = "the lower half is meant")]
const fn lower(bits: u64) -> u32 {
    bits as u32
}
