//! What wakes the background thread of durability. Ringing it while the thread is awake costs two
//! atomic operations and no system call.

use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::lsn::Lsn;
use crate::sys::sync::{AtomicBool, AtomicU64, Condvar, Mutex};

/// Wakes the background thread.
#[derive(Debug, Default)]
pub(crate) struct Bell {
    /// Sync up to here.
    asked: AtomicU64,
    stop: AtomicBool,
    sleeping: AtomicBool,
    lock: Mutex<()>,
    condition: Condvar,
}

/// What the background thread is asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rung {
    /// Sync up to here.
    pub(crate) lsn: Lsn,
    /// End.
    pub(crate) stop: bool,
}

impl Bell {
    /// Asks for a sync up to `lsn`.
    pub(crate) fn ring(&self, lsn: Lsn) {
        self.asked.fetch_max(lsn.get(), Ordering::SeqCst);
        self.wake();
    }

    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::SeqCst);
        self.wake();
    }

    /// The thread says that it sleeps before it looks what is asked for, and this asks before it
    /// looks whether the thread sleeps: one of the two sees the other.
    fn wake(&self) {
        if self.sleeping.load(Ordering::SeqCst) {
            drop(self.lock.lock());
            self.condition.notify_one();
        }
    }

    /// Waits until something newer than `done` is asked for, or the time is over.
    pub(crate) fn wait(&self, done: Lsn, time: Duration) -> Rung {
        let rung = self.rung();
        if rung.stop || rung.lsn > done {
            return rung;
        }
        let mut guard = self.lock.lock();
        self.sleeping.store(true, Ordering::SeqCst);
        let is_idle = |(): &mut ()| {
            let rung = self.rung();
            !rung.stop && rung.lsn <= done
        };
        self.condition.wait_while_for(&mut guard, is_idle, time);
        self.sleeping.store(false, Ordering::SeqCst);
        drop(guard);
        self.rung()
    }

    fn rung(&self) -> Rung {
        Rung {
            lsn: Lsn::new(self.asked.load(Ordering::SeqCst)),
            stop: self.stop.load(Ordering::SeqCst),
        }
    }
}
