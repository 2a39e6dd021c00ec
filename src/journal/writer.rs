//! The one writer: puts frames behind the tail, and goes on in the next segment when one is full.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use super::Journal;
use super::prepare::{Full, Keeper, Prepared};
use super::segment::{Segment, Tail, offset_u32};
use crate::error::{Error, ErrorKind, Result, code};
use crate::format::change::{Change, ChangeHeader};
use crate::format::digest::StateDigest;
use crate::format::frame::{
    CRC, FrameHeader, FrameKind, HEADER_BYTES, LENGTH, METADATA_BYTES_MAX, PREVIOUS_CRC,
    TRANSACTION_BYTES_MAX, aligned, checksum,
};
use crate::format::seal::{Seal, TABLE_STRIDE, TableEntry};
use crate::format::segment::SEGMENT_HEADER_BYTES;
use crate::lsn::{Lsn, Position};
use crate::sys::DiskFile;
use crate::sys::mmap::{MapWriter, PAGE_BYTES};
use crate::sys::watch::{Vanished, watch_once};
use crate::time::Timestamp;

/// Pages are brought into memory this far ahead of the tail, in steps of this size.
const POPULATE_STEP: usize = 8 << 20;
/// And only by a writer that has appended this much: a command that writes one record must not
/// have the kernel write megabytes of zeros.
const POPULATE_AFTER: u64 = 256 << 10;
/// And only while a step is filled within this many microseconds: what is written slowly would be
/// written to the device twice, as zeros and as data.
const POPULATE_WITHIN: i64 = 1_000_000;

/// From this size on a frame is written to the file instead of stored through the map: the kernel
/// then takes whole pages without filling them with zeros first. Below, the call costs more.
const LARGE_FRAME_BYTES: usize = 16 << 10;
/// The memory of a frame larger than this is given back.
const LARGE_KEPT_BYTES_MAX: usize = 4 << 20;

/// At most so many bytes behind the tail are asked for before they are written.
const AHEAD_BYTES_MAX: usize = 1024;

/// A segment that holds no more than this is not left at a checkpoint.
const LEFT_BYTES_MIN: usize = 1 << 20;

/// A frame to append. Its number, time and digest are decided; its place is not.
#[derive(Debug)]
pub(crate) struct NewFrame<'a> {
    pub(crate) lsn: Lsn,
    pub(crate) time: Timestamp,
    pub(crate) digest: StateDigest,
    pub(crate) metadata: &'a [u8],
    pub(crate) changes: &'a [Change<'a>],
}

/// The appending end of a journal.
#[derive(Debug)]
pub(crate) struct Writer {
    segment: u32,
    /// What the checksums of the active segment begin with.
    seed: u32,
    file: Arc<dyn DiskFile>,
    map: MapWriter,
    /// Where frames must end, so that the seal fits behind.
    limit: usize,
    tail: Tail,
    /// Changes in the active segment.
    changes: u64,
    /// Whether the next segment was asked for.
    asked: bool,
    /// Up to here pages were asked for, and when.
    populated: usize,
    stepped: Timestamp,
    /// How far the next segment is in memory.
    next_populated: usize,
    appended_bytes: u64,
    keeper: Keeper,
    /// Reused: the bytes of a large frame.
    large: Vec<u8>,
    /// Where the last large frame of the active segment ends.
    large_end: usize,
    /// The segment, and the stretch of it, that the sparse table was told of last.
    noted: Option<(u32, u64)>,
    /// Reused: the headers of a frame's changes, and where in the frame they stand.
    layout: Vec<(ChangeHeader, u32)>,
}

/// Where the writer begins.
#[derive(Debug)]
pub(crate) struct Start {
    pub(crate) segment: Prepared,
    pub(crate) tail: Tail,
    pub(crate) changes: u64,
}

impl Writer {
    /// A writer behind `start.tail`, in a segment that is in the journal's table already.
    pub(crate) fn new(journal: &Journal, keeper: Keeper, start: Start) -> Self {
        let Prepared { header, file, map } = start.segment;
        if let Ok(segment) = journal.segment(header.number) {
            segment.verified.add_all_from(offset_u32(map.map().published()));
        }
        journal.sync.note_active(header.number, Arc::clone(&file), Arc::clone(map.map()));
        Self {
            segment: header.number,
            seed: header.seed(),
            limit: limit(&map),
            populated: map.map().published(),
            file,
            map,
            tail: start.tail,
            changes: start.changes,
            asked: false,
            stepped: journal.clock.now(),
            next_populated: 0,
            appended_bytes: 0,
            keeper,
            large: Vec::new(),
            large_end: 0,
            noted: None,
            layout: Vec::new(),
        }
    }

    pub(crate) const fn tail(&self) -> &Tail {
        &self.tail
    }

