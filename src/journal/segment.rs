//! One open segment: its file, its map, and what is known about its frames.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::verified::Verified;
use crate::error::{Error, Result, code};
use crate::format::change::{self, Change};
use crate::format::cursor::Malformed;
use crate::format::frame::{Frame, FrameHeader, HEADER_BYTES, LazyHeader};
use crate::format::image::Image;
use crate::format::seal::{self, Seal, TableEntry};
use crate::format::segment::{Content, SEGMENT_HEADER_BYTES, SegmentHeader};
use crate::lsn::{Lsn, Position};
use crate::sys::DiskFile;
use crate::sys::mmap::{Map, PAGE_BYTES};
use crate::sys::watch::{Vanished, Watching, touch, watch};
use crate::time::Timestamp;

/// What a change made of its record, and the header of its transaction: what readers need.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Version<'a> {
    pub(crate) header: LazyHeader<'a>,
    pub(crate) collection: u32,
    /// Where the record's previous change begins, or nowhere.
    pub(crate) previous: Position,
    pub(crate) key: &'a [u8],
    /// The record's value; nothing if it was deleted.
    pub(crate) image: Option<Image<'a>>,
}

impl<'a> Version<'a> {
    #[inline]
    const fn new(header: LazyHeader<'a>, change: &Change<'a>) -> Self {
        let Change { collection, previous, key, after, .. } = *change;
        Self { header, collection, previous, key, image: after }
    }

    /// Whether it is a version of this record.
    #[inline]
    pub(crate) fn is_of(&self, collection: u32, key: &[u8]) -> bool {
        self.collection == collection && self.key == key
    }
}

/// A segment that is open for reading.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) header: SegmentHeader,
    pub(crate) file: Arc<dyn DiskFile>,
    pub(crate) map: Arc<Map>,
    seed: u32,
    pub(super) verified: Verified,
    seal: OnceLock<Seal>,
    /// Sparse table of a segment that is not sealed yet.
    table: Mutex<Vec<TableEntry>>,
}

impl Segment {
    pub(crate) fn new(header: SegmentHeader, file: Arc<dyn DiskFile>, map: Arc<Map>) -> Self {
        Self {
            seed: header.seed(),
            verified: Verified::new(map.length()),
            header,
            file,
            map,
            seal: OnceLock::new(),
            table: Mutex::new(Vec::new()),
        }
    }

    pub(crate) const fn number(&self) -> u32 {
        self.header.number
    }

    pub(crate) const fn seed(&self) -> u32 {
        self.seed
    }

    pub(crate) fn seal(&self) -> Option<&Seal> {
        self.seal.get()
    }

    /// Notes the seal that now ends the file. The first one stays.
    pub(crate) fn set_seal(&self, seal: Seal) {
        self.seal.get_or_init(|| seal);
    }

