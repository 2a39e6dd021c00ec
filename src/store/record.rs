//! Records as they were at one moment, one by one and in key order.

use std::fmt;

use super::collection::KeyRange;
use super::engine::Engine;
use crate::error::Result;
use crate::format::frame::LazyHeader;
use crate::format::image::Image;
use crate::journal::segment::Version;
use crate::lsn::Lsn;
use crate::state::{Head, Page};
use crate::time::Timestamp;

/// A record at one moment. Key and value are borrowed, from the mapped journal where possible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    pub(crate) key: &'a [u8],
    pub(crate) image: Image<'a>,
    pub(crate) lsn: Lsn,
    pub(crate) time: When<'a>,
}

/// A commit time, or where it stands.
#[derive(Clone, Copy)]
pub(crate) enum When<'a> {
    At(Timestamp),
    In(LazyHeader<'a>),
}

impl When<'_> {
    fn time(self) -> Timestamp {
        match self {
            Self::At(time) => time,
            Self::In(header) => header.time(),
        }
    }
}

impl PartialEq for When<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.time() == other.time()
    }
}

impl Eq for When<'_> {}

impl fmt::Debug for When<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.time().fmt(f)
    }
}

impl<'a> Record<'a> {
    #[inline]
    const fn new((lsn, version, image): (Lsn, Version<'a>, Image<'a>)) -> Self {
        Self { key: version.key, image, lsn, time: When::In(version.header) }
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
    pub fn time(&self) -> Timestamp {
        self.time.time()
    }
}

/// The record of this key at `lsn`.
pub(crate) fn read<'a>(
    engine: &'a Engine,
    collection: u32,
    key: &[u8],
    lsn: Lsn,
) -> Result<Option<Record<'a>>> {
    match engine.index(|state| state.head(collection, key))? {
        Some(head) => {
            engine.journal.prefetch([head.position].into_iter());
            at(engine, head, lsn, |version| version.is_of(collection, key))
        }
        None => Ok(None),
    }
}

/// How many records are looked up together.
const GROUP: usize = 32;

/// The records of these keys at `lsn`.
pub(crate) fn read_all<'a, K: AsRef<[u8]>>(
    engine: &'a Engine,
    collection: u32,
    keys: &[K],
    lsn: Lsn,
) -> Result<Vec<Option<Record<'a>>>> {
    let mut found = Vec::with_capacity(keys.len());
    let mut heads = Vec::with_capacity(GROUP);
    for group in keys.chunks(GROUP) {
        engine.index(|state| state.heads(collection, group, &mut heads))?;
        engine.journal.prefetch(heads.iter().flatten().map(|head: &Head| head.position));
        for (key, head) in group.iter().zip(&heads) {
            found.push(match head {
                Some(head) => {
                    at(engine, *head, lsn, |version| version.is_of(collection, key.as_ref()))?
                }
                None => None,
            });
        }
    }
    Ok(found)
}

/// The version of a record at `lsn`. `is_it` knows the record's changes.
#[inline]
fn at(
    engine: &Engine,
    head: Head,
    lsn: Lsn,
    is_it: impl Fn(&Version<'_>) -> bool,
) -> Result<Option<Record<'_>>> {
    if head.is_deleted() && head.lsn() <= lsn {
        return Ok(None);
    }
    Ok(engine.version_at(head, lsn, is_it)?.map(Record::new))
}

/// How many records of the index are looked at under one lock.
const PAGE: usize = 128;
/// How many records ahead of the one that is read the journal is asked for.
const AHEAD: usize = 32;

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
    front: Fetched,
    /// In descending order: the next one from behind stands first.
    back: Fetched,
    /// Reused.
    page: Page,
    /// The whole range, and the keys between which lies what was not returned yet.
    bounds: KeyRange,
    after: Option<&'a [u8]>,
    before: Option<&'a [u8]>,
}

/// A page of which records are taken from both ends.
#[derive(Debug, Default)]
struct Fetched {
    heads: Vec<Head>,
    /// How many were taken from the front.
    taken: usize,
    /// How many of their changes were asked for.
    asked: usize,
}

