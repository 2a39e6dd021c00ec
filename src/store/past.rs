//! The past as it was written: the versions of a record, and the transactions of the journal.

use std::fmt;
use std::ops::{Bound, RangeBounds};

use super::Store;
use super::catalogue::{Catalogue, Entry};
use super::collection::{Collection, check_key};
use super::engine::Engine;
use crate::error::{Error, Result, code};
use crate::format::change::Change;
use crate::format::cursor::Malformed;
use crate::format::digest::StateDigest;
use crate::format::frame::{Changes, Frame};
use crate::format::image::{Image, Op};
use crate::format::metadata::Metadata;
use crate::journal::Journal;
use crate::journal::reader::Frames;
use crate::lsn::{Lsn, Position};
use crate::time::Timestamp;

/// One version of a record: what a transaction made of it, with both images.
#[derive(Clone, Debug)]
pub struct Version<'a> {
    key: &'a [u8],
    lsn: Lsn,
    time: Timestamp,
    op: Op,
    before: Option<Image<'a>>,
    after: Option<Image<'a>>,
    metadata: Metadata,
}

impl<'a> Version<'a> {
    /// The record's key.
    #[must_use]
    pub const fn key(&self) -> &'a [u8] {
        self.key
    }

    /// The transaction.
    #[must_use]
    pub const fn lsn(&self) -> Lsn {
        self.lsn
    }

    /// When it was committed.
    #[must_use]
    pub const fn time(&self) -> Timestamp {
        self.time
    }

    /// What it did to the record.
    #[must_use]
    pub const fn op(&self) -> Op {
        self.op
    }

    /// The value before; `None` if the record did not exist.
    #[must_use]
    pub const fn before(&self) -> Option<Image<'a>> {
        self.before
    }

    /// The value after; `None` if the record was deleted.
    #[must_use]
    pub const fn after(&self) -> Option<Image<'a>> {
        self.after
    }

    /// Who wrote it, why, and in what context.
    #[must_use]
    pub const fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// Who wrote it.
    #[must_use]
    pub fn actor(&self) -> Option<&str> {
        self.metadata.actor.as_deref()
    }

    /// Why.
    #[must_use]
    pub fn message(&self) -> Option<&str> {
        self.metadata.message.as_deref()
    }
}

/// One line: LSN, time, operation, actor, message.
impl fmt::Display for Version<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}  {}  {}", self.lsn, self.time, self.op)?;
        for text in [&self.metadata.actor, &self.metadata.message].into_iter().flatten() {
            write!(f, "  {text}")?;
        }
        Ok(())
    }
}

/// The versions of a record, newest first. Costs what its versions cost, however long the journal.
#[derive(Debug)]
pub struct History<'a> {
    engine: &'a Engine,
    next: Position,
    /// Versions after this are not published yet.
    until: Lsn,
}

impl<'a> Iterator for History<'a> {
    type Item = Result<Version<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.next.is_none() {
            let (frame, change) = match self.engine.journal.change(self.next) {
                Ok(found) => found,
                Err(error) => {
                    self.next = Position::NONE;
                    return Some(Err(error));
                }
            };
            // What was folded away is no version any more.
            let is_folded = self.engine.journal.is_folded(change.previous);
            self.next = if is_folded { Position::NONE } else { change.previous };
            if frame.header.lsn <= self.until {
                return Some(metadata(&self.engine.journal, &frame).map(|metadata| Version {
                    key: change.key,
                    lsn: frame.header.lsn,
                    time: frame.header.time,
                    op: change.op,
                    before: change.before,
                    after: change.after,
                    metadata,
                }));
            }
        }
        None
    }
}

/// What a transaction is read from: the journal, and the names of collections.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Source<'a> {
    pub(crate) journal: &'a Journal,
    pub(crate) catalogue: &'a Catalogue,
}

impl<'a> Source<'a> {
    fn of(engine: &'a Engine) -> Self {
        Self { journal: &engine.journal, catalogue: &engine.catalogue }
    }
}

