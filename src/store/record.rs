//! Records as they were at one moment, one by one and in key order.

use std::collections::VecDeque;

use super::collection::KeyRange;
use super::engine::Engine;
use crate::error::Result;
use crate::format::change::Change;
use crate::format::frame::Frame;
use crate::format::image::Image;
use crate::lsn::Lsn;
use crate::state::Head;
use crate::time::Timestamp;

/// A record at one moment. Key and value are borrowed, from the mapped journal where possible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    pub(crate) key: &'a [u8],
    pub(crate) image: Image<'a>,
    pub(crate) lsn: Lsn,
    pub(crate) time: Timestamp,
}

impl<'a> Record<'a> {
    fn new(frame: &Frame<'a>, change: &Change<'a>) -> Option<Self> {
        Some(Self {
            key: change.key,
            image: change.after?,
            lsn: frame.header.lsn,
            time: frame.header.time,
        })
    }

    /// The key.
    #[must_use]
    pub const fn key(&self) -> &'a [u8] {
        self.key
    }

    /// The value.
    #[must_use]
    pub const fn image(&self) -> Image<'a> {
        self.image
    }

    /// The transaction that wrote this value.
    #[must_use]
    pub const fn lsn(&self) -> Lsn {
        self.lsn
    }

    /// When that transaction was committed.
    #[must_use]
    pub const fn time(&self) -> Timestamp {
        self.time
    }
}

/// The record of this key at `lsn`.
pub(crate) fn read<'a>(
    engine: &'a Engine,
    collection: u32,
    key: &[u8],
    lsn: Lsn,
) -> Result<Option<Record<'a>>> {
    let head = engine.state().head(collection, key);
    match head {
        Some(head) => at(engine, collection, key, head, lsn),
        None => Ok(None),
    }
}

fn at<'a>(
    engine: &'a Engine,
    collection: u32,
    key: &[u8],
    head: Head,
    lsn: Lsn,
) -> Result<Option<Record<'a>>> {
    if head.lsn() <= lsn {
        if head.is_deleted() {
            return Ok(None);
        }
        let (frame, change) = engine.change_of(collection, key, head.position)?;
        return Ok(Record::new(&frame, &change));
    }
    let version = engine.version_at(head, lsn)?;
    Ok(version.and_then(|(frame, change)| Record::new(&frame, &change)))
}

/// How many records of the index are looked at under one lock.
const PAGE: usize = 256;

/// The records of a range at one moment, in key order from both ends.
///
/// The index is read page by page, and no lock is held in between: what is committed meanwhile has
/// a higher LSN and does not show.
#[derive(Debug)]
pub struct Scan<'a> {
    engine: &'a Engine,
    collection: u32,
    lsn: Lsn,
    /// What no page was fetched of yet.
    rest: Option<KeyRange>,
    front: VecDeque<(Box<[u8]>, Head)>,
    /// In descending order: the next one from behind stands first.
    back: VecDeque<(Box<[u8]>, Head)>,
}

impl<'a> Scan<'a> {
    pub(crate) fn new(engine: &'a Engine, collection: u32, range: KeyRange, lsn: Lsn) -> Self {
        Self {
            engine,
            collection,
            lsn,
            rest: Some(range),
            front: VecDeque::new(),
            back: VecDeque::new(),
        }
    }

    /// A scan of a collection that holds nothing.
    pub(crate) fn empty(engine: &'a Engine, lsn: Lsn) -> Self {
        Self {
            engine,
            collection: 0,
            lsn,
            rest: None,
            front: VecDeque::new(),
            back: VecDeque::new(),
        }
    }

    fn fetch(&mut self, reverse: bool) {
        let Some(range) = &mut self.rest else { return };
        let page = self.engine.state().page(self.collection, range.as_bounds(), reverse, PAGE);
        match page.last() {
            Some((key, _)) if page.len() == PAGE => {
                if reverse {
                    range.end_before(key);
                } else {
                    range.start_behind(key);
                }
            }
            Some(_) | None => self.rest = None,
        }
        if reverse {
            self.back.extend(page);
        } else {
            self.front.extend(page);
        }
    }

    fn pop(&mut self, reverse: bool) -> Option<(Box<[u8]>, Head)> {
        let near = if reverse { &self.back } else { &self.front };
        if near.is_empty() {
            self.fetch(reverse);
        }
        if reverse {
            self.back.pop_front().or_else(|| self.front.pop_back())
        } else {
            self.front.pop_front().or_else(|| self.back.pop_back())
        }
    }

    fn step(&mut self, reverse: bool) -> Option<Result<Record<'a>>> {
        loop {
            let (key, head) = self.pop(reverse)?;
            match at(self.engine, self.collection, &key, head, self.lsn) {
                Ok(Some(record)) => return Some(Ok(record)),
                Ok(None) => {}
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

impl<'a> Iterator for Scan<'a> {
    type Item = Result<Record<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        self.step(false)
    }
}

impl DoubleEndedIterator for Scan<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.step(true)
    }
}
