//! What all handles of an open store share: the journal, the state folded from it, and who reads
//! and writes them.

use std::ops::Deref;
use std::path::PathBuf;
use std::sync::Arc;
#[cfg(feature = "tokio")]
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::background::{Behind, Checkpointer, Stretch};
use super::catalogue::Catalogue;
use super::options::Durability;
use crate::error::{Error, Result, code};
use crate::format::change::Change;
use crate::format::image::Image;
use crate::format::store_header::StoreHeader;
use crate::journal::recover::Notice;
use crate::journal::segment::{Tail, Version};
use crate::journal::writer::Writer;
use crate::journal::{Flusher, Journal};
use crate::lsn::{Lsn, Position};
use crate::state::{Head, State};
use crate::sys::lock::Lock;

/// An open store.
#[derive(Debug)]
pub(crate) struct Engine {
    pub(crate) root: PathBuf,
    pub(crate) identity: StoreHeader,
    pub(crate) journal: Arc<Journal>,
    pub(crate) catalogue: Catalogue,
    pub(crate) durability: Durability,
    pub(crate) notices: Mutex<Vec<Notice>>,
    pub(crate) behind: Behind,
    /// Held while a checkpoint is written: two at once would write the same temporary file.
    pub(crate) checkpointing: Mutex<()>,
    state: parking_lot::RwLock<State>,
    /// The newest transaction that the state holds.
    applied: AtomicU64,
    /// How many subscriptions wait for what becomes visible.
    #[cfg(feature = "tokio")]
    pub(crate) subscriptions: AtomicUsize,
    /// What only the process that writes has; `None` for a reader.
    pub(crate) writing: Option<Writing>,
    /// Taken by whoever follows another process's writer.
    pub(crate) following: Mutex<Tail>,
    #[cfg(feature = "tokio")]
    pub(crate) announcement: tokio::sync::watch::Sender<u64>,
}

/// The writing side.
#[derive(Debug)]
pub(crate) struct Writing {
    /// The writer section: one transaction at a time is numbered, appended and applied.
    pub(crate) section: parking_lot::Mutex<Section>,
    pub(crate) closed: AtomicBool,
    pub(crate) background: Mutex<Background>,
}

/// What the writer section owns.
#[derive(Debug)]
pub(crate) struct Section {
    pub(crate) writer: Writer,
    /// Reused: the places of the changes of the frame appended last.
    pub(crate) positions: Vec<Position>,
    /// Reused: encoded metadata.
    pub(crate) metadata: Vec<u8>,
    /// Reused: the newest changes of the records that are written.
    pub(crate) heads: Vec<Option<Head>>,
    /// Empty, kept for its memory.
    pub(crate) spare: Vec<Change<'static>>,
}

/// Threads and the lock, taken apart on closing.
#[derive(Debug)]
pub(crate) struct Background {
    pub(crate) flusher: Option<Flusher>,
    pub(crate) checkpointer: Option<Checkpointer>,
    pub(crate) lock: Option<Lock>,
}

/// What an engine is made of.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) root: PathBuf,
    pub(crate) identity: StoreHeader,
    pub(crate) journal: Arc<Journal>,
    pub(crate) catalogue: Catalogue,
    pub(crate) state: State,
    pub(crate) tail: Tail,
    pub(crate) durability: Durability,
    pub(crate) notices: Vec<Notice>,
    /// What stands behind the checkpoint that opening started from.
    pub(crate) behind: Behind,
    pub(crate) writing: Option<Writing>,
}

impl Engine {
    pub(crate) fn new(parts: Parts) -> Self {
        let head = parts.state.lsn;
        Self {
            root: parts.root,
            identity: parts.identity,
            journal: parts.journal,
            catalogue: parts.catalogue,
            durability: parts.durability,
            notices: Mutex::new(parts.notices),
            behind: parts.behind,
            checkpointing: Mutex::new(()),
            state: parking_lot::RwLock::new(parts.state),
            applied: AtomicU64::new(head.get()),
            #[cfg(feature = "tokio")]
            subscriptions: AtomicUsize::new(0),
            writing: parts.writing,
            following: Mutex::new(parts.tail),
            #[cfg(feature = "tokio")]
            announcement: tokio::sync::watch::Sender::new(head.get()),
        }
    }

