//! When a checkpoint is due, and the thread that then writes it.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use crate::error::Result;
use crate::lsn::Lsn;
use crate::sys::thread;

/// What it costs to replay a change, in bytes of journal that could be checked in the same time.
const CHANGE_COST_BYTES: u64 = 512;

/// How much journal stands behind the newest checkpoint.
#[derive(Debug)]
pub(crate) struct Behind {
    /// Behind this many bytes, or as many changes as take as long to replay, a checkpoint is due.
    due_at: u64,
    /// What was replayed on opening, and appended since.
    passed: Mark,
    /// What of it the checkpoint that was begun last covers, whatever became of it.
    begun: Mark,
    /// What of it the newest checkpoint covers.
    covered: Mark,
    checkpoint: AtomicU64,
    /// Whether one was asked for that has not begun yet.
    asked: AtomicBool,
}

/// A part of the journal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stretch {
    pub(crate) bytes: u64,
    pub(crate) changes: u64,
}

/// A place in the journal: what stands before it.
#[derive(Debug, Default)]
struct Mark {
    bytes: AtomicU64,
    changes: AtomicU64,
}

impl Mark {
    fn get(&self) -> Stretch {
        Stretch { bytes: self.bytes.load(Relaxed), changes: self.changes.load(Relaxed) }
    }

    fn set(&self, stretch: Stretch) {
        self.bytes.store(stretch.bytes, Relaxed);
        self.changes.store(stretch.changes, Relaxed);
    }
}

impl Stretch {
    const fn behind(self, other: Self) -> Self {
        Self {
            bytes: self.bytes.saturating_sub(other.bytes),
            changes: self.changes.saturating_sub(other.changes),
        }
    }
}

impl Behind {
    /// `passed` stands behind the checkpoint already.
    pub(crate) fn new(due_at: u64, checkpoint: Lsn, passed: Stretch) -> Self {
        let behind = Self {
            due_at,
            passed: Mark::default(),
            begun: Mark::default(),
            covered: Mark::default(),
            checkpoint: AtomicU64::new(checkpoint.get()),
            asked: AtomicBool::new(false),
        };
        behind.passed.set(passed);
        behind
    }

    /// Counts an appended frame; says whether a checkpoint is to be asked for. The writer alone
    /// calls this.
    pub(crate) fn add(&self, frame: Stretch) -> bool {
        let before = self.passed.get();
        let passed =
            Stretch { bytes: before.bytes + frame.bytes, changes: before.changes + frame.changes };
        self.passed.set(passed);
        let Stretch { bytes, changes } = passed.behind(self.begun.get());
        let cost = bytes.max(changes.saturating_mul(CHANGE_COST_BYTES));
        cost >= self.due_at && !self.asked.load(Relaxed) && !self.asked.swap(true, Relaxed)
    }

    /// What stands behind the newest checkpoint.
    pub(crate) fn stretch(&self) -> Stretch {
        self.passed.get().behind(self.covered.get())
    }

    /// Notes that a checkpoint begins of all that passed. The next one is due as far behind this
    /// one whether it can be written or not. What is returned is for [`cover`](Self::cover).
    pub(crate) fn begin(&self) -> Stretch {
        self.asked.store(false, Relaxed);
        let passed = self.passed.get();
        self.begun.set(passed);
        passed
    }

    /// Notes that a checkpoint was written.
    pub(crate) fn cover(&self, covered: Stretch, lsn: Lsn) {
        self.covered.set(covered);
        self.checkpoint.store(lsn.get(), Relaxed);
    }

    pub(crate) fn checkpoint(&self) -> Lsn {
        Lsn::new(self.checkpoint.load(Relaxed))
    }
}

/// The thread that writes checkpoints, until dropped.
#[derive(Debug)]
pub(crate) struct Checkpointer {
    due: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Checkpointer {
    /// Starts the thread. `write` writes one and says whether there is anything left to write for.
    pub(crate) fn start(write: impl Fn() -> bool + Send + 'static) -> Result<Self> {
        // One waiting request is enough: a checkpoint covers all that came before it.
        let (due, inbox) = sync_channel(1);
        let thread =
            thread::spawn(
                "afterimage-checkpoints",
                move || {
                    while inbox.recv().is_ok() && write() {}
                },
            )?;
        Ok(Self { due: Some(due), thread: Some(thread) })
    }

    /// Asks for a checkpoint.
    pub(crate) fn ask(&self) {
        if let Some(due) = &self.due {
            match due.try_send(()) {
                // Asked already, or ended already.
                Ok(()) | Err(TrySendError::Full(()) | TrySendError::Disconnected(())) => {}
            }
        }
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        self.due = None;
        if let Some(thread) = self.thread.take() {
            // The last handle may go away while this very thread holds one.
            if thread.thread().id() != std::thread::current().id() {
                drop(thread.join());
            }
        }
    }
}