    /// Appends a frame; `positions` gets the place of each change. After an error nothing was
    /// appended; if bytes may have been written, the journal is poisoned.
    pub(crate) fn append(
        &mut self,
        journal: &Journal,
        frame: &NewFrame<'_>,
        positions: &mut Vec<Position>,
    ) -> Result<Tail> {
        assert_eq!(frame.lsn, self.tail.lsn.next(), "transactions are numbered without a gap");
        assert!(frame.time >= self.tail.time, "commit times never go backwards");
        let mut length = self.lay_out(frame)?;
        if self.offset() + length > self.limit {
            self.rotate(journal, length)?;
            length = self.lay_out(frame)?;
        }
        let header = self.header(journal, frame, length);
        let start = self.offset();
        let crc = if self.is_for_file(start, length) {
            self.write(journal, frame, &header, start)?
        } else {
            let span = self.map.map().span();
            match watch_once(span, || self.store(frame, &header, start)) {
                Ok(crc) => crc,
                Err(Vanished) => return Err(self.vanished(journal, start)),
            }
        };
        if self.map.is_beside() {
            let bytes = self.map.pending(start, length);
            if let Err(error) = self.file.write_at(start as u64, bytes) {
                return Err(stop(journal, error));
            }
        }
        self.map.publish(start + length);
        self.map.prefetch_ahead(start + length, length.min(AHEAD_BYTES_MAX));
        positions.clear();
        let segment = self.segment;
        positions.extend(
            self.layout
                .iter()
                .map(|(_, back)| Position::new(segment, offset_u32(start + *back as usize))),
        );
        self.note(
            journal,
            frame,
            Tail {
                lsn: frame.lsn,
                time: frame.time,
                crc,
                digest: frame.digest,
                frame: Position::new(segment, offset_u32(start)),
                end: Position::new(segment, offset_u32(start + length)),
            },
        );
        Ok(self.tail)
    }

    /// The pages that were written to are not those of the file any more.
    #[cold]
    fn vanished(&self, journal: &Journal, start: usize) -> Error {
        let error = match journal.segment(self.segment) {
            Ok(segment) => segment.vanished(offset_u32(start)),
            Err(error) => error,
        };
        journal.sync.poison(&error);
        error
    }

    fn offset(&self) -> usize {
        self.map.map().published()
    }

    /// Decides where each change stands if the frame begins at the tail; returns its length.
    fn lay_out(&mut self, frame: &NewFrame<'_>) -> Result<usize> {
        if frame.metadata.len() > METADATA_BYTES_MAX {
            return Err(Error::new(
                &code::METADATA_TOO_LARGE,
                format!("the metadata takes {} bytes", frame.metadata.len()),
            ));
        }
        let base = Position::new(self.segment, offset_u32(self.offset()));
        let mut length = (HEADER_BYTES + frame.metadata.len()) as u64;
        self.layout.clear();
        for change in frame.changes {
            let back = u32::try_from(length).map_err(|_| too_large(length))?;
            let header = change.header(Position::from_bits(base.bits() + length), back);
            length += (header.as_slice().len() + change.key.len()) as u64;
            for image in [change.before, change.after].into_iter().flatten() {
                length += image.bytes().len() as u64;
            }
            if length > TRANSACTION_BYTES_MAX {
                return Err(too_large(length));
            }
            self.layout.push((header, back));
        }
        usize::try_from(aligned(length)).map_err(|_| too_large(length))
    }

    fn header(&self, journal: &Journal, frame: &NewFrame<'_>, length: usize) -> FrameHeader {
        FrameHeader {
            length: offset_u32(length),
            crc: 0,
            previous_crc: self.tail.crc,
            kind: FrameKind::Transaction,
            metadata_length: u16::try_from(frame.metadata.len()).unwrap_or(u16::MAX),
            lsn: frame.lsn,
            time: frame.time,
            digest: frame.digest,
            durable_lag: FrameHeader::durable_lag(frame.lsn, journal.sync.durable()),
            changes: offset_u32(frame.changes.len()),
        }
    }

    /// Whether a frame is written to the file instead of through the map: a large one, and whatever
    /// begins in the page that a large one ends in.
    fn is_for_file(&self, start: usize, length: usize) -> bool {
        let shares_page = start < self.large_end.next_multiple_of(PAGE_BYTES);
        (length >= LARGE_FRAME_BYTES || shares_page) && !self.map.is_beside()
    }

