//! The layers of the index, read as one: what is newer hides what is older.
//!
//! Each layer is a source of records in key order. The source whose record comes next is chosen
//! and then followed as long as its records stand before those of all others: a *run*. Keys are
//! compared by eight of their bytes, as numbers; only keys that agree in these are looked at.

use std::cmp::Ordering;
use std::ops::Bound;

use super::base::BaseCursor;
use super::delta::DeltaCursor;
use super::key::Key;
use super::prefix::{prefix, word};
use super::{Head, Layers, Range};
use crate::error::Result;
use crate::format::block::Block;

/// The records of a range of one collection, in key order or against it.
#[derive(Debug)]
pub(super) struct Merge<'a> {
    /// Newest first.
    sources: Vec<Source<'a>>,
    /// The numbers of the sources that have records left, in the order in which these come. The
    /// first is the one that is followed.
    order: Vec<usize>,
    way: Way<'a>,
    /// Where its run ends.
    run: Until<'a>,
    stop: Until<'a>,
    /// The key of the record that was returned last.
    key: Key<'a>,
}

/// What all sources are read by.
#[derive(Clone, Copy, Debug)]
struct Way<'a> {
    /// What words leave out.
    common: &'a [u8],
    /// Whether anything is compared: if not, keys need not be looked at.
    compares: bool,
    reverse: bool,
}

/// A layer, and its record that comes next.
#[derive(Debug)]
struct Source<'a> {
    cursor: Cursor<'a>,
    next: Option<Next<'a>>,
}

#[derive(Debug)]
enum Cursor<'a> {
    Delta(DeltaCursor<'a>),
    Base(BaseCursor<'a>, Shared<'a>),
}

/// What all keys of a block begin with, as far as it shows in their words.
#[derive(Clone, Copy, Debug, Default)]
struct Shared<'a> {
    bytes: &'a [u8],
    word: u64,
    /// Bits of a word that are the same for all.
    bits: u32,
}

#[derive(Clone, Copy, Debug)]
struct Next<'a> {
    /// Eight bytes of the key.
    word: u64,
    key: Key<'a>,
    head: Head,
}

/// A place among the keys.
#[derive(Clone, Copy, Debug)]
enum Until<'a> {
    /// Where all records stand before.
    End,
    /// Beside this key, whose word stands first; the record of the key itself stands before it if
    /// so said.
    Key(u64, Key<'a>, bool),
}

impl<'a> Merge<'a> {
    pub(super) fn new(layers: &Layers<'a>, range: Range<'a>, reverse: bool) -> Result<Self> {
        let (from, stop) = if reverse { (range.1, range.0) } else { range };
        let way = Way { common: layers.common(), compares: true, reverse };
        let mut sources = Vec::with_capacity(layers.deltas.len() + layers.bases.len());
        for delta in layers.deltas.into_iter().flatten() {
            let cursor = match from {
                Bound::Unbounded if reverse => delta.end(layers.collection),
                Bound::Unbounded => delta.start(layers.collection),
                Bound::Included(key) | Bound::Excluded(key) => delta.seek(layers.collection, key),
            };
            let Some(cursor) = cursor else { continue };
            sources.push(Source::new(Cursor::Delta(cursor), way, from)?);
        }
        for base in layers.bases {
            let cursor = match from {
                Bound::Unbounded if reverse => base.end(layers.collection),
                Bound::Unbounded => base.start(layers.collection),
                Bound::Included(key) | Bound::Excluded(key) => base.seek(layers.collection, key)?,
            };
            let Some(cursor) = cursor else { continue };
            sources.push(Source::new(Cursor::Base(cursor, Shared::default()), way, from)?);
        }
        let stop = match stop {
            Bound::Unbounded => Until::End,
            Bound::Included(key) => Until::Key(prefix(way.common, key), Key::whole(key), true),
            Bound::Excluded(key) => Until::Key(prefix(way.common, key), Key::whole(key), false),
        };
        let order = Vec::with_capacity(sources.len());
        let mut merge = Self { sources, order, way, run: stop, stop, key: Key::default() };
        for source in 0..merge.sources.len() {
            merge.insert(source)?;
        }
        merge.find_end_of_run();
        merge.way.compares = merge.order.len() > 1 || !matches!(stop, Until::End);
        Ok(merge)
    }

