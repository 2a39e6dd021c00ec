//! The header of a segment: which store, which place in the journal, and the salt of its frames.
//!
//! It is written and synced before the first frame stands behind it, and never changes.

use uuid::Uuid;

use super::FORMAT_VERSION;
use super::cursor::{Cursor, Malformed, Scratch};
use crate::time::Timestamp;

/// 8 bytes: [`MAGIC_BYTES`].
pub(crate) const MAGIC: usize = 0;
/// u32: format version.
pub(crate) const VERSION: usize = 8;
/// u32: bytes of this header; where the first frame begins.
pub(crate) const FIRST_FRAME: usize = 12;
/// 16 bytes: the store's id.
pub(crate) const STORE: usize = 16;
/// u32: the store's timeline.
pub(crate) const TIMELINE: usize = 32;
/// u32: number of the segment, from 1.
pub(crate) const NUMBER: usize = 36;
/// i64: when the segment was prepared, microseconds since the epoch.
pub(crate) const CREATED: usize = 40;
/// 32 random bytes.
pub(crate) const SALT: usize = 48;
/// u32: what the segment holds: 0 transactions, 1 the records that were live when those before it
/// were folded away.
pub(crate) const CONTENT: usize = 80;
/// 40 bytes of zeros.
pub(crate) const RESERVED: usize = 84;
/// u32: CRC-32 of all bytes before it; seeds the checksums of the segment's frames.
pub(crate) const SEGMENT_CRC: usize = 124;
/// Bytes of the header.
pub(crate) const SEGMENT_HEADER_BYTES: usize = 128;

/// The first bytes of a segment.
pub(crate) const MAGIC_BYTES: [u8; 8] = *b"AFTIMSEG";

/// The header of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) store: Uuid,
    pub(crate) timeline: u32,
    pub(crate) number: u32,
    pub(crate) created: Timestamp,
    pub(crate) salt: [u8; 32],
    pub(crate) content: Content,
}

/// What a segment holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// Transactions.
    Transactions,
    /// The records that were live when the segments up to its number were folded away.
    Base,
}

impl Content {
    const fn number(self) -> u32 {
        match self {
            Self::Transactions => 0,
            Self::Base => 1,
        }
    }
}

/// Why bytes are no segment header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotAHeader {
    /// All bytes are zero: the header was never written.
    Blank,
    /// Written by a later release.
    Newer(u32),
    /// Anything else.
    Damaged(Malformed),
}

impl SegmentHeader {
    pub(crate) fn encode(&self) -> Scratch<SEGMENT_HEADER_BYTES> {
        let mut out = Scratch::new();
        out.field(MAGIC, &MAGIC_BYTES);
        out.field(VERSION, &FORMAT_VERSION.to_le_bytes());
        out.field(FIRST_FRAME, &128_u32.to_le_bytes());
        out.field(STORE, self.store.as_bytes());
        out.field(TIMELINE, &self.timeline.to_le_bytes());
        out.field(NUMBER, &self.number.to_le_bytes());
        out.field(CREATED, &self.created.as_micros().to_le_bytes());
        out.field(SALT, &self.salt);
        out.field(CONTENT, &self.content.number().to_le_bytes());
        out.field(RESERVED, &[0; SEGMENT_CRC - RESERVED]);
        let crc = crc32fast::hash(out.as_slice());
        out.field(SEGMENT_CRC, &crc.to_le_bytes());
        out
    }

    /// The seed of the frames' checksums.
    pub(crate) fn seed(&self) -> u32 {
        let encoded = self.encode();
        crc32fast::hash(encoded.as_slice().get(..SEGMENT_CRC).unwrap_or_default())
    }

    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, NotAHeader> {
        let damaged = NotAHeader::Damaged;
        let bytes = Cursor::new(bytes).take(SEGMENT_HEADER_BYTES).map_err(damaged)?;
        if bytes.iter().all(|byte| *byte == 0) {
            return Err(NotAHeader::Blank);
        }
        let crc = Cursor::at(bytes, SEGMENT_CRC).u32().map_err(damaged)?;
        if crc32fast::hash(bytes.get(..SEGMENT_CRC).unwrap_or_default()) != crc {
            return Err(damaged(Malformed {
                offset: SEGMENT_CRC,
                what: "checksum of the segment header",
            }));
        }
        Self::fields(&mut Cursor::new(bytes))
    }

    fn fields(cursor: &mut Cursor<'_>) -> Result<Self, NotAHeader> {
        let damaged = NotAHeader::Damaged;
        if cursor.array().map_err(damaged)? != MAGIC_BYTES {
            return Err(damaged(Malformed { offset: MAGIC, what: "magic of a segment" }));
        }
        let version = cursor.u32().map_err(damaged)?;
        if version > FORMAT_VERSION {
            return Err(NotAHeader::Newer(version));
        }
        if cursor.u32().map_err(damaged)? as usize != SEGMENT_HEADER_BYTES {
            return Err(damaged(Malformed { offset: FIRST_FRAME, what: "length of the header" }));
        }
        let fields = |cursor: &mut Cursor<'_>| {
            let header = Self {
                store: Uuid::from_bytes(cursor.array()?),
                timeline: cursor.u32()?,
                number: cursor.u32()?,
                created: Timestamp::from_micros(cursor.i64()?),
                salt: cursor.array()?,
                content: match cursor.u32()? {
                    0 => Content::Transactions,
                    1 => Content::Base,
                    _ => return Err(Malformed { offset: CONTENT, what: "content of the segment" }),
                },
            };
            cursor.zeros(SEGMENT_CRC - RESERVED)?;
            Ok(header)
        };
        fields(cursor).map_err(damaged)
    }
}
