//! Group commit and the bell under loom, which tries every order of their operations:
//! `RUSTFLAGS="--cfg loom" cargo test --release --no-default-features --lib models`.
//!
//! Few threads and operations, but all their orders; `LOOM_MAX_PREEMPTIONS` bounds how often a
//! thread is interrupted where it does not wait.

use std::path::Path;
use std::sync::Arc;
use std::task::{Wake, Waker};
use std::time::Duration;

use loom::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use loom::thread;

use super::bell::Bell;
use super::segment::Tail;
use super::sync::SyncQueue;
use crate::error::{Error, ErrorKind, Result, code};
use crate::lsn::Lsn;
use crate::sys::mmap::Map;
use crate::sys::{DiskFile, MapAccess};

/// A file of which a sync makes durable what was written when it began.
#[derive(Debug, Default)]
struct Device {
    written: AtomicU64,
    durable: AtomicU64,
    syncs: AtomicUsize,
    is_broken: AtomicBool,
}

impl DiskFile for Device {
    fn path(&self) -> &Path {
        Path::new("device")
    }

    fn length(&self) -> Result<u64> {
        Ok(0)
    }

    fn written_end(&self) -> Result<u64> {
        Ok(0)
    }

    fn tells_holes(&self) -> bool {
        false
    }

    fn read_at(&self, _offset: u64, _buffer: &mut [u8]) -> Result<usize> {
        Ok(0)
    }

    fn write_at(&self, _offset: u64, _bytes: &[u8]) -> Result<()> {
        Ok(())
    }

    fn allocate(&self, _bytes: u64) -> Result<()> {
        Ok(())
    }

    fn truncate(&self, _bytes: u64) -> Result<()> {
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        let written = self.written.load(Ordering::SeqCst);
        self.syncs.fetch_add(1, Ordering::SeqCst);
        if self.is_broken.load(Ordering::SeqCst) {
            return Err(Error::new(&code::IO, "the device is broken"));
        }
        self.durable.fetch_max(written, Ordering::SeqCst);
        Ok(())
    }

    fn drop_cache(&self) -> Result<()> {
        Ok(())
    }

    fn map(&self, _bytes: usize, _access: MapAccess) -> Result<Arc<Map>> {
        Err(Error::new(&code::IO, "a device is not mapped"))
    }
}

struct Journal {
    device: Arc<Device>,
    queue: SyncQueue,
    /// The writer section.
    section: loom::sync::Mutex<u64>,
}

impl Journal {
    fn new() -> Arc<Self> {
        let device = Arc::new(Device::default());
        let queue = SyncQueue::new(Tail::EMPTY);
        let map = Arc::new(Map::of_bytes(&[0; 8]).expect("memory"));
        queue.note_active(1, Arc::<Device>::clone(&device), map);
        Arc::new(Self { device, queue, section: loom::sync::Mutex::new(0) })
    }

    /// One transaction more, as the writer section appends it.
    fn append(&self) -> Lsn {
        let mut section = self.section.lock().expect("no panic");
        *section += 1;
        self.device.written.store(*section, Ordering::SeqCst);
        self.queue.note_appended(Tail { lsn: Lsn::new(*section), ..Tail::EMPTY });
        Lsn::new(*section)
    }

    fn commit(&self) -> Result<Lsn> {
        let lsn = self.append();
        self.queue.wait(lsn)?;
        assert!(self.device.durable.load(Ordering::SeqCst) >= lsn.get(), "told before it was so");
        // What readers may see: as much, and no more than the disk has.
        let visible = self.queue.durable();
        assert!(visible >= lsn && visible.get() <= self.device.durable.load(Ordering::SeqCst));
        Ok(lsn)
    }
}

fn every_order(model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(3));
    let tried = Arc::new(std::sync::atomic::AtomicU64::new(0));
    let count = Arc::clone(&tried);
    builder.check(move || {
        count.fetch_add(1, Ordering::Relaxed);
        model();
    });
    println!("orders: {}", tried.load(Ordering::Relaxed));
}

