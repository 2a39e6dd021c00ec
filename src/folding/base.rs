//! The base that takes the place of the segments that are folded away: the records that were live
//! at their end, and a seal that says what theirs said.

use crate::error::{Error, Result, code};
use crate::format::change::Change;
use crate::format::frame::{FrameHeader, FrameKind, HEADER_BYTES, aligned, assemble};
use crate::format::image::Op;
use crate::format::seal::Seal;
use crate::format::segment::{Content, SEGMENT_HEADER_BYTES, SegmentHeader};
use crate::journal::seal::seal_frame;
use crate::journal::segment::{Tail, offset_u32};
use crate::lsn::{Lsn, Position};
use crate::store::{KeyRange, Scan, Store};

/// A frame of the base holds about so many bytes: it is checked as a whole when one of its records
/// is read first.
const FRAME_BYTES: usize = 1 << 16;

/// What a base stands for.
pub(super) struct Stand {
    pub(super) header: SegmentHeader,
    /// The last transaction that is folded away.
    pub(super) tail: Tail,
    /// The chain of the last segment that is folded away.
    pub(super) chain: [u8; 32],
}

/// What a base has become.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) bytes: u64,
    pub(super) records: u64,
}

/// Builds the base of a store piece by piece; `write` is given each with its offset.
pub(super) fn build(
    store: &Store,
    stand: &Stand,
    write: &mut dyn FnMut(u64, &[u8]) -> Result<()>,
) -> Result<Size> {
    let mut building = Building {
        stand,
        seed: stand.header.seed(),
        write,
        hasher: blake3::Hasher::new(),
        previous_crc: 0,
        payload: Vec::new(),
        changes: 0,
        size: Size::default(),
    };
    building.put(stand.header.encode().as_slice())?;
    // The store's own first: what the others are called stands there.
    for entry in store.engine.catalogue.iter() {
        for record in Scan::new(&store.engine, entry.id, KeyRange::all(), stand.tail.lsn) {
            let record = record?;
            building.push(&Change {
                op: Op::Read,
                collection: entry.id,
                previous: Position::NONE,
                key: record.key(),
                before: None,
                after: Some(record.image()),
            })?;
        }
    }
    building.end()
}

struct Building<'a> {
    stand: &'a Stand,
    seed: u32,
    write: &'a mut dyn FnMut(u64, &[u8]) -> Result<()>,
    hasher: blake3::Hasher,
    previous_crc: u32,
    /// The changes of the frame that is being filled.
    payload: Vec<u8>,
    changes: u32,
    size: Size,
}

impl Building<'_> {
    fn push(&mut self, change: &Change<'_>) -> Result<()> {
        if self.payload.len() >= FRAME_BYTES {
            self.end_frame()?;
        }
        let back = offset_u32(HEADER_BYTES + self.payload.len());
        let own = self.size.bytes + u64::from(back);
        let own = u32::try_from(own).map_err(|_| too_large())?;
        let own = Position::new(self.stand.header.number, own);
        self.payload.extend_from_slice(change.header(own, back).as_slice());
        self.payload.extend_from_slice(change.key);
        self.payload.extend_from_slice(change.after.map_or(&[], |image| image.bytes()));
        self.changes += 1;
        self.size.records += 1;
        Ok(())
    }

    fn end_frame(&mut self) -> Result<()> {
        let tail = &self.stand.tail;
        let length = aligned((HEADER_BYTES + self.payload.len()) as u64);
        let length = u32::try_from(length).map_err(|_| too_large())?;
        self.payload.resize(length as usize - HEADER_BYTES, 0);
        let header = FrameHeader {
            length,
            crc: 0,
            previous_crc: self.previous_crc,
            kind: FrameKind::Base,
            metadata_length: 0,
            lsn: tail.lsn,
            time: tail.time,
            digest: tail.digest,
            durable_lag: FrameHeader::durable_lag(tail.lsn, tail.lsn),
            changes: self.changes,
        };
        let frame = assemble(&header, &self.payload, self.seed);
        self.previous_crc = FrameHeader::parse(&frame).map_or(0, |header| header.crc);
        self.payload.clear();
        self.changes = 0;
        self.put(&frame)
    }

    fn end(mut self) -> Result<Size> {
        if self.changes > 0 {
            self.end_frame()?;
        }
        let tail = &self.stand.tail;
        let seal = Seal {
            segment_hash: *self.hasher.finalize().as_bytes(),
            previous_chain: self.stand.chain,
            first_lsn: Lsn::ZERO,
            last_lsn: tail.lsn,
            first_time: tail.time,
            last_time: tail.time,
            changes: 0,
            table: Vec::new(),
        };
        let offset = u32::try_from(self.size.bytes).map_err(|_| too_large())?;
        self.put(&seal_frame(&seal, offset, tail, self.seed))?;
        Ok(self.size)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        if self.size.bytes + bytes.len() as u64 > u64::from(u32::MAX) {
            return Err(too_large());
        }
        (self.write)(self.size.bytes, bytes)?;
        self.hasher.update(bytes);
        self.size.bytes += bytes.len() as u64;
        Ok(())
    }
}

/// The header of a base: it takes the number of the last segment that is folded away.
pub(super) fn header(store: &Store, number: u32) -> SegmentHeader {
    let journal = &store.engine.journal;
    let mut salt = [0; 32];
    journal.mould.disk.entropy(&mut salt);
    SegmentHeader {
        store: journal.mould.identity.store,
        timeline: journal.mould.identity.timeline,
        number,
        created: journal.clock.now(),
        salt,
        content: Content::Base,
    }
}

fn too_large() -> Error {
    let message = format!("the live records take more than {} bytes", u32::MAX);
    Error::new(&code::FOLD_TOO_LARGE, message)
}

const _: () = assert!(SEGMENT_HEADER_BYTES.is_multiple_of(4), "frames begin at multiples of 4");
