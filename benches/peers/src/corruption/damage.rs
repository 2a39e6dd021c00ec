//! What is done to a file, and to which of its bytes.

use serde::Serialize;

use super::image::{BLOCK_BYTES, FileImage, Image};
use crate::rows::Random;

/// A kind of damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    /// One bit is another.
    Flip,
    /// A block of 512 bytes reads as zeros.
    Zeroed,
    /// The file ends early.
    Cut,
    /// The file is not there.
    Missing,
}

pub(super) const KINDS: [Kind; 4] = [Kind::Flip, Kind::Zeroed, Kind::Cut, Kind::Missing];

impl Kind {
    /// As the tables name it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Flip => "bit flipped",
            Self::Zeroed => "512 bytes zeroed",
            Self::Cut => "cut short",
            Self::Missing => "file missing",
        }
    }
}

/// One damage.
#[derive(Clone, Debug)]
pub(super) struct Damage {
    pub(super) kind: Kind,
    /// Which file of the image.
    pub(super) file: usize,
    /// The byte that is changed, the first of the block, or the new length.
    pub(super) offset: usize,
    pub(super) bit: u32,
}

impl Damage {
    /// The bytes of a file and its length after this.
    pub(super) fn applied(&self, file: &FileImage) -> (Vec<u8>, u64) {
        let (mut bytes, mut length) = (file.bytes.clone(), file.length);
        match self.kind {
            Kind::Flip => bytes[self.offset] ^= 1 << self.bit,
            Kind::Zeroed => {
                let end = bytes.len().min(self.offset + BLOCK_BYTES);
                bytes[self.offset..end].fill(0);
            }
            Kind::Cut => {
                bytes.truncate(self.offset);
                length = self.offset as u64;
            }
            Kind::Missing => {}
        }
        (bytes, length)
    }
}

/// All damages of an image, the same each time: at most so many flips and blocks a file, a quarter
/// as many lengths, and each file missing.
pub(super) fn plan(image: &Image, flips: usize) -> Vec<Damage> {
    let mut damages = Vec::new();
    let mut random = Random::new(7);
    for (number, file) in image.files.iter().enumerate() {
        let mut add = |kind, offset, bit| {
            damages.push(Damage { kind, file: number, offset, bit });
        };
        let live: Vec<usize> = file
            .live_blocks()
            .into_iter()
            .flat_map(|block| block * BLOCK_BYTES..file.bytes.len().min((block + 1) * BLOCK_BYTES))
            .collect();
        for offset in spread(&live, flips, &mut random) {
            add(Kind::Flip, offset, random.below(8) as u32);
        }
        for block in spread(&file.live_blocks(), flips, &mut random) {
            add(Kind::Zeroed, block * BLOCK_BYTES, 0);
        }
        let lengths: Vec<usize> = (0..file.bytes.len()).collect();
        for length in spread(&lengths, flips.div_ceil(4), &mut random) {
            add(Kind::Cut, length, 0);
        }
        add(Kind::Missing, 0, 0);
    }
    damages
}

/// At most so many of them: any one of each of so many equal parts. The first of each would fall
/// on the same fields again and again, as records have the same length.
fn spread(from: &[usize], count: usize, random: &mut Random) -> Vec<usize> {
    let count = count.min(from.len());
    let start = |part| part * from.len() / count;
    let choose = |part| {
        let length = (start(part + 1) - start(part)) as u64;
        from[start(part) + random.below(length) as usize]
    };
    (0..count).map(choose).collect()
}
