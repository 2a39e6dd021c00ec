//! Checkpoints: written in the background and on closing, read on opening, thrown away on doubt.

use std::collections::BTreeSet;
use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::Receiver;

use serde::Serialize;

use super::Store;
use super::background::{Checkpointer, Stretch};
use super::catalogue::{COLLECTIONS, Catalogue};
use super::engine::{Engine, lock};
use super::replay::{learn_record, replay};
use crate::error::{Error, Result, code};
use crate::format::checkpoint::{CHECKPOINT_HEADER_BYTES, CheckpointHeader};
use crate::format::digest::StateDigest;
use crate::format::names;
use crate::journal::Journal;
use crate::journal::recover::Notice;
use crate::journal::writer::Writer;
use crate::lsn::Lsn;
use crate::state::base::Base;
use crate::state::checkpoint::{self, Extent, Plan};
use crate::state::{Frozen, Page, State};
use crate::sys::{self, Access, Entry, MapAccess};

/// Closing writes a checkpoint if this much journal stands behind the last one.
const CHECKPOINT_BYTES_ON_CLOSE: u64 = 4 << 20;

/// What a checkpoint holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct CheckpointInfo {
    /// The last transaction in it.
    pub lsn: Lsn,
    /// How many records, tombstones included.
    pub records: u64,
    /// Bytes of its files: it may stand on older ones.
    pub bytes: u64,
    /// How many files these are.
    pub layers: usize,
    /// Whether it was written now; false if there was one at this LSN already.
    pub written: bool,
}

/// The state that opening starts from.
#[derive(Debug, Default)]
pub(crate) struct Loaded {
    pub(crate) state: State,
    pub(crate) digest: StateDigest,
    /// The LSN of the checkpoint; zero if there was none.
    pub(crate) lsn: Lsn,
}

impl Store {
    /// Writes a checkpoint of the state as it is now, so that opening need not replay what stands
    /// before it; and ends the segment that is being written, so that opening need not look through
    /// it either. Reading and writing go on meanwhile.
    ///
    /// The checkpoints that are written in the background hold what changed since an older one.
    /// This one holds everything, so that a record is looked for in one place; it costs what all
    /// records cost.
    ///
    /// # Errors
    /// `Invalid` if the store was opened read-only; `Full`, `Io`; nothing depends on a checkpoint.
    pub fn checkpoint(&self) -> Result<CheckpointInfo> {
        self.engine.writing()?;
        self.engine.write_checkpoint(Extent::Whole)
    }
}

/// Starts the thread that writes checkpoints when they are due, as long as the store is open.
pub(crate) fn start_checkpointer(engine: &Arc<Engine>) -> Result<Checkpointer> {
    let engine = Arc::downgrade(engine);
    Checkpointer::start(move || {
        let Some(engine) = engine.upgrade() else { return false };
        // A checkpoint is a cache: if it can't be written now, the next one may be.
        drop(engine.write_checkpoint(Extent::Layer));
        true
    })
}

impl Engine {
    pub(crate) fn write_checkpoint(&self, extent: Extent) -> Result<CheckpointInfo> {
        let _alone = lock(&self.checkpointing);
        let head = self.state().lsn;
        let mut written = false;
        loop {
            if let Some(info) = self.checkpoint_at(head, extent) {
                return Ok(CheckpointInfo { written, ..info });
            }
            let (frozen, covered) = self.freeze_behind_segment();
            let plan = Plan::new(&frozen, extent);
            let base = match self.publish_checkpoint(&plan) {
                Err(error) if error.code().id == code::CHECKPOINT_DAMAGED.id => {
                    self.rebuild_state(&error)?;
                    continue;
                }
                published => published?,
            };
            let (lsn, merged) = (base.lsn(), plan.merged);
            let mut kept: BTreeSet<Lsn> = frozen.bases().iter().map(|base| base.lsn()).collect();
            kept.insert(lsn);
            // Given back after the lock: it may be hundreds of thousands of keys.
            let replaced = self.state_mut().install(base, merged);
            drop(replaced);
            drop(frozen);
            self.behind.cover(covered, lsn);
            self.remove_checkpoints_but(&kept)?;
            written = true;
        }
    }

    /// Ends the segment that is being written, and freezes the state as it is there; also returns
    /// how much journal had passed. Returns when the segment is sealed: that makes it durable with
    /// its pages taken out of the page tables first, which is cheaper for everybody than syncing it
    /// while it is being written.
    fn freeze_behind_segment(&self) -> (Frozen, Stretch) {
        let ready = self.with_writer(Writer::prepare_to_leave);
        wait_for(ready.flatten());
        let frozen = self.with_writer(|writer| {
            // If it can't be left, for want of room, the checkpoint syncs what it needs.
            let sealed = writer.leave_segment(&self.journal).unwrap_or_default();
            (self.state_mut().freeze(), self.behind.begin(), sealed)
        });
        match frozen {
            Some((frozen, covered, sealed)) => {
                wait_for(sealed);
                (frozen, covered)
            }
            None => (self.state_mut().freeze(), self.behind.begin()),
        }
    }

