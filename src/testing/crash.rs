//! A store on the simulated disk, and an oracle of what it has acknowledged.
//!
//! What is checked after each power cut: the store opens; what was acknowledged is there; what is
//! there is a prefix of what was committed, each transaction whole, proved by its state digest; and
//! the store takes new transactions and survives another cut.

#![expect(clippy::expect_used, reason = "a broken promise fails the test that uses this")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::{ErrorKind, Result};
use crate::format::digest::StateDigest;
use crate::format::image::{CodecId, Image};
use crate::lsn::Lsn;
use crate::state::checkpoint::Extent;
use crate::store::{Durability, KeyRange, Options, Store, Transaction};
use crate::sys::sim::{AtRandom, Fault, SimDisk};

const ROOT: &str = "/sim.store";

/// Counts what was tried.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tried {
    /// Moments at which the power was cut.
    pub cuts: u64,
    /// Of these, the moments of which every state that a cut can leave was tried.
    pub exhausted: u64,
    /// States of the disk that were opened again.
    pub states: u64,
    /// Calls that were made to fail.
    pub faults: u64,
}

/// What a history is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// A new record.
    Put,
    /// A record that is there, mostly.
    Update,
    /// A deletion of one that is there, mostly.
    Delete,
    /// Three records in one transaction.
    Batch,
    /// A record that takes most of a segment.
    Large,
    /// A checkpoint of what changed.
    Layer,
    /// A checkpoint of everything.
    Whole,
    /// Closing and opening.
    Reopen,
}

impl Operation {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Put,
        Self::Update,
        Self::Delete,
        Self::Batch,
        Self::Large,
        Self::Layer,
        Self::Whole,
        Self::Reopen,
    ];
}

/// How a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Once, with this error of the operating system.
    Once(i32),
    /// And all later calls as well.
    Forever(i32),
    /// Once; a write has then written its first half.
    Torn(i32),
}

impl Failure {
    const fn after(self, calls: u64) -> Fault {
        match self {
            Self::Once(errno) => Fault { after: calls, forever: false, errno, torn: false },
            Self::Forever(errno) => Fault { after: calls, forever: true, errno, torn: false },
            Self::Torn(errno) => Fault { after: calls, forever: false, errno, torn: true },
        }
    }
}

/// A store under test.
#[derive(Debug)]
pub struct Bench {
    disk: Arc<SimDisk>,
    store: Option<Store>,
    durability: Durability,
    /// The state digest after each LSN that was ever appended.
    digests: Vec<StateDigest>,
    random: AtRandom,
}

impl Bench {
    /// An empty store.
    ///
    /// # Errors
    /// As [`Options::open`].
    pub fn new(seed: u64, durability: Durability) -> Result<Self> {
        let disk = Arc::new(SimDisk::default());
        crate::sys::Disk::create_dir(&*disk, Path::new("/"))?;
        crate::sys::Disk::sync_dir(&*disk, Path::new(""))?;
        let store = open(&disk, durability)?;
        Ok(Self {
            disk,
            store: Some(store),
            durability,
            digests: vec![StateDigest::default()],
            random: AtRandom::new(seed),
        })
    }

    /// A random operation; mostly one that writes.
    pub fn step(&mut self) {
        let choice = usize::try_from(self.random.next() % 24).unwrap_or(0);
        let operation = Operation::ALL.get(choice / 3).copied().unwrap_or(Operation::Put);
        self.operate(operation);
    }

