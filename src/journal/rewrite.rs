//! Writing a segment anew from frames of another store's: piece by piece, sealed where they end.

use std::path::Path;
use std::sync::Arc;

use super::beacon::Chain;
use super::seal::Sealing;
use super::segment::{Tail, entry_of, offset_u32};
use crate::error::Result;
use crate::format::frame::Frame;
use crate::format::seal::{self, Seal, TableEntry};
use crate::sys::{Disk, DiskFile};

/// A segment of which a part is written. What is never sealed is no segment.
#[derive(Debug)]
pub(crate) struct Rewriting {
    file: Arc<dyn DiskFile>,
    seed: u32,
    /// Bytes that the file has, and those of them that are written.
    length: usize,
    written: usize,
    hasher: blake3::Hasher,
    table: Vec<TableEntry>,
    changes: u64,
}

impl Rewriting {
    /// Begins a file for which so much space is allocated; it grows if that is too little.
    pub(crate) fn create(disk: &dyn Disk, path: &Path, seed: u32, length: usize) -> Result<Self> {
        Ok(Self {
            file: disk.create(path, length as u64)?,
            seed,
            length,
            written: 0,
            hasher: blake3::Hasher::new(),
            table: Vec::new(),
            changes: 0,
        })
    }

    /// Where the next bytes will stand.
    pub(crate) fn end(&self) -> u32 {
        offset_u32(self.written)
    }

    /// Notes a transaction whose frame is written here.
    pub(crate) fn note(&mut self, frame: &Frame<'_>) {
        seal::note(&mut self.table, entry_of(frame));
        self.changes += u64::from(frame.header.changes);
    }

    /// Writes the next bytes, the segment's header being the first.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.hasher.update(bytes);
        self.file.write_at(self.written as u64, bytes)?;
        self.written += bytes.len();
        Ok(())
    }

    /// Bytes that the segment will have if nothing more is written.
    pub(crate) fn sealed_bytes(&self) -> usize {
        self.written + Seal::frame_bytes(self.table.len())
    }

    /// Ends the segment behind what was written, which holds the transactions noted, up to `tail`,
    /// and makes it durable. Returns the chain with it.
    pub(crate) fn seal(self, number: u32, tail: &Tail, chain: Chain) -> Result<Chain> {
        let length = self.sealed_bytes();
        let (seal, frame) = Sealing {
            seed: self.seed,
            hash: self.hasher.finalize(),
            end: self.end(),
            tail,
            table: self.table,
            changes: self.changes,
            previous_chain: chain.hash,
        }
        .build();
        self.file.write_at(self.written as u64, &frame)?;
        if length < self.length {
            self.file.truncate(length as u64)?;
        }
        self.file.sync()?;
        Ok(Chain { hash: seal.chain(), segment: number })
    }
}
