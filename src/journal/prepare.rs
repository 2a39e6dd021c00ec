//! Segments made ready ahead of the writer, and sealed behind it, by threads of their own: the
//! write path neither allocates nor hashes, and a full disk shows before a byte is promised.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::JoinHandle;

use super::Journal;
use super::beacon::Chain;
use super::seal;
use super::segment::Tail;
use crate::error::{Error, Result, code};
use crate::format::names;
use crate::format::segment::{Content, SEGMENT_HEADER_BYTES, SegmentHeader};
use crate::format::store_header::StoreHeader;
use crate::sys::mmap::{Map, MapWriter, Ready};
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
            content: Content::Transactions,
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

/// A segment to make ready, with its first bytes in memory.
#[derive(Debug)]
struct Wanted {
    number: u32,
    populated: usize,
    ready: Ready,
    /// Dropped when it is done.
    done: Option<Sender<()>>,
}

/// A segment to seal, which the writer has left.
#[derive(Debug)]
pub(crate) struct Full {
    pub(crate) number: u32,
    pub(crate) map: MapWriter,
    pub(crate) tail: Tail,
    pub(crate) changes: u64,
    /// Dropped when it is done.
    pub(crate) done: Option<Sender<()>>,
}

/// Pages to bring into memory.
#[derive(Debug)]
struct Pages {
    map: Arc<Map>,
    offset: usize,
    length: usize,
}

/// So many full segments may wait to be sealed; then the writer waits too.
const FULL_MAX: usize = 8;

/// The writer's side of the background threads: one makes segments ready, one seals them, one
/// brings pages into memory. Each is a queue, and none of them waits for another.
#[derive(Debug)]
pub(crate) struct Keeper {
    wanted: Worker<Sender<Wanted>>,
    segments: Receiver<Result<Prepared>>,
    full: Worker<SyncSender<Full>>,
    pages: Worker<Sender<Pages>>,
    ready: Ready,
}

/// A thread that works off a queue until its sender is gone.
#[derive(Debug)]
struct Worker<Q> {
    queue: Option<Q>,
    thread: Option<JoinHandle<()>>,
}

impl<Q> Worker<Q> {
    fn start(queue: Q, name: &str, work: impl FnOnce() + Send + 'static) -> Result<Self> {
        Ok(Self { queue: Some(queue), thread: Some(thread::spawn(name, work)?) })
    }

    /// Lets the thread finish what it was asked for, and waits for that.
    fn stop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            // A panic was printed when it happened; what it left undone, recovery does.
            drop(thread.join());
        }
    }
}

impl Keeper {
    /// Starts the threads. `chain` is that of the newest sealed segment; pages are brought into
    /// memory in the way of `ready`.
    pub(crate) fn start(journal: &Arc<Journal>, chain: Chain, ready: Ready) -> Result<Self> {
        let (prepared, segments) = channel();
        let (wanted, inbox) = channel();
        let mould = Arc::clone(journal);
        let wanted = Worker::start(wanted, "afterimage-segments", move || {
            prepare(&mould, &inbox, &prepared);
        })?;
        let (full, inbox) = sync_channel(FULL_MAX);
        let journal = Arc::clone(journal);
        let full = Worker::start(full, "afterimage-seals", move || seal(&journal, &inbox, chain))?;
        let (pages, inbox) = channel::<Pages>();
        let pages = Worker::start(pages, "afterimage-pages", move || {
            while let Ok(Pages { map, offset, length }) = inbox.recv() {
                map.populate(offset, length, ready);
            }
        })?;
        Ok(Self { wanted, segments, full, pages, ready })
    }

    /// Asks for pages of the active segment.
    pub(crate) fn populate(&self, map: &Arc<Map>, offset: usize, length: usize) {
        if let Some(queue) = &self.pages.queue {
            drop(queue.send(Pages { map: Arc::clone(map), offset, length }));
        }
    }

    /// Asks for a segment with so many bytes in memory. What is asked of a thread that has ended
    /// is not needed any more.
    pub(crate) fn want(&self, number: u32, populated: usize, done: Option<Sender<()>>) {
        if let Some(queue) = &self.wanted.queue {
            drop(queue.send(Wanted { number, populated, ready: self.ready, done }));
        }
    }

    /// Hands over a segment to be sealed; waits if too many are waiting already.
    pub(crate) fn seal(&self, full: Full) {
        if let Some(queue) = &self.full.queue {
            drop(queue.send(full));
        }
    }

    /// The segment that was wanted, when it is ready.
    pub(crate) fn take(&self) -> Result<Prepared> {
        self.segments.recv().unwrap_or_else(|_| {
            Err(Error::new(&code::IO, "the thread that makes segments ready has ended"))
        })
    }

    /// Ends the threads after all they were asked for; gives back a segment nobody took.
    pub(crate) fn stop(&mut self) -> Option<Prepared> {
        self.pages.stop();
        self.full.stop();
        self.wanted.stop();
        self.segments.try_iter().find_map(Result::ok)
    }
}

fn prepare(journal: &Journal, inbox: &Receiver<Wanted>, made: &Sender<Result<Prepared>>) {
    while let Ok(Wanted { number, populated, ready, done }) = inbox.recv() {
        let bytes = journal.mould.identity.segment_bytes;
        let prepared = journal.mould.cast(number, bytes, journal.clock.now());
        if let Ok(prepared) = &prepared {
            prepared.map.map().populate(0, populated, ready);
        }
        // Nobody left to take it: then its file is found unused by the next opening.
        drop(made.send(prepared));
        drop(done);
    }
}

fn seal(journal: &Journal, inbox: &Receiver<Full>, mut chain: Chain) {
    while let Ok(Full { number, map, tail, changes, done }) = inbox.recv() {
        // Behind a segment that could not be sealed none is: the chain has no gaps.
        let sealed = journal
            .sync
            .check()
            .and_then(|()| journal.segment(number))
            .and_then(|segment| seal::finish(segment, map, &tail, changes, chain))
            .and_then(|next| {
                chain = next;
                journal.sync.note_sealed(tail);
                journal.beacon_after_seal(next)
            });
        if let Err(error) = sealed {
            journal.sync.poison(&error);
        }
        drop(done);
    }
}
