//! Checkpoints: written in the background and on closing, read on opening, thrown away on doubt.

use std::path::Path;
use std::sync::Arc;

use serde::Serialize;

use super::Store;
use super::background::Checkpointer;
use super::catalogue::{COLLECTIONS, Catalogue};
use super::engine::{Engine, lock};
use super::replay::learn_record;
use crate::error::{Error, Result, code};
use crate::format::checkpoint::{CHECKPOINT_HEADER_BYTES, CheckpointHeader, StateImage};
use crate::format::digest::StateDigest;
use crate::format::names;
use crate::journal::Journal;
use crate::journal::recover::Notice;
use crate::lsn::Lsn;
use crate::state::State;
use crate::sys::{self, Access, Entry};

/// Closing writes a checkpoint if this much journal stands behind the last one.
const CHECKPOINT_BYTES_ON_CLOSE: u64 = 4 << 20;
/// This many checkpoints are kept: the newest, and one to fall back on.
const CHECKPOINTS_KEPT: usize = 2;

/// What a checkpoint holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct CheckpointInfo {
    /// The last transaction in it.
    pub lsn: Lsn,
    /// How many records, tombstones included.
    pub records: u64,
    /// Bytes of the file.
    pub bytes: u64,
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
    /// before it. Writing goes on meanwhile, but for the moment in which the state is copied.
    ///
    /// # Errors
    /// `Invalid` if the store was opened read-only; `Full`, `Io`; nothing depends on a checkpoint.
    pub fn checkpoint(&self) -> Result<CheckpointInfo> {
        self.engine.writing()?;
        self.engine.write_checkpoint()
    }
}

/// Starts the thread that writes checkpoints when they are due, as long as the store is open.
pub(crate) fn start_checkpointer(engine: &Arc<Engine>) -> Result<Checkpointer> {
    let engine = Arc::downgrade(engine);
    Checkpointer::start(move || {
        let Some(engine) = engine.upgrade() else { return false };
        // A checkpoint is a cache: if it can't be written now, the next one may be.
        drop(engine.write_checkpoint());
        true
    })
}

impl Engine {
    pub(crate) fn write_checkpoint(&self) -> Result<CheckpointInfo> {
        let _alone = lock(&self.checkpointing);
        let (image, lsn, records) = {
            let state = self.state();
            (state.to_image(), state.lsn, state.len())
        };
        let path = names::checkpoint(&self.root, lsn);
        let disk = &*self.journal.mould.disk;
        if lsn == Lsn::ZERO {
            return Ok(CheckpointInfo { lsn, records, bytes: 0, written: false });
        }
        if disk.entry(&path)? == Entry::File {
            let bytes = disk.open(&path, Access::Read)?.length()?;
            return Ok(CheckpointInfo { lsn, records, bytes, written: false });
        }
        // A checkpoint ahead of the durable journal would hold what a power cut takes back.
        self.journal.sync.wait(lsn)?;
        let frame = self.journal.find(lsn)?;
        let body = image.encode().map_err(|source| {
            Error::new(&code::ENCODE, "the checkpoint can't be written").with_source(source)
        })?;
        let header = CheckpointHeader {
            store: self.identity.store,
            timeline: self.identity.timeline,
            frame_crc: frame.header.crc,
            lsn,
            frame: frame.position,
            time: frame.header.time,
            digest: frame.header.digest,
            body_length: body.len() as u64,
            body_hash: *blake3::hash(&body).as_bytes(),
        };
        sys::atomic::publish(disk, &path, &[header.encode().as_slice(), &body])?;
        self.behind.reset(lsn);
        self.remove_old_checkpoints()?;
        let bytes = (CHECKPOINT_HEADER_BYTES + body.len()) as u64;
        Ok(CheckpointInfo { lsn, records, bytes, written: true })
    }

    fn remove_old_checkpoints(&self) -> Result<()> {
        let disk = &*self.journal.mould.disk;
        let old = found(&self.journal)?;
        for lsn in old.iter().rev().skip(CHECKPOINTS_KEPT) {
            disk.remove(&names::checkpoint(&self.root, *lsn))?;
        }
        disk.sync_dir(&self.root.join(names::STATE))
    }

