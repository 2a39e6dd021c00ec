//! The state digest: one number that is equal exactly if two states hold the same live records.
//!
//! A wrapping 128-bit sum over the live records of the user collections, so that a change costs
//! one subtraction and one addition, in any order. The term of a record is XXH3-128 of its after
//! image, seeded with XXH3-64 of its key (itself seeded with XXH3-64 of the collection's name),
//! with codec and schema version mixed in. Names and not numbers of collections enter, so that
//! a copy, an import and the original agree. XXH3: <https://github.com/Cyan4973/xxHash>.

use std::fmt;

use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed, xxh3_128_with_seed};

use super::image::Image;

/// The digest of a state. Two stores whose digests are equal hold the same user records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct StateDigest(u128);

impl StateDigest {
    pub(crate) const fn from_bits(bits: u128) -> Self {
        Self(bits)
    }

    pub(crate) const fn bits(self) -> u128 {
        self.0
    }

    /// The digest after a record's image went from `before` to `after`.
    pub(crate) fn replaced(
        self,
        record: RecordSeed,
        before: Option<Image<'_>>,
        after: Option<Image<'_>>,
    ) -> Self {
        self.without(record, before).with(record, after)
    }

    /// The digest with a record that is live now.
    pub(crate) fn with(self, record: RecordSeed, image: Option<Image<'_>>) -> Self {
        Self(self.0.wrapping_add(image.map_or(0, |image| term(record.0, image))))
    }

    /// The digest without a record that was live.
    pub(crate) fn without(self, record: RecordSeed, image: Option<Image<'_>>) -> Self {
        Self(self.0.wrapping_sub(image.map_or(0, |image| term(record.0, image))))
    }
}

fn term(key_seed: u64, image: Image<'_>) -> u128 {
    let shape = (u64::from(image.codec().number()) << 56) ^ (u64::from(image.schema()) << 16);
    xxh3_128_with_seed(image.bytes(), key_seed ^ shape)
}

/// Thirty-two hexadecimal digits.
impl fmt::Display for StateDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl serde::Serialize for StateDigest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// What stands for a collection in the digest; computed once for each collection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CollectionSeed(u64);

impl CollectionSeed {
    pub(crate) fn of(name: &str) -> Self {
        Self(xxh3_64(name.as_bytes()))
    }

    pub(crate) fn record(self, key: &[u8]) -> RecordSeed {
        RecordSeed(xxh3_64_with_seed(key, self.0))
    }
}

/// What stands for a record's collection and key in the digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RecordSeed(u64);