#[test]
fn whoever_waits_is_woken_when_the_disk_has_it_and_not_before() {
    every_order(|| {
        let journal = Journal::new();
        let others: Vec<_> = (0..2)
            .map(|_| {
                let journal = Arc::clone(&journal);
                thread::spawn(move || journal.commit().expect("the device is sound"))
            })
            .collect();
        let mut lsns = vec![journal.commit().expect("the device is sound")];
        lsns.extend(others.into_iter().map(|other| other.join().expect("no panic")));
        lsns.sort_unstable();
        assert_eq!(lsns, [1, 2, 3].map(Lsn::new));
        let syncs = journal.device.syncs.load(Ordering::SeqCst);
        assert!((1..=3).contains(&syncs), "no commit needs more than a sync of its own");
    });
}

#[test]
fn a_failed_sync_ends_every_wait_and_acknowledges_nothing() {
    every_order(|| {
        let journal = Journal::new();
        let other = {
            let journal = Arc::clone(&journal);
            thread::spawn(move || journal.commit())
        };
        journal.device.is_broken.store(true, Ordering::SeqCst);
        let ours = journal.commit();
        let theirs = other.join().expect("no panic");
        // The other one may have been quicker than the failure, and then took what was there along.
        for error in [ours.as_ref().err(), theirs.as_ref().err()].into_iter().flatten() {
            assert_eq!(error.kind(), ErrorKind::Poisoned);
        }
        let durable = journal.queue.durable().get();
        assert!(durable <= journal.device.durable.load(Ordering::SeqCst));
        // Also when the device would say that all is well again.
        journal.device.is_broken.store(false, Ordering::SeqCst);
        if ours.is_err() || theirs.is_err() {
            let later = journal.commit().expect_err("it stopped for good");
            assert_eq!(later.kind(), ErrorKind::Poisoned);
        }
    });
}

#[test]
fn what_a_seal_made_durable_is_waited_for_no_longer() {
    every_order(|| {
        let journal = Journal::new();
        let lsn = journal.append();
        let sealing = {
            let journal = Arc::clone(&journal);
            thread::spawn(move || {
                journal.device.sync().expect("the device is sound");
                journal.queue.note_sealed(Tail { lsn, ..Tail::EMPTY });
            })
        };
        let other = {
            let journal = Arc::clone(&journal);
            thread::spawn(move || journal.commit().expect("the device is sound"))
        };
        journal.queue.wait(lsn).expect("the device is sound");
        assert!(journal.device.durable.load(Ordering::SeqCst) >= lsn.get());
        sealing.join().expect("no panic");
        assert_eq!(other.join().expect("no panic"), lsn.next());
        assert_eq!(journal.queue.durable(), lsn.next());
    });
}

/// A task: counts how often it was woken.
#[derive(Default)]
struct Task(std::sync::atomic::AtomicUsize);

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn a_task_that_waits_is_woken_once_and_one_that_need_not_is_not_kept() {
    for is_broken in [false, true] {
        every_order(move || {
            let journal = Journal::new();
            journal.device.is_broken.store(is_broken, Ordering::SeqCst);
            let lsn = journal.append();
            let other = {
                let journal = Arc::clone(&journal);
                thread::spawn(move || journal.queue.wait(lsn))
            };
            let task = Arc::new(Task::default());
            let is_kept = journal.queue.wake_when_durable(lsn, &Waker::from(Arc::clone(&task)));
            assert_eq!(other.join().expect("no panic").is_err(), is_broken);
            assert_eq!(task.0.load(Ordering::SeqCst), usize::from(is_kept));
            assert_eq!(journal.queue.durable() >= lsn, !is_broken);
        });
    }
}

#[test]
fn what_rings_before_the_thread_sleeps_is_heard_and_so_is_what_rings_later() {
    every_order(|| {
        let bell = Arc::new(Bell::default());
        let thread = {
            let bell = Arc::clone(&bell);
            thread::spawn(move || {
                let mut done = Lsn::ZERO;
                loop {
                    let rung = bell.wait(done, Duration::MAX);
                    done = done.max(rung.lsn);
                    if rung.stop {
                        return;
                    }
                }
            })
        };
        let other = {
            let bell = Arc::clone(&bell);
            thread::spawn(move || bell.ring(Lsn::new(2)))
        };
        bell.ring(Lsn::new(1));
        other.join().expect("no panic");
        bell.stop();
        thread.join().expect("it did not sleep through the end");
    });
}
