//! Restoring a store to a moment, into a new directory.
//!
//! Whole segments are linked or copied as they are, the one with the moment is cut behind it and
//! sealed anew. The copy is built under another name, opened, which replays and checks every
//! transaction in it, compared by digest, and only then given its name.

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::error::{Error, Result, code};
use crate::format::digest::StateDigest;
use crate::format::names;
use crate::format::seal::TableEntry;
use crate::format::segment::{Content, SEGMENT_HEADER_BYTES};
use crate::format::store_header::Fork;
use crate::journal::beacon::{Beacon, Chain};
use crate::journal::seal::Sealing;
use crate::journal::segment::{Segment, Tail, entry_of};
use crate::lsn::Lsn;
use crate::store::{Author, Durability, Options, Progress, Store, create_header, remove_partial};
use crate::sys::watch::{Vanished, watch};
use crate::sys::{self, Disk, Entry};

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
        let disk = &*self.engine.journal.mould.disk;
        let partial = names::partial(directory);
        remove_partial(disk, &partial)?;
        let built = build(self, to, &partial, progress)?;
        let copy = Options { disk: self.engine.journal.mould.disk.clone(), ..Options::default() }
            .create(false)
            .durability(Durability::Process)
            .clock(self.engine.journal.clock.clone())
            .open(&partial)?;
        let expected = self.snapshot_at(to)?.digest()?;
        let found = copy.snapshot_at(to)?.digest()?;
        if found != expected {
            return Err(Error::new(
                &code::DIGEST_MISMATCH,
                format!("the copy has the state digest {found}, the original had {expected}"),
            )
            .at_path(&partial)
            .at_lsn(to));
        }
        let report = report(self, &copy, to, directory, &built)?;
        record(self, &copy, to, by)?;
        copy.close()?;
        disk.rename(&partial, directory)?;
        sys::sync_parent(disk, directory)?;
        Ok(report)
    }
}

fn report(
    source: &Store,
    copy: &Store,
    to: Lsn,
    directory: &Path,
    built: &Built,
) -> Result<RestoreReport> {
    Ok(RestoreReport {
        target_lsn: to,
        directory: directory.to_path_buf(),
        store: copy.id().to_string(),
        timeline: copy.timeline(),
        transactions: (to.get() + 1).saturating_sub(source.first().get()),
        records: copy.status()?.records,
        linked_segments: built.linked,
        copied_segments: built.copied,
        state_digest: copy.snapshot_at(to)?.digest()?,
    })
}

/// Leaves the restore in the copy's `$audit`.
fn record(source: &Store, copy: &Store, to: Lsn, by: &Author) -> Result<()> {
    let entry = serde_json::json!({
        "action": "restore",
        "source": source.id().to_string(),
        "source_timeline": source.timeline(),
        "target_lsn": to,
    });
    let mut tx = copy.begin()?;
    tx.sign(by);
    tx.note_in_audit("restore", &entry)?;
    tx.commit()?;
    Ok(())
}

