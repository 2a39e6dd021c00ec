//! Group commit: whoever waits for a sync first does it for all who wait, and those who come
//! meanwhile form the next group.
//!
//! A sync covers what was appended when it begins. Two condition variables serve alternate
//! generations, so that the end of a sync wakes the group it covered, and of the next group one
//! thread alone, which leads it. The target of a running sync is set in the critical section that
//! elects its leader; else a waiter could join a sync that does not cover it.
//!
//! A failed sync is final: the kernel may have dropped the pages it could not write and will answer
//! "ok" to the next attempt, so nothing is acknowledged any more.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use super::segment::Tail;
use crate::error::{Error, Result, code};
use crate::lsn::Lsn;
use crate::sys::DiskFile;

/// The queue of those who wait for a sync.
#[derive(Debug)]
pub(crate) struct SyncQueue {
    state: Mutex<State>,
    turns: [Condvar; 2],
    /// What was appended so far; updated by the one writer.
    appended: Mutex<Appended>,
    durable: AtomicU64,
    /// Whether there is a poison: the question is asked by every commit.
    poisoned: AtomicBool,
    /// Told when an async task waits, so that the background thread syncs for it.
    pub(crate) bell: Bell,
}

#[derive(Debug)]
struct State {
    durable: Tail,
    /// Counts the syncs begun.
    generation: u64,
    /// What the running sync will make durable.
    running: Option<Lsn>,
    poison: Option<Arc<str>>,
    tasks: Vec<(Lsn, Waker)>,
}

#[derive(Debug)]
struct Appended {
    tail: Tail,
    /// Files with frames that were not synced yet, oldest first; the last is the active segment.
    files: Vec<Arc<dyn DiskFile>>,
}

impl SyncQueue {
    /// A queue for a journal that is durable up to `tail`.
    pub(crate) fn new(tail: Tail) -> Self {
        Self {
            state: Mutex::new(State {
                durable: tail,
                generation: 0,
                running: None,
                poison: None,
                tasks: Vec::new(),
            }),
            turns: [Condvar::new(), Condvar::new()],
            appended: Mutex::new(Appended { tail, files: Vec::new() }),
            durable: AtomicU64::new(tail.lsn.get()),
            poisoned: AtomicBool::new(false),
            bell: Bell::default(),
        }
    }

    /// The highest LSN known durable.
    pub(crate) fn durable(&self) -> Lsn {
        Lsn::new(self.durable.load(Ordering::Acquire))
    }

    /// The newest durable transaction with its place.
    pub(crate) fn durable_tail(&self) -> Tail {
        self.state().durable
    }

    /// The newest appended transaction with its place.
    pub(crate) fn tail(&self) -> Tail {
        self.appended().tail
    }

    /// Notes that the journal now ends at `tail`.
    pub(crate) fn note_appended(&self, tail: Tail) {
        self.appended().tail = tail;
    }

    /// Notes the file that frames are appended to from now on.
    pub(crate) fn note_active(&self, file: Arc<dyn DiskFile>) {
        self.appended().files.push(file);
    }

    /// The error that everyone gets after a failed write or sync; `Ok` while all is well.
    pub(crate) fn check(&self) -> Result<()> {
        if !self.poisoned.load(Ordering::Acquire) {
            return Ok(());
        }
        match &self.state().poison {
            Some(cause) => Err(poisoned(cause)),
            None => Ok(()),
        }
    }

    /// Stops the journal: a write or sync failed. The first cause stays.
    pub(crate) fn poison(&self, cause: &Error) {
        let mut state = self.state();
        self.note_poison(&mut state, cause);
    }

    fn note_poison(&self, state: &mut State, cause: &Error) {
        state.poison.get_or_insert_with(|| format!("{cause:?}").into());
        self.poisoned.store(true, Ordering::Release);
        self.wake_all(state);
    }

