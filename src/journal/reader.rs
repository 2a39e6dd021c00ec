//! Cursors over the frames of a range of transactions, from both ends.

use super::Journal;
use crate::error::{Error, Result, code};
use crate::format::frame::{Frame, FrameKind};
use crate::format::segment::SEGMENT_HEADER_BYTES;
use crate::lsn::{Lsn, Position};

use super::segment::offset_u32;

/// The transactions from one LSN to another, both included.
#[derive(Debug)]
pub(crate) struct Frames<'a> {
    journal: &'a Journal,
    next: Lsn,
    last: Lsn,
    /// Where `next` begins, once known.
    front: Option<Position>,
    /// Frames in front of `last` whose places are known, newest last. Frames know their length
    /// but not that of the one before, so going backwards means walking one stretch forwards.
    back: Vec<(Lsn, Position)>,
}

impl Journal {
    /// The transactions from `first` to `last`, which must be in the journal.
    pub(crate) fn frames(&self, first: Lsn, last: Lsn) -> Frames<'_> {
        Frames { journal: self, next: first, last, front: None, back: Vec::new() }
    }

    /// The transaction that begins at `position` or, if a segment ends there, in the next one.
    pub(crate) fn transaction_at(&self, mut position: Position) -> Result<Option<Frame<'_>>> {
        loop {
            let segment = self.segment(position.segment())?;
            match segment.frame(position.offset())? {
                Some(frame) if frame.header.kind != FrameKind::Seal => return Ok(Some(frame)),
                Some(_) | None => {
                    let next = position.segment() + 1;
                    if self.table.get(next).is_none() {
                        return Ok(None);
                    }
                    position = Position::new(next, offset_u32(SEGMENT_HEADER_BYTES));
                }
            }
        }
    }
}

impl<'a> Frames<'a> {
    fn is_done(&self) -> bool {
        self.next > self.last || self.next == Lsn::ZERO
    }

    fn finish(&mut self) {
        self.last = self.next.previous();
        self.next = self.last.next();
    }

    fn step(&mut self) -> Result<Frame<'a>> {
        let frame = match self.front {
            None => self.journal.find(self.next)?,
            Some(position) => self
                .journal
                .transaction_at(position)?
                .filter(|frame| frame.header.lsn == self.next)
                .ok_or_else(|| missing(self.next))?,
        };
        self.front = Some(frame.end());
        Ok(frame)
    }

    fn step_back(&mut self) -> Result<Frame<'a>> {
        if self.back.is_empty() {
            self.fill_back()?;
        }
        let missing = missing(self.last);
        match self.back.pop() {
            Some((lsn, position)) if lsn == self.last => {
                self.journal.transaction_at(position)?.ok_or(missing)
            }
            Some(_) | None => Err(missing),
        }
    }

    /// Notes the places of the frames of the stretch in which `last` stands.
    fn fill_back(&mut self) -> Result<()> {
        let last = self.journal.find(self.last)?;
        let segment = self.journal.segment(last.position.segment())?;
        let entry = segment.newest_entry(|entry| entry.lsn <= self.last);
        let mut offset = entry.map_or(last.position.offset(), |entry| entry.offset);
        while let Some(frame) = segment.frame(offset)? {
            if frame.header.lsn > self.last || frame.header.kind == FrameKind::Seal {
                break;
            }
            self.back.push((frame.header.lsn, frame.position));
            offset = frame.end().offset();
        }
        Ok(())
    }
}

/// The error for a transaction that should be there.
pub(super) fn missing(lsn: Lsn) -> Error {
    Error::new(&code::JOURNAL_INCOMPLETE, "the transaction is not in the journal").at_lsn(lsn)
}

impl<'a> Iterator for Frames<'a> {
    type Item = Result<Frame<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_done() {
            return None;
        }
        let frame = self.step();
        if frame.is_ok() {
            self.next = self.next.next();
        } else {
            self.finish();
        }
        Some(frame)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = if self.is_done() { 0 } else { self.last.get() - self.next.get() + 1 };
        let left = usize::try_from(left).unwrap_or(usize::MAX);
        (0, Some(left))
    }
}

impl DoubleEndedIterator for Frames<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        if self.is_done() {
            return None;
        }
        let frame = self.step_back();
        if frame.is_ok() {
            self.last = self.last.previous();
        } else {
            self.finish();
        }
        Some(frame)
    }
}
