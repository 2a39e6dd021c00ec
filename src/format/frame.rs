//! A frame: one transaction (or one seal) in a segment.
//!
//! The header has fixed offsets, the metadata and the changes follow, zeros fill up to a multiple
//! of [`ALIGNMENT`]. The checksum covers every byte but its own, the length included, and is
//! seeded with the segment's header checksum, so with its random salt: a frame of another store,
//! segment or earlier life never passes. `PREVIOUS_CRC` chains it to the frame before, and stands
//! in the frame itself, so that a frame behind a hole can still be proved genuine.

use super::change::{CHANGE_BYTES_MIN, Change};
use super::cursor::{Cursor, Malformed, Scratch};
use super::digest::StateDigest;
use super::metadata::Metadata;
use crate::lsn::{Lsn, Position};
use crate::time::Timestamp;

/// u32: bytes of the frame, header and padding included; written last. Zero: nothing stands here.
pub(crate) const LENGTH: usize = 0;
/// u32: CRC-32 of all other bytes of the frame, seeded with the segment header's checksum.
pub(crate) const CRC: usize = 4;
/// u32: checksum of the frame before this one; of the first of a store: zero.
pub(crate) const PREVIOUS_CRC: usize = 8;
/// u8: what the frame is, see [`FrameKind`].
pub(crate) const KIND: usize = 12;
/// u8: zero.
pub(crate) const FLAGS: usize = 13;
/// u16: bytes of metadata behind the header.
pub(crate) const METADATA_LENGTH: usize = 14;
/// u64: the transaction's number.
pub(crate) const LSN: usize = 16;
/// i64: commit time in microseconds since the epoch, never less than in the frame before.
pub(crate) const TIME: usize = 24;
/// u128: state digest after this frame.
pub(crate) const DIGEST: usize = 32;
/// u32: LSN minus the highest LSN that was known durable when this was written; all ones: none.
pub(crate) const DURABLE_LAG: usize = 48;
/// u32: number of changes.
pub(crate) const CHANGES: usize = 52;
/// Bytes of the header.
pub(crate) const HEADER_BYTES: usize = 56;
/// Frames begin at multiples of this, so that their length can be published in one atomic store.
pub(crate) const ALIGNMENT: usize = 4;
/// A transaction may take this many bytes, both images of each change and the metadata counted.
pub(crate) const TRANSACTION_BYTES_MAX: u64 = 2 << 30;
/// A transaction's metadata may take this many bytes.
pub(crate) const METADATA_BYTES_MAX: usize = 65_535;

const NOTHING_DURABLE: u32 = u32::MAX;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FrameKind {
    /// A committed transaction.
    Transaction,
    /// Live records carried over when the history before was folded away.
    Base,
    /// The end of a sealed segment.
    Seal,
}

impl FrameKind {
    const fn number(self) -> u8 {
        match self {
            Self::Transaction => 1,
            Self::Base => 2,
            Self::Seal => 3,
        }
    }

    const fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Transaction),
            2 => Some(Self::Base),
            3 => Some(Self::Seal),
            _ => None,
        }
    }
}

/// The header of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameHeader {
    pub(crate) length: u32,
    pub(crate) crc: u32,
    pub(crate) previous_crc: u32,
    pub(crate) kind: FrameKind,
    pub(crate) metadata_length: u16,
    pub(crate) lsn: Lsn,
    pub(crate) time: Timestamp,
    pub(crate) digest: StateDigest,
    pub(crate) durable_lag: u32,
    pub(crate) changes: u32,
}