    pub(crate) fn checkpoint_on_close(&self) -> Result<()> {
        if self.behind.bytes() < CHECKPOINT_BYTES_ON_CLOSE {
            return Ok(());
        }
        match self.write_checkpoint() {
            Ok(_) => Ok(()),
            // Without one, the next opening takes longer; nothing else.
            Err(error) if error.kind() == crate::error::ErrorKind::Full => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// The checkpoints of a store by LSN, oldest first.
fn found(journal: &Journal) -> Result<Vec<Lsn>> {
    let mould = &journal.mould;
    let names = mould.disk.list(&mould.root.join(names::STATE))?;
    Ok(names.iter().filter_map(|name| names::parse_checkpoint(name)).collect())
}

/// Reads the newest checkpoint that holds in every respect. One that does not is reported, and set
/// aside if `may_set_aside`; the journal has everything it had.
pub(crate) fn load(
    journal: &Journal,
    catalogue: &Catalogue,
    may_set_aside: bool,
    notices: &mut Vec<Notice>,
) -> Result<Loaded> {
    let mould = &journal.mould;
    for lsn in found(journal)?.into_iter().rev() {
        let path = names::checkpoint(&mould.root, lsn);
        match read(journal, &path, lsn) {
            Ok(loaded) => {
                for (key, head) in loaded.state.page(COLLECTIONS, EVERYTHING, false, usize::MAX) {
                    let (frame, change) = journal.change(head.position)?;
                    if let Some(image) = change.after {
                        learn_record(catalogue, &key, image, frame.header.lsn)?;
                    }
                }
                return Ok(loaded);
            }
            Err(error) => {
                let code = error.code().id;
                notices.push(Notice::new(format!(
                    "[{code}] {error}; the state is rebuilt from the journal"
                )));
                if may_set_aside {
                    set_aside(journal, &path)?;
                }
            }
        }
    }
    Ok(Loaded::default())
}

const EVERYTHING: (std::ops::Bound<&[u8]>, std::ops::Bound<&[u8]>) =
    (std::ops::Bound::Unbounded, std::ops::Bound::Unbounded);

fn set_aside(journal: &Journal, path: &Path) -> Result<()> {
    let (disk, root) = (&*journal.mould.disk, &journal.mould.root);
    let directory = root.join(names::QUARANTINE);
    if disk.entry(&directory)? == Entry::Nothing {
        disk.create_dir(&directory)?;
    }
    disk.rename(path, &directory.join(path.file_name().unwrap_or_default()))?;
    disk.sync_dir(&directory)
}

fn read(journal: &Journal, path: &Path, lsn: Lsn) -> Result<Loaded> {
    let wrong = |what: &str| {
        Error::new(&code::CHECKPOINT_DAMAGED, format!("the checkpoint's {what} is wrong"))
            .at_path(path)
    };
    let mould = &journal.mould;
    let file = mould.disk.open(path, Access::Read)?;
    let length = usize::try_from(file.length()?).map_err(|_| wrong("length"))?;
    let bytes = sys::read_range(&*file, 0, length)?;
    let header = CheckpointHeader::parse(&bytes).map_err(|malformed| wrong(malformed.what))?;
    let body = bytes.get(CHECKPOINT_HEADER_BYTES..).unwrap_or_default();
    let identity = &mould.identity;
    if header.store != identity.store || header.timeline != identity.timeline {
        return Err(wrong("store"));
    }
    if header.lsn != lsn || header.body_length != body.len() as u64 {
        return Err(wrong("length or LSN"));
    }
    if *blake3::hash(body).as_bytes() != header.body_hash {
        return Err(wrong("hash"));
    }
    // Damage of the journal is found where it is read; here it only means: do not believe.
    let Ok(frame) = journal.find(lsn) else { return Err(wrong("place in the journal")) };
    let agrees = frame.position == header.frame
        && frame.header.crc == header.frame_crc
        && frame.header.digest == header.digest;
    if !agrees {
        return Err(wrong("transaction"));
    }
    let image = StateImage::access(body).map_err(|source| wrong("archive").with_source(source))?;
    let state = State::from_image(image, lsn).map_err(wrong)?;
    Ok(Loaded { state, digest: header.digest, lsn })
}
