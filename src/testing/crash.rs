//! A store on the simulated disk, and an oracle of what it has acknowledged.
//!
//! What is checked after each power cut: the store opens; what was acknowledged is there; what is
//! there is a prefix of what was committed, each transaction whole, proved by its state digest; and
//! the store takes new transactions and survives another cut.

#![expect(clippy::expect_used, reason = "a broken promise fails the test that uses this")]

use std::path::Path;
use std::sync::Arc;

use crate::error::{ErrorKind, Result};
use crate::format::digest::StateDigest;
use crate::format::image::{CodecId, Image};
use crate::lsn::Lsn;
use crate::state::checkpoint::Extent;
use crate::store::{Durability, Options, Store};
use crate::sys::sim::SimDisk;

const ROOT: &str = "/sim.store";

/// Counts what was tried.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tried {
    /// Moments at which the power was cut.
    pub cuts: u64,
    /// States of the disk that were opened again.
    pub states: u64,
    /// Calls that were made to fail.
    pub faults: u64,
}

/// A store under test.
#[derive(Debug)]
pub struct Bench {
    disk: Arc<SimDisk>,
    store: Option<Store>,
    /// The state digest after each LSN that was ever appended.
    digests: Vec<StateDigest>,
    acknowledged: Lsn,
    random: u64,
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
            digests: vec![StateDigest::default()],
            acknowledged: Lsn::ZERO,
            random: seed.wrapping_mul(2).wrapping_add(1),
        })
    }

    fn next(&mut self, bound: u64) -> u64 {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.random >> 33) % bound
    }

    fn store(&self) -> &Store {
        self.store.as_ref().expect("a bench has a store")
    }

    /// One random transaction, now and then a checkpoint. Returns whether it was acknowledged.
    pub fn step(&mut self) -> bool {
        // A checkpoint that can't be written costs nothing.
        match self.next(12) {
            0 => drop(self.store().checkpoint()),
            1 | 2 => drop(self.store().engine.write_checkpoint(Extent::Layer)),
            _ => {}
        }
        let (count, salt) = (1 + self.next(3), self.next(1000));
        let writes: Vec<_> =
            (0..count).map(|_| (self.next(8), self.next(700), self.next(4) == 0)).collect();
        let committed = self.store().write(|tx| {
            for (key, size, delete) in &writes {
                let key = format!("key-{key}");
                if *delete {
                    tx.delete_record("things", key.as_bytes())?;
                } else {
                    let width = usize::try_from(*size).unwrap_or(0);
                    let value = format!("{salt:>width$}");
                    let image = Image::new(value.as_bytes(), CodecId::Raw);
                    tx.put_image("things", key.as_bytes(), image)?;
                }
            }
            Ok(())
        });
        // Also of a transaction that failed after it was appended: it may be there later.
        let tail = self.store().engine.journal.sync.tail();
        if tail.lsn.get() == self.digests.len() as u64 {
            self.digests.push(tail.digest);
        }
        match committed {
            Ok(commit) => {
                self.acknowledged = self.acknowledged.max(commit.lsn());
                true
            }
            Err(error) => {
                let kind = error.kind();
                let typed = [ErrorKind::Io, ErrorKind::Full, ErrorKind::Poisoned];
                assert!(typed.contains(&kind), "an unexpected error: {error:?}");
                false
            }
        }
    }

    /// Makes one of the next calls to the disk fail.
    pub fn fail(&mut self, after: u64, errno: i32) {
        self.disk.fail_after(after, errno);
    }

    /// How many changing calls the disk has seen.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.disk.calls()
    }

    /// Cuts the power in `ways` ways, opens each, and checks it; then cuts each once more.
    ///
    /// # Panics
    /// When a promise is broken; the message has the seed.
    pub fn cut(&mut self, ways: u64, durability: Durability, tried: &mut Tried) {
        tried.cuts += 1;
        for _ in 0..ways {
            let seed = self.next(u64::MAX >> 33);
            let disk = Arc::new(self.disk.crash(seed));
            self.check(&disk, (seed, 2), durability, tried);
        }
    }

    fn check(
        &self,
        disk: &Arc<SimDisk>,
        (seed, deeper): (u64, u64),
        durability: Durability,
        tried: &mut Tried,
    ) {
        tried.states += 1;
        let store = match open(disk, durability) {
            Ok(store) => store,
            Err(error) => panic!("seed {seed}: the store does not open: {error:?}"),
        };
        let head = store.head();
        let promised = if durability == Durability::Sync { self.acknowledged } else { Lsn::ZERO };
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
        for record in
            store.snapshot().scan("things", crate::store::KeyRange::all()).into_iter().flatten()
        {
            record.expect("every record is readable");
        }
        // Recovery itself is cut too, twice over: each state it leaves must recover to the same.
        if deeper > 0 {
            let again = Arc::new(disk.crash(seed ^ deeper));
            self.check(&again, (seed, deeper - 1), durability, tried);
        }
        store
            .write(|tx| tx.put_image("more", b"k", Image::new(b"v", CodecId::Raw)))
            .expect("writable");
    }
}

fn open(disk: &Arc<SimDisk>, durability: Durability) -> Result<Store> {
    let disk: Arc<dyn crate::sys::Disk> = Arc::<SimDisk>::clone(disk);
    Options::default().segment_bytes(4096).durability(durability).disk(disk).open(ROOT)
}
