//! The head of a slice: which transactions of which store it holds, and where in the journal the
//! bytes stand that follow it.
//!
//! Fixed fields, then the forks of the store, then the pieces, then the head's checksum. The frames
//! of the pieces follow, one piece behind the other, just as they stand in their segments.

use uuid::Uuid;

use super::FORMAT_VERSION;
use super::cursor::{Cursor, Malformed, Scratch};
use super::digest::StateDigest;
use super::segment::{NotAHeader, SEGMENT_HEADER_BYTES, SegmentHeader};
use super::store_header::{Fork, StoreHeader};
use crate::lsn::Lsn;
use crate::time::Timestamp;

/// 8 bytes: [`SLICE_MAGIC_BYTES`].
pub(crate) const SLICE_MAGIC: usize = 0;
/// u32: format version.
pub(crate) const SLICE_VERSION: usize = 8;
/// u32: the store's timeline.
pub(crate) const SLICE_TIMELINE: usize = 12;
/// 16 bytes: the store's id.
pub(crate) const SLICE_STORE: usize = 16;
/// u64: bytes of the store's segments.
pub(crate) const SLICE_SEGMENT_BYTES: usize = 32;
/// i64: when the store was created.
pub(crate) const SLICE_CREATED: usize = 40;
/// u64: the first transaction.
pub(crate) const SLICE_FIRST_LSN: usize = 48;
/// u64: the last transaction.
pub(crate) const SLICE_LAST_LSN: usize = 56;
/// i64: commit time of the first transaction.
pub(crate) const SLICE_FIRST_TIME: usize = 64;
/// i64: commit time of the last transaction.
pub(crate) const SLICE_LAST_TIME: usize = 72;
/// u128: state digest after the last transaction.
pub(crate) const SLICE_DIGEST: usize = 80;
/// u32: checksum of the frame before the first one; of LSN 1: zero.
pub(crate) const SLICE_PREVIOUS_CRC: usize = 96;
/// u32: checksum of the last frame.
pub(crate) const SLICE_LAST_CRC: usize = 100;
/// u32: number of forks.
pub(crate) const SLICE_FORKS: usize = 104;
/// u32: number of pieces.
pub(crate) const SLICE_PIECES: usize = 108;
/// u64: bytes of all pieces.
pub(crate) const SLICE_BYTES: usize = 112;
/// u128: XXH3-128 of the bytes of all pieces.
pub(crate) const SLICE_HASH: usize = 120;
/// Bytes of the fixed fields; the forks follow.
pub(crate) const SLICE_FIXED_BYTES: usize = 136;
/// Bytes of a fork: id, timeline u32, LSN u64, segment u32.
pub(crate) const SLICE_FORK_BYTES: usize = 32;
/// Bytes of a piece: the segment's header, offset of the first byte u32, number of bytes u32.
pub(crate) const SLICE_PIECE_BYTES: usize = SEGMENT_HEADER_BYTES + 8;
const CRC_BYTES: usize = 4;

/// The first bytes of a slice.
pub(crate) const SLICE_MAGIC_BYTES: [u8; 8] = *b"AFTIMSLC";

/// The head of a slice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SliceHead {
    pub(crate) identity: StoreHeader,
    pub(crate) first: Lsn,
    pub(crate) last: Lsn,
    pub(crate) first_time: Timestamp,
    pub(crate) last_time: Timestamp,
    /// The state digest after the last transaction.
    pub(crate) digest: StateDigest,
    pub(crate) previous_crc: u32,
    pub(crate) last_crc: u32,
    pub(crate) pieces: Vec<SlicePiece>,
    /// Bytes of all pieces.
    pub(crate) bytes: u64,
    pub(crate) hash: u128,
}

/// A part of a segment, or nothing of one that holds no transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SlicePiece {
    pub(crate) segment: SegmentHeader,
    /// Where its bytes stand in the segment.
    pub(crate) start: u32,
    pub(crate) length: u32,
}

/// Why bytes do not begin with the head of a slice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotASlice {
    /// Written by a later release.
    Newer(u32),
    /// Anything else.
    Damaged(Malformed),
}

impl From<Malformed> for NotASlice {
    fn from(malformed: Malformed) -> Self {
        Self::Damaged(malformed)
    }
}

