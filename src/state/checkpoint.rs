//! Writing base and frozen delta, merged, as the blocks and the directory of the next base.

use std::ops::Bound;

use super::merge::Merge;
use super::prefix::prefix;
use super::{Count, Frozen, Layers};
use crate::error::{Error, Result, code};
use crate::format::block::{BlockBuilder, common_prefix};
use crate::format::checkpoint::{CHECKPOINT_HEADER_BYTES, CollectionImage, DirectoryImage};

/// Blocks are handed on in pieces of about this size.
const PIECE_BYTES: usize = 256 << 10;

/// What [`write`] wrote behind the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Written {
    /// Where the directory begins.
    pub(crate) directory: u64,
    pub(crate) directory_length: u64,
    pub(crate) directory_hash: u128,
}

/// Hands the bytes of a checkpoint to `sink`, from behind its header to its end.
pub(crate) fn write(frozen: &Frozen, mut sink: impl FnMut(&[u8]) -> Result<()>) -> Result<Written> {
    let mut out = Out { place: CHECKPOINT_HEADER_BYTES as u64, piece: Vec::new() };
    let mut directory = DirectoryImage::default();
    for (id, count) in &frozen.counts {
        let collection = out.collection(&frozen.layers(*id), *count, &mut sink)?;
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
        while let Some(head) = merge.next()? {
            if !block.fits(merge.key()) {
                self.finish(&mut block, &mut image);
                if self.piece.len() >= PIECE_BYTES {
                    sink(&self.piece)?;
                    self.place += self.piece.len() as u64;
                    self.piece.clear();
                }
            }
            block.push(merge.key(), head.numbers());
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

/// What all keys of a collection begin with: what its first and its last begin with.
fn common(layers: &Layers<'_>) -> Result<Vec<u8>> {
    let everything = (Bound::Unbounded, Bound::Unbounded);
    let mut first = Merge::new(layers, everything, false)?;
    let mut last = Merge::new(layers, everything, true)?;
    first.next()?;
    last.next()?;
    Ok(common_prefix(first.key(), last.key()).to_vec())
}
