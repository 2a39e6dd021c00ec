//! What a transaction has written so far: the net write of each record, in the order in which the
//! records were first written.
//!
//! Keys and values stand one behind the other in one vector, and each thread keeps the vectors of
//! its last transaction for its next, so that a small transaction allocates nothing.

use std::cell::Cell;
use std::hash::{BuildHasherDefault, Hasher};
use std::ops::Range;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::format::image::{CodecId, Image};

/// Up to here a record is looked for one by one, which is faster than hashing its key.
const UNHASHED_MAX: usize = 8;
/// A thread keeps no more than this for its next transaction.
const KEPT_BYTES_MAX: usize = 4 << 20;
const NO_MORE: u32 = u32::MAX;

/// The writes of a transaction.
#[derive(Debug, Default)]
pub(crate) struct WriteBuffer {
    bytes: Vec<u8>,
    writes: Vec<Write>,
    /// For each hash of a record the last write that has it, when there are many writes.
    by_hash: ByHash,
}

#[expect(clippy::disallowed_types, reason = "nobody sees its order, and its hashes are not random")]
type ByHash = std::collections::HashMap<u64, u32, BuildHasherDefault<Hashed>>;

#[derive(Debug)]
struct Write {
    collection: u32,
    /// The write before this one that has the same hash.
    same_hash: u32,
    key: Range<usize>,
    after: Option<Value>,
}

#[derive(Debug)]
struct Value {
    bytes: Range<usize>,
    codec: CodecId,
    schema: u32,
}

/// The net write of one record: its value, or its deletion.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NetWrite<'a> {
    pub(crate) collection: u32,
    pub(crate) key: &'a [u8],
    pub(crate) image: Option<Image<'a>>,
}

thread_local! {
    static SPARE: Cell<Option<WriteBuffer>> = const { Cell::new(None) };
}

impl WriteBuffer {
    /// An empty buffer, with the memory of this thread's last one.
    pub(crate) fn take() -> Self {
        // A thread that is ending has nothing to reuse any more.
        SPARE.try_with(Cell::take).ok().flatten().unwrap_or_default()
    }

    /// Keeps the memory for this thread's next transaction.
    pub(crate) fn give_back(mut self) {
        if self.bytes.capacity() + self.writes.capacity() * size_of::<Write>() > KEPT_BYTES_MAX {
            return;
        }
        self.bytes.clear();
        self.writes.clear();
        self.by_hash.clear();
        if SPARE.try_with(|spare| spare.set(Some(self))).is_err() {
            // The thread is ending.
        }
    }

    pub(crate) const fn len(&self) -> usize {
        self.writes.len()
    }

    /// How many bytes it holds, those of values that were replaced included.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = NetWrite<'_>> + Clone {
        self.writes.iter().map(|write| self.view(write))
    }

    /// What was written to a record.
    pub(crate) fn get(&self, collection: u32, key: &[u8]) -> Option<NetWrite<'_>> {
        self.writes.get(self.find(collection, key)?).map(|write| self.view(write))
    }

    /// Sets what is written to a record, instead of what was written to it before.
    pub(crate) fn set(&mut self, collection: u32, key: &[u8], image: Option<Image<'_>>) {
        let found = self.find(collection, key);
        let replaced = found.and_then(|index| self.writes.get(index)?.after.as_ref());
        let room = replaced.map(|value| value.bytes.clone());
        let after = image.map(|image| Value {
            bytes: self.store(image.bytes(), room),
            codec: image.codec(),
            schema: image.schema(),
        });
        if let Some(write) = found.and_then(|index| self.writes.get_mut(index)) {
            write.after = after;
            return;
        }
        let key = self.store(key, None);
        self.writes.push(Write { collection, same_hash: NO_MORE, key, after });
        if self.writes.len() > UNHASHED_MAX {
            let first = if self.by_hash.is_empty() { 0 } else { self.writes.len() - 1 };
            (first..self.writes.len()).for_each(|index| self.index(index));
        }
    }

    /// Puts bytes into `room`, if they fit in there, else behind all others.
    fn store(&mut self, bytes: &[u8], room: Option<Range<usize>>) -> Range<usize> {
        if let Some(room) = room.filter(|room| bytes.len() <= room.len()) {
            let place = room.start..room.start + bytes.len();
            if let Some(to) = self.bytes.get_mut(place.clone()) {
                to.copy_from_slice(bytes);
                return place;
            }
        }
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        start..self.bytes.len()
    }

    fn find(&self, collection: u32, key: &[u8]) -> Option<usize> {
        let is_it = |write: &Write| write.collection == collection && self.slice(&write.key) == key;
        if self.by_hash.is_empty() {
            return self.writes.iter().position(is_it);
        }
        let mut next = *self.by_hash.get(&hash(collection, key))?;
        while let Some(write) = self.writes.get(next as usize) {
            if is_it(write) {
                return Some(next as usize);
            }
            next = write.same_hash;
        }
        None
    }

    /// Makes a write findable by its hash.
    fn index(&mut self, index: usize) {
        let Some(write) = self.writes.get(index) else { return };
        let hash = hash(write.collection, self.slice(&write.key));
        // A transaction of 2 GiB has fewer than 2^32 writes.
        let number = u32::try_from(index).unwrap_or(NO_MORE);
        if let Some(before) = self.by_hash.insert(hash, number)
            && let Some(write) = self.writes.get_mut(index)
        {
            write.same_hash = before;
        }
    }

    fn view<'a>(&'a self, write: &'a Write) -> NetWrite<'a> {
        let image = write.after.as_ref().map(|value| {
            Image::new(self.slice(&value.bytes), value.codec).with_schema(value.schema)
        });
        NetWrite { collection: write.collection, key: self.slice(&write.key), image }
    }

    fn slice(&self, place: &Range<usize>) -> &[u8] {
        self.bytes.get(place.clone()).unwrap_or_default()
    }
}

fn hash(collection: u32, key: &[u8]) -> u64 {
    xxh3_64_with_seed(key, u64::from(collection))
}

/// Takes what is a hash already as it is.
#[derive(Default)]
struct Hashed(u64);

impl Hasher for Hashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = xxh3_64_with_seed(bytes, self.0);
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_buffer_equals_a_plain_map(
            writes in prop::collection::vec(
                (0..3_u32, prop::collection::vec(0..4_u8, 1..3), prop::option::of(0..40_usize)),
                0..80,
            ),
        ) {
            let mut buffer = WriteBuffer::take();
            let mut model = BTreeMap::new();
            for (index, (collection, key, length)) in writes.iter().enumerate() {
                let value = length.map(|length| vec![u8::try_from(index).expect("few"); length]);
                let image = value.as_deref().map(|bytes| Image::new(bytes, CodecId::Raw));
                buffer.set(*collection, key, image);
                model.insert((*collection, key.clone()), value);
            }
            prop_assert_eq!(buffer.len(), model.len());
            for write in buffer.iter() {
                let value = model.get(&(write.collection, write.key.to_vec())).expect("known");
                prop_assert_eq!(write.image.map(|image| image.bytes().to_vec()), value.clone());
                let found = buffer.get(write.collection, write.key).expect("found");
                prop_assert_eq!(found.image, write.image);
            }
            prop_assert!(buffer.get(9, b"absent").is_none());
            buffer.give_back();
            prop_assert_eq!(WriteBuffer::take().len(), 0);
        }
    }
}
