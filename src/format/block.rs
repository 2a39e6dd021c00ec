//! A block of the index: up to [`RECORDS_MAX`] records in key order, as a checkpoint holds them.
//!
//! What all keys of a block begin with is written once. One byte of a hash of each key stands
//! first, so that a lookup compares one key and touches few cache lines; positions and versions
//! stand in a vector of their own, so that a scan reads them without looking at keys.

use std::cmp::Ordering;

use xxhash_rust::xxh3::xxh3_64;

use super::cursor::{Cursor, Malformed};

/// u32: CRC-32 of all other bytes of the block, begun with the block's place in the file.
pub(crate) const BLOCK_CRC: usize = 0;
/// u32: bytes that all keys begin with.
pub(crate) const BLOCK_SHARED: usize = 4;
/// u16: number of records, 1 to 32.
pub(crate) const BLOCK_COUNT: usize = 8;
/// For each record one byte of XXH3-64 of its key, the lowest; the other vectors follow.
pub(crate) const FINGERPRINTS: usize = 10;

/// A block holds at most this many records.
pub(crate) const RECORDS_MAX: usize = 32;
/// Bytes of all keys of a block behind what they share: ends are 16 bits wide.
const SUFFIX_BYTES_MAX: usize = u16::MAX as usize;

const END_BYTES: usize = size_of::<u16>();
const NUMBERS_BYTES: usize = 2 * size_of::<u64>();
const RECORD_BYTES: usize = 1 + END_BYTES + NUMBERS_BYTES;

/// What the index knows of a record: where its newest change begins, and its version.
pub(crate) type Numbers = (u64, u64);

/// The byte of a key's hash that a block holds.
#[expect(clippy::cast_possible_truncation, reason = "the lowest byte is meant")]
pub(crate) fn fingerprint(key: &[u8]) -> u8 {
    xxh3_64(key) as u8
}

/// Whether a block is what was written at this place of a file.
pub(crate) fn is_intact(bytes: &[u8], place: u64) -> bool {
    let crc = Cursor::at(bytes, BLOCK_CRC).u32();
    crc.is_ok_and(|crc| crc == checksum(bytes, place))
}

/// The checksum of a block of these bytes that stands at this place of a file.
pub(crate) fn checksum(bytes: &[u8], place: u64) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&place.to_le_bytes());
    hasher.update(bytes.get(BLOCK_SHARED..).unwrap_or_default());
    hasher.finalize()
}

/// A block, taken apart; its checksum must have been checked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Block<'a> {
    fingerprints: &'a [u8],
    ends: &'a [u8],
    numbers: &'a [u8],
    shared: &'a [u8],
    suffixes: &'a [u8],
}

impl<'a> Block<'a> {
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut cursor = Cursor::at(bytes, BLOCK_SHARED);
        let shared = cursor.u32()? as usize;
        let count = usize::from(cursor.u16()?);
        if count == 0 || count > RECORDS_MAX {
            return Err(Malformed { offset: BLOCK_COUNT, what: "number of records in a block" });
        }
        Ok(Self {
            fingerprints: cursor.take(count)?,
            ends: cursor.take(count * END_BYTES)?,
            numbers: cursor.take(count * NUMBERS_BYTES)?,
            shared: cursor.take(shared)?,
            suffixes: cursor.take(cursor.left())?,
        })
    }

    pub(crate) const fn len(&self) -> usize {
        self.fingerprints.len()
    }

    /// The record of this key, if the block holds it.
    pub(crate) fn find(&self, key: &[u8]) -> Option<Numbers> {
        let wanted = fingerprint(key);
        let suffix = self.suffix_of(key)?;
        let same = |index: &usize| self.fingerprints.get(*index) == Some(&wanted);
        (0..self.len())
            .filter(same)
            .find(|index| self.suffix(*index) == suffix)
            .map(|index| self.numbers(index))
    }

    /// The first record that may be that of this key, without looking at keys.
    pub(crate) fn candidate(&self, key: &[u8]) -> Option<usize> {
        let wanted = fingerprint(key);
        self.fingerprints.iter().position(|fingerprint| *fingerprint == wanted)
    }

    /// Where the parts of a record stand: of each its first byte.
    pub(crate) fn parts(&self, index: usize) -> impl Iterator<Item = &'a u8> {
        let numbers = self.numbers.get(index * NUMBERS_BYTES);
        numbers.into_iter().chain(self.suffix(index).first())
    }

    /// What follows the shared bytes in a key that begins with them.
    pub(crate) fn suffix_of<'k>(&self, key: &'k [u8]) -> Option<&'k [u8]> {
        key.strip_prefix(self.shared)
    }

    /// The first record whose key is not less than `key`.
    pub(crate) fn lower_bound(&self, key: &[u8]) -> usize {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = usize::midpoint(low, high);
            if self.compare(middle, key) == Ordering::Less {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    /// How the key of a record compares to `key`.
    pub(crate) fn compare(&self, index: usize, key: &[u8]) -> Ordering {
        let shared = self.shared.len().min(key.len());
        let (head, tail) = key.split_at(shared);
        self.shared.cmp(head).then_with(|| self.suffix(index).cmp(tail))
    }

    /// What all keys begin with.
    pub(crate) const fn shared(&self) -> &'a [u8] {
        self.shared
    }

    /// What follows it in the key of a record; nothing if the ends contradict each other.
    pub(crate) fn suffix(&self, index: usize) -> &'a [u8] {
        let start = index.checked_sub(1).map_or(0, |before| self.end(before));
        self.suffixes.get(start..self.end(index)).unwrap_or_default()
    }

    fn end(&self, index: usize) -> usize {
        Cursor::at(self.ends, index * END_BYTES).u16().map_or(0, usize::from)
    }

    pub(crate) fn numbers(&self, index: usize) -> Numbers {
        let mut cursor = Cursor::at(self.numbers, index * NUMBERS_BYTES);
        (cursor.u64().unwrap_or_default(), cursor.u64().unwrap_or_default())
    }

    /// Whether the ends and the order of the keys are as they must be; what a checksum can't tell.
    pub(crate) fn is_consistent(&self) -> bool {
        let keys = (0..self.len()).map(|index| self.suffix(index));
        (0..self.len()).map(|index| self.end(index)).is_sorted()
            && self.end(self.len() - 1) == self.suffixes.len()
            && keys.is_sorted_by(|a, b| a < b)
            && (self.len() == 1 || !self.suffixes.is_empty())
    }
}

