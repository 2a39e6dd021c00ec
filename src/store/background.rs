//! When a checkpoint is due, and the thread that then writes it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use crate::error::Result;
use crate::lsn::Lsn;
use crate::sys::thread;

/// How much journal stands behind the newest checkpoint.
#[derive(Debug, Default)]
pub(crate) struct Behind {
    bytes: AtomicU64,
    checkpoint: AtomicU64,
}

impl Behind {
    pub(crate) fn new(checkpoint: Lsn) -> Self {
        Self { bytes: AtomicU64::new(0), checkpoint: AtomicU64::new(checkpoint.get()) }
    }

    /// Counts an appended frame; says whether a checkpoint is due.
    pub(crate) fn add(&self, bytes: u64, due_at: u64) -> bool {
        let before = self.bytes.fetch_add(bytes, Ordering::Relaxed);
        before < due_at && before + bytes >= due_at
    }

    /// How many bytes of journal stand behind the newest checkpoint.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Notes that a checkpoint was written.
    pub(crate) fn reset(&self, lsn: Lsn) {
        self.bytes.store(0, Ordering::Relaxed);
        self.checkpoint.store(lsn.get(), Ordering::Relaxed);
    }

    pub(crate) fn checkpoint(&self) -> Lsn {
        Lsn::new(self.checkpoint.load(Ordering::Relaxed))
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
