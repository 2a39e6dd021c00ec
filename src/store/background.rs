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
    /// Behind this much, counted in [`cost`], a checkpoint is due.
    due_at: AtomicU64,
    /// What was replayed on opening, and appended since.
    bytes: AtomicU64,
    changes: AtomicU64,
    /// How much of it checkpoints cover.
    covered_bytes: AtomicU64,
    covered_changes: AtomicU64,
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

impl Behind {
    /// A checkpoint is due behind `due_at` bytes of journal, or as many changes as take as long to
    /// replay; and not before twice the size of the checkpoint, so that writing checkpoints never
    /// costs much more than writing the journal. `passed` stands behind it already.
    pub(crate) fn new(
        due_at: u64,
        checkpoint: Lsn,
        checkpoint_bytes: u64,
        passed: Stretch,
    ) -> Self {
        Self {
            due_at: AtomicU64::new(due_at.max(checkpoint_bytes.saturating_mul(2))),
            bytes: AtomicU64::new(passed.bytes),
            changes: AtomicU64::new(passed.changes),
            covered_bytes: AtomicU64::new(0),
            covered_changes: AtomicU64::new(0),
            checkpoint: AtomicU64::new(checkpoint.get()),
            asked: AtomicBool::new(false),
        }
    }

    /// Counts an appended frame; says whether a checkpoint is to be asked for. The writer alone
    /// calls this.
    pub(crate) fn add(&self, frame: Stretch) -> bool {
        self.bytes.store(self.bytes.load(Relaxed) + frame.bytes, Relaxed);
        self.changes.store(self.changes.load(Relaxed) + frame.changes, Relaxed);
        let Stretch { bytes, changes } = self.stretch();
        let cost = bytes.max(changes.saturating_mul(CHANGE_COST_BYTES));
        cost >= self.due_at.load(Relaxed)
            && !self.asked.load(Relaxed)
            && !self.asked.swap(true, Relaxed)
    }

    /// What stands behind the newest checkpoint.
    pub(crate) fn stretch(&self) -> Stretch {
        let behind = |total: &AtomicU64, covered: &AtomicU64| {
            total.load(Relaxed).saturating_sub(covered.load(Relaxed))
        };
        Stretch {
            bytes: behind(&self.bytes, &self.covered_bytes),
            changes: behind(&self.changes, &self.covered_changes),
        }
    }

    /// Notes that a checkpoint begins; what it covers is to be given to [`cover`](Self::cover).
    pub(crate) fn begin(&self) -> Stretch {
        self.asked.store(false, Relaxed);
        self.stretch()
    }

    /// Notes that a checkpoint was written.
    pub(crate) fn cover(&self, covered: Stretch, lsn: Lsn, due_at: u64, checkpoint_bytes: u64) {
        self.covered_bytes.fetch_add(covered.bytes, Relaxed);
        self.covered_changes.fetch_add(covered.changes, Relaxed);
        self.due_at.store(due_at.max(checkpoint_bytes.saturating_mul(2)), Relaxed);
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