fn check_target(store: &Store, to: Lsn, directory: &Path) -> Result<()> {
    store.engine.check_window(to)?;
    let disk = &*store.engine.journal.mould.disk;
    let absolute = |path: &Path| std::path::absolute(path).unwrap_or(path.to_path_buf());
    if absolute(directory).starts_with(absolute(store.path())) {
        let message = "a store is not restored into a directory inside itself";
        return Err(Error::new(&code::INVALID_OPTION, message).at_path(directory));
    }
    match disk.entry(directory)? {
        Entry::Nothing => Ok(()),
        Entry::Directory if disk.list(directory)?.is_empty() => Ok(()),
        Entry::Directory => Err(Error::new(
            &code::DIRECTORY_NOT_EMPTY,
            "a store is only restored into a directory that is new or empty",
        )
        .at_path(directory)),
        Entry::File => {
            Err(Error::new(&code::NOT_A_DIRECTORY, "a file stands there").at_path(directory))
        }
    }
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
struct Built {
    linked: u64,
    copied: u64,
    chain: Chain,
    tail: Option<Tail>,
}

/// Builds the copy, closed properly, under a name of its own.
fn build(
    store: &Store,
    to: Lsn,
    partial: &Path,
    progress: &mut dyn FnMut(Progress),
) -> Result<Built> {
    let journal = &store.engine.journal;
    let disk = &*journal.mould.disk;
    disk.create_dir(partial)?;
    disk.create_dir(&partial.join(names::JOURNAL))?;
    disk.create_dir(&partial.join(names::STATE))?;
    let mut built = Built::default();
    let pieces = pieces(store, to)?;
    let total = pieces.len() as u64;
    for (done, piece) in (0..).zip(&pieces) {
        progress(Progress { phase: "segments", done, total, unit: "segments" });
        built.take(disk, partial, piece)?;
    }
    disk.sync_dir(&partial.join(names::JOURNAL))?;
    let tail = journal.tail_at(to)?;
    let identity = &store.engine.identity;
    let mut forks = identity.forks.clone();
    forks.push(Fork {
        store: identity.store,
        timeline: identity.timeline,
        lsn: to,
        segment: pieces.last().map_or(0, |piece| piece.segment.number()),
    });
    let header = create_header(disk, &*journal.clock, identity.segment_bytes, forks);
    Beacon::create(disk, partial, &header, &tail, built.chain)?;
    sys::atomic::publish(disk, &partial.join(names::STORE), &[header.encode().as_bytes()])?;
    sys::sync_parent(disk, partial)?;
    Ok(built)
}

impl Built {
    fn take(&mut self, disk: &dyn Disk, partial: &Path, piece: &Piece<'_>) -> Result<()> {
        let segment = piece.segment;
        let is_base = segment.header.content == Content::Base;
        let name = if is_base { names::base } else { names::segment };
        let target = name(partial, segment.number());
        if let (true, Some(seal)) = (piece.whole, segment.seal()) {
            if disk.link(segment.file.path(), &target)? {
                self.linked += 1;
            } else {
                let bytes = segment.map.load(0, piece.end).unwrap_or_default();
                write_segment(disk, &target, &[bytes])?;
                self.copied += 1;
            }
            // A base stands for all up to the segment of its number.
            let hash = if is_base { seal.previous_chain } else { seal.chain() };
            self.chain = Chain { hash, segment: segment.number() };
            return Ok(());
        }
        let part = contents(segment, piece.end)?;
        let bytes = segment.map.load(0, piece.end).unwrap_or_default();
        let build = || {
            let tail = &part.tail.or(self.tail).unwrap_or(Tail::EMPTY);
            let (table, changes) = (part.table.clone(), part.changes);
            let (seed, previous_chain) = (segment.seed(), self.chain.hash);
            Sealing { seed, bytes, tail, table, changes, previous_chain }.build()
        };
        let (seal, frame) =
            watch(segment.map.span(), build).map_err(|Vanished| segment.vanished(0))?;
        write_segment(disk, &target, &[bytes, &frame])?;
        self.copied += 1;
        self.tail = part.tail.or(self.tail);
        self.chain = Chain { hash: seal.chain(), segment: segment.number() };
        Ok(())
    }
}

/// What stands in the first part of a segment.
struct Contents {
    tail: Option<Tail>,
    table: Vec<TableEntry>,
    changes: u64,
}

fn contents(segment: &Segment, end: usize) -> Result<Contents> {
    let mut contents = Contents { tail: None, table: segment.table(), changes: 0 };
    contents.table.retain(|entry| (entry.offset as usize) < end);
    let mut offset = SEGMENT_HEADER_BYTES;
    while offset < end {
        let Some(frame) = segment.frame(crate::journal::segment::offset_u32(offset))? else {
            break;
        };
        if contents.table.is_empty() {
            contents.table.push(entry_of(&frame));
        }
        contents.changes += u64::from(frame.header.changes);
        contents.tail = Some(Tail::after(&frame));
        offset = frame.end().offset() as usize;
    }
    Ok(contents)
}

fn write_segment(disk: &dyn Disk, path: &Path, parts: &[&[u8]]) -> Result<()> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let file = disk.create(path, length as u64)?;
    let mut offset = 0;
    for part in parts {
        file.write_at(offset, part)?;
        offset += part.len() as u64;
    }
    file.sync()
}