impl SliceHead {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let identity = &self.identity;
        let mut out = Scratch::<SLICE_FIXED_BYTES>::new();
        out.field(SLICE_MAGIC, &SLICE_MAGIC_BYTES);
        out.field(SLICE_VERSION, &FORMAT_VERSION.to_le_bytes());
        out.field(SLICE_TIMELINE, &identity.timeline.to_le_bytes());
        out.field(SLICE_STORE, identity.store.as_bytes());
        out.field(SLICE_SEGMENT_BYTES, &identity.segment_bytes.to_le_bytes());
        out.field(SLICE_CREATED, &identity.created.as_micros().to_le_bytes());
        out.field(SLICE_FIRST_LSN, &self.first.get().to_le_bytes());
        out.field(SLICE_LAST_LSN, &self.last.get().to_le_bytes());
        out.field(SLICE_FIRST_TIME, &self.first_time.as_micros().to_le_bytes());
        out.field(SLICE_LAST_TIME, &self.last_time.as_micros().to_le_bytes());
        out.field(SLICE_DIGEST, &self.digest.bits().to_le_bytes());
        out.field(SLICE_PREVIOUS_CRC, &self.previous_crc.to_le_bytes());
        out.field(SLICE_LAST_CRC, &self.last_crc.to_le_bytes());
        out.field(SLICE_FORKS, &count(identity.forks.len()).to_le_bytes());
        out.field(SLICE_PIECES, &count(self.pieces.len()).to_le_bytes());
        out.field(SLICE_BYTES, &self.bytes.to_le_bytes());
        out.field(SLICE_HASH, &self.hash.to_le_bytes());
        let mut out = out.as_slice().to_vec();
        for fork in &identity.forks {
            out.extend_from_slice(fork.store.as_bytes());
            out.extend_from_slice(&fork.timeline.to_le_bytes());
            out.extend_from_slice(&fork.lsn.get().to_le_bytes());
            out.extend_from_slice(&fork.segment.to_le_bytes());
        }
        for piece in &self.pieces {
            out.extend_from_slice(piece.segment.encode().as_slice());
            out.extend_from_slice(&piece.start.to_le_bytes());
            out.extend_from_slice(&piece.length.to_le_bytes());
        }
        let crc = crc32fast::hash(&out);
        out.extend_from_slice(&crc.to_le_bytes());
        out
    }

    /// Reads the head at the start of a slice, and says where the pieces begin. They fill the rest
    /// of `bytes`, and are not looked at.
    pub(crate) fn parse(bytes: &[u8]) -> Result<(Self, usize), NotASlice> {
        let mut cursor = Cursor::new(bytes);
        if cursor.array()? != SLICE_MAGIC_BYTES {
            return Err(Malformed { offset: SLICE_MAGIC, what: "magic of a slice" }.into());
        }
        let version = cursor.u32()?;
        if version > FORMAT_VERSION {
            return Err(NotASlice::Newer(version));
        }
        let length = head_bytes(bytes)?;
        let head = Cursor::new(bytes).take(length - CRC_BYTES)?;
        if crc32fast::hash(head) != Cursor::at(bytes, head.len()).u32()? {
            return Err(Malformed { offset: head.len(), what: "checksum of the head" }.into());
        }
        let parsed = Self::fields(&mut Cursor::at(head, SLICE_TIMELINE))?;
        let pieces: u64 = parsed.pieces.iter().map(|piece| u64::from(piece.length)).sum();
        if parsed.bytes != pieces || parsed.bytes != (bytes.len() - length) as u64 {
            return Err(Malformed { offset: SLICE_BYTES, what: "length" }.into());
        }
        Ok((parsed, length))
    }

    /// The fields behind the version.
    fn fields(cursor: &mut Cursor<'_>) -> Result<Self, NotASlice> {
        let timeline = cursor.u32()?;
        let store = Uuid::from_bytes(cursor.array()?);
        let segment_bytes = cursor.u64()?;
        let created = Timestamp::from_micros(cursor.i64()?);
        let (first, last) = (Lsn::new(cursor.u64()?), Lsn::new(cursor.u64()?));
        let first_time = Timestamp::from_micros(cursor.i64()?);
        let last_time = Timestamp::from_micros(cursor.i64()?);
        let digest = StateDigest::from_bits(cursor.u128()?);
        let (previous_crc, last_crc) = (cursor.u32()?, cursor.u32()?);
        let (fork_count, piece_count) = (cursor.u32()?, cursor.u32()?);
        let (bytes, hash) = (cursor.u64()?, cursor.u128()?);
        // That all of them are there, `head_bytes` has checked.
        let forks = (0..fork_count).map(|_| fork(cursor)).collect::<Result<_, _>>()?;
        let pieces = (0..piece_count).map(|_| piece(cursor)).collect::<Result<_, _>>()?;
        let identity = StoreHeader { store, timeline, segment_bytes, created, forks };
        Ok(Self {
            identity,
            first,
            last,
            first_time,
            last_time,
            digest,
            previous_crc,
            last_crc,
            pieces,
            bytes,
            hash,
        })
    }
}

/// The hash that the head has of the pieces.
pub(crate) fn hash_of(pieces: &[u8]) -> u128 {
    xxhash_rust::xxh3::xxh3_128(pieces)
}

/// Bytes of the head, its checksum included, which are there.
fn head_bytes(bytes: &[u8]) -> Result<usize, Malformed> {
    let mut cursor = Cursor::at(bytes, SLICE_FORKS);
    let (forks, pieces) = (u64::from(cursor.u32()?), u64::from(cursor.u32()?));
    let lists = forks * SLICE_FORK_BYTES as u64 + pieces * SLICE_PIECE_BYTES as u64;
    let length = (SLICE_FIXED_BYTES + CRC_BYTES) as u64 + lists;
    let cut = Malformed { offset: SLICE_FORKS, what: "length of the head" };
    usize::try_from(length).ok().filter(|length| *length <= bytes.len()).ok_or(cut)
}

fn fork(cursor: &mut Cursor<'_>) -> Result<Fork, Malformed> {
    Ok(Fork {
        store: Uuid::from_bytes(cursor.array()?),
        timeline: cursor.u32()?,
        lsn: Lsn::new(cursor.u64()?),
        segment: cursor.u32()?,
    })
}

fn piece(cursor: &mut Cursor<'_>) -> Result<SlicePiece, NotASlice> {
    let start = cursor.offset();
    let segment = SegmentHeader::parse(cursor.take(SEGMENT_HEADER_BYTES)?);
    let segment = segment.map_err(|why| match why {
        NotAHeader::Newer(version) => NotASlice::Newer(version),
        NotAHeader::Blank => Malformed { offset: start, what: "header of a segment" }.into(),
        NotAHeader::Damaged(Malformed { offset, what }) => {
            Malformed { offset: start + offset, what }.into()
        }
    })?;
    Ok(SlicePiece { segment, start: cursor.u32()?, length: cursor.u32()? })
}

fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}