    /// Returns when everything up to `lsn` is durable; syncs if nobody else does.
    pub(crate) fn wait(&self, lsn: Lsn) -> Result<()> {
        let mut state = self.state();
        loop {
            if let Some(cause) = &state.poison {
                return Err(poisoned(cause));
            }
            if state.durable.lsn >= lsn {
                return Ok(());
            }
            state = match state.running {
                None => self.lead(state),
                Some(target) => {
                    // Covered by the running sync, or one of the group after it.
                    let generation = state.generation + u64::from(target < lsn);
                    self.turn(generation).wait(state).unwrap_or_else(PoisonError::into_inner)
                }
            };
        }
    }

    /// One sync of everything appended so far, for all who wait.
    fn lead<'a>(&'a self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        let (target, files) = {
            let appended = self.appended();
            (appended.tail, appended.files.clone())
        };
        state.running = Some(target.lsn);
        state.generation += 1;
        let generation = state.generation;
        drop(state);
        let synced = files.iter().try_for_each(|file| file.sync());
        let mut state = self.state();
        state.running = None;
        match synced {
            Ok(()) => {
                self.appended().forget_synced(&files);
                state.durable = target;
                self.durable.store(target.lsn.get(), Ordering::Release);
                state.wake_tasks();
                self.turn(generation).notify_all();
                self.turn(generation + 1).notify_one();
            }
            Err(error) => self.note_poison(&mut state, &error),
        }
        state
    }

    /// Has `waker` called when `lsn` is durable or the journal is poisoned; `false` if that is so
    /// already and the waker was not kept.
    #[cfg(feature = "tokio")]
    pub(crate) fn wake_when_durable(&self, lsn: Lsn, waker: &Waker) -> bool {
        let mut state = self.state();
        if state.poison.is_some() || state.durable.lsn >= lsn {
            return false;
        }
        state.tasks.push((lsn, waker.clone()));
        drop(state);
        self.bell.ring(lsn);
        true
    }

    fn wake_all(&self, state: &mut State) {
        for (_, waker) in state.tasks.drain(..) {
            waker.wake();
        }
        for turn in &self.turns {
            turn.notify_all();
        }
    }

    fn turn(&self, generation: u64) -> &Condvar {
        let [even, odd] = &self.turns;
        if generation.is_multiple_of(2) { even } else { odd }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn appended(&self) -> MutexGuard<'_, Appended> {
        self.appended.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn wake_tasks(&mut self) {
        let durable = self.durable.lsn;
        self.tasks.retain(|(lsn, waker)| {
            if *lsn <= durable {
                waker.wake_by_ref();
            }
            *lsn > durable
        });
    }
}

impl Appended {
    /// Drops the files that are synced for good: all of those but the active one.
    fn forget_synced(&mut self, synced: &[Arc<dyn DiskFile>]) {
        let full = synced.len().saturating_sub(1);
        self.files.drain(..full.min(self.files.len().saturating_sub(1)));
    }
}

fn poisoned(cause: &Arc<str>) -> Error {
    Error::new(&code::POISONED, format!("the journal stopped after an earlier failure: {cause}"))
}

/// Wakes the background thread.
#[derive(Debug, Default)]
pub(crate) struct Bell {
    rung: Mutex<Rung>,
    condition: Condvar,
}

/// What the background thread is asked for.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rung {
    /// Sync up to here.
    pub(crate) lsn: Lsn,
    /// End.
    pub(crate) stop: bool,
}

impl Bell {
    #[cfg(feature = "tokio")]
    fn ring(&self, lsn: Lsn) {
        let mut rung = self.lock();
        rung.lsn = rung.lsn.max(lsn);
        self.condition.notify_one();
    }

    pub(crate) fn stop(&self) {
        self.lock().stop = true;
        self.condition.notify_one();
    }

    /// Waits until something newer than `done` is asked for, or the time is over.
    pub(crate) fn wait(&self, done: Lsn, time: std::time::Duration) -> Rung {
        let rung = self.lock();
        let (rung, _) = self
            .condition
            .wait_timeout_while(rung, time, |rung| !rung.stop && rung.lsn <= done)
            .unwrap_or_else(PoisonError::into_inner);
        *rung
    }

    fn lock(&self) -> MutexGuard<'_, Rung> {
        self.rung.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