impl Fetched {
    const fn is_empty(&self) -> bool {
        self.taken == self.heads.len()
    }

    /// Takes over a page, in place of one of which nothing is left.
    fn take_from(&mut self, page: &mut Vec<Head>) {
        std::mem::swap(&mut self.heads, page);
        self.taken = 0;
        self.asked = 0;
    }

    /// The next heads whose changes are to be asked for; nothing most of the time.
    fn ahead(&mut self) -> &[Head] {
        if self.taken + AHEAD / 2 < self.asked {
            return &[];
        }
        let from = self.asked;
        self.asked = (self.taken + AHEAD).min(self.heads.len());
        self.heads.get(from..self.asked).unwrap_or_default()
    }

    fn pop_first(&mut self) -> Option<Head> {
        let first = *self.heads.get(self.taken)?;
        self.taken += 1;
        Some(first)
    }

    fn pop_last(&mut self) -> Option<Head> {
        if self.is_empty() { None } else { self.heads.pop() }
    }
}

impl<'a> Scan<'a> {
    pub(crate) fn new(engine: &'a Engine, collection: u32, range: KeyRange, lsn: Lsn) -> Self {
        Self {
            engine,
            collection,
            lsn,
            bounds: range.clone(),
            after: None,
            before: None,
            rest: Some(range),
            front: Fetched::default(),
            back: Fetched::default(),
            page: Page::new(PAGE),
        }
    }

    /// A scan of a collection that holds nothing.
    pub(crate) fn empty(engine: &'a Engine, lsn: Lsn) -> Self {
        Self {
            engine,
            collection: 0,
            lsn,
            bounds: KeyRange::all(),
            after: None,
            before: None,
            rest: None,
            front: Fetched::default(),
            back: Fetched::default(),
            page: Page::new(PAGE),
        }
    }

    fn fetch(&mut self, reverse: bool) -> Result<()> {
        let Some(range) = &mut self.rest else { return Ok(()) };
        let (collection, page) = (self.collection, &mut self.page);
        page.heads.reserve(page.limit);
        self.engine.index(|state| state.page(collection, range.as_bounds(), reverse, page))?;
        if !page.is_full() {
            self.rest = None;
        } else if reverse {
            range.end_before(&page.last);
        } else {
            range.start_behind(&page.last);
        }
        let near = if reverse { &mut self.back } else { &mut self.front };
        near.take_from(&mut page.heads);
        Ok(())
    }

    fn pop(&mut self, reverse: bool) -> Result<Option<Head>> {
        let near = if reverse { &self.back } else { &self.front };
        if near.is_empty() {
            self.fetch(reverse)?;
        }
        let near = if reverse { &mut self.back } else { &mut self.front };
        self.engine.journal.prefetch(near.ahead().iter().map(|head| head.position));
        Ok(if reverse {
            self.back.pop_first().or_else(|| self.front.pop_last())
        } else {
            self.front.pop_first().or_else(|| self.back.pop_last())
        })
    }

    fn step(&mut self, reverse: bool) -> Result<Option<Record<'a>>> {
        while let Some(head) = self.pop(reverse)? {
            // The page holds no keys: the change itself must be of a record of the range that lies
            // between those that were returned already.
            let is_it = |version: &Version<'_>| {
                version.collection == self.collection
                    && match self.after {
                        Some(after) => version.key > after,
                        None => self.bounds.begins_before(version.key),
                    }
                    && match self.before {
                        Some(before) => version.key < before,
                        None => self.bounds.ends_behind(version.key),
                    }
            };
            if let Some(record) = at(self.engine, head, self.lsn, is_it)? {
                let passed = if reverse { &mut self.before } else { &mut self.after };
                *passed = Some(record.key);
                return Ok(Some(record));
            }
        }
        Ok(None)
    }
}

impl<'a> Iterator for Scan<'a> {
    type Item = Result<Record<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        self.step(false).transpose()
    }
}

impl DoubleEndedIterator for Scan<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.step(true).transpose()
    }
}