    /// The key of the record that was returned last.
    pub(super) const fn key(&self) -> Key<'a> {
        self.key
    }

    /// The next record; its key is then [`key`](Self::key).
    pub(super) fn next(&mut self) -> Result<Option<Head>> {
        loop {
            if let Some(source) = self.followed()
                && let Some(next) = source.next
                && self.way.is_before(&next, &self.run)
            {
                self.key = next.key;
                let way = self.way;
                if let Some(source) = self.followed_mut() {
                    source.step(way)?;
                }
                return Ok(Some(next.head));
            }
            if !self.turn()? {
                return Ok(None);
            }
        }
    }

    /// Appends the newest changes of up to `limit` records to `heads`; the key of the last one is
    /// then [`key`](Self::key).
    pub(super) fn fill(&mut self, limit: usize, heads: &mut Vec<Head>) -> Result<()> {
        while heads.len() < limit {
            self.copy_block(limit, heads);
            if heads.len() == limit {
                break;
            }
            match self.next()? {
                Some(head) => heads.push(head),
                None => break,
            }
        }
        Ok(())
    }

    fn followed(&self) -> Option<&Source<'a>> {
        self.sources.get(*self.order.first()?)
    }

    fn followed_mut(&mut self) -> Option<&mut Source<'a>> {
        self.sources.get_mut(*self.order.first()?)
    }

    /// Copies what a block has left, as it stands there, if all of that belongs to the run: but for
    /// its last record, which goes the ordinary way.
    fn copy_block(&mut self, limit: usize, heads: &mut Vec<Head>) {
        let (way, run) = (self.way, self.run);
        let Some(source) = self.followed_mut() else { return };
        let Cursor::Base(cursor, shared) = &mut source.cursor else { return };
        let Some((block, from)) = cursor.looked_at() else { return };
        let last = block.len().saturating_sub(1);
        if way.reverse || last <= from || source.next.is_none() {
            return;
        }
        if way.compares && !way.is_before(&shared.next(way, &block, last), &run) {
            return;
        }
        let to = last.min(from.saturating_add(limit - heads.len()));
        heads.extend((from..to).map(|index| Head::from_numbers(block.numbers(index))));
        cursor.advance(to - from);
        source.next = Some(shared.next(way, &block, to));
        self.key = key_in(&block, to - 1);
    }

    /// Turns to the source whose record comes next. Returns false if no record is left.
    fn turn(&mut self) -> Result<bool> {
        if self.order.is_empty() {
            return Ok(false);
        }
        let followed = self.order.remove(0);
        self.insert(followed)?;
        self.find_end_of_run();
        let next = self.followed().and_then(|source| source.next);
        Ok(next.is_some_and(|next| self.way.is_before(&next, &self.stop)))
    }

    /// Puts a source where its record belongs. Of two records of one key the older is passed.
    fn insert(&mut self, source: usize) -> Result<()> {
        let mut source = source;
        let mut at = 0;
        while let Some(next) = self.next_of(source) {
            let Some(other) = self.order.get(at).copied() else {
                self.order.push(source);
                return Ok(());
            };
            let Some(there) = self.next_of(other) else { return Ok(()) };
            match self.way.order(&next, &there) {
                Ordering::Greater => at += 1,
                Ordering::Less => {
                    self.order.insert(at, source);
                    return Ok(());
                }
                Ordering::Equal => {
                    // The newer one takes the place; the older one looks for another behind it.
                    if let Some(place) = self.order.get_mut(at) {
                        *place = source.min(other);
                    }
                    source = source.max(other);
                    if let Some(older) = self.sources.get_mut(source) {
                        older.step(self.way)?;
                    }
                    at += 1;
                }
            }
        }
        Ok(())
    }

    fn next_of(&self, source: usize) -> Option<Next<'a>> {
        self.sources.get(source)?.next
    }

    /// A run ends where the next source's record stands, or where the range ends.
    fn find_end_of_run(&mut self) {
        let other = self.order.get(1).and_then(|source| self.next_of(*source));
        self.run = match other {
            Some(other) if self.way.is_before(&other, &self.stop) => {
                Until::Key(other.word, other.key, false)
            }
            Some(_) | None => self.stop,
        };
    }
}