/// A transaction of the journal.
#[derive(Clone, Debug)]
pub struct TransactionView<'a> {
    source: Source<'a>,
    frame: Frame<'a>,
    metadata: Metadata,
}

impl<'a> TransactionView<'a> {
    pub(crate) fn new(source: Source<'a>, frame: Frame<'a>) -> Result<Self> {
        Ok(Self { source, frame, metadata: metadata(source.journal, &frame)? })
    }

    /// The frame that holds it.
    pub(crate) const fn frame(&self) -> &Frame<'a> {
        &self.frame
    }

    /// The transaction's number.
    #[must_use]
    pub const fn lsn(&self) -> Lsn {
        self.frame.header.lsn
    }

    /// When it was committed.
    #[must_use]
    pub const fn time(&self) -> Timestamp {
        self.frame.header.time
    }

    /// The digest of the state after it.
    #[must_use]
    pub const fn digest(&self) -> StateDigest {
        self.frame.header.digest
    }

    /// Who wrote it, why, and in what context.
    #[must_use]
    pub const fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// How many changes it holds, those of the store's own collections included.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.frame.header.changes as usize
    }

    /// Whether it holds no change, which no transaction of this release does.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The changes in their order.
    #[must_use]
    pub fn changes(&self) -> ChangeViews<'a> {
        ChangeViews {
            source: self.source,
            frame: self.frame,
            changes: self.frame.changes(),
            order: 0,
        }
    }
}

/// The changes of a transaction.
#[derive(Clone, Debug)]
pub struct ChangeViews<'a> {
    source: Source<'a>,
    frame: Frame<'a>,
    changes: Changes<'a>,
    order: u32,
}

impl<'a> Iterator for ChangeViews<'a> {
    type Item = Result<ChangeView<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        let found = self.changes.next()?;
        let order = self.order;
        self.order += 1;
        let view = |(position, change): (Position, Change<'a>)| {
            let entry = self.source.catalogue.by_id(change.collection)?;
            Ok(ChangeView { source: self.source, order, position, change, entry })
        };
        Some(match found {
            Ok(found) => view(found),
            Err(malformed) => Err(self.source.journal.damaged(&self.frame, malformed)),
        })
    }
}

/// One change of a transaction.
#[derive(Clone, Copy, Debug)]
pub struct ChangeView<'a> {
    source: Source<'a>,
    order: u32,
    pub(crate) position: Position,
    pub(crate) change: Change<'a>,
    pub(crate) entry: &'a Entry,
}

impl<'a> ChangeView<'a> {
    /// The change's place in its transaction, from 0.
    #[must_use]
    pub const fn order(&self) -> u32 {
        self.order
    }

    /// The record's collection.
    #[must_use]
    pub fn collection(&self) -> &'a str {
        &self.entry.name
    }

    /// Whether the collection is one of the store's own.
    #[must_use]
    pub fn is_system(&self) -> bool {
        self.entry.is_system()
    }

    /// The record's key.
    #[must_use]
    pub const fn key(&self) -> &'a [u8] {
        self.change.key
    }

    /// What was done to the record.
    #[must_use]
    pub const fn op(&self) -> Op {
        self.change.op
    }

    /// The value before; `None` if the record did not exist.
    #[must_use]
    pub const fn before(&self) -> Option<Image<'a>> {
        self.change.before
    }

    /// The value after; `None` if the record was deleted.
    #[must_use]
    pub const fn after(&self) -> Option<Image<'a>> {
        self.change.after
    }

    /// The transaction that changed this record before; zero if there is none.
    ///
    /// # Errors
    /// `Corrupt` if it can't be read.
    pub fn previous_lsn(&self) -> Result<Lsn> {
        if self.change.previous.is_none() {
            return Ok(Lsn::ZERO);
        }
        let journal = self.source.journal;
        if journal.is_folded(self.change.previous) {
            return Ok(journal.first().previous());
        }
        Ok(journal.change(self.change.previous)?.0.header.lsn)
    }
}

/// Transactions of the journal in their order, from both ends.
#[derive(Debug)]
pub struct Transactions<'a> {
    engine: &'a Engine,
    frames: Frames<'a>,
}