    /// Applies an operation, which may fail if a call to the disk does.
    ///
    /// # Panics
    /// When it fails in another way.
    pub fn operate(&mut self, operation: Operation) {
        let (key, size) = (self.random.next() % 8, 1 + self.random.next() % 700);
        match operation {
            Operation::Put => {
                let new = self.digests.len();
                self.write(|tx| put(tx, &format!("new-{new}"), size));
            }
            Operation::Update => self.write(|tx| put(tx, &format!("key-{key}"), size)),
            Operation::Delete => {
                let name = format!("key-{key}");
                self.write(|tx| tx.delete_record("things", name.as_bytes()).map(|_| ()));
            }
            Operation::Batch => self.write(|tx| {
                (key..key + 3).try_for_each(|key| put(tx, &format!("key-{}", key % 8), size))
            }),
            Operation::Large => self.write(|tx| put(tx, &format!("key-{key}"), 2500 + size)),
            // One that can't be written costs nothing.
            Operation::Layer => {
                if let Some(store) = &self.store {
                    drop(store.engine.write_checkpoint(Extent::Layer));
                }
            }
            Operation::Whole => {
                if let Some(store) = &self.store {
                    drop(store.checkpoint());
                }
            }
            Operation::Reopen => {
                drop(self.store.take().map(Store::close));
                self.store = allowed(open(&self.disk, self.durability));
                if let Some(store) = &self.store {
                    // What was appended and not acknowledged may be gone, and its number free.
                    let head = usize::try_from(store.head().get()).expect("few transactions");
                    self.digests.truncate(head + 1);
                }
            }
        }
    }

    fn write(&mut self, call: impl FnMut(&mut Transaction<'_>) -> Result<()>) {
        let Some(store) = &self.store else { return };
        let committed = store.write(call);
        // Also of a transaction that failed after it was appended: it may be there later.
        let tail = store.engine.journal.sync.tail();
        if tail.lsn.get() == self.digests.len() as u64 {
            self.digests.push(tail.digest);
        }
        if let Some(commit) = allowed(committed) {
            self.disk.set_note(commit.lsn().get().max(self.disk.note()));
        }
    }

    /// The store's files as they are now, by their names in it.
    #[must_use]
    pub fn files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        self.disk.contents(Path::new(ROOT))
    }

    /// Closes the store.
    ///
    /// # Panics
    /// When that fails.
    pub fn close(&mut self) {
        if let Some(store) = self.store.take() {
            store.close().expect("the disk is sound");
        }
    }

    /// Cuts the power in `ways` ways, opens each, and checks it; then cuts each twice more.
    ///
    /// # Panics
    /// When a promise is broken; the message has the seed.
    pub fn cut(&mut self, ways: u64, tried: &mut Tried) {
        tried.cuts += 1;
        for _ in 0..ways {
            let seed = self.random.next();
            self.check(&Arc::new(self.disk.crash(seed)), (seed, 2), tried);
        }
    }

    /// Opens what a cut left and checks it; recovery itself is cut as well, so many times over:
    /// each state that it leaves must recover to the same.
    fn check(&self, disk: &Arc<SimDisk>, (seed, deeper): (u64, u64), tried: &mut Tried) {
        tried.states += 1;
        let store = match open(disk, self.durability) {
            Ok(store) => store,
            Err(error) => panic!("seed {seed}: the store does not open: {error:?}"),
        };
        let head = store.head();
        let acknowledged = Lsn::new(disk.note());
        let promised = if self.durability == Durability::Sync { acknowledged } else { Lsn::ZERO };
        assert!(
            head >= promised,
            "seed {seed}: LSN {promised} was acknowledged, LSN {head} is left"
        );
        let digest = store.snapshot().digest().expect("the newest transaction is readable");
        let at = usize::try_from(head.get()).expect("few transactions");
        assert_eq!(
            self.digests.get(at),
            Some(&digest),
            "seed {seed}: LSN {head} is not what was committed"
        );
        for record in store.snapshot().scan("things", KeyRange::all()).into_iter().flatten() {
            record.expect("every record is readable");
        }
        if deeper > 0 {
            let again = Arc::new(disk.crash(seed ^ deeper));
            self.check(&again, (seed, deeper - 1), tried);
        }
        store
            .write(|tx| tx.put_image("more", b"k", Image::new(b"v", CodecId::Raw)))
            .expect("writable");
    }

