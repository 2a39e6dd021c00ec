//! What the machine itself can do, measured beside the workloads: no engine that keeps what ours
//! keeps can do more.

use std::hint::black_box;
use std::path::Path;

use afterimage::Result;

use super::measure::{Measured, Pace};
use crate::files::Scratch;

/// Large enough to lie outside the caches of most machines, as a journal does.
const MEMORY_BYTES: usize = 32 << 20;
/// A file is prepared for this many bytes, or for one write.
const PREPARED_BYTES: usize = 16 << 20;

/// Writes so many bytes into space that was written before, and waits for the disk: what a durable
/// commit does at least.
pub(super) fn write_and_sync(directory: &Path, bytes: usize, pace: Pace) -> Result<Measured> {
    let file = Scratch::create_in(directory, PREPARED_BYTES.max(bytes))?;
    repeat_on_file(file, bytes, pace)
}

/// The same at the end of a file that grows, which has the file system note its length as well.
pub(super) fn append_and_sync(directory: &Path, bytes: usize, pace: Pace) -> Result<Measured> {
    repeat_on_file(Scratch::create_in(directory, 0)?, bytes, pace)
}

fn repeat_on_file(mut file: Scratch, bytes: usize, pace: Pace) -> Result<Measured> {
    let piece = vec![b'x'; bytes];
    pace.repeat(|_| file.write_durably(&piece))
}

/// The memory that copies and checksums go over.
pub(super) struct Memory {
    from: Vec<u8>,
    to: Vec<u8>,
}

impl Memory {
    pub(super) fn new() -> Self {
        // Written, so that the kernel really gives the pages.
        Self { from: vec![1; MEMORY_BYTES], to: vec![2; MEMORY_BYTES] }
    }

    pub(super) const fn bytes(&self) -> u64 {
        self.from.len() as u64
    }

    /// Copies all of it.
    pub(super) fn copy(&mut self, pace: Pace) -> Result<Measured> {
        pace.repeat(|_| {
            self.to.copy_from_slice(black_box(&self.from));
            black_box(&self.to);
            Ok(())
        })
    }

    /// Checksums all of it.
    pub(super) fn checksum(&self, pace: Pace) -> Result<Measured> {
        pace.repeat(|_| {
            black_box(crc32fast::hash(black_box(&self.from)));
            Ok(())
        })
    }

    /// Copies and checksums so many bytes, each time to the place behind the last: what a buffered
    /// commit does at least.
    pub(super) fn copy_and_checksum(&mut self, bytes: usize, pace: Pace) -> Result<Measured> {
        let mut at = 0;
        pace.sampled().repeat(|_| {
            let mut left = bytes;
            while left > 0 {
                let piece = left.min(MEMORY_BYTES);
                if at + piece > MEMORY_BYTES {
                    at = 0;
                }
                let places = self.from.get(at..at + piece).zip(self.to.get_mut(at..at + piece));
                if let Some((from, to)) = places {
                    to.copy_from_slice(from);
                    black_box(crc32fast::hash(to));
                }
                at += piece;
                left -= piece;
            }
            Ok(())
        })
    }
}
