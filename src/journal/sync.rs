//! Group commit: whoever waits for a sync first does it for all who wait, and those who come
//! meanwhile form the next group.
//!
//! A sync covers what was appended when it begins. Two condition variables serve alternate
//! generations, so that the end of a sync wakes the group it covered, and of the next group one
//! thread alone, which leads it. The target of a running sync is set in the critical section that
//! elects its leader; else a waiter could join a sync that does not cover it. `parking_lot`'s
//! condition variables hand those they wake from the lock to one another, where std's send them all
//! to the lock at once: with 64 threads on two cores that was a third of the rate.
//!
//! A failed sync is final: the kernel may have dropped the pages it could not write and will answer
//! "ok" to the next attempt, so nothing is acknowledged any more.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::task::Waker;

use super::bell::Bell;
use super::segment::Tail;
use crate::error::{Error, Result, code};
use crate::lsn::{Lsn, Position};
use crate::sys::DiskFile;
use crate::sys::mmap::{Map, PAGE_BYTES};
use crate::sys::sync::{AtomicBool, AtomicU64, Condvar, Mutex, MutexGuard};

/// So many pages are worth a call to take them out of the page tables first.
const DETACHED_PAGES_MIN: usize = 4;

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
    /// Told when somebody waits without being able to sync, so that the background thread does.
    pub(crate) bell: Bell,
    listener: Listener,
}

#[derive(Debug)]
struct State {
    durable: Tail,
    /// Counts the syncs begun.
    generation: u64,
    /// What the running sync will make durable.
    running: Option<Lsn>,
    poison: Option<Arc<str>>,
    /// Tasks that wait, by the LSN they wait for.
    tasks: VecDeque<(Lsn, Waker)>,
}

#[derive(Debug)]
struct Appended {
    tail: Tail,
    /// Segments with frames that were not synced yet, oldest first; the last is the active one.
    segments: Vec<Unsynced>,
}

/// A segment to sync.
#[derive(Clone, Debug)]
struct Unsynced {
    number: u32,
    file: Arc<dyn DiskFile>,
    map: Arc<Map>,
}

impl Unsynced {
    /// Makes durable what stands between the two places.
    fn sync(&self, from: Position, to: Position) -> Result<()> {
        let start = if from.segment() == self.number { from.offset() } else { 0 } as usize;
        if to.segment() == self.number {
            // All but the page that is being written.
            let (start, end) = (start / PAGE_BYTES, to.offset() as usize / PAGE_BYTES);
            if end.saturating_sub(start) >= DETACHED_PAGES_MIN {
                self.map.detach(start * PAGE_BYTES, (end - start) * PAGE_BYTES);
            }
        }
        self.file.sync()
    }
}

