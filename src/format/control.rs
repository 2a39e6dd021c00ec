//! The beacon: how far the journal was known durable, and whether it was closed properly.
//!
//! CONTROL has two slots, a page apart, written in turn, so that a torn write leaves the other
//! one. It vouches for the newest transactions, for which no later frame does yet.

use uuid::Uuid;

use super::FORMAT_VERSION;
use super::cursor::{Cursor, Malformed, Scratch};
use crate::lsn::{Lsn, Position};
use crate::time::Timestamp;

/// 8 bytes: [`CONTROL_MAGIC_BYTES`].
pub(crate) const CONTROL_MAGIC: usize = 0;
/// u32: format version.
pub(crate) const CONTROL_VERSION: usize = 8;
/// u32: 1 after a clean shutdown, else 0.
pub(crate) const CLEAN: usize = 12;
/// u64: counts the writes; the valid slot with the higher number counts.
pub(crate) const SEQUENCE: usize = 16;
/// 16 bytes: the store's id.
pub(crate) const CONTROL_STORE: usize = 24;
/// u32: the store's timeline.
pub(crate) const CONTROL_TIMELINE: usize = 40;
/// u32: checksum of the frame of `DURABLE_LSN`.
pub(crate) const DURABLE_CRC: usize = 44;
/// u64: highest LSN known durable.
pub(crate) const DURABLE_LSN: usize = 48;
/// u64: position behind that frame, or where frames begin in the newest segment, if that is later,
/// since its name and header are durable: segment number in the high half, offset in the low one.
pub(crate) const DURABLE_END: usize = 56;
/// 32 bytes: chain hash of the newest sealed segment; zeros if there is none.
pub(crate) const CHAIN: usize = 64;
/// u32: number of that segment.
pub(crate) const CHAIN_SEGMENT: usize = 96;
/// i64: when the slot was written, microseconds since the epoch.
pub(crate) const WRITTEN: usize = 100;
/// 16 bytes of zeros.
pub(crate) const CONTROL_RESERVED: usize = 108;
/// u32: CRC-32 of all bytes before it.
pub(crate) const CONTROL_CRC: usize = 124;
/// Bytes of a slot.
pub(crate) const SLOT_BYTES: usize = 128;
/// Distance of the two slots.
pub(crate) const SLOT_STRIDE: usize = 4096;
/// Bytes of the file.
pub(crate) const CONTROL_BYTES: usize = 8192;

/// The first bytes of a slot.
pub(crate) const CONTROL_MAGIC_BYTES: [u8; 8] = *b"AFTIMCTL";

/// One slot of CONTROL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Control {
    pub(crate) clean: bool,
    pub(crate) sequence: u64,
    pub(crate) store: Uuid,
    pub(crate) timeline: u32,
    pub(crate) durable_lsn: Lsn,
    pub(crate) durable_crc: u32,
    pub(crate) durable_end: Position,
    pub(crate) chain: [u8; 32],
    pub(crate) chain_segment: u32,
    pub(crate) written: Timestamp,
}

impl Control {
    /// Where the slot of this sequence number stands.
    pub(crate) const fn slot(sequence: u64) -> u64 {
        if sequence.is_multiple_of(2) { 0 } else { SLOT_STRIDE as u64 }
    }

    pub(crate) fn encode(&self) -> Scratch<SLOT_BYTES> {
        let mut out = Scratch::new();
        out.field(CONTROL_MAGIC, &CONTROL_MAGIC_BYTES);
        out.field(CONTROL_VERSION, &FORMAT_VERSION.to_le_bytes());
        out.field(CLEAN, &u32::from(self.clean).to_le_bytes());
        out.field(SEQUENCE, &self.sequence.to_le_bytes());
        out.field(CONTROL_STORE, self.store.as_bytes());
        out.field(CONTROL_TIMELINE, &self.timeline.to_le_bytes());
        out.field(DURABLE_CRC, &self.durable_crc.to_le_bytes());
        out.field(DURABLE_LSN, &self.durable_lsn.get().to_le_bytes());
        out.field(DURABLE_END, &self.durable_end.bits().to_le_bytes());
        out.field(CHAIN, &self.chain);
        out.field(CHAIN_SEGMENT, &self.chain_segment.to_le_bytes());
        out.field(WRITTEN, &self.written.as_micros().to_le_bytes());
        out.field(CONTROL_RESERVED, &[0; CONTROL_CRC - CONTROL_RESERVED]);
        let crc = crc32fast::hash(out.as_slice());
        out.field(CONTROL_CRC, &crc.to_le_bytes());
        out
    }

    /// The valid slot with the higher sequence number, if there is a valid one.
    pub(crate) fn newest(file: &[u8]) -> Result<Self, Malformed> {
        let slot = |start| Self::parse(Cursor::at(file, start).take(SLOT_BYTES)?);
        match (slot(0), slot(SLOT_STRIDE)) {
            (Ok(a), Ok(b)) => Ok(if a.sequence > b.sequence { a } else { b }),
            (Ok(one), Err(_)) | (Err(_), Ok(one)) => Ok(one),
            (Err(malformed), Err(_)) => Err(malformed),
        }
    }

    fn parse(slot: &[u8]) -> Result<Self, Malformed> {
        let crc = Cursor::at(slot, CONTROL_CRC).u32()?;
        if crc32fast::hash(slot.get(..CONTROL_CRC).unwrap_or_default()) != crc {
            return Err(Malformed { offset: CONTROL_CRC, what: "checksum of a CONTROL slot" });
        }
        let mut cursor = Cursor::new(slot);
        if cursor.array()? != CONTROL_MAGIC_BYTES {
            return Err(Malformed { offset: CONTROL_MAGIC, what: "magic of a CONTROL slot" });
        }
        if cursor.u32()? > FORMAT_VERSION {
            return Err(Malformed { offset: CONTROL_VERSION, what: "version of CONTROL" });
        }
        let clean = cursor.u32()? == 1;
        let sequence = cursor.u64()?;
        let store = Uuid::from_bytes(cursor.array()?);
        let (timeline, durable_crc) = (cursor.u32()?, cursor.u32()?);
        let durable_lsn = Lsn::new(cursor.u64()?);
        let durable_end = Position::from_bits(cursor.u64()?);
        let (chain, chain_segment) = (cursor.array()?, cursor.u32()?);
        let written = Timestamp::from_micros(cursor.i64()?);
        cursor.zeros(CONTROL_CRC - CONTROL_RESERVED)?;
        Ok(Self {
            clean,
            sequence,
            store,
            timeline,
            durable_lsn,
            durable_crc,
            durable_end,
            chain,
            chain_segment,
            written,
        })
    }
}
