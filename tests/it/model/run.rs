//! A store and its model, step by step.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use afterimage::testing::power::{PowerDisk, checkpoint_layer};
use afterimage::{
    Author, Clock, Durability, ErrorKind, Lsn, Options, Snapshot, Store, Timestamp, VerifyDepth,
    code,
};
use proptest::prelude::*;

use super::moments::Model;
use super::{At, Checked, POINTS, Setup, Step, look, transact};
use crate::common::{Place, killed_copy};

/// 2026, in microseconds.
const START: i64 = 1_780_000_000_000_000;

/// What was tried.
#[derive(Debug, Default)]
pub(super) struct Tried {
    pub(super) histories: u64,
    pub(super) steps: u64,
    /// Transactions in the journal, and what they changed.
    pub(super) commits: u64,
    pub(super) changes: u64,
    /// Transactions refused because of what they had read, and of what they had expected.
    pub(super) conflicts: u64,
    pub(super) unexpected: u64,
    pub(super) power_cuts: u64,
    /// Transactions that a cut took, none of them acknowledged.
    pub(super) lost: u64,
    pub(super) kills: u64,
    pub(super) reopened: u64,
    pub(super) checkpoints: u64,
    pub(super) segments: u64,
    /// Reads of the newest moment, and of others: by LSN, time, point, or from open snapshots.
    pub(super) reads_now: u64,
    pub(super) reads_as_of: u64,
    pub(super) reads_of_held: u64,
}

impl Tried {
    pub(super) fn add(&mut self, other: &Self) {
        self.histories += other.histories;
        self.steps += other.steps;
        self.commits += other.commits;
        self.changes += other.changes;
        self.conflicts += other.conflicts;
        self.unexpected += other.unexpected;
        self.power_cuts += other.power_cuts;
        self.lost += other.lost;
        self.kills += other.kills;
        self.reopened += other.reopened;
        self.checkpoints += other.checkpoints;
        self.segments += other.segments;
        self.reads_now += other.reads_now;
        self.reads_as_of += other.reads_as_of;
        self.reads_of_held += other.reads_of_held;
    }
}

#[derive(Debug)]
struct Scripted(AtomicI64);

impl Clock for Scripted {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.load(Ordering::SeqCst))
    }
}

/// Where the store's files are.
enum Files {
    Real { place: Place, path: PathBuf, copies: u32 },
    Simulated(PowerDisk),
}

pub(super) struct Run {
    setup: Setup,
    files: Files,
    clock: Arc<Scripted>,
    store: Option<Store>,
    model: Model,
    /// A power cut leaves at least this transaction.
    promised: u64,
    held: Vec<Snapshot>,
    tried: Tried,
}

impl Run {
    pub(super) fn new(setup: Setup) -> Result<Self, TestCaseError> {
        let files = if setup.append.is_some() {
            let place = Place::new();
            let path = place.path();
            Files::Real { place, path, copies: 0 }
        } else {
            Files::Simulated(PowerDisk::new().expect("a disk"))
        };
        let mut run = Self {
            setup,
            files,
            clock: Arc::new(Scripted(AtomicI64::new(START))),
            store: None,
            model: Model::new(),
            promised: 0,
            held: Vec::new(),
            tried: Tried { histories: 1, ..Tried::default() },
        };
        run.open()?;
        Ok(run)
    }

    fn store(&self) -> &Store {
        self.store.as_ref().expect("the store is open")
    }

    fn now(&self) -> i64 {
        self.clock.now().as_micros()
    }

    fn options(&self) -> (Options, &Path) {
        let clock: Arc<dyn Clock> = Arc::<Scripted>::clone(&self.clock);
        let options = Store::options()
            .clock(clock)
            .durability(self.setup.durability)
            .segment_bytes(self.setup.segment_bytes)
            .checkpoint_every(self.setup.checkpoint_bytes);
        match &self.files {
            Files::Real { path, .. } => {
                (options.append(self.setup.append.unwrap_or_default()), path)
            }
            Files::Simulated(disk) => (disk.give(options), Path::new("/model.store")),
        }
    }

    /// Opens what is there, which must be a prefix of the model with all that was promised.
    fn open(&mut self) -> Checked {
        let (options, path) = self.options();
        let store = options.open(path).expect("the store opens");
        let head = store.head().get();
        prop_assert!(head >= self.promised, "LSN {} was promised, not {}", self.promised, head);
        prop_assert!(head <= self.model.head(), "LSN {} comes from nowhere", head);
        self.tried.lost += self.model.cut(head);
        self.acknowledge_if_synced();
        look::check_state(&store.snapshot(), &self.model)?;
        look::check_points(&store, &self.model)?;
        self.store = Some(store);
        Ok(())
    }

    fn acknowledge_if_synced(&mut self) {
        if self.setup.durability == Durability::Sync {
            self.promised = self.model.head();
        }
    }