impl<'a> Iterator for Transactions<'a> {
    type Item = Result<TransactionView<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        let frame = self.frames.next()?;
        Some(frame.and_then(|frame| TransactionView::new(Source::of(self.engine), frame)))
    }
}

impl DoubleEndedIterator for Transactions<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        let frame = self.frames.next_back()?;
        Some(frame.and_then(|frame| TransactionView::new(Source::of(self.engine), frame)))
    }
}

impl Store {
    /// The versions of a record, newest first; deletions are versions too.
    ///
    /// # Errors
    /// `Invalid` for a key over its limit; each item may be `Corrupt`.
    pub fn history<T: ?Sized, C>(
        &self,
        collection: &Collection<T, C>,
        key: impl AsRef<[u8]>,
    ) -> Result<History<'_>> {
        check_key(key.as_ref())?;
        let id = self.engine.catalogue.by_name(collection.name()).map(|entry| entry.id);
        self.versions(id, key.as_ref())
    }

    /// [`history`](Self::history), by name and bytes.
    ///
    /// # Errors
    /// `NotFound` if there never was such a collection; `Invalid`; each item may be `Corrupt`.
    pub fn record_history(&self, collection: &str, key: &[u8]) -> Result<History<'_>> {
        check_key(key)?;
        let id = self.engine.catalogue.existing(collection)?.id;
        self.versions(Some(id), key)
    }

    fn versions(&self, collection: Option<u32>, key: &[u8]) -> Result<History<'_>> {
        let engine = &*self.engine;
        let head = match collection {
            Some(collection) => engine.index(|state| state.head(collection, key))?,
            None => None,
        };
        let next = head.map_or(Position::NONE, |head| head.position);
        Ok(History { engine, next, until: engine.visible() })
    }

    /// The transactions of a range, as far as they are published.
    ///
    /// # Errors
    /// `OutsideWindow` if the range begins before what is kept; each item may be `Corrupt`.
    pub fn transactions(&self, range: impl RangeBounds<Lsn>) -> Result<Transactions<'_>> {
        let engine = &*self.engine;
        let first = match range.start_bound() {
            Bound::Unbounded => engine.journal.first(),
            Bound::Included(lsn) => (*lsn).max(Lsn::new(1)),
            Bound::Excluded(lsn) => lsn.next(),
        };
        let last = match range.end_bound() {
            Bound::Unbounded => engine.visible(),
            Bound::Included(lsn) => (*lsn).min(engine.visible()),
            Bound::Excluded(lsn) => lsn.previous().min(engine.visible()),
        };
        if first < engine.journal.first() && first <= last {
            engine.check_window(first.previous())?;
        }
        Ok(Transactions { engine, frames: engine.journal.frames(first, last) })
    }

    /// One transaction.
    ///
    /// # Errors
    /// `OutsideWindow` if it is not kept or not there yet; `Corrupt`.
    pub fn transaction(&self, lsn: Lsn) -> Result<TransactionView<'_>> {
        self.engine.check_window(lsn)?;
        if lsn == Lsn::ZERO {
            return Err(Error::new(
                &code::OUTSIDE_WINDOW,
                "LSN 0 is the empty store, before the first transaction",
            ));
        }
        TransactionView::new(Source::of(&self.engine), self.engine.journal.find(lsn)?)
    }
}

fn metadata(journal: &Journal, frame: &Frame<'_>) -> Result<Metadata> {
    frame.metadata().map_err(|malformed: Malformed| journal.damaged(frame, malformed))
}

/// When and by whom a record that exists at `until` was created, however often it was changed.
pub(crate) fn creation(
    engine: &Engine,
    collection: u32,
    key: &[u8],
    until: Lsn,
) -> Result<(Timestamp, Metadata)> {
    let head = engine.index(|state| state.head(collection, key))?;
    let next = head.map_or(Position::NONE, |head| head.position);
    let mut found = (Timestamp::default(), Metadata::default());
    for version in (History { engine, next, until }) {
        let version = version?;
        found = (version.time, version.metadata);
        if version.before.is_none() {
            break;
        }
    }
    Ok(found)
}
