//! A checkpoint file: the index of the records at one LSN, so that opening need not replay from LSN
//! 1: of all of them, or of those that changed since an older checkpoint that it stands on. It is
//! mapped, not read: opening looks at its header and its directory alone.
//!
//! Header by hand, then the [blocks](super::block) of each collection, then the directory, an
//! rkyv archive of [`DirectoryImage`]. It is a cache: the header's checksum, the directory's hash,
//! rkyv's own validation, and the place in the journal that it names must hold when it is opened,
//! and each block's checksum when it is first used; else it is set aside and the state is rebuilt
//! from the journal.

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
/// u64: where the directory begins.
pub(crate) const DIRECTORY: usize = 80;
/// u64: bytes of the directory, which ends the file.
pub(crate) const DIRECTORY_LENGTH: usize = 88;
/// u128: XXH3-128 of the directory.
pub(crate) const DIRECTORY_HASH: usize = 96;
/// u64: the LSN of the checkpoint that it stands on; zero if it holds everything itself.
pub(crate) const CHECKPOINT_BELOW: usize = 112;
/// u32: zero.
pub(crate) const CHECKPOINT_PADDING: usize = 120;
/// u32: CRC-32 of all bytes of the header before it.
pub(crate) const CHECKPOINT_CRC: usize = 124;
/// Bytes of the header; the blocks follow.
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
    /// Where the directory begins.
    pub(crate) directory: u64,
    pub(crate) directory_length: u64,
    pub(crate) directory_hash: u128,
    /// The checkpoint that it stands on; zero if it holds everything itself.
    pub(crate) below: Lsn,
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
        out.field(DIRECTORY, &self.directory.to_le_bytes());
        out.field(DIRECTORY_LENGTH, &self.directory_length.to_le_bytes());
        out.field(DIRECTORY_HASH, &self.directory_hash.to_le_bytes());
        out.field(CHECKPOINT_BELOW, &self.below.get().to_le_bytes());
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
        let header = Self {
            store: Uuid::from_bytes(cursor.array()?),
            timeline: cursor.u32()?,
            frame_crc: cursor.u32()?,
            lsn: Lsn::new(cursor.u64()?),
            frame: Position::from_bits(cursor.u64()?),
            time: Timestamp::from_micros(cursor.i64()?),
            digest: StateDigest::from_bits(cursor.u128()?),
            directory: cursor.u64()?,
            directory_length: cursor.u64()?,
            directory_hash: cursor.u128()?,
            below: Lsn::new(cursor.u64()?),
        };
        if header.below > Lsn::ZERO && header.below >= header.lsn {
            return Err(Malformed { offset: CHECKPOINT_BELOW, what: "checkpoint below" });
        }
        Ok(header)
    }
}

/// The directory of a checkpoint.
#[derive(Debug, Default, rkyv::Archive, rkyv::Serialize)]
pub(crate) struct DirectoryImage {
    /// The collections that have records, here or below, by number.
    pub(crate) collections: Vec<CollectionImage>,
}

/// Where the blocks of one collection are.
#[derive(Debug, Default, PartialEq, Eq, rkyv::Archive, rkyv::Serialize)]
pub(crate) struct CollectionImage {
    pub(crate) id: u32,
    /// How many records there are, here and below, tombstones included.
    pub(crate) records: u64,
    /// How many of them are live.
    pub(crate) live: u64,
    /// How many are here.
    pub(crate) entries: u64,
    /// What all keys begin with.
    pub(crate) common: Vec<u8>,
    /// Where the first block begins; the others follow without a gap.
    pub(crate) start: u64,
    /// Bytes of each block.
    pub(crate) lengths: Vec<u32>,
    /// Of the first key of each block, the eight bytes behind the common ones, filled up with
    /// zeros, as a number whose highest byte comes first.
    pub(crate) fences: Vec<u64>,
}

/// The hash of a directory's bytes.
pub(crate) fn directory_hash(bytes: &[u8]) -> u128 {
    xxhash_rust::xxh3::xxh3_128(bytes)
}

impl DirectoryImage {
    /// The directory's bytes.
    pub(crate) fn encode(&self) -> Result<AlignedVec, rkyv::rancor::Error> {
        rkyv::to_bytes::<rkyv::rancor::Error>(self)
    }

    /// The directory, validated; its hash must have been checked before.
    pub(crate) fn access(bytes: &[u8]) -> Result<&ArchivedDirectoryImage, rkyv::rancor::Error> {
        rkyv::access::<ArchivedDirectoryImage, rkyv::rancor::Error>(bytes)
    }
}