    /// Writes the frame's bytes at `start`, its length last; returns its checksum.
    fn store(&mut self, frame: &NewFrame<'_>, header: &FrameHeader, start: usize) -> u32 {
        let mut at = start + PREVIOUS_CRC;
        let map = &mut self.map;
        let mut piece = |bytes: &[u8]| {
            map.store(at, bytes);
            at += bytes.len();
        };
        piece(header.encode().as_slice().get(PREVIOUS_CRC..).unwrap_or_default());
        piece(frame.metadata);
        for (change, (change_header, _)) in frame.changes.iter().zip(&self.layout) {
            piece(change_header.as_slice());
            piece(change.key);
            for image in [change.before, change.after].into_iter().flatten() {
                piece(image.bytes());
            }
        }
        // One pass over the bytes as they stand: faster than over each piece. The padding is the
        // zeros that the segment was allocated with.
        let crc = checksum(self.seed, header.length, self.map.pending(start, header.bytes()));
        self.map.store(start + CRC, &crc.to_le_bytes());
        self.map.store_length_word(start, header.length);
        crc
    }

    /// Writes the frame's bytes to the file at `start`, its length last; returns its checksum.
    ///
    /// The length not through the map either: the kernel keeps what is written at once in large
    /// folios, and storing one word through a map makes all of its folio dirty, up to 2 MiB that
    /// the next sync would write again.
    fn write(
        &mut self,
        journal: &Journal,
        frame: &NewFrame<'_>,
        header: &FrameHeader,
        start: usize,
    ) -> Result<u32> {
        let out = &mut self.large;
        out.clear();
        out.extend_from_slice(header.encode().as_slice());
        out.extend_from_slice(frame.metadata);
        for (change, (change_header, _)) in frame.changes.iter().zip(&self.layout) {
            out.extend_from_slice(change_header.as_slice());
            out.extend_from_slice(change.key);
            for image in [change.before, change.after].into_iter().flatten() {
                out.extend_from_slice(image.bytes());
            }
        }
        out.resize(header.bytes(), 0);
        let crc = checksum(self.seed, header.length, out);
        if let Some(field) = out.get_mut(CRC..PREVIOUS_CRC) {
            field.copy_from_slice(&crc.to_le_bytes());
        }
        let (length, rest) = out.split_at(CRC);
        let written = self
            .file
            .write_at((start + CRC) as u64, rest)
            .and_then(|()| self.file.write_at((start + LENGTH) as u64, length));
        if let Err(error) = written {
            return Err(stop(journal, error));
        }
        if header.bytes() >= LARGE_FRAME_BYTES {
            self.large_end = start + header.bytes();
        }
        if self.large.capacity() > LARGE_KEPT_BYTES_MAX {
            self.large = Vec::new();
        }
        Ok(crc)
    }

    fn note(&mut self, journal: &Journal, frame: &NewFrame<'_>, tail: Tail) {
        let start = tail.frame.offset();
        if let Ok(segment) = journal.segment(self.segment) {
            let stretch = u64::from(start) / TABLE_STRIDE;
            if self.noted != Some((self.segment, stretch)) {
                self.noted = Some((self.segment, stretch));
                segment.note(TableEntry { lsn: frame.lsn, time: frame.time, offset: start });
            }
        }
        self.changes += frame.changes.len() as u64;
        self.appended_bytes += tail.end.bits() - tail.frame.bits();
        self.tail = tail;
        journal.sync.note_appended(tail);
        self.look_ahead(journal);
    }

    /// Has the next segment, and the next pages of this one, made ready.
    fn look_ahead(&mut self, journal: &Journal) {
        let offset = self.offset();
        if !self.asked && offset > self.limit / 2 && self.appended_bytes > POPULATE_AFTER {
            let in_memory = self.is_fast(journal) && !self.is_large();
            self.ask_for_next(in_memory, None);
        }
        let due = self.appended_bytes > POPULATE_AFTER
            && !self.is_large()
            && offset + POPULATE_STEP / 2 > self.populated
            && self.populated < self.limit;
        if due {
            let from = self.populated.max(offset);
            if self.is_fast(journal) {
                self.keeper.populate(self.map.map(), from, POPULATE_STEP);
            }
            self.populated = from + POPULATE_STEP;
            self.stepped = journal.clock.now();
        }
    }

    /// Whether the newest frame was written to the file, which takes pages as they are.
    const fn is_large(&self) -> bool {
        self.tail.end.bits() - self.tail.frame.bits() >= LARGE_FRAME_BYTES as u64
    }

    /// Whether pages are filled so fast that bringing them into memory ahead pays.
    fn is_fast(&self, journal: &Journal) -> bool {
        let since = journal.clock.now().as_micros().saturating_sub(self.stepped.as_micros());
        since < POPULATE_WITHIN
    }

    fn ask_for_next(&mut self, in_memory: bool, done: Option<Sender<()>>) {
        self.asked = true;
        let populated = if in_memory { POPULATE_STEP } else { 0 };
        self.next_populated = populated;
        self.keeper.want(self.segment + 1, populated, done);
    }

