//! The base: the index as the newest checkpoint holds it, mapped and never changed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Head;
use super::prefix::{Fences, last_not_greater, prefix};
use crate::error::{Error, Result, code};
use crate::format::block::{self, Block};
use crate::format::checkpoint::{ArchivedCollectionImage, CheckpointHeader, DirectoryImage};
use crate::lsn::Lsn;
use crate::sys::mmap::{Map, prefetch};
use crate::sys::watch::{Vanished, touch, watch};

/// How many cache lines of a block are asked for first: those of the fingerprints and the ends.
const BLOCK_LINES: usize = 2;
const LINE_BYTES: usize = 64;
/// Of blocks of long keys no more lines than these are asked for.
const PREFETCHED_LINES_MAX: usize = 20;
/// So many keys are looked for together.
const TOGETHER: usize = 32;

/// A mapped checkpoint.
#[derive(Debug)]
pub(crate) struct Base {
    path: PathBuf,
    map: Arc<Map>,
    pub(crate) header: CheckpointHeader,
    sections: BTreeMap<u32, Section>,
    /// A bit for each block whose checksum was found right, so that it is computed once.
    intact: Box<[AtomicU64]>,
}

/// What the fences and fingerprints say of a key.
#[derive(Clone, Copy, Debug)]
enum Found<'a> {
    Absent,
    /// At this place, or another key of the same fingerprint is.
    Probably(Block<'a>, usize),
    /// In another block that begins alike, or nowhere.
    Unclear,
}

/// The blocks of one collection.
#[derive(Debug, Default)]
pub(super) struct Section {
    /// How many records the collection has, here and below; and how many of them live.
    pub(super) records: u64,
    pub(super) live: u64,
    /// How many are here.
    entries: u64,
    common: Box<[u8]>,
    fences: Fences,
    /// Where each block begins, and where the last one ends.
    places: Box<[u64]>,
    /// The number of the first block among the blocks of all collections.
    first: usize,
}

