//! The journal: the append-only truth, in segments.
//!
//! Invariants:
//! * Transactions are numbered from 1 without a gap; commit times never go backwards; each frame
//!   carries the checksum of the one before it.
//! * Bytes below a segment's published mark never change; a sealed segment never changes at all.
//! * A segment's header and name are durable before its first frame is written.
//! * Frames of segment N are made durable before, or together with, frames of segment N + 1.
//! * After an unclean shutdown nothing is appended to an old segment: it is sealed where its sound
//!   frames end, and a new one with a new salt takes over.
//! * Readers never write. Recovery decides first ([`cut`]), then acts ([`recover`]).
//!
//! Reading order: [`segment`] and [`table`] (what is open), [`writer`], [`prepare`] and [`seal`]
//! (growing), [`sync`] and [`beacon`] (durability), [`reader`] and [`index`] (finding), [`scan`],
//! [`cut`] and [`recover`] (opening), [`follow`] (reading beside a writer), [`rewrite`] (segments
//! of a copy).

pub(crate) mod beacon;
mod bell;
pub(crate) mod cut;
mod flush;
pub(crate) mod follow;
mod index;
#[cfg(all(test, loom))]
mod models;
pub(crate) mod prepare;
pub(crate) mod reader;
pub(crate) mod recover;
pub(crate) mod rewrite;
pub(crate) mod scan;
pub(crate) mod seal;
pub(crate) mod segment;
mod survey;
pub(crate) mod sync;
pub(crate) mod table;
#[cfg(test)]
mod tests;
mod verified;
pub(crate) mod writer;

use std::sync::{Arc, OnceLock};

use crate::error::{Error, Result, code};
use crate::format::change::Change;
use crate::format::frame::{Frame, LazyHeader};
use crate::lsn::{Lsn, Position};
use crate::sys::mmap::prefetch;
use crate::time::Clock;
use beacon::{Beacon, Chain};
use prepare::Mould;
use segment::{Segment, Tail, Version, segment_start};
use sync::SyncQueue;
use table::GrowingTable;

pub(crate) use flush::Flusher;

/// What a journal begins with whose older part was folded away.
#[derive(Clone, Copy, Debug)]
struct Base {
    /// Of the segments up to this number nothing is left.
    number: u32,
    /// What the first transaction behind it continues.
    tail: Tail,
}

/// An open journal.
#[derive(Debug)]
pub(crate) struct Journal {
    pub(crate) mould: Mould,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) sync: SyncQueue,
    table: GrowingTable<Segment>,
    /// The base, if the journal begins with one.
    base: OnceLock<Base>,
    /// Whether another process was writing when it was opened: then not all that was found need be
    /// durable.
    beside_writer: bool,
    /// Only a journal that is being written has one.
    beacon: OnceLock<Beacon>,
}

impl Journal {
    /// A journal that ends at `tail`; its segments are added by whoever opens it.
    pub(crate) fn new(mould: Mould, clock: Arc<dyn Clock>, tail: Tail) -> Self {
        Self {
            mould,
            clock,
            sync: SyncQueue::new(tail),
            table: GrowingTable::new(),
            base: OnceLock::new(),
            beside_writer: false,
            beacon: OnceLock::new(),
        }
    }

    /// A journal that is only read, perhaps beside a writer.
    fn opened_for_reading(
        mould: Mould,
        clock: Arc<dyn Clock>,
        tail: Tail,
        beside_writer: bool,
    ) -> Self {
        Self { beside_writer, ..Self::new(mould, clock, tail) }
    }

    pub(crate) fn add(&self, segment: Segment) -> Result<()> {
        let number = segment.number();
        let base = segment.base_tail()?;
        if self.table.set(number, segment) {
            if let Some(tail) = base {
                self.base.get_or_init(|| Base { number, tail });
            }
            return Ok(());
        }
        Err(Error::new(&code::IO, format!("segment {number} can't be added to the journal")))
    }

    /// The segment of this number.
    pub(crate) fn segment(&self, number: u32) -> Result<&Segment> {
        self.table.get(number).ok_or_else(|| self.missing(number))
    }

    #[cold]
    fn missing(&self, number: u32) -> Error {
        Error::new(&code::JOURNAL_INCOMPLETE, format!("segment {number} is missing"))
            .at_path(&crate::format::names::segment(&self.mould.root, number))
    }

    /// All segments, oldest first.
    pub(crate) fn segments(&self) -> impl DoubleEndedIterator<Item = &Segment> {
        self.table.iter()
    }

    /// The base, if the journal begins with one.
    pub(crate) fn base(&self) -> Option<&Segment> {
        self.table.get(self.base.get()?.number)
    }