impl FrameHeader {
    /// Reads a header and checks what can be checked without the rest of the frame.
    #[inline]
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut cursor = Cursor::new(match bytes.first_chunk::<HEADER_BYTES>() {
            // Its length being known, reading its fields checks nothing.
            Some(header) => header,
            None => bytes,
        });
        let length = cursor.u32()?;
        let (crc, previous_crc) = (cursor.u32()?, cursor.u32()?);
        let kind = FrameKind::from_number(cursor.u8()?)
            .ok_or(Malformed { offset: KIND, what: "unknown kind of frame" })?;
        cursor.zeros(1)?;
        let header = Self {
            length,
            crc,
            previous_crc,
            kind,
            metadata_length: cursor.u16()?,
            lsn: Lsn::new(cursor.u64()?),
            time: Timestamp::from_micros(cursor.i64()?),
            digest: StateDigest::from_bits(cursor.u128()?),
            durable_lag: cursor.u32()?,
            changes: cursor.u32()?,
        };
        let least = HEADER_BYTES + usize::from(header.metadata_length);
        let length = header.bytes();
        if length < least || !length.is_multiple_of(ALIGNMENT) {
            return Err(Malformed { offset: LENGTH, what: "length of the frame" });
        }
        Ok(header)
    }

    pub(crate) fn encode(&self) -> Scratch<HEADER_BYTES> {
        let mut out = Scratch::new();
        out.field(LENGTH, &self.length.to_le_bytes());
        out.field(CRC, &self.crc.to_le_bytes());
        out.field(PREVIOUS_CRC, &self.previous_crc.to_le_bytes());
        out.field(KIND, &[self.kind.number()]);
        out.field(FLAGS, &[0]);
        out.field(METADATA_LENGTH, &self.metadata_length.to_le_bytes());
        out.field(LSN, &self.lsn.get().to_le_bytes());
        out.field(TIME, &self.time.as_micros().to_le_bytes());
        out.field(DIGEST, &self.digest.bits().to_le_bytes());
        out.field(DURABLE_LAG, &self.durable_lag.to_le_bytes());
        out.field(CHANGES, &self.changes.to_le_bytes());
        out
    }

    /// Bytes of the frame.
    pub(crate) const fn bytes(&self) -> usize {
        self.length as usize
    }

    /// The highest LSN that was known durable when this frame was written.
    pub(crate) const fn durable(&self) -> Lsn {
        if self.durable_lag == NOTHING_DURABLE {
            Lsn::ZERO
        } else {
            Lsn::new(self.lsn.get().saturating_sub(self.durable_lag as u64))
        }
    }

    /// What to write as `DURABLE_LAG`. A distance that does not fit claims nothing, never more.
    pub(crate) fn durable_lag(lsn: Lsn, durable: Lsn) -> u32 {
        if durable == Lsn::ZERO {
            return NOTHING_DURABLE;
        }
        u32::try_from(lsn.get().saturating_sub(durable.get())).unwrap_or(NOTHING_DURABLE)
    }
}

/// The header of a frame that was verified, of which single fields are read when they are asked
/// for: who does not ask does not wait for its cache line.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LazyHeader<'a>(&'a [u8; HEADER_BYTES]);

impl<'a> LazyHeader<'a> {
    /// The header that begins at `bytes`.
    #[inline]
    pub(crate) fn new(bytes: &'a [u8]) -> Option<Self> {
        bytes.first_chunk().map(Self)
    }

    #[inline]
    pub(crate) fn lsn(self) -> Lsn {
        // The field lies inside the header.
        Lsn::new(Cursor::at(self.0, LSN).u64().unwrap_or_default())
    }

    #[inline]
    pub(crate) fn time(self) -> Timestamp {
        Timestamp::from_micros(Cursor::at(self.0, TIME).i64().unwrap_or_default())
    }
}

/// The checksum of a frame of `length` bytes, of which `bytes` holds all but, perhaps, its first
/// two words: the length, which is written last, and the checksum itself.
pub(crate) fn checksum(seed: u32, length: u32, bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(seed);
    hasher.update(&length.to_le_bytes());
    hasher.update(bytes.get(PREVIOUS_CRC..).unwrap_or_default());
    hasher.finalize()
}

