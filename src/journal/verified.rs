//! Which frames of a segment were found sound, so that each is checked before its first byte is
//! given out, and only then.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::format::frame::HEADER_BYTES;

/// Frames that this process wrote, or whose checksum it found right.
#[derive(Debug)]
pub(crate) struct Verified {
    /// A stretch of the segment of which that is true of all frames: where it begins in the upper
    /// half, where it ends in the lower. One word, so that both ends are seen together; the place
    /// that nearly all readers look at stays in the processor's cache.
    stretch: AtomicU64,
    /// The others, one bit for each place a frame can begin.
    bits: OnceLock<Box<[AtomicU64]>>,
    /// Bytes of the segment.
    length: usize,
}

/// The end of a stretch that grows with what is appended.
const OPEN: u32 = u32::MAX;

impl Verified {
    /// Nothing is verified yet in a segment of this length.
    pub(crate) const fn new(length: usize) -> Self {
        Self { stretch: AtomicU64::new(0), bits: OnceLock::new(), length }
    }

    /// Notes the frame that begins and ends there.
    pub(crate) fn add(&self, start: u32, end: u32) {
        let known = self.stretch.load(Ordering::Acquire);
        let (from, to) = unpack(known);
        let grown = match (from, to) {
            (0, 0) => Some(pack(start, end)),
            (from, to) if to == start => Some(pack(from, end)),
            (_, _) => None,
        };
        let set = |new| {
            let order = (Ordering::AcqRel, Ordering::Relaxed);
            self.stretch.compare_exchange(known, new, order.0, order.1).is_ok()
        };
        if !grown.is_some_and(set) {
            let (word, bit) = place(start);
            if let Some(word) = self.words().get(word) {
                word.fetch_or(bit, Ordering::Release);
            }
        }
    }

    /// Notes that whatever will stand from this offset on is appended by this process.
    pub(crate) fn add_all_from(&self, start: u32) {
        let (from, to) = unpack(self.stretch.load(Ordering::Acquire));
        let from = if to == start { from } else { start };
        self.stretch.store(pack(from, OPEN), Ordering::Release);
    }

    /// Forgets all: bytes of the segment turned out not to be what was verified.
    pub(crate) fn clear(&self) {
        self.stretch.store(0, Ordering::Release);
        for word in self.bits.get().map_or(&[][..], |words| words) {
            word.store(0, Ordering::Release);
        }
    }

    /// Whether the frame that begins there is among them.
    #[inline]
    pub(crate) fn has(&self, start: u32) -> bool {
        let (from, to) = unpack(self.stretch.load(Ordering::Acquire));
        (from <= start && start < to) || self.has_bit(start)
    }

    fn has_bit(&self, start: u32) -> bool {
        let (word, bit) = place(start);
        let words = self.bits.get().map_or(&[][..], |words| words);
        words.get(word).is_some_and(|word| word.load(Ordering::Acquire) & bit != 0)
    }

    fn words(&self) -> &[AtomicU64] {
        self.bits.get_or_init(|| {
            let words = self.length / HEADER_BYTES / 64 + 1;
            (0..words).map(|_| AtomicU64::new(0)).collect()
        })
    }
}

/// Frames are at least a header apart, so their starts fall into different units of that size.
const fn place(start: u32) -> (usize, u64) {
    let unit = start as usize / HEADER_BYTES;
    (unit / 64, 1 << (unit % 64))
}

const fn pack(from: u32, to: u32) -> u64 {
    (from as u64) << 32 | to as u64
}

#[expect(clippy::cast_possible_truncation, reason = "each half is meant")]
const fn unpack(stretch: u64) -> (u32, u32) {
    ((stretch >> 32) as u32, stretch as u32)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Frames of 64 to 191 bytes, verified in any order.
        #[test]
        fn a_frame_is_verified_exactly_if_it_was_added(
            lengths in prop::collection::vec(64_u32..192, 1..60),
            order in prop::collection::vec(any::<prop::sample::Index>(), 0..80),
            appended in prop::option::of(any::<prop::sample::Index>()),
        ) {
            let mut start = 128;
            let mut frames = Vec::new();
            for length in lengths {
                frames.push((start, start + length));
                start += length;
            }
            let verified = Verified::new(start as usize);
            let mut model = vec![false; frames.len()];
            for index in order {
                let index = index.index(frames.len());
                verified.add(frames[index].0, frames[index].1);
                model[index] = true;
            }
            if let Some(index) = appended {
                let index = index.index(frames.len());
                verified.add_all_from(frames[index].0);
                model[index..].fill(true);
            }
            for (frame, model) in frames.iter().zip(model) {
                // What is forgotten when appending begins is checked again.
                prop_assert!(!verified.has(frame.0) || model);
                prop_assert!(verified.has(frame.0) || !model || appended.is_some());
            }
        }
    }
}