/// Collects records in key order and writes them as a block.
#[derive(Debug, Default)]
pub(crate) struct BlockBuilder {
    keys: Vec<u8>,
    key_ends: Vec<usize>,
    numbers: Vec<Numbers>,
}

impl BlockBuilder {
    pub(crate) fn is_empty(&self) -> bool {
        self.numbers.is_empty()
    }

    /// The first key.
    pub(crate) fn first(&self) -> &[u8] {
        self.key(0)
    }

    /// Whether one more record with this key fits in.
    pub(crate) fn fits(&self, key: &[u8]) -> bool {
        self.is_empty()
            || (self.numbers.len() < RECORDS_MAX && self.keys.len() + key.len() <= SUFFIX_BYTES_MAX)
    }

    /// Adds a record whose key is greater than all before it, and which [`fits`](Self::fits).
    pub(crate) fn push(&mut self, key: &[u8], numbers: Numbers) {
        self.keys.extend_from_slice(key);
        self.key_ends.push(self.keys.len());
        self.numbers.push(numbers);
    }

    /// Appends the block to `out`, as it will stand at `place` in the file, and begins the next.
    pub(crate) fn finish(&mut self, out: &mut Vec<u8>, place: u64) {
        let start = out.len();
        let count = self.numbers.len();
        let last = self.key(count.saturating_sub(1));
        let shared = common_prefix(self.first(), last).len();
        out.reserve(FINGERPRINTS + count * RECORD_BYTES + self.keys.len());
        out.extend_from_slice(&[0; BLOCK_SHARED]);
        out.extend_from_slice(&u32::try_from(shared).unwrap_or(u32::MAX).to_le_bytes());
        out.extend_from_slice(&u16::try_from(count).unwrap_or(u16::MAX).to_le_bytes());
        out.extend((0..count).map(|index| fingerprint(self.key(index))));
        let mut end = 0_u16;
        for index in 0..count {
            let suffix = self.key(index).len() - shared;
            end = end.saturating_add(u16::try_from(suffix).unwrap_or(u16::MAX));
            out.extend_from_slice(&end.to_le_bytes());
        }
        for (position, version) in &self.numbers {
            out.extend_from_slice(&position.to_le_bytes());
            out.extend_from_slice(&version.to_le_bytes());
        }
        out.extend_from_slice(self.first().get(..shared).unwrap_or_default());
        for index in 0..count {
            out.extend_from_slice(self.key(index).get(shared..).unwrap_or_default());
        }
        let block = out.get_mut(start..).unwrap_or_default();
        let crc = checksum(block, place);
        if let Some(field) = block.first_chunk_mut() {
            *field = crc.to_le_bytes();
        }
        self.keys.clear();
        self.key_ends.clear();
        self.numbers.clear();
    }

    fn key(&self, index: usize) -> &[u8] {
        let end = self.key_ends.get(index).copied().unwrap_or(0);
        let start = index.checked_sub(1).and_then(|i| self.key_ends.get(i)).copied().unwrap_or(0);
        self.keys.get(start..end).unwrap_or_default()
    }
}

/// What both begin with.
pub(crate) fn common_prefix<'a>(a: &'a [u8], b: &[u8]) -> &'a [u8] {
    let same = a.iter().zip(b).take_while(|(a, b)| a == b).count();
    a.get(..same).unwrap_or_default()
}