    pub(super) fn step(&mut self, step: &Step) -> Checked {
        self.tried.steps += 1;
        match step {
            Step::Transactions(scripts, order, cut) => {
                let (store, now) = (self.store().clone(), self.now());
                let (model, tried) = (&mut self.model, &mut self.tried);
                let (tickets, waited) =
                    transact::together(&store, model, scripts, now, (order, tried))?;
                if let Some(seed) = cut {
                    if self.setup.durability == Durability::Sync {
                        // What a reader could see is not taken back, either.
                        self.promised = self.promised.max(waited).max(store.head().get());
                    }
                    drop(tickets);
                    return self.power_cut(*seed);
                }
                for ticket in tickets {
                    ticket.wait().expect("durable");
                }
                self.acknowledge_if_synced();
            }
            Step::Clock(by) => drop(self.clock.0.fetch_add(*by, Ordering::SeqCst)),
            Step::Hold(at) => {
                let snapshot = self.snapshot(at)?;
                self.held.push(snapshot);
            }
            Step::Release(index) => {
                if !self.held.is_empty() {
                    self.held.swap_remove(index.index(self.held.len()));
                }
            }
            Step::Look(at, what) => {
                let snapshot = self.snapshot(at)?;
                look::look(self.store(), &snapshot, &self.model, what)?;
            }
            Step::Point(name, at) => self.name_point(POINTS[*name], at)?,
            Step::ForgetPoint(name) => self.forget_point(POINTS[*name])?,
            Step::Checkpoint | Step::Layer => self.checkpoint(matches!(step, Step::Layer))?,
            Step::Sync => {
                prop_assert_eq!(self.store().sync().expect("synced"), self.store().head());
                self.promised = self.model.head();
            }
            Step::Reader => self.read_beside()?,
            Step::Reopen => self.reopen()?,
            Step::Kill => self.kill()?,
            Step::PowerCut(seed) => self.power_cut(*seed)?,
        }
        prop_assert_eq!(self.store().head(), Lsn::new(self.model.head()));
        self.check_held()
    }

    /// Each open snapshot in its turn.
    fn check_held(&mut self) -> Checked {
        if self.held.is_empty() {
            return Ok(());
        }
        self.tried.reads_of_held += 1;
        let index = usize::try_from(self.tried.steps).expect("few steps") % self.held.len();
        look::check_state(&self.held[index], &self.model)
    }

    fn snapshot(&mut self, at: &At) -> Result<Snapshot, TestCaseError> {
        let (store, model) = (self.store(), &self.model);
        let lsn = match at {
            At::Held(index) if !self.held.is_empty() => {
                self.tried.reads_of_held += 1;
                return Ok(self.held[index.index(self.held.len())].clone());
            }
            At::Now | At::Held(_) => {
                prop_assert_eq!(store.resolve("HEAD").expect("kept"), Lsn::new(model.head()));
                self.tried.reads_now += 1;
                return Ok(self.store().snapshot());
            }
            At::Lsn(index) => {
                let lsn = index.index(model.len()) as u64;
                let back = format!("HEAD~{}", model.head() - lsn);
                prop_assert_eq!(store.resolve(&back).expect("kept"), Lsn::new(lsn));
                lsn
            }
            At::Time(index, by) => {
                let time = model.at(index.index(model.len()) as u64).time.max(START) + by;
                let (time, lsn) = (Timestamp::from_micros(time), model.lsn_at(time));
                prop_assert_eq!(store.lsn_at(time).expect("kept"), Lsn::new(lsn));
                prop_assert_eq!(store.resolve(&time.to_string()).expect("kept"), Lsn::new(lsn));
                lsn
            }
            At::Ago(micros) => {
                let lsn = model.lsn_at(self.now() - i64::from(*micros));
                let ago = format!("{micros}us ago");
                prop_assert_eq!(store.resolve(&ago).expect("kept"), Lsn::new(lsn));
                let now = Lsn::new(model.lsn_at(self.now()));
                prop_assert_eq!(store.resolve("now").expect("kept"), now);
                lsn
            }
            At::Point(name) => {
                let found = store.resolve(&format!("point:{}", POINTS[*name]));
                let Some(lsn) = model.newest().points.get(POINTS[*name]) else {
                    prop_assert_eq!(found.expect_err("no point").kind(), ErrorKind::NotFound);
                    return Ok(self.store().snapshot());
                };
                prop_assert_eq!(found.expect("kept"), Lsn::new(*lsn));
                *lsn
            }
        };
        self.tried.reads_as_of += 1;
        let ahead = self.store().snapshot_at(Lsn::new(self.model.head() + 1));
        prop_assert_eq!(ahead.expect_err("not yet").kind(), ErrorKind::OutsideWindow);
        Ok(self.store().snapshot_at(Lsn::new(lsn)).expect("kept"))
    }