    /// The frame at this offset, verified; `None` exactly at the end of what is published.
    pub(crate) fn frame(&self, offset: u32) -> Result<Option<Frame<'_>>> {
        let start = offset as usize;
        if start == self.map.published() {
            return Ok(None);
        }
        let position = Position::new(self.number(), offset);
        let frame = watch(self.map.span(), || {
            let (header, bytes) = self.frame_bytes(start)?;
            if self.verified.has(offset) {
                touch(bytes);
                Ok(Frame::trusted(header, bytes, position))
            } else {
                Frame::verified(bytes, self.seed, position)
            }
        });
        match frame {
            Ok(Ok(frame)) => {
                self.verified.add(offset, frame.end().offset());
                Ok(Some(frame))
            }
            Ok(Err(malformed)) => Err(self.damaged(offset, malformed)),
            Err(Vanished) => Err(self.vanished(offset)),
        }
    }

    /// The change at this offset, its frame being sound.
    #[inline]
    pub(crate) fn version(&self, offset: u32) -> Result<Version<'_>> {
        match self.verified_version(offset) {
            Some(version) => Ok(version),
            None => self.checked_version(offset),
        }
    }

    /// The short way: of a frame that was verified. Whatever is not as expected is left to
    /// [`checked_version`](Self::checked_version), which says what is wrong.
    #[inline]
    fn verified_version(&self, offset: u32) -> Option<Version<'_>> {
        let bytes = self.map.bytes();
        let own = Position::new(self.number(), offset);
        let watching = Watching::begin(self.map.span());
        let short = Change::parse_short(bytes.get(offset as usize..)?, own)?;
        let start = offset.checked_sub(short.back).filter(|start| self.verified.has(*start))?;
        let header = LazyHeader::new(bytes.get(start as usize..)?)?;
        let end = offset as usize + short.length;
        if offset as usize / PAGE_BYTES != end / PAGE_BYTES {
            // Else all of it is there: the first bytes of the page were just read.
            touch(short.change.key);
            touch(short.change.after.map_or(&[], |image| image.bytes()));
        }
        watching.ends_whole().then(|| Version::new(header, &short.change))
    }

    /// The number of a version's transaction, which its change does not tell.
    pub(crate) fn lsn_of(&self, version: &Version<'_>, offset: u32) -> Result<Lsn> {
        let lsn = watch(self.map.span(), || version.header.lsn());
        lsn.map_err(|Vanished| self.vanished(offset))
    }

    #[cold]
    fn checked_version(&self, offset: u32) -> Result<Version<'_>> {
        let (frame, change) = self.change(offset)?;
        match frame.lazy_header() {
            Ok(header) => Ok(Version::new(header, &change)),
            Err(malformed) => Err(self.damaged(offset, malformed)),
        }
    }

    /// The change at this offset, and the frame it stands in.
    pub(crate) fn change(&self, offset: u32) -> Result<(Frame<'_>, Change<'_>)> {
        let (frame, back) = self.frame_of_change(offset)?;
        match frame.change_at(back) {
            Ok(change) => Ok((frame, change)),
            Err(malformed) => Err(self.damaged(frame.position.offset(), malformed)),
        }
    }

    /// The frame in which the change at this offset stands, and the change's offset in it.
    fn frame_of_change(&self, offset: u32) -> Result<(Frame<'_>, u32)> {
        let start = offset as usize;
        // Nearly always there is more behind; at the very end, whatever is left.
        let rest = || self.map.load(start, self.map.published().saturating_sub(start));
        let bytes = self.map.load(start, change::BACK_BYTES_MAX).or_else(rest).unwrap_or_default();
        let back = watch(self.map.span(), || change::back(bytes))
            .map_err(|Vanished| self.vanished(offset))?
            .map_err(|malformed| self.damaged(offset, malformed))?;
        let outside = Malformed { offset: start, what: "change outside its frame" };
        let begin = offset.checked_sub(back).ok_or_else(|| self.damaged(offset, outside))?;
        match self.frame(begin)? {
            Some(frame) if back < frame.header.length => Ok((frame, back)),
            _ => Err(self.damaged(offset, outside)),
        }
    }

    fn frame_bytes(&self, start: usize) -> Result<(FrameHeader, &[u8]), Malformed> {
        let beyond = Malformed { offset: 0, what: "frame begins beyond the end" };
        let header = self.map.load(start, HEADER_BYTES).ok_or(beyond)?;
        let header = FrameHeader::parse(header)?;
        let bytes = self
            .map
            .load(start, header.bytes())
            .ok_or(Malformed { offset: 0, what: "frame reaches beyond the end" })?;
        Ok((header, bytes))
    }

    /// The error for bytes of this segment that are not what they must be.
    pub(crate) fn damaged(&self, offset: u32, malformed: Malformed) -> Error {
        let message = format!("{} is wrong", malformed.what);
        Error::new(&code::FRAME_DAMAGED, message)
            .at_path(self.file.path())
            .at_offset(u64::from(offset) + malformed.offset as u64)
    }

    /// The error for bytes of this segment that were there and are not any more.
    pub(crate) fn vanished(&self, offset: u32) -> Error {
        // Where a file is cut in the middle of a page, the rest of the page is zeros, and no
        // signal tells: from now on checksums do.
        self.verified.clear();
        let is_short = |length| length < self.map.published() as u64;
        let error = if self.file.length().is_ok_and(is_short) {
            Error::new(&code::JOURNAL_INCOMPLETE, "the segment was cut short while it was open")
        } else {
            Error::new(&code::IO, "the disk can't read the segment")
        };
        error.at_path(self.file.path()).at_offset(u64::from(offset))
    }

    /// Adds a transaction to the sparse table if it begins a new stretch.
    pub(crate) fn note(&self, entry: TableEntry) {
        seal::note(&mut self.table.lock().unwrap_or_else(PoisonError::into_inner), entry);
    }

    /// The sparse table: of the seal, or as far as the segment is written.
    pub(crate) fn table(&self) -> Vec<TableEntry> {
        match self.seal() {
            Some(seal) => seal.table.clone(),
            None => self.table.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }

    /// The newest entry of the sparse table that `before` accepts; entries stand in order.
    pub(crate) fn newest_entry(&self, before: impl Fn(&TableEntry) -> bool) -> Option<TableEntry> {
        let find = |table: &[TableEntry]| {
            table.get(..table.partition_point(before)).and_then(|found| found.last().copied())
        };
        match self.seal() {
            Some(seal) => find(&seal.table),
            None => find(&self.table.lock().unwrap_or_else(PoisonError::into_inner)),
        }
    }

    /// What continues a base; `None` of any other segment.
    pub(super) fn base_tail(&self) -> Result<Option<Tail>> {
        let Some(seal) = self.seal().filter(|_| self.header.content == Content::Base) else {
            return Ok(None);
        };
        let start = self.map.published().saturating_sub(Seal::frame_bytes(seal.table.len()));
        let missing = Malformed { offset: 0, what: "seal of the base" };
        let frame = self.frame(offset_u32(start))?;
        let frame = frame.ok_or_else(|| self.damaged(offset_u32(start), missing))?;
        Ok(Some(Tail {
            lsn: frame.header.lsn,
            time: frame.header.time,
            crc: frame.header.previous_crc,
            digest: frame.header.digest,
            frame: Position::NONE,
            end: frame.position,
        }))
    }

    /// The first transaction; `None` if the segment holds none.
    pub(crate) fn first(&self) -> Option<TableEntry> {
        match self.seal() {
            Some(seal) => seal.table.first().copied(),
            None => self.table.lock().unwrap_or_else(PoisonError::into_inner).first().copied(),
        }
    }
}

