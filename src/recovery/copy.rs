//! Restoring a store to a moment, into a new directory.
//!
//! Whole segments are linked or copied as they are, the one with the moment is cut behind it and
//! sealed anew. The copy is built under another name, opened, which replays and checks every
//! transaction in it, compared by digest, and only then given its name.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;

use super::building::{Building, Built, audit_entry, check_free};
use crate::error::{Error, Result, code};
use crate::format::digest::StateDigest;
use crate::format::seal::Seal;
use crate::format::segment::{Content, SEGMENT_HEADER_BYTES};
use crate::journal::beacon::Chain;
use crate::journal::rewrite::Rewriting;
use crate::journal::segment::{Segment, Tail, offset_u32};
use crate::lsn::Lsn;
use crate::store::{Author, Options, Progress, Store};
use crate::sys;

/// So much of a segment is in memory at a time while it is copied.
const COPY_BYTES: usize = 1 << 20;

/// What a restore into a directory would do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RestorePlan {
    /// The last transaction that the copy would hold.
    pub target_lsn: Lsn,
    /// Where the copy would be.
    pub directory: PathBuf,
    /// How many transactions it would hold.
    pub transactions: u64,
    /// How many segments it would have.
    pub segments: u64,
    /// How many of them would be linked or copied as they are.
    pub whole_segments: u64,
    /// Bytes of the journal it would hold.
    pub bytes: u64,
    /// The digest that the copy must have.
    pub state_digest: StateDigest,
}

/// What a restore into a directory has done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RestoreReport {
    /// The last transaction taken over.
    pub target_lsn: Lsn,
    /// Where the copy is.
    pub directory: PathBuf,
    /// The id of the new store.
    pub store: String,
    /// Its timeline.
    pub timeline: u32,
    /// How many transactions were taken over.
    pub transactions: u64,
    /// How many live records it holds.
    pub records: u64,
    /// Segments that share their bytes on disk with the original.
    pub linked_segments: u64,
    /// Segments whose bytes were copied.
    pub copied_segments: u64,
    /// The digest of its state, equal to that of the original at the moment.
    pub state_digest: StateDigest,
}

impl Store {
    /// What [`restore_into`](Self::restore_into) would do; writes nothing.
    ///
    /// # Errors
    /// `OutsideWindow`; `Invalid` if the directory is not free; `Corrupt`.
    pub fn plan_restore_into(&self, to: Lsn, directory: &Path) -> Result<RestorePlan> {
        check_target(self, to, directory)?;
        let pieces = pieces(self, to)?;
        Ok(RestorePlan {
            target_lsn: to,
            directory: directory.to_path_buf(),
            transactions: (to.get() + 1).saturating_sub(self.first().get()),
            segments: pieces.len() as u64,
            whole_segments: pieces.iter().filter(|piece| piece.whole).count() as u64,
            bytes: pieces.iter().map(|piece| piece.end as u64).sum(),
            state_digest: self.snapshot_at(to)?.digest()?,
        })
    }

    /// Makes a store in `directory` that is this one as it was at `to`, with its history up to
    /// there. It has an id and a timeline of its own, remembers where it comes from, and records
    /// the restore in `$audit`. This store is only read.
    ///
    /// # Errors
    /// `OutsideWindow`; `Invalid` if the directory is not free; `Full`, `Io`; `Corrupt` if the copy
    /// does not prove equal. Then nothing stands at `directory`.
    pub fn restore_into(
        &self,
        to: Lsn,
        directory: &Path,
        by: &Author,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<RestoreReport> {
        check_target(self, to, directory)?;
        let journal = &self.engine.journal;
        let options = Options {
            disk: Arc::clone(&journal.mould.disk),
            clock: Arc::clone(&journal.clock),
            ..Options::default()
        };
        let building = Building::begin(&options, directory)?;
        let taken = take(self, to, &building, progress)?;
        let tail = journal.tail_at(to)?;
        let (origin, digest) = (&self.engine.identity, self.snapshot_at(to)?.digest()?);
        let built = Built { origin, tail, chain: taken.chain, digest };
        let proved = building.finish(&built, by, &audit_entry(origin, to))?;
        Ok(RestoreReport {
            target_lsn: to,
            directory: directory.to_path_buf(),
            store: proved.store,
            timeline: proved.timeline,
            transactions: (to.get() + 1).saturating_sub(self.first().get()),
            records: proved.records,
            linked_segments: taken.linked,
            copied_segments: taken.copied,
            state_digest: digest,
        })
    }
}

fn check_target(store: &Store, to: Lsn, directory: &Path) -> Result<()> {
    store.engine.check_window(to)?;
    let disk = &*store.engine.journal.mould.disk;
    let absolute = |path: &Path| std::path::absolute(path).unwrap_or(path.to_path_buf());
    if absolute(directory).starts_with(absolute(store.path())) {
        let message = "a store is not restored into a directory inside itself";
        return Err(Error::new(&code::INVALID_OPTION, message).at_path(directory));
    }
    check_free(disk, directory)
}

/// A segment, or its first part, that the copy needs.
struct Piece<'a> {
    segment: &'a Segment,
    /// Up to where its bytes are needed.
    end: usize,
    /// Whether the file can be taken as it is.
    whole: bool,
}

