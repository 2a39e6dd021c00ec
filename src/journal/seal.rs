//! Ending a segment: its hash, its tables, its link in the chain of seals.

use super::beacon::Chain;
use super::segment::{Segment, Tail, offset_u32};
use crate::error::{Error, Result, code};
use crate::format::frame::{FrameHeader, FrameKind, assemble};
use crate::format::seal::{Seal, TableEntry};
use crate::sys::mmap::MapWriter;
use crate::sys::watch::{Vanished, watch};

/// What is needed to seal a segment.
#[derive(Debug)]
pub(crate) struct Sealing<'a> {
    pub(crate) seed: u32,
    /// BLAKE3 of all bytes of the segment up to the seal.
    pub(crate) hash: blake3::Hash,
    /// Where the seal begins.
    pub(crate) end: u32,
    pub(crate) tail: &'a Tail,
    pub(crate) table: Vec<TableEntry>,
    pub(crate) changes: u64,
    pub(crate) previous_chain: [u8; 32],
}

impl Sealing<'_> {
    /// The seal and the bytes of its frame, which belong at `end`.
    pub(crate) fn build(self) -> (Seal, Vec<u8>) {
        let first = self.table.first().copied();
        let seal = Seal {
            segment_hash: *self.hash.as_bytes(),
            previous_chain: self.previous_chain,
            first_lsn: first.map_or(crate::lsn::Lsn::ZERO, |entry| entry.lsn),
            last_lsn: self.tail.lsn,
            first_time: first.map_or(self.tail.time, |entry| entry.time),
            last_time: self.tail.time,
            changes: self.changes,
            table: self.table,
        };
        let frame = seal_frame(&seal, self.end, self.tail, self.seed);
        (seal, frame)
    }
}

/// The frame of a seal that begins at this offset, behind the transaction that `tail` tells of.
pub(crate) fn seal_frame(seal: &Seal, offset: u32, tail: &Tail, seed: u32) -> Vec<u8> {
    let header = FrameHeader {
        length: offset_u32(Seal::frame_bytes(seal.table.len())),
        crc: 0,
        previous_crc: tail.crc,
        kind: FrameKind::Seal,
        metadata_length: 0,
        lsn: tail.lsn,
        time: tail.time,
        digest: tail.digest,
        durable_lag: FrameHeader::durable_lag(tail.lsn, tail.lsn),
        changes: 0,
    };
    assemble(&header, &seal.encode(offset), seed)
}

/// Seals a segment that the writer has left: makes it durable, writes the seal behind its last
/// frame, and gives back the space that was not used. Returns the chain with this segment.
pub(crate) fn finish(
    segment: &Segment,
    mut map: MapWriter,
    tail: &Tail,
    changes: u64,
    chain: Chain,
) -> Result<Chain> {
    let end = map.map().published();
    let build = || {
        let table = segment.table();
        let hash = blake3::hash(segment.map.load(0, end).unwrap_or_default());
        let (seed, end, previous_chain) = (segment.seed(), offset_u32(end), chain.hash);
        Sealing { seed, hash, end, tail, table, changes, previous_chain }.build()
    };
    let (seal, frame) = watch(segment.map.span(), build).map_err(|Vanished| segment.vanished(0))?;
    if end + frame.len() > map.map().length() {
        return Err(Error::new(&code::IO, "the segment has no room left for its seal")
            .at_path(segment.file.path()));
    }
    // Before the first sync: pages that were brought into memory and never filled would be written.
    segment.file.truncate((end + frame.len()) as u64)?;
    map.map().detach(0, end);
    map.map().end_appending();
    segment.file.sync()?;
    map.store(end, &frame);
    if map.is_beside() {
        segment.file.write_at(end as u64, &frame)?;
    }
    map.publish(end + frame.len());
    segment.file.sync()?;
    let next = Chain { hash: seal.chain(), segment: segment.number() };
    segment.set_seal(seal);
    Ok(next)
}
