//! Numbers that address the journal: [`Lsn`] for people and programs, `Position` for the engine.

use std::fmt;

/// Log sequence number: the gapless number of a transaction, from 1. Zero is the empty store
/// before the first transaction.
///
/// ```
/// use afterimage::Lsn;
/// assert_eq!(Lsn::new(7).previous(), Lsn::new(6));
/// assert_eq!(Lsn::ZERO.previous(), Lsn::ZERO);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lsn(u64);

impl Lsn {
    /// The empty store, before the first transaction.
    pub const ZERO: Self = Self(0);

    /// The transaction of this number.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The transaction after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The transaction before this one; zero stays zero.
    #[must_use]
    pub const fn previous(self) -> Self {
        Self(self.0.saturating_sub(1))
    }
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl serde::Serialize for Lsn {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.0)
    }
}

/// Where a frame or a change begins: segment number and byte offset in it, packed in a `u64`.
/// Zero is nowhere, since segments are numbered from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Position(u64);

impl Position {
    pub(crate) const NONE: Self = Self(0);

    pub(crate) const fn new(segment: u32, offset: u32) -> Self {
        Self(((segment as u64) << 32) | offset as u64)
    }

    pub(crate) const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    pub(crate) const fn bits(self) -> u64 {
        self.0
    }

    pub(crate) const fn segment(self) -> u32 {
        (self.0 >> 32) as u32
    }

    #[expect(clippy::cast_possible_truncation, reason = "the low half is the offset")]
    pub(crate) const fn offset(self) -> u32 {
        self.0 as u32
    }

    pub(crate) const fn is_none(self) -> bool {
        self.0 == 0
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.segment(), self.offset())
    }
}