    /// Calls something in the writer section; not in a store that is open for reading, nor when the
    /// journal is stopped.
    fn with_writer<T>(&self, call: impl FnOnce(&mut Writer) -> T) -> Option<T> {
        self.journal.sync.check().ok()?;
        let writing = self.writing.as_ref()?;
        Some(call(&mut writing.section.lock().writer))
    }

    /// The checkpoint that the state stands on, if it is none older than `head` and of this extent.
    fn checkpoint_at(&self, head: Lsn, extent: Extent) -> Option<CheckpointInfo> {
        let state = self.state();
        let layers = state.bases().len();
        let bytes = state.bases().iter().map(|base| base.bytes()).sum();
        let newest = state.bases().first();
        let (lsn, records) = newest.map_or((Lsn::ZERO, 0), |base| (base.lsn(), base.records()));
        let suffices = lsn >= head && (extent == Extent::Layer || layers <= 1);
        suffices.then_some(CheckpointInfo { lsn, records, bytes, layers, written: false })
    }

    fn publish_checkpoint(&self, plan: &Plan<'_>) -> Result<Base> {
        let disk = &*self.journal.mould.disk;
        let lsn = plan.lsn();
        // A checkpoint ahead of the durable journal would hold what a power cut takes back.
        self.journal.sync.wait(lsn)?;
        let frame = self.journal.find(lsn)?;
        let path = names::checkpoint(&self.root, lsn);
        let staged = sys::atomic::Staged::create(disk, &path, 0)?;
        let mut place = CHECKPOINT_HEADER_BYTES as u64;
        let written = checkpoint::write(plan, |piece| {
            staged.write_at(place, piece)?;
            place += piece.len() as u64;
            Ok(())
        })?;
        let header = CheckpointHeader {
            store: self.identity.store,
            timeline: self.identity.timeline,
            frame_crc: frame.header.crc,
            lsn,
            frame: frame.position,
            time: frame.header.time,
            digest: frame.header.digest,
            directory: written.directory,
            directory_length: written.directory_length,
            directory_hash: written.directory_hash,
            below: plan.below(),
        };
        staged.write_at(0, header.encode().as_slice())?;
        staged.publish()?;
        read(&self.journal, lsn)
    }

    /// Folds the state anew from the journal, since a block of the base turned out to be damaged.
    pub(crate) fn rebuild_state(&self, damage: &Error) -> Result<()> {
        let mut state = self.state_mut();
        let mut paths = state.bases().iter().map(|base| base.path().to_owned());
        let Some(path) = paths.find(|path| damage.place().path.as_ref() == Some(path)) else {
            // Somebody else has done it meanwhile.
            return Ok(());
        };
        let mut rebuilt = State::default();
        let nothing = StateDigest::default();
        replay(&self.journal, &self.catalogue, &mut rebuilt, nothing, state.lsn)?;
        if self.is_writer() {
            set_aside(&self.journal, &path)?;
        }
        *state = rebuilt;
        lock(&self.notices).push(rebuilt_notice(damage));
        Ok(())
    }

    /// Removes all checkpoints but these: the newest with those it stands on, and what was that
    /// before, to fall back on.
    fn remove_checkpoints_but(&self, kept: &BTreeSet<Lsn>) -> Result<()> {
        let disk = &*self.journal.mould.disk;
        for lsn in found(&self.journal)?.iter().filter(|lsn| !kept.contains(lsn)) {
            disk.remove(&names::checkpoint(&self.root, *lsn))?;
        }
        disk.sync_dir(&self.root.join(names::STATE))
    }