/// An offset inside a segment. Segments are at most 4 GiB by construction: a transaction is at
/// most 2 GiB, and a segment's size is bounded when a store is created.
pub(crate) fn offset_u32(offset: usize) -> u32 {
    u32::try_from(offset).unwrap_or(u32::MAX)
}

/// Where the first frame of a segment begins.
pub(crate) fn segment_start(number: u32) -> Position {
    Position::new(number, offset_u32(SEGMENT_HEADER_BYTES))
}

/// A transaction's entry for a sparse table.
pub(crate) fn entry_of(frame: &Frame<'_>) -> TableEntry {
    TableEntry { lsn: frame.header.lsn, time: frame.header.time, offset: frame.position.offset() }
}

/// What a segment is expected to continue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tail {
    /// The newest transaction.
    pub(crate) lsn: Lsn,
    pub(crate) time: Timestamp,
    pub(crate) crc: u32,
    pub(crate) digest: crate::format::digest::StateDigest,
    /// Where that transaction's frame begins, and where it ends.
    pub(crate) frame: Position,
    pub(crate) end: Position,
}

impl Tail {
    /// The tail of a journal that holds nothing yet.
    pub(crate) const EMPTY: Self = Self {
        lsn: Lsn::ZERO,
        time: Timestamp::from_micros(i64::MIN),
        crc: 0,
        digest: crate::format::digest::StateDigest::from_bits(0),
        frame: Position::NONE,
        end: Position::NONE,
    };

    /// The tail behind this transaction.
    pub(crate) fn after(frame: &Frame<'_>) -> Self {
        Self {
            lsn: frame.header.lsn,
            time: frame.header.time,
            crc: frame.header.crc,
            digest: frame.header.digest,
            frame: frame.position,
            end: frame.end(),
        }
    }
}
