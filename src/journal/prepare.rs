//! Segments made ready ahead of the writer, and sealed behind it, by a thread of its own: the
//! write path neither allocates nor hashes, and a full disk shows before a byte is promised.

use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use super::Journal;
use super::beacon::Chain;
use super::seal;
use super::segment::Tail;
use crate::error::{Error, Result, code};
use crate::format::names;
use crate::format::segment::{SEGMENT_HEADER_BYTES, SegmentHeader};
use crate::format::store_header::StoreHeader;
use crate::sys::mmap::{Map, MapWriter};
use crate::sys::{Disk, DiskFile, MapAccess, thread};
use crate::time::Timestamp;

/// A new segment: its header durable, its space allocated, nothing in it.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) header: SegmentHeader,
    pub(crate) file: Arc<dyn DiskFile>,
    pub(crate) map: MapWriter,
}

/// How segments of a journal are made.
#[derive(Clone, Debug)]
pub(crate) struct Mould {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) root: std::path::PathBuf,
    pub(crate) identity: StoreHeader,
    pub(crate) access: MapAccess,
}

impl Mould {
    /// Creates the segment of this number. Returns with its header and its name durable.
    pub(crate) fn cast(&self, number: u32, bytes: u64, now: Timestamp) -> Result<Prepared> {
        let mut salt = [0; 32];
        self.disk.entropy(&mut salt);
        let header = SegmentHeader {
            store: self.identity.store,
            timeline: self.identity.timeline,
            number,
            created: now,
            salt,
        };
        let path = names::segment(&self.root, number);
        let file = self.disk.create(&path, bytes)?;
        let prepared = self.fill(header, file, bytes);
        if prepared.is_err() {
            // Without a durable header it is no segment; the next attempt needs the name. If it
            // can't be removed either, that attempt fails and says so.
            drop(self.disk.remove(&path));
        }
        prepared
    }

    fn fill(&self, header: SegmentHeader, file: Arc<dyn DiskFile>, bytes: u64) -> Result<Prepared> {
        let encoded = header.encode();
        file.write_at(0, encoded.as_slice())?;
        file.sync()?;
        self.disk.sync_dir(&self.root.join(names::JOURNAL))?;
        let length = usize::try_from(bytes).map_err(|_| too_large(file.path()))?;
        let mut map = claim(&file.map(length, self.access)?)?;
        if map.is_beside() {
            map.store(0, encoded.as_slice());
        }
        map.publish(SEGMENT_HEADER_BYTES);
        Ok(Prepared { header, file, map })
    }
}

/// The writer of a map that was just made.
pub(crate) fn claim(map: &Arc<Map>) -> Result<MapWriter> {
    map.claim().ok_or_else(|| Error::new(&code::IO, "a new segment has a writer already"))
}

fn too_large(path: &Path) -> Error {
    Error::new(&code::INVALID_OPTION, "segments of this size can't be mapped here").at_path(path)
}

/// What the background thread is asked to do.
#[derive(Debug)]
pub(crate) enum Task {
    /// Make this segment ready, with its first bytes in memory.
    Prepare { number: u32, populated: usize },
    /// Seal a segment that the writer has left.
    Seal { number: u32, map: MapWriter, tail: Tail, changes: u64 },
    /// End, after everything asked for before.
    Stop,
}

/// The writer's side of the background thread.
#[derive(Debug)]
pub(crate) struct Keeper {
    tasks: Sender<Task>,
    ready: Arc<Ready>,
    thread: Option<JoinHandle<()>>,
    /// A thread of its own: the writer must not wait for pages while a segment is being sealed.
    populator: Option<Populator>,
}

#[derive(Debug)]
struct Populator {
    pages: Sender<Pages>,
    thread: JoinHandle<()>,
}

/// Pages to bring into memory.
#[derive(Debug)]
struct Pages {
    map: Arc<Map>,
    offset: usize,
    length: usize,
}

#[derive(Debug, Default)]
struct Ready {
    state: Mutex<Option<Result<Prepared>>>,
    filled: Condvar,
}

impl Ready {
    fn lock(&self) -> MutexGuard<'_, Option<Result<Prepared>>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Keeper {
    /// Starts the thread. `chain` is that of the newest sealed segment.
    pub(crate) fn start(journal: &Arc<Journal>, chain: Chain) -> Result<Self> {
        let (tasks, inbox) = channel();
        let ready = Arc::new(Ready::default());
        let (journal, filled) = (Arc::clone(journal), Arc::clone(&ready));
        let thread = thread::spawn("afterimage-keeper", move || {
            keep(&journal, &inbox, &filled, chain);
        })?;
        Ok(Self { tasks, ready, thread: Some(thread), populator: None })
    }

    /// Starts to bring pages into memory when asked.
    pub(crate) fn start_populator(&mut self) -> Result<()> {
        let (pages, inbox) = channel::<Pages>();
        let thread = thread::spawn("afterimage-populator", move || {
            while let Ok(Pages { map, offset, length }) = inbox.recv() {
                map.populate(offset, length);
            }
        })?;
        self.populator = Some(Populator { pages, thread });
        Ok(())
    }

    /// Asks for pages of the active segment; does nothing without a populator.
    pub(crate) fn populate(&self, map: &Arc<Map>, offset: usize, length: usize) {
        if let Some(populator) = &self.populator {
            drop(populator.pages.send(Pages { map: Arc::clone(map), offset, length }));
        }
    }

    /// Asks for something; what is asked of a thread that has ended is not needed any more.
    pub(crate) fn ask(&self, task: Task) {
        drop(self.tasks.send(task));
    }

    pub(crate) const fn populates(&self) -> bool {
        self.populator.is_some()
    }

    /// The segment that was asked for with [`Task::Prepare`], when it is ready.
    pub(crate) fn take(&self) -> Result<Prepared> {
        let mut state = self.ready.lock();
        loop {
            match state.take() {
                Some(prepared) => return prepared,
                None => {
                    state = self.ready.filled.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
    }

    /// Ends the thread after all it was asked for; gives back a segment nobody took.
    pub(crate) fn stop(&mut self) -> Option<Prepared> {
        if let Some(Populator { pages, thread }) = self.populator.take() {
            drop(pages);
            drop(thread.join());
        }
        self.ask(Task::Stop);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            // Its panic was printed; what it left undone, recovery does.
            return None;
        }
        match self.ready.lock().take() {
            Some(Ok(prepared)) => Some(prepared),
            Some(Err(_)) | None => None,
        }
    }
}

fn keep(journal: &Journal, inbox: &Receiver<Task>, ready: &Ready, mut chain: Chain) {
    while let Ok(task) = inbox.recv() {
        match task {
            Task::Stop => return,
            Task::Prepare { number, populated } => {
                let bytes = journal.mould.identity.segment_bytes;
                let prepared = journal.mould.cast(number, bytes, journal.clock.now());
                if let Ok(prepared) = &prepared {
                    prepared.map.map().populate(0, populated);
                }
                *ready.lock() = Some(prepared);
                ready.filled.notify_all();
            }
            Task::Seal { number, map, tail, changes } => {
                // Behind a segment that could not be sealed none is: the chain has no gaps.
                let sealed = journal
                    .sync
                    .check()
                    .and_then(|()| journal.segment(number))
                    .and_then(|segment| seal::finish(segment, map, &tail, changes, chain))
                    .and_then(|next| {
                        chain = next;
                        journal.beacon_after_seal(next)
                    });
                if let Err(error) = sealed {
                    journal.sync.poison(&error);
                }
            }
        }
    }
}