    /// Whether a place is in what was folded away, or in the base that stands for it. Nothing is
    /// looked for there because a change leads there: another base may have stood there then.
    #[inline]
    pub(crate) fn is_folded(&self, position: Position) -> bool {
        self.base.get().is_some_and(|base| !position.is_none() && position.segment() <= base.number)
    }

    /// The moment that the base holds, and a header that has its time.
    pub(crate) fn folded_header(&self) -> Result<(Lsn, LazyHeader<'_>)> {
        let missing = || Error::new(&code::JOURNAL_INCOMPLETE, "the journal's base is missing");
        let segment = self.base().ok_or_else(missing)?;
        let frame = segment.frame(segment_start(segment.number()).offset())?.ok_or_else(missing)?;
        let header = frame.lazy_header().map_err(|malformed| self.damaged(&frame, malformed))?;
        Ok((frame.header.lsn, header))
    }

    /// What a transaction continues that comes after this one.
    pub(crate) fn tail_at(&self, lsn: Lsn) -> Result<Tail> {
        match self.base.get() {
            _ if lsn == Lsn::ZERO => Ok(Tail::EMPTY),
            Some(base) if base.tail.lsn == lsn => Ok(base.tail),
            Some(_) | None => Ok(Tail::after(&self.find(lsn)?)),
        }
    }

    /// The change that begins at `position`, and the frame it stands in.
    pub(crate) fn change(&self, position: Position) -> Result<(Frame<'_>, Change<'_>)> {
        self.segment(position.segment())?.change(position.offset())
    }

    /// The change that begins at `position`, for those who read many.
    #[inline]
    pub(crate) fn version(&self, position: Position) -> Result<Version<'_>> {
        match self.table.get(position.segment()) {
            Some(segment) => segment.version(position.offset()),
            None => Err(self.missing(position.segment())),
        }
    }

    /// The number of the transaction that a version stands in, read where it stands.
    pub(crate) fn lsn_of(&self, version: &Version<'_>, position: Position) -> Result<Lsn> {
        self.segment(position.segment())?.lsn_of(version, position.offset())
    }

    /// Asks for the changes at these places to be brought nearer to the processor, all at once,
    /// before they are looked at one by one: what waits for memory then waits together. What is
    /// wrong with them is found when they are looked at.
    pub(crate) fn prefetch(&self, positions: impl Iterator<Item = Position>) {
        // The head of the change, and what follows.
        const REACH: [usize; 2] = [0, 64];
        for position in positions {
            let Some(segment) = self.table.get(position.segment()) else { continue };
            let bytes = segment.map.bytes();
            for reach in REACH {
                if let Some(byte) = bytes.get(position.offset() as usize + reach) {
                    prefetch(byte);
                }
            }
        }
    }

    /// The error for a frame whose checksum is right and whose content is not.
    pub(crate) fn damaged(
        &self,
        frame: &Frame<'_>,
        malformed: crate::format::cursor::Malformed,
    ) -> Error {
        match self.segment(frame.position.segment()) {
            Ok(segment) => segment.damaged(frame.position.offset(), malformed),
            Err(error) => error,
        }
        .at_lsn(frame.header.lsn)
    }

    /// The oldest transaction kept; the one after the tail if the journal holds none.
    pub(crate) fn first(&self) -> Lsn {
        let first = self.segments().find_map(Segment::first);
        let folded = self.base.get().map_or(Lsn::ZERO, |base| base.tail.lsn);
        first.map_or_else(|| folded.next(), |entry| entry.lsn)
    }

    /// Begins to keep the beacon.
    pub(crate) fn set_beacon(&self, beacon: Beacon) {
        self.beacon.get_or_init(|| beacon);
    }

    /// Notes in CONTROL how far the journal is durable now.
    pub(crate) fn write_beacon(&self, chain: Option<Chain>, clean: bool) -> Result<()> {
        let Some(beacon) = self.beacon.get() else { return Ok(()) };
        let mut durable = self.sync.durable_tail();
        if let Some(newest) = self.segments().next_back() {
            // Its name and header are durable since it was made, also if no frame of it is.
            durable.end = durable.end.max(segment_start(newest.number()));
        }
        beacon.write(&durable, chain, clean, self.clock.now())
    }

    fn beacon_after_seal(&self, chain: Chain) -> Result<()> {
        self.write_beacon(Some(chain), false)
    }

    fn beacon_lsn(&self) -> Lsn {
        self.beacon.get().map_or(Lsn::ZERO, Beacon::lsn)
    }
}
