//! Writing a checkpoint: the frozen delta and the newest of the bases, merged into the next one.
//!
//! Bases lie in layers, each larger than all newer ones together: a new one takes in those that
//! would break this. So there are never more than the logarithm of the number of records, and a
//! record is written again only when the layer it lies in has doubled: the logarithmic method of
//! Bentley and Saxe, "Decomposable searching problems I", 1980. While a layer is small beside what
//! comes at once, it is taken in anyway: that costs as much writing as doubling it would, and the
//! fewer layers there are, the faster is what reads.

use std::ops::Bound;

use super::merge::Merge;
use super::prefix::prefix;
use super::{Count, Frozen, Layers};
use crate::error::{Error, Result, code};
use crate::format::block::{BlockBuilder, common_prefix};
use crate::format::checkpoint::{CHECKPOINT_HEADER_BYTES, CollectionImage, DirectoryImage};
use crate::lsn::Lsn;

/// Blocks are handed on in pieces of about this size.
const PIECE_BYTES: usize = 256 << 10;
/// A layer is taken in if it has no more records than so many checkpoints like this one bring.
const CHECKPOINTS_MIN: u64 = 5;

/// What [`write`] wrote behind the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Written {
    /// Where the directory begins.
    pub(crate) directory: u64,
    pub(crate) directory_length: u64,
    pub(crate) directory_hash: u128,
}

/// How much of the state a checkpoint holds itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    /// What changed since an older checkpoint, which it stands on.
    Layer,
    /// Everything.
    Whole,
}

/// What is frozen, and how many of the bases are merged with it.
#[derive(Debug)]
pub(crate) struct Plan<'a> {
    pub(super) frozen: &'a Frozen,
    pub(crate) merged: usize,
}

impl<'a> Plan<'a> {
    pub(crate) fn new(frozen: &'a Frozen, extent: Extent) -> Self {
        let mut merged = 0;
        let mut newer = frozen.delta.len();
        let small = newer.saturating_mul(CHECKPOINTS_MIN);
        for (index, base) in frozen.bases.iter().enumerate() {
            if extent == Extent::Whole || base.entries() <= newer.max(small) {
                merged = index + 1;
            }
            newer += base.entries();
        }
        Self { frozen, merged }
    }

    /// The last transaction in it.
    pub(crate) const fn lsn(&self) -> Lsn {
        self.frozen.lsn
    }

    /// The checkpoint that this one will stand on; zero if there is none.
    pub(crate) fn below(&self) -> Lsn {
        self.frozen.bases.get(self.merged).map_or(Lsn::ZERO, |base| base.lsn())
    }

    fn layers(&self, collection: u32) -> Layers<'a> {
        let bases = self.frozen.bases.get(..self.merged).unwrap_or_default();
        Layers { collection, deltas: [Some(&*self.frozen.delta), None], bases }
    }
}

/// Hands the bytes of a checkpoint to `sink`, from behind its header to its end.
pub(crate) fn write(plan: &Plan<'_>, mut sink: impl FnMut(&[u8]) -> Result<()>) -> Result<Written> {
    let mut out = Out { place: CHECKPOINT_HEADER_BYTES as u64, piece: Vec::new() };
    let mut directory = DirectoryImage::default();
    for (id, count) in &plan.frozen.counts {
        let collection = out.collection(&plan.layers(*id), *count, &mut sink)?;
        directory.collections.push(collection);
    }
    let start = out.place + out.piece.len() as u64;
    let bytes = directory.encode().map_err(|source| {
        Error::new(&code::ENCODE, "the checkpoint can't be written").with_source(source)
    })?;
    out.piece.extend_from_slice(&bytes);
    sink(&out.piece)?;
    Ok(Written {
        directory: start,
        directory_length: bytes.len() as u64,
        directory_hash: crate::format::checkpoint::directory_hash(&bytes),
    })
}

/// Bytes on their way out.
struct Out {
    /// Where `piece` will stand in the file.
    place: u64,
    piece: Vec<u8>,
}

impl Out {
    fn collection(
        &mut self,
        layers: &Layers<'_>,
        count: Count,
        sink: &mut impl FnMut(&[u8]) -> Result<()>,
    ) -> Result<CollectionImage> {
        let mut image = CollectionImage {
            id: layers.collection,
            records: count.records,
            live: count.live,
            common: common(layers)?,
            start: self.place + self.piece.len() as u64,
            ..CollectionImage::default()
        };
        let mut merge = Merge::new(layers, (Bound::Unbounded, Bound::Unbounded), false)?;
        let mut block = BlockBuilder::default();
        let mut key = Vec::new();
        while let Some(head) = merge.next()? {
            key.clear();
            merge.key().append_to(&mut key);
            if !block.fits(&key) {
                self.finish(&mut block, &mut image);
                if self.piece.len() >= PIECE_BYTES {
                    sink(&self.piece)?;
                    self.place += self.piece.len() as u64;
                    self.piece.clear();
                }
            }
            block.push(&key, head.numbers());
            image.entries += 1;
        }
        if !block.is_empty() {
            self.finish(&mut block, &mut image);
        }
        Ok(image)
    }

    fn finish(&mut self, block: &mut BlockBuilder, image: &mut CollectionImage) {
        image.fences.push(prefix(&image.common, block.first()));
        let before = self.piece.len();
        block.finish(&mut self.piece, self.place + before as u64);
        let length = self.piece.len() - before;
        image.lengths.push(u32::try_from(length).unwrap_or(u32::MAX));
    }
}

/// What all keys to be written begin with: what the first and the last begin with.
fn common(layers: &Layers<'_>) -> Result<Vec<u8>> {
    let everything = (Bound::Unbounded, Bound::Unbounded);
    let mut first = Merge::new(layers, everything, false)?;
    let mut last = Merge::new(layers, everything, true)?;
    first.next()?;
    last.next()?;
    Ok(common_prefix(&first.key().to_vec(), &last.key().to_vec()).to_vec())
}