impl Base {
    /// Takes a mapped checkpoint into use; says what is wrong with it. Of its blocks nothing is
    /// read yet.
    pub(crate) fn new(
        path: &Path,
        map: Arc<Map>,
        header: CheckpointHeader,
    ) -> Result<Self, &'static str> {
        let length = usize::try_from(header.directory_length).map_err(|_| "length")?;
        let start = usize::try_from(header.directory).map_err(|_| "length")?;
        if start.checked_add(length) != Some(map.length()) {
            return Err("length");
        }
        let directory = map.load(start, length).ok_or("length")?;
        let hash = watch(map.span(), || crate::format::checkpoint::directory_hash(directory));
        if hash.map_err(|Vanished| "directory")? != header.directory_hash {
            return Err("hash");
        }
        let image = DirectoryImage::access(directory).map_err(|_| "archive")?;
        let mut sections = BTreeMap::new();
        let mut blocks = 0;
        for collection in image.collections.iter() {
            let section = Section::new(collection, blocks, header.directory)?;
            blocks += section.len();
            if sections.insert(collection.id.to_native(), section).is_some() {
                return Err("list of collections");
            }
        }
        let intact = (0..=blocks / 64).map(|_| AtomicU64::new(0)).collect();
        Ok(Self { path: path.to_owned(), map, header, sections, intact })
    }

    /// The last transaction in it.
    pub(crate) const fn lsn(&self) -> Lsn {
        self.header.lsn
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes of the file.
    pub(crate) fn bytes(&self) -> u64 {
        self.map.length() as u64
    }

    /// How many records it holds with those below it, tombstones included.
    pub(crate) fn records(&self) -> u64 {
        self.sections.values().map(|section| section.records).sum()
    }

    /// How many of them it holds itself.
    pub(super) fn entries(&self) -> u64 {
        self.sections.values().map(|section| section.entries).sum()
    }

    /// The checkpoint that it stands on, which holds what did not change since then.
    pub(crate) fn below(&self) -> Option<Lsn> {
        (self.header.below > Lsn::ZERO).then_some(self.header.below)
    }

    /// What the keys of a collection begin with, if it holds any.
    pub(super) fn common(&self, collection: u32) -> Option<&[u8]> {
        let section = self.sections.get(&collection)?;
        (section.len() > 0).then_some(&*section.common)
    }

    pub(super) fn collections(&self) -> impl Iterator<Item = (u32, &Section)> {
        self.sections.iter().map(|(id, section)| (*id, section))
    }

    /// A record's newest change.
    pub(super) fn get(&self, collection: u32, key: &[u8]) -> Result<Option<Head>> {
        let Some(section) = self.sections.get(&collection) else { return Ok(None) };
        self.watched(|| {
            let Some(index) = self.block_of(section, key)? else { return Ok(None) };
            self.prefetch_block(section, index);
            Ok(self.block(section, index)?.find(key).map(Head::from_numbers))
        })
    }

    /// Looks into blocks: whatever is read of the map, and is not lent, is read here.
    #[inline]
    fn watched<T>(&self, read: impl FnMut() -> Result<T>) -> Result<T> {
        match watch(self.map.span(), read) {
            Ok(read) => read,
            Err(Vanished) => Err(self.damaged(self.header.directory, "file")),
        }
    }

    /// Asks for all of a block at once: looked at one by one, each of the lines that a search needs
    /// would be waited for.
    fn prefetch_block(&self, section: &Section, index: usize) {
        let bytes = self.bytes_of(section, index);
        bytes.iter().step_by(LINE_BYTES).take(PREFETCHED_LINES_MAX).for_each(prefetch);
    }

    /// The bytes of a block, checked or not; none of one that is not there.
    fn bytes_of(&self, section: &Section, index: usize) -> &[u8] {
        let place = |index: usize| usize::try_from(*section.places.get(index)?).ok();
        let (Some(start), Some(end)) = (place(index), place(index + 1)) else { return &[] };
        self.map.load(start, end.saturating_sub(start)).unwrap_or_default()
    }

    /// The newest changes of records, for those of `heads` that are not known yet. What waits for
    /// memory waits together.
    pub(super) fn get_all<K: AsRef<[u8]>>(
        &self,
        collection: u32,
        keys: &[K],
        heads: &mut [Option<Head>],
    ) -> Result<()> {
        let Some(section) = self.sections.get(&collection) else { return Ok(()) };
        for (keys, heads) in keys.chunks(TOGETHER).zip(heads.chunks_mut(TOGETHER)) {
            self.watched(|| self.get_together((collection, section), keys, heads))?;
        }
        Ok(())
    }

    fn get_together<K: AsRef<[u8]>>(
        &self,
        (collection, section): (u32, &Section),
        keys: &[K],
        heads: &mut [Option<Head>],
    ) -> Result<()> {
        let mut found = [Found::Absent; TOGETHER];
        self.look_for(section, keys, heads, &mut found)?;
        for ((key, head), found) in keys.iter().zip(heads).zip(found) {
            let key = key.as_ref();
            *head = match (*head, found) {
                (None, Found::Probably(block, index))
                    if block.suffix_of(key) == Some(block.suffix(index)) =>
                {
                    Some(Head::from_numbers(block.numbers(index)))
                }
                (None, Found::Probably(_, _) | Found::Unclear) => self.get(collection, key)?,
                (known, _) => known,
            };
        }
        Ok(())
    }

    /// Finds blocks and the places in them where the records probably are, and has them brought
    /// nearer to the processor. Step by step for all keys: while one key's line is waited for,
    /// those of the others are under way.
    fn look_for<'a, K: AsRef<[u8]>>(
        &'a self,
        section: &Section,
        keys: &[K],
        heads: &[Option<Head>],
        found: &mut [Found<'a>; TOGETHER],
    ) -> Result<()> {
        let mut blocks = [None; TOGETHER];
        for (((block, found), key), _) in blocks
            .iter_mut()
            .zip(&mut *found)
            .zip(keys)
            .zip(heads)
            .filter(|(_, head)| head.is_none())
        {
            let (before, behind) = section.blocks_of(key.as_ref());
            // A key that begins as a block does may stand in the one before.
            *found = if before == behind { Found::Absent } else { Found::Unclear };
            *block = behind.checked_sub(1).filter(|_| behind - before <= 1);
        }
        let place = |index: usize| usize::try_from(*section.places.get(index)?).ok();
        for start in blocks.iter().flatten().filter_map(|index| place(*index)) {
            for line in 0..BLOCK_LINES {
                let head = self.map.load(start + line * LINE_BYTES, 1).unwrap_or_default();
                head.iter().for_each(prefetch);
            }
        }
        for ((found, key), index) in found.iter_mut().zip(keys).zip(blocks) {
            let Some(index) = index else { continue };
            let block = self.block(section, index)?;
            if let Some(index) = block.candidate(key.as_ref()) {
                block.parts(index).for_each(prefetch);
                *found = Found::Probably(block, index);
            }
        }
        Ok(())
    }

    /// The last block whose first key is not greater than `key`.
    fn block_of(&self, section: &Section, key: &[u8]) -> Result<Option<usize>> {
        let mut damaged = None;
        let found =
            last_not_greater(section.blocks_of(key), |index| match self.block(section, index) {
                Ok(block) => block.compare(0, key).is_gt(),
                Err(error) => {
                    damaged = Some(error);
                    true
                }
            });
        damaged.map_or(Ok(found), Err)
    }

    fn block(&self, section: &Section, index: usize) -> Result<Block<'_>> {
        let (Some(start), Some(end)) = (section.places.get(index), section.places.get(index + 1))
        else {
            return Err(self.damaged(self.header.directory, "directory"));
        };
        // Lossless: the directory was checked to lie behind all blocks, inside the map.
        let length = usize::try_from(end - start).unwrap_or(0);
        let bytes = usize::try_from(*start).ok().and_then(|start| self.map.load(start, length));
        let bytes = bytes.ok_or_else(|| self.damaged(*start, "block"))?;
        let (word, bit) = ((section.first + index) / 64, 1 << ((section.first + index) % 64));
        let Some(word) = self.intact.get(word) else {
            return Err(self.damaged(*start, "block"));
        };
        let parsed = Block::parse(bytes);
        if word.load(Ordering::Relaxed) & bit == 0 {
            let sound =
                block::is_intact(bytes, *start) && parsed.as_ref().is_ok_and(Block::is_consistent);
            if !sound {
                return Err(self.damaged(*start, "block"));
            }
            word.fetch_or(bit, Ordering::Relaxed);
        }
        parsed.map_err(|malformed| self.damaged(*start, malformed.what))
    }

    /// A block that is lent to who reads many: all of it is there.
    fn lend(&self, section: &Section, index: usize) -> Result<Block<'_>> {
        self.watched(|| {
            touch(self.bytes_of(section, index));
            self.block(section, index)
        })
    }

    fn damaged(&self, offset: u64, what: &str) -> Error {
        Error::new(&code::CHECKPOINT_DAMAGED, format!("the checkpoint's {what} is wrong"))
            .at_path(&self.path)
            .at_offset(offset)
    }

    /// Stands before the first record of a collection.
    pub(super) fn start(&self, collection: u32) -> Option<BaseCursor<'_>> {
        BaseCursor::new(self, collection, 0)
    }

    /// Stands behind the last record of a collection.
    pub(super) fn end(&self, collection: u32) -> Option<BaseCursor<'_>> {
        let section = self.sections.get(&collection)?;
        BaseCursor::new(self, collection, section.len())
    }

    /// Stands before the first record of a collection whose key is not less than `key`.
    pub(super) fn seek(&self, collection: u32, key: &[u8]) -> Result<Option<BaseCursor<'_>>> {
        let Some(section) = self.sections.get(&collection) else { return Ok(None) };
        let found = self.watched(|| {
            let Some(index) = self.block_of(section, key)? else { return Ok((0, 0)) };
            self.prefetch_block(section, index);
            Ok((index, self.block(section, index)?.lower_bound(key)))
        })?;
        let cursor = BaseCursor::new(self, collection, found.0);
        Ok(cursor.map(|cursor| BaseCursor { record: found.1, ..cursor }))
    }
}