/// What the copy needs of the journal.
fn pieces(store: &Store, to: Lsn) -> Result<Vec<Piece<'_>>> {
    let journal = &store.engine.journal;
    if to == Lsn::ZERO {
        return Ok(Vec::new());
    }
    let last = journal.tail_at(to)?.end;
    let needed = journal.segments().take_while(|segment| segment.number() <= last.segment());
    Ok(needed
        .map(|segment| {
            let whole = segment.seal().is_some_and(|seal| seal.last_lsn <= to);
            let end = match (whole, segment.number() == last.segment()) {
                (false, true) => last.offset() as usize,
                _ => segment.map.published(),
            };
            Piece { segment, end, whole }
        })
        .collect())
}

#[derive(Default)]
struct Taken {
    linked: u64,
    copied: u64,
    chain: Chain,
    tail: Option<Tail>,
}

/// Takes over what the copy needs of the journal.
fn take(
    store: &Store,
    to: Lsn,
    building: &Building<'_>,
    progress: &mut dyn FnMut(Progress),
) -> Result<Taken> {
    let mut taken = Taken::default();
    let pieces = pieces(store, to)?;
    let total = pieces.len() as u64;
    for (done, piece) in (0..).zip(&pieces) {
        progress(Progress { phase: "segments", done, total, unit: "segments" });
        taken.take(building, piece)?;
    }
    Ok(taken)
}

impl Taken {
    fn take(&mut self, building: &Building<'_>, piece: &Piece<'_>) -> Result<()> {
        let segment = piece.segment;
        let is_base = segment.header.content == Content::Base;
        let place = if is_base { Building::base } else { Building::segment };
        let (disk, target) = (building.disk(), place(building, segment.number()));
        if let (true, Some(seal)) = (piece.whole, segment.seal()) {
            if disk.link(segment.file.path(), &target)? {
                self.linked += 1;
            } else {
                let file = disk.create(&target, piece.end as u64)?;
                file.write_at(0, segment.map.load(0, piece.end).unwrap_or_default())?;
                file.sync()?;
                self.copied += 1;
            }
            // A base stands for all up to the segment of its number.
            let hash = if is_base { seal.previous_chain } else { seal.chain() };
            self.chain = Chain { hash, segment: segment.number() };
            return Ok(());
        }
        let table = segment.table();
        let entries = table.partition_point(|entry| (entry.offset as usize) < piece.end);
        let length = piece.end + Seal::frame_bytes(entries);
        let mut copy = Rewriting::create(disk, &target, segment.seed(), length)?;
        let mut offset = SEGMENT_HEADER_BYTES;
        while offset < piece.end {
            let Some(frame) = segment.frame(offset_u32(offset))? else { break };
            copy.note(&frame);
            self.tail = Some(Tail::after(&frame));
            offset = frame.end().offset() as usize;
        }
        while let left @ 1.. = piece.end - copy.end() as usize {
            // Through the file: of a map bytes may go away.
            let (start, length) = (u64::from(copy.end()), left.min(COPY_BYTES));
            let bytes = sys::read_range(&*segment.file, start, length)?;
            if bytes.len() < length {
                return Err(segment.vanished(copy.end()));
            }
            copy.write(&bytes)?;
        }
        let tail = self.tail.unwrap_or(Tail::EMPTY);
        self.chain = copy.seal(segment.number(), &tail, self.chain)?;
        self.copied += 1;
        Ok(())
    }
}
