//! Reading beside a writer in another process: taking in what it has appended since.

use std::sync::Arc;

use super::Journal;
use super::beacon::Beacon;
use super::scan;
use super::segment::{Segment, Tail, entry_of, offset_u32};
use super::survey::to_usize;
use crate::error::Result;
use crate::format::frame::FrameKind;
use crate::format::names;
use crate::format::seal::Seal;
use crate::format::segment::{SEGMENT_HEADER_BYTES, SegmentHeader};
use crate::lsn::{Lsn, Position};
use crate::sys::watch::{Vanished, watch};
use crate::sys::{self, Access, Entry, MapAccess};

impl Journal {
    /// Publishes the frames that another process has appended behind `tail`; returns the new tail.
    /// One caller at a time.
    pub(crate) fn follow(&self, mut tail: Tail) -> Result<Tail> {
        loop {
            if let Some(segment) = self.segments().last() {
                while take_frame(segment, &mut tail)? {}
            }
            if !self.open_next()? {
                break;
            }
        }
        self.sync.note_appended(tail);
        Ok(tail)
    }

    /// The newest transaction known durable. Who only reads has it from what was found when nobody
    /// wrote, from CONTROL, from the newest frame, and from seals, before which a sync stands.
    pub(crate) fn known_durable(&self) -> Result<Lsn> {
        let synced = self.sync.durable();
        if self.beacon.get().is_some() {
            return Ok(synced);
        }
        let found = if self.beside_writer { Lsn::ZERO } else { synced };
        if found >= self.sync.tail().lsn {
            return Ok(found);
        }
        let told = Beacon::read(&*self.mould.disk, &self.mould.root, &self.mould.identity)?;
        let newest = self.sync.tail().lsn;
        let vouched = match newest {
            Lsn::ZERO => Lsn::ZERO,
            newest => self.find(newest)?.header.durable(),
        };
        let sealed = self.segments().rev().find_map(Segment::seal);
        let sealed = sealed.map_or(Lsn::ZERO, |seal| seal.last_lsn);
        Ok(found.max(told.durable_lsn).max(vouched).max(sealed).min(newest))
    }

    /// Opens the segment after the newest one, if the writer has begun to fill it.
    fn open_next(&self) -> Result<bool> {
        let newest = self.segments().last();
        let number = newest.map_or(1, |segment| segment.number() + 1);
        let path = names::segment(&self.mould.root, number);
        if self.mould.disk.entry(&path)? != Entry::File {
            return Ok(false);
        }
        let file = self.mould.disk.open(&path, Access::Read)?;
        let head = sys::read_range(&*file, 0, SEGMENT_HEADER_BYTES + size_of::<u32>())?;
        let begun = head.get(SEGMENT_HEADER_BYTES..).is_some_and(|word| word != [0; 4]);
        // A header that is not whole yet belongs to a segment that is being made ready.
        let Ok(header) = SegmentHeader::parse(&head) else { return Ok(false) };
        let unread = newest.is_some_and(|segment| {
            segment.seal().is_none() && length_behind(segment).is_ok_and(|length| length > 0)
        });
        if !begun || unread {
            return Ok(unread && begun);
        }
        let map = file.map(to_usize(file.length()?), MapAccess::Read)?;
        map.advance(SEGMENT_HEADER_BYTES);
        self.add(Segment::new(header, Arc::clone(&file), map))?;
        Ok(true)
    }
}

/// Bytes of the frame behind what is published, or none.
fn length_behind(segment: &Segment) -> Result<usize> {
    let start = segment.map.published();
    match watch(segment.map.span(), || segment.map.load_length_word(start)) {
        Ok(length) => Ok(length.unwrap_or(0) as usize),
        Err(Vanished) => Err(segment.vanished(offset_u32(start))),
    }
}

/// Takes in the next frame of a segment; `false` at its end, for now or for good.
fn take_frame(segment: &Segment, tail: &mut Tail) -> Result<bool> {
    let start = segment.map.published();
    if segment.seal().is_some() {
        return Ok(false);
    }
    let length = length_behind(segment)?;
    if length == 0 {
        return Ok(false);
    }
    // Read through the file and not the map: nothing is published before it is verified.
    let bytes = sys::read_range(&*segment.file, start as u64, length);
    if length_behind(segment)? != length {
        // That of a large frame is written by a call that need not be atomic.
        return Ok(true);
    }
    let bytes = bytes?;
    let position = Position::new(segment.number(), offset_u32(start));
    let frame = match scan::next(&bytes, segment.seed(), position, tail) {
        Ok(frame) => frame,
        Err(malformed) => return Err(segment.damaged(position.offset(), malformed)),
    };
    if frame.header.kind == FrameKind::Seal {
        let seal = Seal::parse(frame.payload())
            .map_err(|malformed| segment.damaged(position.offset(), malformed))?;
        segment.map.advance(start + length);
        segment.set_seal(seal);
        return Ok(false);
    }
    segment.map.advance(start + length);
    segment.verified.add(position.offset(), frame.end().offset());
    segment.note(entry_of(&frame));
    *tail = Tail::after(&frame);
    Ok(true)
}