impl Way<'_> {
    /// How two records compare by their places on the way.
    fn order(&self, a: &Next<'_>, b: &Next<'_>) -> Ordering {
        self.order_to(a, b.word, &b.key)
    }

    fn order_to(&self, next: &Next<'_>, word: u64, key: &Key<'_>) -> Ordering {
        let order = next.word.cmp(&word).then_with(|| next.key.compare(key));
        if self.reverse { order.reverse() } else { order }
    }

    fn is_before(&self, next: &Next<'_>, until: &Until<'_>) -> bool {
        match until {
            Until::End => true,
            Until::Key(word, key, inclusive) => {
                let order = self.order_to(next, *word, key);
                order.is_lt() || (*inclusive && order.is_eq())
            }
        }
    }
}

impl<'a> Source<'a> {
    fn new(cursor: Cursor<'a>, way: Way<'a>, from: Bound<&[u8]>) -> Result<Self> {
        let mut source = Self { cursor, next: None };
        // The cursor stands before a record of the very key that the walk begins at.
        let passed = match from {
            Bound::Included(key) if way.reverse => Some(key),
            Bound::Excluded(key) if !way.reverse => Some(key),
            Bound::Included(_) | Bound::Excluded(_) | Bound::Unbounded => None,
        };
        if let Some(key) = passed {
            source.pass(key)?;
        }
        source.look(way)?;
        Ok(source)
    }

    /// Passes the record behind the cursor if it is that of `key`.
    fn pass(&mut self, key: &[u8]) -> Result<()> {
        match &mut self.cursor {
            Cursor::Delta(cursor) => {
                let mut ahead = *cursor;
                if ahead.next().is_some_and(|(found, _)| found == key) {
                    *cursor = ahead;
                }
            }
            Cursor::Base(cursor, _) => {
                if let Some((block, index)) = cursor.behind()?
                    && block.compare(index, key).is_eq()
                {
                    cursor.advance(1);
                }
            }
        }
        Ok(())
    }

    /// Passes the record that comes next.
    fn step(&mut self, way: Way<'a>) -> Result<()> {
        if let Cursor::Base(cursor, _) = &mut self.cursor
            && !way.reverse
        {
            cursor.advance(1);
        }
        self.look(way)
    }

    /// Finds out which record comes next. A delta's cursor then stands behind it, and so does that
    /// of a base when it goes backwards.
    fn look(&mut self, way: Way<'a>) -> Result<()> {
        self.next = match &mut self.cursor {
            Cursor::Delta(cursor) => {
                let found = if way.reverse { cursor.previous() } else { cursor.next() };
                found.map(|(key, head)| Next {
                    word: prefix(way.common, key),
                    key: Key::whole(key),
                    head,
                })
            }
            Cursor::Base(cursor, shared) => {
                let found = if way.reverse { cursor.previous()? } else { cursor.behind()? };
                found.map(|(block, index)| shared.next(way, &block, index))
            }
        };
        Ok(())
    }
}

impl<'a> Shared<'a> {
    /// A record of a block. What the keys of the block begin with is looked at once.
    fn next(&mut self, way: Way<'a>, block: &Block<'a>, index: usize) -> Next<'a> {
        let key = key_in(block, index);
        if !way.compares {
            return Next { word: 0, key, head: Head::from_numbers(block.numbers(index)) };
        }
        if !std::ptr::eq(self.bytes, key.start) {
            let shown = key.start.get(way.common.len()..).unwrap_or_default();
            let bits = u32::try_from(shown.len() * 8).unwrap_or(u32::MAX);
            *self = Self { bytes: key.start, word: word(shown), bits };
        }
        let rest = word(key.rest).checked_shr(self.bits).unwrap_or(0);
        Next { word: self.word | rest, key, head: Head::from_numbers(block.numbers(index)) }
    }
}

fn key_in<'a>(block: &Block<'a>, index: usize) -> Key<'a> {
    Key { start: block.shared(), rest: block.suffix(index) }
}