impl Section {
    fn new(
        image: &ArchivedCollectionImage,
        first: usize,
        directory: u64,
    ) -> Result<Self, &'static str> {
        let mut place = image.start.to_native();
        let mut places = Vec::with_capacity(image.lengths.len() + 1);
        places.push(place);
        for length in image.lengths.iter() {
            place = place.checked_add(u64::from(length.to_native())).ok_or("places of blocks")?;
            places.push(place);
        }
        let fences: Box<[u64]> = image.fences.iter().map(|fence| fence.to_native()).collect();
        if place > directory || fences.len() != image.lengths.len() || !fences.is_sorted() {
            return Err("list of blocks");
        }
        Ok(Self {
            records: image.records.to_native(),
            live: image.live.to_native(),
            entries: image.entries.to_native(),
            common: image.common.as_slice().into(),
            fences: Fences::new(fences),
            places: places.into_boxed_slice(),
            first,
        })
    }

    const fn len(&self) -> usize {
        self.fences.len()
    }

    /// The number of blocks before those that begin like a key, and with these.
    fn blocks_of(&self, key: &[u8]) -> (usize, usize) {
        self.fences.locate(prefix(&self.common, key))
    }
}

/// A place between two records of the base.
#[derive(Clone, Debug)]
pub(super) struct BaseCursor<'a> {
    base: &'a Base,
    section: &'a Section,
    index: usize,
    record: usize,
    /// The block at `index`, when it was looked at.
    block: Option<Block<'a>>,
}