    pub(crate) fn state(&self) -> parking_lot::RwLockReadGuard<'_, State> {
        self.state.read()
    }

    pub(crate) fn state_mut(&self) -> parking_lot::RwLockWriteGuard<'_, State> {
        self.state.write()
    }

    /// Looks something up in the index. Where a block of the base turns out to be damaged, the
    /// state is folded anew from the journal, and looked into again.
    pub(crate) fn index<T>(&self, mut read: impl FnMut(&State) -> Result<T>) -> Result<T> {
        let found = read(&self.state());
        match found {
            Err(error) if error.code().id == code::CHECKPOINT_DAMAGED.id => {
                self.rebuild_state(&error)?;
                read(&self.state())
            }
            Ok(_) | Err(_) => found,
        }
    }

    /// The newest transaction that the state holds, durable or not.
    pub(crate) fn applied(&self) -> Lsn {
        Lsn::new(self.applied.load(Ordering::SeqCst))
    }

    /// Notes what was just applied to the state.
    pub(crate) fn set_applied(&self, lsn: Lsn) {
        self.applied.store(lsn.get(), Ordering::SeqCst);
        #[cfg(feature = "tokio")]
        self.announce();
    }

    /// The newest transaction that readers may see: what is applied, and as durable as the store
    /// promises. Nobody reads what a power cut could still take back.
    pub(crate) fn visible(&self) -> Lsn {
        let applied = self.applied();
        match self.durability {
            Durability::Sync if self.is_writer() => applied.min(self.journal.sync.durable()),
            Durability::Sync | Durability::Interval(_) | Durability::Process => applied,
        }
    }

    /// Tells subscribers what became visible. A subscription counts itself first and then looks at
    /// what is visible: in the one order of all these operations, either it sees what was stored
    /// before this is called, or it is seen here.
    #[cfg(feature = "tokio")]
    pub(crate) fn announce(&self) {
        if self.subscriptions.load(Ordering::SeqCst) > 0 {
            let visible = self.visible().get();
            self.announcement.send_if_modified(|seen| {
                let newer = *seen < visible;
                *seen = visible.max(*seen);
                newer
            });
        }
    }

    /// The writing side.
    pub(crate) fn writing(&self) -> Result<&Writing> {
        match &self.writing {
            Some(writing) if writing.closed.load(Ordering::Acquire) => {
                Err(Error::new(&code::CLOSED, "the store is closed").at_path(&self.root))
            }
            Some(writing) => Ok(writing),
            None => {
                Err(Error::new(&code::READ_ONLY, "the store is open for reading")
                    .at_path(&self.root))
            }
        }
    }

    pub(crate) fn is_writer(&self) -> bool {
        self.writing.is_some()
    }

    /// Notes a frame that was appended and applied, and asks for a checkpoint when one is due.
    pub(crate) fn note_applied(&self, tail: &Tail, changes: u64) {
        self.set_applied(tail.lsn);
        let frame = Stretch { bytes: tail.end.bits() - tail.frame.bits(), changes };
        if self.behind.add(frame)
            && let Some(writing) = &self.writing
            && let Some(checkpointer) = &lock(&writing.background).checkpointer
        {
            checkpointer.ask();
        }
    }

    /// The change that made a record what it was at `lsn`, and its number; `None` if it did not
    /// exist then. Walks the record's versions from the newest back: the cost is theirs alone.
    ///
    /// `is_it` knows the record's versions: an index that leads elsewhere must not be believed.
    #[inline]
    pub(crate) fn version_at(
        &self,
        head: Head,
        lsn: Lsn,
        is_it: impl Fn(&Version<'_>) -> bool,
    ) -> Result<Option<(Lsn, Version<'_>, Image<'_>)>> {
        let mut position = head.position;
        let mut newest = Some(head.lsn());
        while !position.is_none() {
            let version = self.journal.version(position)?;
            if !is_it(&version) {
                return Err(self.misled(position));
            }
            // The index knows the number of the newest change, so that its frame need not be read.
            let version_lsn = match newest.take() {
                Some(lsn) => lsn,
                None => self.journal.lsn_of(&version, position)?,
            };
            if version_lsn <= lsn {
                return Ok(version.image.map(|image| (version_lsn, version, image)));
            }
            if self.journal.is_folded(version.previous) {
                return self.version_before(position, version);
            }
            position = version.previous;
        }
        Ok(None)
    }

    /// What a record was before its oldest change that is kept: what that change replaced.
    #[cold]
    fn version_before<'a>(
        &'a self,
        position: Position,
        version: Version<'a>,
    ) -> Result<Option<(Lsn, Version<'a>, Image<'a>)>> {
        let (_, change) = self.journal.change(position)?;
        let (lsn, header) = self.journal.folded_header()?;
        let version = Version { header, previous: Position::NONE, ..version };
        Ok(change.before.map(|image| (lsn, version, image)))
    }

    /// What a record's newest change left, which must be the record's.
    #[inline]
    pub(crate) fn image_at(
        &self,
        collection: u32,
        key: &[u8],
        position: Position,
    ) -> Result<Option<Image<'_>>> {
        let version = self.journal.version(position)?;
        if version.is_of(collection, key) {
            return Ok(version.image);
        }
        Err(self.misled(position))
    }

    /// The index does not lead to the newest change of a record.
    #[cold]
    pub(crate) fn misled(&self, position: Position) -> Error {
        let what = "index, which leads to another record,";
        match self.journal.change(position) {
            Ok((frame, _)) => {
                let malformed = crate::format::cursor::Malformed { offset: 0, what };
                self.journal.damaged(&frame, malformed)
            }
            Err(error) => error,
        }
    }

    /// Refuses a moment that the journal does not hold, and names the window.
    pub(crate) fn check_window(&self, lsn: Lsn) -> Result<()> {
        let (first, head) = (self.journal.first(), self.visible());
        if lsn <= head && lsn >= first.previous() {
            return Ok(());
        }
        let message = if head == Lsn::ZERO {
            format!("LSN {lsn} lies outside what is kept: the store has no transaction yet")
        } else {
            format!("LSN {lsn} lies outside what is kept, LSN {first} to {head}")
        };
        Err(Error::new(&code::OUTSIDE_WINDOW, message).at_path(&self.root))
    }

    /// Ends the threads, notes a clean shutdown, and gives up the lock. What can still be done is
    /// done even if something fails; the first failure is returned.
    pub(crate) fn close(&self) -> Result<()> {
        let Some(writing) = &self.writing else { return Ok(()) };
        if writing.closed.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        // Taken out first: a commit holds the writer section when it looks for the checkpointer.
        let checkpointer = lock(&writing.background).checkpointer.take();
        drop(checkpointer);
        let flusher = lock(&writing.background).flusher.take();
        if let Some(mut flusher) = flusher {
            flusher.stop(&self.journal);
        }
        let healthy = self.journal.sync.check().and_then(|()| self.checkpoint_on_close());
        let mut section = writing.section.lock();
        let tail = section.writer.tail().lsn;
        let closed = healthy
            .and_then(|()| self.journal.sync.wait(tail))
            .and_then(|()| self.end(&mut section.writer));
        if closed.is_err() {
            // The thread must not outlive the lock; what it leaves undone, recovery does.
            drop(section.writer.stop(&self.journal));
        }
        drop(section);
        lock(&writing.background).lock = None;
        #[cfg(feature = "tokio")]
        self.announcement.send_modify(|_| {});
        closed
    }

    /// Has everything sealed that the writer has left, and vouches for all of it.
    fn end(&self, writer: &mut Writer) -> Result<()> {
        writer.stop(&self.journal)?;
        // A seal may have failed just now.
        self.journal.sync.check()?;
        self.journal.write_beacon(None, true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use crate::journal::beacon::Beacon;
    use crate::store::Store;

    #[test]
    fn a_seal_that_fails_while_the_store_closes_is_not_vouched_for() {
        let place = tempfile::tempdir().expect("a directory");
        let store = Store::open(place.path().join("x.store")).expect("opened");
        let engine = &store.engine;
        let writing = engine.writing.as_ref().expect("a writer");
        // As the thread that seals does, when `close` has found the journal sound.
        engine.journal.sync.poison(&Error::new(&code::IO, "the seal could not be synced"));
        let ended = engine.end(&mut writing.section.lock().writer);
        assert_eq!(ended.expect_err("poisoned").kind(), ErrorKind::Poisoned);
        let mould = &engine.journal.mould;
        let control = Beacon::read(&*mould.disk, &mould.root, &mould.identity).expect("sound");
        assert!(!control.clean, "the next opening must look for itself");
    }
}

/// What users hold of an engine. Threads of the store's own hold the engine itself for a moment at
/// a time, and must not keep it open when the last user has gone.
#[derive(Debug)]
pub(crate) struct Handle(Arc<Engine>);

impl Handle {
    pub(crate) const fn new(engine: Arc<Engine>) -> Self {
        Self(engine)
    }
}

impl Deref for Handle {
    type Target = Engine;

    fn deref(&self) -> &Engine {
        &self.0
    }
}

/// Closes the store if nobody has. Whoever needs to know whether that worked calls
/// [`Store::close`](super::Store::close); a crash here is a crash anywhere.
impl Drop for Handle {
    fn drop(&mut self) {
        drop(self.0.close());
    }
}

/// A lock whose holder never leaves it inconsistent: what it guards is changed in one step, or the
/// journal is poisoned.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