/// Who is told what became durable.
#[derive(Default)]
struct Listener(OnceLock<Box<dyn Fn() + Send + Sync>>);

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Listener")
    }
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
                tasks: VecDeque::new(),
            }),
            turns: [Condvar::new(), Condvar::new()],
            appended: Mutex::new(Appended { tail, segments: Vec::new() }),
            durable: AtomicU64::new(tail.lsn.get()),
            poisoned: AtomicBool::new(false),
            bell: Bell::default(),
            listener: Listener::default(),
        }
    }

    /// Has `listener` called, by whichever thread synced, when more became durable. The first one
    /// stays.
    #[cfg(feature = "tokio")]
    pub(crate) fn listen(&self, listener: impl Fn() + Send + Sync + 'static) {
        self.listener.0.get_or_init(|| Box::new(listener));
    }

    /// The highest LSN known durable.
    pub(crate) fn durable(&self) -> Lsn {
        Lsn::new(self.durable.load(Ordering::SeqCst))
    }

    /// The newest durable transaction with its place.
    pub(crate) fn durable_tail(&self) -> Tail {
        self.state.lock().durable
    }

    /// The newest appended transaction with its place.
    pub(crate) fn tail(&self) -> Tail {
        self.appended.lock().tail
    }

    /// Notes that the journal now ends at `tail`.
    pub(crate) fn note_appended(&self, tail: Tail) {
        self.appended.lock().tail = tail;
    }

    /// Notes the segment that frames are appended to from now on.
    pub(crate) fn note_active(&self, number: u32, file: Arc<dyn DiskFile>, map: Arc<Map>) {
        self.appended.lock().segments.push(Unsynced { number, file, map });
    }

    /// The error that everyone gets after a failed write or sync; `Ok` while all is well.
    pub(crate) fn check(&self) -> Result<()> {
        if !self.poisoned.load(Ordering::Acquire) {
            return Ok(());
        }
        match &self.state.lock().poison {
            Some(cause) => Err(poisoned(cause)),
            None => Ok(()),
        }
    }

    /// Stops the journal: a write or sync failed. The first cause stays.
    pub(crate) fn poison(&self, cause: &Error) {
        let mut state = self.state.lock();
        let tasks = self.note_poison(&mut state, cause);
        drop(state);
        wake(tasks);
    }

    /// Notes the cause, and lets everyone know; the tasks are to be woken by the caller.
    #[must_use]
    fn note_poison(&self, state: &mut State, cause: &Error) -> VecDeque<(Lsn, Waker)> {
        state.poison.get_or_insert_with(|| format!("{cause:?}").into());
        self.poisoned.store(true, Ordering::Release);
        for turn in &self.turns {
            turn.notify_all();
        }
        std::mem::take(&mut state.tasks)
    }

    /// Returns when everything up to `lsn` is durable; syncs if nobody else does.
    pub(crate) fn wait(&self, lsn: Lsn) -> Result<()> {
        let mut state = self.state.lock();
        loop {
            if let Some(cause) = &state.poison {
                return Err(poisoned(cause));
            }
            if state.durable.lsn >= lsn {
                return Ok(());
            }
            match state.running {
                None => state = self.lead(state),
                Some(target) => {
                    // Covered by the running sync, or one of the group after it.
                    let generation = state.generation + u64::from(target < lsn);
                    self.turn(generation).wait(&mut state);
                }
            }
        }
    }

    /// One sync of everything appended so far, for all who wait.
    fn lead<'a>(&'a self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        let (target, segments) = {
            let appended = self.appended.lock();
            (appended.tail, appended.segments.clone())
        };
        let durable = state.durable.end;
        state.running = Some(target.lsn);
        state.generation += 1;
        let generation = state.generation;
        drop(state);
        let synced = segments.iter().try_for_each(|segment| segment.sync(durable, target.end));
        let mut state = self.state.lock();
        state.running = None;
        let tasks = match &synced {
            Ok(()) => {
                self.appended.lock().forget_synced(&segments);
                self.turn(generation).notify_all();
                self.turn(generation + 1).notify_one();
                self.set_durable(&mut state, target)
            }
            Err(error) => self.note_poison(&mut state, error),
        };
        if tasks.is_empty() && self.listener.0.get().is_none() {
            return state;
        }
        // Woken without the lock: a waker may do anything.
        drop(state);
        wake(tasks);
        if let Some(listener) = self.listener.0.get() {
            listener();
        }
        self.state.lock()
    }

    /// Notes that the journal is durable up to `tail`: the segment that ends there, and all before
    /// it, were synced by whoever sealed them.
    pub(crate) fn note_sealed(&self, tail: Tail) {
        let mut state = self.state.lock();
        if state.poison.is_some() || tail.lsn <= state.durable.lsn {
            return;
        }
        let tasks = self.set_durable(&mut state, tail);
        // All of both groups: one that is covered now would go without leading the others.
        for turn in &self.turns {
            turn.notify_all();
        }
        drop(state);
        wake(tasks);
        if let Some(listener) = self.listener.0.get() {
            listener();
        }
    }

    /// Notes what is durable, which another thread may have noted to be more already; the tasks
    /// that waited for it are to be woken by the caller.
    #[must_use]
    fn set_durable(&self, state: &mut State, tail: Tail) -> VecDeque<(Lsn, Waker)> {
        if tail.lsn > state.durable.lsn {
            state.durable = tail;
            self.durable.store(tail.lsn.get(), Ordering::SeqCst);
        }
        state.tasks_up_to(tail.lsn)
    }

    /// Has `waker` called when `lsn` is durable or the journal is poisoned; `false` if that is so
    /// already and the waker was not kept.
    pub(crate) fn wake_when_durable(&self, lsn: Lsn, waker: &Waker) -> bool {
        let mut state = self.state.lock();
        if state.poison.is_some() || state.durable.lsn >= lsn {
            return false;
        }
        state.add_task(lsn, waker);
        drop(state);
        self.bell.ring(lsn);
        true
    }

    fn turn(&self, generation: u64) -> &Condvar {
        let [even, odd] = &self.turns;
        if generation.is_multiple_of(2) { even } else { odd }
    }
}

impl State {
    /// Keeps a waker in its place; they come nearly in order.
    fn add_task(&mut self, lsn: Lsn, waker: &Waker) {
        let place = self.tasks.partition_point(|(other, _)| *other <= lsn);
        let same = place.checked_sub(1).and_then(|index| self.tasks.get_mut(index));
        match same {
            // Polled again without having been woken.
            Some((other, known)) if *other == lsn && known.will_wake(waker) => {}
            Some(_) | None => self.tasks.insert(place, (lsn, waker.clone())),
        }
    }

    /// The tasks that wait for this LSN or one before.
    fn tasks_up_to(&mut self, durable: Lsn) -> VecDeque<(Lsn, Waker)> {
        let later = self.tasks.partition_point(|(lsn, _)| *lsn <= durable);
        let later = self.tasks.split_off(later);
        std::mem::replace(&mut self.tasks, later)
    }
}

impl Appended {
    /// Drops the segments that are synced for good: all of those but the active one.
    fn forget_synced(&mut self, synced: &[Unsynced]) {
        let full = synced.len().saturating_sub(1);
        self.segments.drain(..full.min(self.segments.len().saturating_sub(1)));
    }
}

fn wake(tasks: VecDeque<(Lsn, Waker)>) {
    for (_, waker) in tasks {
        waker.wake();
    }
}

fn poisoned(cause: &Arc<str>) -> Error {
    Error::new(&code::POISONED, format!("the journal stopped after an earlier failure: {cause}"))
}