impl<'a> BaseCursor<'a> {
    fn new(base: &'a Base, collection: u32, index: usize) -> Option<Self> {
        let section = base.sections.get(&collection)?;
        Some(Self { base, section, index, record: 0, block: None })
    }

    /// The block that the record behind this place stands in, and its number there; `None` behind
    /// the last one.
    pub(super) fn behind(&mut self) -> Result<Option<(Block<'a>, usize)>> {
        loop {
            if self.index >= self.section.len() {
                return Ok(None);
            }
            let block = self.load()?;
            if self.record < block.len() {
                return Ok(Some((block, self.record)));
            }
            self.turn_to(self.index + 1);
        }
    }

    /// What [`behind`](Self::behind) returned, if nothing was passed since then but records of that
    /// block.
    pub(super) const fn looked_at(&self) -> Option<(Block<'a>, usize)> {
        match self.block {
            Some(block) => Some((block, self.record)),
            None => None,
        }
    }

    /// Passes `count` records of the block that [`behind`](Self::behind) returned.
    pub(super) fn advance(&mut self, count: usize) {
        self.record += count;
    }

    /// The record before this place, which is passed.
    pub(super) fn previous(&mut self) -> Result<Option<(Block<'a>, usize)>> {
        if self.record == 0 {
            let Some(index) = self.index.checked_sub(1) else { return Ok(None) };
            self.turn_to(index);
            self.record = self.load()?.len();
        }
        let block = self.load()?;
        self.record = self.record.saturating_sub(1);
        Ok(Some((block, self.record)))
    }

    fn load(&mut self) -> Result<Block<'a>> {
        if let Some(block) = self.block {
            return Ok(block);
        }
        // Whoever walks comes to its neighbour soon.
        self.base.prefetch_block(self.section, self.index + 1);
        let block = self.base.lend(self.section, self.index)?;
        self.block = Some(block);
        Ok(block)
    }

    fn turn_to(&mut self, index: usize) {
        self.index = index;
        self.record = 0;
        self.block = None;
    }
}
