//! A checkpoint file: the current state at one LSN, so that opening need not replay from LSN 1.
//!
//! Header by hand, body an rkyv archive of [`StateImage`]. It is a cache: the header's checksum,
//! the body's BLAKE3, rkyv's own validation, and the place in the journal that it names must all
//! hold, else it is set aside and the state is rebuilt from the journal.

use rkyv::util::AlignedVec;
use uuid::Uuid;

use super::FORMAT_VERSION;
use super::cursor::{Cursor, Malformed, Scratch};
use super::digest::StateDigest;
use crate::lsn::{Lsn, Position};
use crate::time::Timestamp;

/// 8 bytes: [`CHECKPOINT_MAGIC_BYTES`].
pub(crate) const CHECKPOINT_MAGIC: usize = 0;
/// u32: format version.
pub(crate) const CHECKPOINT_VERSION: usize = 8;
/// u32: zero.
pub(crate) const CHECKPOINT_RESERVED: usize = 12;
/// 16 bytes: the store's id.
pub(crate) const CHECKPOINT_STORE: usize = 16;
/// u32: the store's timeline.
pub(crate) const CHECKPOINT_TIMELINE: usize = 32;
/// u32: checksum of the frame of `CHECKPOINT_LSN`.
pub(crate) const CHECKPOINT_FRAME_CRC: usize = 36;
/// u64: the last transaction that the state holds.
pub(crate) const CHECKPOINT_LSN: usize = 40;
/// u64: where that frame begins: segment number in the high half, offset in the low one.
pub(crate) const CHECKPOINT_FRAME: usize = 48;
/// i64: commit time of that transaction.
pub(crate) const CHECKPOINT_TIME: usize = 56;
/// u128: state digest at that transaction.
pub(crate) const CHECKPOINT_DIGEST: usize = 64;
/// u64: bytes of the body.
pub(crate) const BODY_LENGTH: usize = 80;
/// 32 bytes: BLAKE3 of the body.
pub(crate) const BODY_HASH: usize = 88;
/// 4 bytes of zeros.
pub(crate) const CHECKPOINT_PADDING: usize = 120;
/// u32: CRC-32 of all bytes of the header before it.
pub(crate) const CHECKPOINT_CRC: usize = 124;
/// Bytes of the header; the body follows.
pub(crate) const CHECKPOINT_HEADER_BYTES: usize = 128;

/// The first bytes of a checkpoint.
pub(crate) const CHECKPOINT_MAGIC_BYTES: [u8; 8] = *b"AFTIMCKP";

/// The header of a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CheckpointHeader {
    pub(crate) store: Uuid,
    pub(crate) timeline: u32,
    pub(crate) frame_crc: u32,
    pub(crate) lsn: Lsn,
    pub(crate) frame: Position,
    pub(crate) time: Timestamp,
    pub(crate) digest: StateDigest,
    pub(crate) body_length: u64,
    pub(crate) body_hash: [u8; 32],
}

impl CheckpointHeader {
    pub(crate) fn encode(&self) -> Scratch<CHECKPOINT_HEADER_BYTES> {
        let mut out = Scratch::new();
        out.field(CHECKPOINT_MAGIC, &CHECKPOINT_MAGIC_BYTES);
        out.field(CHECKPOINT_VERSION, &FORMAT_VERSION.to_le_bytes());
        out.field(CHECKPOINT_RESERVED, &[0; 4]);
        out.field(CHECKPOINT_STORE, self.store.as_bytes());
        out.field(CHECKPOINT_TIMELINE, &self.timeline.to_le_bytes());
        out.field(CHECKPOINT_FRAME_CRC, &self.frame_crc.to_le_bytes());
        out.field(CHECKPOINT_LSN, &self.lsn.get().to_le_bytes());
        out.field(CHECKPOINT_FRAME, &self.frame.bits().to_le_bytes());
        out.field(CHECKPOINT_TIME, &self.time.as_micros().to_le_bytes());
        out.field(CHECKPOINT_DIGEST, &self.digest.bits().to_le_bytes());
        out.field(BODY_LENGTH, &self.body_length.to_le_bytes());
        out.field(BODY_HASH, &self.body_hash);
        out.field(CHECKPOINT_PADDING, &[0; CHECKPOINT_CRC - CHECKPOINT_PADDING]);
        let crc = crc32fast::hash(out.as_slice());
        out.field(CHECKPOINT_CRC, &crc.to_le_bytes());
        out
    }

    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let bytes = Cursor::new(bytes).take(CHECKPOINT_HEADER_BYTES)?;
        let crc = Cursor::at(bytes, CHECKPOINT_CRC).u32()?;
        if crc32fast::hash(bytes.get(..CHECKPOINT_CRC).unwrap_or_default()) != crc {
            return Err(Malformed {
                offset: CHECKPOINT_CRC,
                what: "checksum of the checkpoint header",
            });
        }
        let mut cursor = Cursor::new(bytes);
        if cursor.array()? != CHECKPOINT_MAGIC_BYTES {
            return Err(Malformed { offset: CHECKPOINT_MAGIC, what: "magic of a checkpoint" });
        }
        if cursor.u32()? > FORMAT_VERSION {
            return Err(Malformed { offset: CHECKPOINT_VERSION, what: "checkpoint version" });
        }
        cursor.zeros(4)?;
        Ok(Self {
            store: Uuid::from_bytes(cursor.array()?),
            timeline: cursor.u32()?,
            frame_crc: cursor.u32()?,
            lsn: Lsn::new(cursor.u64()?),
            frame: Position::from_bits(cursor.u64()?),
            time: Timestamp::from_micros(cursor.i64()?),
            digest: StateDigest::from_bits(cursor.u128()?),
            body_length: cursor.u64()?,
            body_hash: cursor.array()?,
        })
    }
}

/// The body of a checkpoint: the index, collection by collection.
#[derive(Debug, rkyv::Archive, rkyv::Serialize)]
pub(crate) struct StateImage {
    pub(crate) collections: Vec<CollectionImage>,
}

/// One collection in a checkpoint. Keys stand one behind the other, in order; the vectors of
/// numbers run parallel to them.
#[derive(Debug, Default, rkyv::Archive, rkyv::Serialize)]
pub(crate) struct CollectionImage {
    pub(crate) id: u32,
    pub(crate) keys: Vec<u8>,
    /// Where each key ends in `keys`.
    pub(crate) key_ends: Vec<u64>,
    /// Where each record's newest change begins.
    pub(crate) heads: Vec<u64>,
    /// The LSN of that change, shifted left by one; the lowest bit says that it is a deletion.
    pub(crate) versions: Vec<u64>,
}

impl StateImage {
    /// The body's bytes.
    pub(crate) fn encode(&self) -> Result<AlignedVec, rkyv::rancor::Error> {
        rkyv::to_bytes::<rkyv::rancor::Error>(self)
    }

    /// The body, validated; its hash must have been checked before.
    pub(crate) fn access(body: &[u8]) -> Result<&ArchivedStateImage, rkyv::rancor::Error> {
        rkyv::access::<ArchivedStateImage, rkyv::rancor::Error>(body)
    }
}
