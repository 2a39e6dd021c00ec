//! The seal: the last frame of a finished segment, with its hash and its sparse tables.
//!
//! A seal is a frame of kind 3 whose payload has the layout below; the file ends with it. Its
//! header repeats LSN, time and digest of the last transaction before it. The trailer at the very
//! end of the file leads back to the start of the seal, so that opening a journal reads one seal
//! and not the segment.

use super::cursor::{Cursor, Malformed};
use super::frame::HEADER_BYTES;
use crate::lsn::Lsn;
use crate::time::Timestamp;

/// 32 bytes: BLAKE3 of the segment from its first byte up to the seal.
pub(crate) const SEGMENT_HASH: usize = 0;
/// 32 bytes: chain hash of the segment before; of the first segment: zeros.
pub(crate) const PREVIOUS_CHAIN: usize = 32;
/// u64: first LSN in the segment; zero if it holds no transaction.
pub(crate) const FIRST_LSN: usize = 64;
/// u64: last LSN in the segment, or before it if it holds none.
pub(crate) const LAST_LSN: usize = 72;
/// i64: commit time of the first transaction.
pub(crate) const FIRST_TIME: usize = 80;
/// i64: commit time of the last transaction.
pub(crate) const LAST_TIME: usize = 88;
/// u64: number of changes in the segment.
pub(crate) const CHANGE_COUNT: usize = 96;
/// u32: entries of the sparse table.
pub(crate) const TABLE_ENTRIES: usize = 104;
/// Where the table begins; each entry: LSN u64, time i64, offset of the frame u32.
pub(crate) const TABLE: usize = 108;
/// Bytes of an entry of the table.
pub(crate) const TABLE_ENTRY_BYTES: usize = 20;
/// Bytes of the trailer: offset of the seal u32, then [`TRAILER_MAGIC`]. The last of the file.
pub(crate) const TRAILER_BYTES: usize = 8;
/// The last bytes of a sealed segment.
pub(crate) const TRAILER_MAGIC: [u8; 4] = *b"SEAL";
/// A segment's table has one entry for each stretch of this many bytes.
pub(crate) const TABLE_STRIDE: u64 = 65_536;

/// One entry of a sparse table: the transaction at this offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TableEntry {
    pub(crate) lsn: Lsn,
    pub(crate) time: Timestamp,
    pub(crate) offset: u32,
}

/// Adds a transaction to a sparse table if it begins a new stretch.
pub(crate) fn note(table: &mut Vec<TableEntry>, entry: TableEntry) {
    let stretch = |offset: u32| u64::from(offset) / TABLE_STRIDE;
    if table.last().is_none_or(|last| stretch(last.offset) < stretch(entry.offset)) {
        table.push(entry);
    }
}

/// What a seal says about its segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seal {
    pub(crate) segment_hash: [u8; 32],
    pub(crate) previous_chain: [u8; 32],
    pub(crate) first_lsn: Lsn,
    pub(crate) last_lsn: Lsn,
    pub(crate) first_time: Timestamp,
    pub(crate) last_time: Timestamp,
    pub(crate) changes: u64,
    pub(crate) table: Vec<TableEntry>,
}

impl Seal {
    /// The chain hash over this seal: BLAKE3 of the chain hash before and the segment's hash.
    pub(crate) fn chain(&self) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.previous_chain);
        hasher.update(&self.segment_hash);
        *hasher.finalize().as_bytes()
    }

    /// Bytes of a whole seal frame with this many table entries.
    pub(crate) const fn frame_bytes(entries: usize) -> usize {
        (HEADER_BYTES + TABLE + entries * TABLE_ENTRY_BYTES + TRAILER_BYTES).next_multiple_of(4)
    }

    /// Bytes that a segment of this capacity keeps free for its seal.
    pub(crate) fn reserve(capacity: u64) -> u64 {
        let entries = usize::try_from(capacity / TABLE_STRIDE + 2).unwrap_or(usize::MAX / 64);
        Self::frame_bytes(entries) as u64
    }

    /// The payload of the seal frame that begins at `offset`.
    pub(crate) fn encode(&self, offset: u32) -> Vec<u8> {
        let mut out = Vec::with_capacity(Self::frame_bytes(self.table.len()) - HEADER_BYTES);
        let mut field = |offset: usize, bytes: &[u8]| {
            assert_eq!(out.len(), offset, "fields are written in the order of the layout");
            out.extend_from_slice(bytes);
        };
        field(SEGMENT_HASH, &self.segment_hash);
        field(PREVIOUS_CHAIN, &self.previous_chain);
        field(FIRST_LSN, &self.first_lsn.get().to_le_bytes());
        field(LAST_LSN, &self.last_lsn.get().to_le_bytes());
        field(FIRST_TIME, &self.first_time.as_micros().to_le_bytes());
        field(LAST_TIME, &self.last_time.as_micros().to_le_bytes());
        field(CHANGE_COUNT, &self.changes.to_le_bytes());
        let entries = u32::try_from(self.table.len()).unwrap_or(u32::MAX);
        field(TABLE_ENTRIES, &entries.to_le_bytes());
        for entry in &self.table {
            out.extend_from_slice(&entry.lsn.get().to_le_bytes());
            out.extend_from_slice(&entry.time.as_micros().to_le_bytes());
            out.extend_from_slice(&entry.offset.to_le_bytes());
        }
        out.extend_from_slice(&offset.to_le_bytes());
        out.extend_from_slice(&TRAILER_MAGIC);
        debug_assert_eq!(out.len() + HEADER_BYTES, Self::frame_bytes(self.table.len()));
        out
    }

    /// Reads the payload of a verified seal frame.
    pub(crate) fn parse(payload: &[u8]) -> Result<Self, Malformed> {
        let mut cursor = Cursor::new(payload);
        let (segment_hash, previous_chain) = (cursor.array()?, cursor.array()?);
        let (first_lsn, last_lsn) = (Lsn::new(cursor.u64()?), Lsn::new(cursor.u64()?));
        let first_time = Timestamp::from_micros(cursor.i64()?);
        let last_time = Timestamp::from_micros(cursor.i64()?);
        let changes = cursor.u64()?;
        let entries = cursor.u32()? as usize;
        if entries > cursor.left() / TABLE_ENTRY_BYTES {
            return Err(cursor.malformed("table of the seal is longer than the seal"));
        }
        let mut table = Vec::with_capacity(entries);
        for _ in 0..entries {
            let (lsn, time) = (cursor.u64()?, cursor.i64()?);
            table.push(TableEntry {
                lsn: Lsn::new(lsn),
                time: Timestamp::from_micros(time),
                offset: cursor.u32()?,
            });
        }
        Ok(Self {
            segment_hash,
            previous_chain,
            first_lsn,
            last_lsn,
            first_time,
            last_time,
            changes,
            table,
        })
    }
}

/// Where the seal begins, from the last bytes of a file; `None` if the file is not sealed.
pub(crate) fn offset_in_trailer(trailer: &[u8]) -> Option<u32> {
    let mut cursor = Cursor::new(trailer);
    match (cursor.u32(), cursor.array()) {
        (Ok(offset), Ok(TRAILER_MAGIC)) => Some(offset),
        _ => None,
    }
}