    fn name_point(&mut self, name: &str, at: &At) -> Checked {
        // One that was opened before the store was closed and opened is not behind the head.
        let lsn = self.snapshot(at)?.lsn();
        let by = Author { actor: Some("desk-2".into()), message: None };
        let named = self.store().create_point(name, lsn, Some("note"), &by);
        if self.model.newest().points.contains_key(name) {
            let error = named.expect_err("the name is taken");
            prop_assert_eq!(error.code().id, code::POINT_EXISTS.id);
        } else {
            named.expect("named");
            self.model.set_point(self.now(), name, Some(lsn.get()));
            self.acknowledge_if_synced();
        }
        look::check_points(self.store(), &self.model)
    }

    fn forget_point(&mut self, name: &str) -> Checked {
        let forgotten = self.store().delete_point(name, &Author::default());
        if self.model.newest().points.contains_key(name) {
            forgotten.expect("forgotten");
            self.model.set_point(self.now(), name, None);
            self.acknowledge_if_synced();
        } else {
            prop_assert_eq!(forgotten.expect_err("no point").kind(), ErrorKind::NotFound);
        }
        look::check_points(self.store(), &self.model)
    }

    fn checkpoint(&mut self, is_layer: bool) -> Checked {
        let store = self.store();
        let info = if is_layer { checkpoint_layer(store) } else { store.checkpoint() };
        let info = info.expect("a checkpoint");
        prop_assert_eq!(info.lsn, Lsn::new(self.model.head()));
        self.tried.checkpoints += 1;
        look::check_state(&self.store().snapshot(), &self.model)
    }

    /// Opens the store once more, for reading.
    fn read_beside(&self) -> Checked {
        let (options, path) = self.options();
        let reader = options.read_only(true).open(path).expect("opened for reading");
        prop_assert_eq!(reader.head(), Lsn::new(self.model.head()));
        look::check_state(&reader.snapshot(), &self.model)?;
        look::check_points(&reader, &self.model)?;
        let tx = reader.begin();
        prop_assert_eq!(tx.expect_err("only reads").kind(), ErrorKind::Invalid);
        Ok(())
    }

    /// Closes it properly. Snapshots stay open.
    fn reopen(&mut self) -> Checked {
        self.tried.reopened += 1;
        self.store.take().expect("the store is open").close().expect("closed");
        self.promised = self.model.head();
        self.open()
    }

    /// What a killed process leaves: all that was written, without a clean shutdown.
    fn kill(&mut self) -> Checked {
        self.tried.kills += 1;
        self.held.clear();
        match &mut self.files {
            Files::Real { place, path, copies } => {
                *path = killed_copy(path, || {
                    *copies += 1;
                    place.beside(&format!("copy-{copies}.store"))
                });
            }
            Files::Simulated(disk) => *disk = disk.kill(),
        }
        let promised = std::mem::replace(&mut self.promised, self.model.head());
        self.store = None;
        self.open()?;
        // It was there because nobody cut the power; that is no promise for the next time.
        if self.setup.durability != Durability::Sync {
            self.promised = promised;
        }
        Ok(())
    }

    fn power_cut(&mut self, seed: u64) -> Checked {
        let Files::Simulated(disk) = &mut self.files else { return self.kill() };
        self.tried.power_cuts += 1;
        *disk = disk.cut(seed);
        self.held.clear();
        self.store = None;
        self.open()
    }

    /// Everything once more: with the index as it came about, as a reader folds it, from one
    /// checkpoint, and without any; and by the store's own check.
    pub(super) fn end(mut self) -> Result<Tried, TestCaseError> {
        look::check_all(self.store(), &self.model)?;
        self.check_reader(None)?;
        self.reopen()?;
        self.checkpoint(false)?;
        look::check_all(self.store(), &self.model)?;
        let report = self.store().verify(VerifyDepth::Deep, &mut |_| {}).expect("looked");
        prop_assert!(report.valid, "{:?}", report);
        self.held.iter().try_for_each(|snapshot| look::check_state(snapshot, &self.model))?;
        self.tried.segments = self.store().stats().segments.len() as u64;
        self.reopen()?;
        let checkpoint = self.store().status().expect("status").checkpoint_lsn;
        prop_assert_eq!(checkpoint, Lsn::new(self.model.head()), "it is used");
        self.held.clear();
        self.store = None;
        if let Files::Real { path, .. } = &self.files {
            fs::remove_dir_all(path.join("state")).expect("removed");
            fs::create_dir(path.join("state")).expect("created");
            self.check_reader(Some(Lsn::ZERO))?;
        }
        Ok(self.tried)
    }

    fn check_reader(&self, checkpoint: Option<Lsn>) -> Checked {
        let (options, path) = self.options();
        let reader = options.read_only(true).open(path).expect("opened for reading");
        let from = reader.status().expect("status").checkpoint_lsn;
        prop_assert_eq!(from, checkpoint.unwrap_or(from));
        look::check_all(&reader, &self.model)
    }
}