    /// Cuts the power before every changing call of these operations, in every way in which that
    /// can leave the disk if these are no more than `most`, else in `most` of them.
    ///
    /// # Panics
    /// When a promise is broken.
    pub fn exhaust(mut self, operations: &[Operation], most: u64, tried: &mut Tried) {
        self.disk.record();
        for operation in operations {
            self.operate(*operation);
        }
        let moments = self.disk.recorded();
        drop(self.store.take());
        for disk in moments {
            tried.cuts += 1;
            let all = disk.crashes(most, tried.cuts, |left| {
                self.check(&Arc::new(left), (tried.cuts, 0), tried);
            });
            tried.exhausted += u64::from(all);
        }
    }

    /// Applies operations while the call after so many fails; then the power is cut, too. Says
    /// whether there were that many calls.
    ///
    /// # Panics
    /// When a promise is broken.
    pub fn fail(
        mut self,
        operations: &[Operation],
        after: u64,
        failure: Failure,
        tried: &mut Tried,
    ) -> bool {
        self.disk.fail(failure.after(after));
        for operation in operations {
            self.operate(*operation);
        }
        drop(self.store.take());
        let failed = self.disk.has_failed();
        if failed {
            tried.faults += 1;
            self.disk.heal();
            self.cut(1, tried);
            self.check(&Arc::new(self.disk.copy()), (after, 1), tried);
        }
        failed
    }

    /// Cuts the power, and has each changing call of the recovery fail, and cuts the power before
    /// each, and again inside the recovery from that.
    ///
    /// # Panics
    /// When a promise is broken.
    pub fn fail_recovery(&mut self, failure: Failure, tried: &mut Tried) {
        let seed = self.random.next();
        let left = self.disk.crash(seed);
        tried.cuts += 1;
        for after in 0.. {
            let disk = Arc::new(left.copy());
            disk.fail(failure.after(after));
            drop(allowed(open(&disk, self.durability)));
            if !disk.has_failed() {
                break;
            }
            tried.faults += 1;
            disk.heal();
            self.check(&Arc::new(disk.crash(seed ^ after)), (seed, 0), tried);
            self.check(&disk, (seed, 0), tried);
        }
        for (number, moment) in (0..).zip(recovered(&left, self.durability)) {
            tried.cuts += 1;
            let crashed = moment.crash(seed ^ number);
            for again in recovered(&crashed, self.durability) {
                tried.cuts += 1;
                self.check(&Arc::new(again.crash(seed ^ number)), (seed, 0), tried);
            }
            self.check(&Arc::new(crashed), (seed, 0), tried);
        }
    }
}

/// The disk before each changing call of a recovery.
fn recovered(disk: &SimDisk, durability: Durability) -> Vec<SimDisk> {
    let disk = Arc::new(disk.copy());
    disk.record();
    drop(open(&disk, durability).expect("opens without faults"));
    disk.recorded()
}

fn put(tx: &mut Transaction<'_>, key: &str, size: u64) -> Result<()> {
    let width = usize::try_from(size).unwrap_or(0);
    let value = format!("{key:>width$}");
    tx.put_image("things", key.as_bytes(), Image::new(value.as_bytes(), CodecId::Raw))
}

/// What came of a call, which may only have failed in the ways in which a disk fails.
fn allowed<T>(result: Result<T>) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(error) => {
            let typed = [ErrorKind::Io, ErrorKind::Full, ErrorKind::Poisoned];
            assert!(typed.contains(&error.kind()), "an unexpected error: {error:?}");
            None
        }
    }
}

fn open(disk: &Arc<SimDisk>, durability: Durability) -> Result<Store> {
    let disk: Arc<dyn crate::sys::Disk> = Arc::<SimDisk>::clone(disk);
    Options::default().segment_bytes(4096).durability(durability).disk(disk).open(ROOT)
}