    /// Has the next segment made ready, so that [`leave_segment`](Self::leave_segment) need not
    /// wait for it. The receiver learns when it is; `None` if there is nothing to wait for. No page
    /// is brought into memory for it: who opens the store behind the checkpoint would look at all.
    pub(crate) fn prepare_to_leave(&mut self) -> Option<Receiver<()>> {
        if !self.is_worth_leaving() || self.asked {
            return None;
        }
        let (done, ready) = channel();
        self.ask_for_next(false, Some(done));
        Some(ready)
    }

    /// Goes on in the next segment, though this one has room: what stands before a checkpoint is
    /// then sealed, and opening has nothing to look through. The receiver learns when it is; `None`
    /// if the segment holds too little to be worth it.
    pub(crate) fn leave_segment(&mut self, journal: &Journal) -> Result<Option<Receiver<()>>> {
        if !self.is_worth_leaving() {
            return Ok(None);
        }
        let (done, sealed) = channel();
        self.leave_for(journal, 0, Some(done))?;
        Ok(Some(sealed))
    }

    fn is_worth_leaving(&self) -> bool {
        self.offset() > LEFT_BYTES_MIN.min(self.limit / 2)
    }

    fn rotate(&mut self, journal: &Journal, needed: usize) -> Result<()> {
        self.leave_for(journal, needed, None)
    }

    /// Goes on in the next segment, which will hold a frame of `needed` bytes.
    fn leave_for(
        &mut self,
        journal: &Journal,
        needed: usize,
        done: Option<Sender<()>>,
    ) -> Result<()> {
        let number = self.segment + 1;
        let usual = journal.mould.identity.segment_bytes;
        let content = (SEGMENT_HEADER_BYTES + needed) as u64;
        let fits_usual = content + Seal::reserve(usual) <= usual;
        let next = if fits_usual {
            self.take_next(number)?
        } else {
            self.give_up_next(journal)?;
            // The reserve itself grows with the segment, by less than a thousandth.
            let bytes = content + Seal::reserve(content + content / 256);
            journal.mould.cast(number, bytes, journal.clock.now())?
        };
        let segment = Segment::new(next.header, Arc::clone(&next.file), Arc::clone(next.map.map()));
        segment.verified.add_all_from(offset_u32(SEGMENT_HEADER_BYTES));
        journal.add(segment)?;
        let map = Arc::clone(next.map.map());
        journal.sync.note_active(number, Arc::clone(&next.file), map);
        let full = std::mem::replace(&mut self.map, next.map);
        self.keeper.seal(Full {
            number: self.segment,
            map: full,
            tail: self.tail,
            changes: self.changes,
            done,
        });
        self.segment = number;
        self.seed = next.header.seed();
        self.file = next.file;
        self.limit = limit(&self.map);
        self.populated = self.offset().max(std::mem::take(&mut self.next_populated));
        self.large_end = 0;
        self.changes = 0;
        Ok(())
    }

    fn take_next(&mut self, number: u32) -> Result<Prepared> {
        if !self.asked {
            self.keeper.want(number, 0, None);
        }
        // Asked anew if this fails: the disk may have room by then.
        self.asked = false;
        self.keeper.take()
    }

    /// Removes a segment of the usual size that was made ready, since a larger one is needed.
    fn give_up_next(&mut self, journal: &Journal) -> Result<()> {
        if self.asked {
            self.asked = false;
            let unused = self.keeper.take()?;
            journal.mould.disk.remove(unused.file.path())?;
        }
        Ok(())
    }

    /// Ends the background thread and removes a segment that was made ready and not used.
    pub(crate) fn stop(&mut self, journal: &Journal) -> Result<()> {
        if let Some(unused) = self.keeper.stop() {
            journal.mould.disk.remove(unused.file.path())?;
            journal.mould.disk.sync_dir(&journal.mould.root.join(crate::format::names::JOURNAL))?;
        }
        Ok(())
    }
}

/// Where frames must end in a segment, so that its seal fits behind them.
fn limit(map: &MapWriter) -> usize {
    let length = map.map().length() as u64;
    usize::try_from(length.saturating_sub(Seal::reserve(length))).unwrap_or(0)
}

/// Stops the journal, since a part of a frame may have been written. The error does not promise
/// that nothing was, nor that writing resumes when there is room.
fn stop(journal: &Journal, error: Error) -> Error {
    journal.sync.poison(&error);
    if error.kind() == ErrorKind::Full {
        return journal.sync.check().err().unwrap_or(error);
    }
    error
}

fn too_large(length: u64) -> Error {
    Error::new(
        &code::TRANSACTION_TOO_LARGE,
        format!(
            "the transaction takes {length} bytes or more, the limit is {TRANSACTION_BYTES_MAX}"
        ),
    )
}