    pub(crate) fn checkpoint_on_close(&self) -> Result<()> {
        if self.behind.stretch().bytes < CHECKPOINT_BYTES_ON_CLOSE {
            return Ok(());
        }
        match self.write_checkpoint(Extent::Layer) {
            Ok(_) => Ok(()),
            // Without one, the next opening takes longer; nothing else.
            Err(error) if error.kind() == crate::error::ErrorKind::Full => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// Waits until the other end is dropped; nothing is ever sent.
fn wait_for(done: Option<Receiver<()>>) {
    if let Some(done) = done {
        while done.recv().is_ok() {}
    }
}

fn rebuilt_notice(error: &Error) -> Notice {
    Notice::new(format!("[{}] {error}; the state is rebuilt from the journal", error.code().id))
}

/// The checkpoints of a store by LSN, oldest first.
fn found(journal: &Journal) -> Result<Vec<Lsn>> {
    let mould = &journal.mould;
    let names = mould.disk.list(&mould.root.join(names::STATE))?;
    Ok(names.iter().filter_map(|name| names::parse_checkpoint(name)).collect())
}

/// The checkpoints that turned out not to hold. They are reported, and set aside where that is
/// allowed; the journal has everything they had.
#[derive(Debug)]
pub(crate) struct Doubts {
    may_set_aside: bool,
    lsns: BTreeSet<Lsn>,
    pub(crate) notices: Vec<Notice>,
}

impl Doubts {
    pub(crate) const fn new(may_set_aside: bool) -> Self {
        Self { may_set_aside, lsns: BTreeSet::new(), notices: Vec::new() }
    }

    /// Adds a checkpoint because of what was found wrong with it, or with one that it stands on.
    pub(crate) fn add(&mut self, journal: &Journal, lsn: Lsn, error: &Error) -> Result<()> {
        let notice = rebuilt_notice(error);
        // Several checkpoints may stand on the one that is damaged.
        if !self.notices.contains(&notice) {
            self.notices.push(notice);
        }
        self.lsns.insert(lsn);
        let path = names::checkpoint(&journal.mould.root, lsn);
        if self.may_set_aside && journal.mould.disk.entry(&path)? == Entry::File {
            set_aside(journal, &path)?;
        }
        Ok(())
    }
}

/// Reads the newest checkpoint that is not in doubt, and those it stands on; adds those to the
/// doubts that do not hold.
pub(crate) fn load(
    journal: &Journal,
    catalogue: &Catalogue,
    doubts: &mut Doubts,
) -> Result<Loaded> {
    // Looked for each time: another process may be replacing them.
    while let Some(lsn) = found(journal)?.into_iter().rfind(|lsn| !doubts.lsns.contains(lsn)) {
        match take(journal, catalogue, lsn) {
            Ok(loaded) => return Ok(loaded),
            Err(error) => doubts.add(journal, lsn, &error)?,
        }
    }
    Ok(Loaded::default())
}

/// The state that a checkpoint holds with those it stands on, its collections being learned.
fn take(journal: &Journal, catalogue: &Catalogue, lsn: Lsn) -> Result<Loaded> {
    let newest = read(journal, lsn)?;
    let (digest, mut below) = (newest.header.digest, newest.below());
    let mut bases = vec![newest];
    while let Some(lsn) = below {
        let base = read(journal, lsn)?;
        below = base.below();
        bases.push(base);
    }
    let state = State::from_bases(bases);
    let mut page = Page::new(usize::MAX);
    let everything = (Bound::Unbounded, Bound::Unbounded);
    state.page(COLLECTIONS, everything, false, &mut page)?;
    for head in &page.heads {
        let (frame, change) = journal.change(head.position)?;
        if let Some(image) = change.after {
            learn_record(catalogue, change.key, image, frame.header.lsn)?;
        }
    }
    Ok(Loaded { state, digest, lsn })
}

fn set_aside(journal: &Journal, path: &Path) -> Result<()> {
    let (disk, root) = (&*journal.mould.disk, &journal.mould.root);
    let directory = root.join(names::QUARANTINE);
    if disk.entry(&directory)? == Entry::Nothing {
        disk.create_dir(&directory)?;
        disk.sync_dir(root)?;
    }
    disk.rename(path, &directory.join(path.file_name().unwrap_or_default()))?;
    disk.sync_dir(&directory)?;
    disk.sync_dir(&root.join(names::STATE))
}

/// Maps a checkpoint and checks all but its blocks.
fn read(journal: &Journal, lsn: Lsn) -> Result<Base> {
    let path = &*names::checkpoint(&journal.mould.root, lsn);
    let wrong = |what: &str| {
        Error::new(&code::CHECKPOINT_DAMAGED, format!("the checkpoint's {what} is wrong"))
            .at_path(path)
    };
    let mould = &journal.mould;
    let file = mould.disk.open(path, Access::Read)?;
    let length = usize::try_from(file.length()?).map_err(|_| wrong("length"))?;
    let header = sys::read_range(&*file, 0, CHECKPOINT_HEADER_BYTES)?;
    let header = CheckpointHeader::parse(&header).map_err(|malformed| wrong(malformed.what))?;
    let identity = &mould.identity;
    if header.store != identity.store || header.timeline != identity.timeline {
        return Err(wrong("store"));
    }
    if header.lsn != lsn {
        return Err(wrong("LSN"));
    }
    let map = file.map(length, MapAccess::Read)?;
    map.advance(length);
    let base = Base::new(path, map, header).map_err(wrong)?;
    // Damage of the journal is found where it is read; here it only means: do not believe.
    let Ok(frame) = journal.find(lsn) else { return Err(wrong("place in the journal")) };
    let agrees = frame.position == header.frame
        && frame.header.crc == header.frame_crc
        && frame.header.digest == header.digest;
    if agrees { Ok(base) } else { Err(wrong("transaction")) }
}