/// The bytes of a frame: its header, what follows it, and the checksum over both.
pub(crate) fn assemble(header: &FrameHeader, payload: &[u8], seed: u32) -> Vec<u8> {
    let mut frame = header.encode().as_slice().to_vec();
    frame.extend_from_slice(payload);
    let crc = checksum(seed, header.length, &frame);
    if let Some(field) = frame.get_mut(CRC..PREVIOUS_CRC) {
        field.copy_from_slice(&crc.to_le_bytes());
    }
    frame
}

/// Rounds up to where the next frame may begin.
pub(crate) const fn aligned(bytes: u64) -> u64 {
    bytes.next_multiple_of(ALIGNMENT as u64)
}

/// A frame whose checksum has been verified.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame<'a> {
    pub(crate) header: FrameHeader,
    pub(crate) position: Position,
    bytes: &'a [u8],
}

impl<'a> Frame<'a> {
    /// Takes exactly the frame that begins at `bytes` if it is whole and its checksum is right.
    pub(crate) fn verified(
        bytes: &'a [u8],
        seed: u32,
        position: Position,
    ) -> Result<Self, Malformed> {
        let header = FrameHeader::parse(bytes)?;
        let bytes = bytes
            .get(..header.bytes())
            .ok_or(Malformed { offset: LENGTH, what: "frame reaches beyond the end" })?;
        if checksum(seed, header.length, bytes) != header.crc {
            return Err(Malformed { offset: CRC, what: "checksum of the frame" });
        }
        // A checksum can be forged, and memory is asked for by this number.
        if header.changes as usize > header.bytes() / CHANGE_BYTES_MIN {
            return Err(Malformed { offset: CHANGES, what: "number of changes" });
        }
        Ok(Self { header, position, bytes })
    }

    /// The frame in `bytes`, whose checksum was verified before.
    pub(crate) const fn trusted(header: FrameHeader, bytes: &'a [u8], position: Position) -> Self {
        Self { header, position, bytes }
    }

    /// Where the next frame begins.
    pub(crate) fn end(&self) -> Position {
        Position::from_bits(self.position.bits() + u64::from(self.header.length))
    }

    /// The header, to be read field by field.
    pub(crate) fn lazy_header(&self) -> Result<LazyHeader<'a>, Malformed> {
        LazyHeader::new(self.bytes).ok_or(Malformed { offset: 0, what: "header of the frame" })
    }

    pub(crate) fn metadata(&self) -> Result<Metadata, Malformed> {
        let mut cursor = Cursor::at(self.bytes, HEADER_BYTES);
        Metadata::decode(cursor.take(usize::from(self.header.metadata_length))?)
    }

    /// What follows header and metadata.
    pub(crate) fn payload(&self) -> &'a [u8] {
        let start = HEADER_BYTES + usize::from(self.header.metadata_length);
        self.bytes.get(start..).unwrap_or_default()
    }

    /// The changes with their positions, in their order. Ends after an error.
    pub(crate) fn changes(&self) -> Changes<'a> {
        let start = HEADER_BYTES + usize::from(self.header.metadata_length);
        let left = match self.header.kind {
            FrameKind::Transaction | FrameKind::Base => self.header.changes,
            FrameKind::Seal => 0,
        };
        Changes { cursor: Cursor::at(self.bytes, start), frame: self.position, left }
    }

    /// The one change that begins `back` bytes into the frame.
    pub(crate) fn change_at(&self, back: u32) -> Result<Change<'a>, Malformed> {
        Change::parse(&mut Cursor::at(self.bytes, back as usize), self.position)
    }
}

/// The changes of a frame.
#[derive(Clone, Debug)]
pub(crate) struct Changes<'a> {
    cursor: Cursor<'a>,
    frame: Position,
    left: u32,
}

impl<'a> Iterator for Changes<'a> {
    type Item = Result<(Position, Change<'a>), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            return None;
        }
        self.left -= 1;
        let position = Position::from_bits(self.frame.bits() + self.cursor.offset() as u64);
        let change = Change::parse(&mut self.cursor, self.frame);
        if change.is_err() {
            self.left = 0;
        }
        Some(change.map(|change| (position, change)))
    }
}
