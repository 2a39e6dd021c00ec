//! Any bytes as operations on a store, beside a model that is as slow and as plain as it can be:
//! the whole state after each transaction.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use super::bytes::Bytes;
use crate::error::{Error, ErrorKind, Result};
use crate::format::digest::{CollectionSeed, StateDigest};
use crate::format::image::{CodecId, Image, Op};
use crate::lsn::Lsn;
use crate::state::checkpoint::Extent;
use crate::store::{Commit, Durability, KeyRange, Options, Record, Snapshot, Store, Transaction};
use crate::sys::Disk;
use crate::sys::sim::{Fault, SimDisk};
use crate::verify::VerifyDepth;

const ROOT: &str = "/sim.store";
/// One input must be fast.
const OPERATIONS_MAX: usize = 64;
const BATCH_MAX: usize = 6;
const COLLECTIONS: [&str; 3] = ["rooms", "guests", "G\u{e4}ste"];
/// Errors of a disk that is full or broken.
const ERRNOS: [i32; 2] = [5, 28];

/// A record, by the number of its collection and its key.
type Slot = (usize, Vec<u8>);

/// A record's value, or none to delete it.
type Write = (Slot, Option<Rc<[u8]>>);

/// The records with the transactions that wrote them last.
type State = BTreeMap<Slot, (Lsn, Rc<[u8]>)>;

/// Applies operations to a store on the simulated disk and to the model. Every answer must agree;
/// after a power cut the store must be what it was at some transaction, none that was acknowledged
/// being lost.
///
/// # Panics
/// When they do not agree.
pub fn ops_vs_model(data: &[u8]) {
    let mut bytes = Bytes::new(data);
    let mut run = Run::new(bytes.byte());
    for _ in 0..OPERATIONS_MAX {
        if bytes.is_empty() {
            break;
        }
        run.step(&mut bytes);
        run.check_head();
    }
    run.reopen();
    run.check_all();
}

#[derive(Debug)]
struct Run {
    disk: Arc<SimDisk>,
    store: Store,
    durability: Durability,
    /// After how many bytes of journal a checkpoint is written in the background.
    checkpoint_bytes: u64,
    /// The state after each LSN, issued and perhaps not acknowledged; the first one is empty.
    states: Vec<State>,
    /// The state after a transaction that failed while it was being written, and may be there
    /// later: the store is poisoned since.
    doubtful: Option<State>,
    /// The newest transaction that was acknowledged, or seen by a reader.
    acknowledged: Lsn,
    /// Whether a call is to fail, or has failed.
    armed: bool,
}

impl Run {
    fn new(choice: u8) -> Self {
        let disk = Arc::new(SimDisk::default());
        let parent = Path::new("/");
        let created = disk.create_dir(parent).and_then(|()| disk.sync_dir(Path::new("")));
        created.expect("the disk is sound");
        let durability = if choice & 1 == 0 { Durability::Sync } else { Durability::Process };
        let checkpoint_bytes = if choice & 2 == 0 { u64::MAX } else { 6000 };
        let store = open(&disk, durability, checkpoint_bytes).expect("the disk is sound");
        let states = vec![State::new()];
        Self {
            disk,
            store,
            durability,
            checkpoint_bytes,
            states,
            doubtful: None,
            acknowledged: Lsn::ZERO,
            armed: false,
        }
    }

    fn step(&mut self, bytes: &mut Bytes<'_>) {
        match bytes.byte() % 20 {
            0..=3 => self.commit(&[(slot(bytes), Some(value(bytes)))], &[]),
            4 => self.commit(&[(slot(bytes), None)], &[]),
            5 | 6 => {
                let count = bytes.below(BATCH_MAX);
                let writes: Vec<_> = (0..count).map(|_| write(bytes)).collect();
                self.commit(&writes, &[]);
            }
            7 => {
                let (write, slot) = (write(bytes), slot(bytes));
                let now = self.state().get(&slot).map_or(Lsn::ZERO, |(lsn, _)| *lsn);
                let lsn = if bytes.byte() & 1 == 0 { now } else { self.lsn(bytes) };
                self.commit(&[write], &[(slot, lsn)]);
            }
            8 => self.race(bytes),
            9 => self.read(bytes),
            10 | 11 => self.scan(bytes),
            12 => self.check_history(&slot(bytes)),
            13 => self.checkpoint(Extent::Layer),
            14 => self.checkpoint(Extent::Whole),
            15 => self.reopen(),
            16 => self.arm(bytes),
            17 | 18 => self.cut(u64::from(bytes.byte()) << 8 | u64::from(bytes.byte())),
            _ => self.sync(),
        }
    }

    /// The state as the next transaction finds it.
    fn state(&self) -> &State {
        self.states.last().expect("the empty state is there")
    }

    fn issued(&self) -> Lsn {
        Lsn::new(self.states.len() as u64 - 1)
    }

    fn at(&self, lsn: Lsn) -> &State {
        let index = usize::try_from(lsn.get()).expect("few transactions");
        self.states.get(index).expect("no more than what was issued is seen")
    }

    /// Whether there is such a collection.
    fn exists(&self, collection: usize) -> bool {
        self.states.iter().any(|state| state.keys().any(|slot| slot.0 == collection))
    }

    /// Some LSN, perhaps one that is not there yet.
    fn lsn(&self, bytes: &mut Bytes<'_>) -> Lsn {
        Lsn::new(bytes.below(self.states.len() + 1) as u64)
    }

    fn refused(&self, error: &Error) {
        let kinds = [ErrorKind::Io, ErrorKind::Full, ErrorKind::Poisoned];
        assert!(
            self.armed && self.disk.has_failed() && kinds.contains(&error.kind()),
            "no call to the disk has failed: {error:?}"
        );
    }

    /// Commits writes if records have the versions expected.
    fn commit(&mut self, writes: &[Write], expected: &[(Slot, Lsn)]) {
        let store = self.store.clone();
        let committed = store.write(|tx| {
            for (slot, lsn) in expected {
                tx.expect_record_lsn(name(slot.0), &slot.1, *lsn)?;
            }
            apply(tx, writes, self.state())
        });
        let holds = |(slot, lsn): &(Slot, Lsn)| {
            self.state().get(slot).map_or(Lsn::ZERO, |(lsn, _)| *lsn) == *lsn
        };
        let holds = expected.iter().all(holds);
        self.settle(committed, writes, holds);
    }

    /// Takes over what came of a transaction, of which the model knows whether what it relies on
    /// holds.
    fn settle(&mut self, committed: Result<Commit<()>>, writes: &[Write], holds: bool) {
        let next = self.issued().next();
        let after = after(self.state(), writes, next);
        match committed {
            Ok(commit) => {
                assert!(holds, "a transaction was committed that relied on what does not hold");
                assert_eq!(after.is_none(), commit.is_empty());
                assert!(after.is_none() || commit.lsn() == next);
                self.states.extend(after);
                self.doubtful = None;
                self.acknowledged = self.issued();
            }
            Err(error) if error.kind() == ErrorKind::Conflict => {
                assert!(!holds, "a conflict with nothing: {error:?}");
            }
            Err(error) => {
                self.refused(&error);
                let sync = &self.store.engine.journal.sync;
                if sync.tail().lsn == next {
                    // It was appended all the same, and may be there later.
                    self.states.push(after.expect("what changes nothing is not appended"));
                } else if error.kind() != ErrorKind::Full && self.doubtful.is_none() {
                    // Of what was torn there may be enough.
                    self.doubtful = after;
                }
            }
        }
    }

    /// A transaction reads, another one writes, and then the first one does.
    fn race(&mut self, bytes: &mut Bytes<'_>) {
        let (read, other, own) = (slot(bytes), write(bytes), write(bytes));
        let whole = bytes.byte() & 1 == 1;
        let store = self.store.clone();
        let mut tx = store.begin().expect("open for writing");
        let begun = self.issued();
        assert_eq!(tx.snapshot_lsn(), begun);
        if whole {
            let found = tx.scan(name(read.0), &KeyRange::all()).expect("readable");
            let found: Vec<_> = found.iter().map(Record::key).collect();
            let keys = self.state().keys().filter(|slot| slot.0 == read.0);
            assert_eq!(found, keys.map(|slot| slot.1.as_slice()).collect::<Vec<_>>());
        } else {
            let found = tx.record(name(read.0), &read.1).expect("readable");
            let found = found.map(|record| (record.lsn(), Rc::from(record.image().bytes())));
            assert_eq!(found.as_ref(), self.state().get(&read));
        }
        self.commit(std::slice::from_ref(&other), &[]);
        let changed = |slot: &Slot| slot.0 == read.0 && (whole || slot.1 == read.1);
        // What is deleted is read: whether it was there is an answer.
        let deleted = own.1.is_none() && own.0 == other.0;
        let holds = self.issued() == begun || !(changed(&other.0) || deleted);
        if let (slot, Some(value)) = &own {
            tx.put_image(name(slot.0), &slot.1, Image::new(value, CodecId::Raw)).expect("valid");
        } else {
            let existed = tx.delete_record(name(own.0.0), &own.0.1).expect("readable");
            assert_eq!(existed, self.at(begun).contains_key(&own.0));
        }
        self.settle(tx.commit(), &[own], holds);
    }

    /// A snapshot, of now or of some moment, if there is one.
    fn snapshot(&self, bytes: &mut Bytes<'_>) -> Option<Snapshot> {
        if bytes.byte() & 1 == 0 {
            return Some(self.store.snapshot());
        }
        let lsn = self.lsn(bytes);
        match self.store.snapshot_at(lsn) {
            Ok(snapshot) => Some(snapshot),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::OutsideWindow);
                assert!(lsn > self.store.head(), "LSN {lsn} is kept");
                None
            }
        }
    }

    fn read(&self, bytes: &mut Bytes<'_>) {
        let (slot, other) = (slot(bytes), slot(bytes));
        let Some(snapshot) = self.snapshot(bytes) else { return };
        let state = self.at(snapshot.lsn());
        let (collection, keys) = (slot.0, [slot.1, other.1]);
        let found = snapshot.records(name(collection), &keys);
        for (key, found) in keys.iter().zip(self.known(collection, found).unwrap_or_default()) {
            let found = found.map(|record| (record.lsn(), Rc::from(record.image().bytes())));
            assert_eq!(found.as_ref(), state.get(&(collection, key.clone())));
        }
    }

    /// What came of a call that names a collection.
    fn known<T>(&self, collection: usize, result: Result<T>) -> Option<T> {
        let exists = self.exists(collection);
        match result {
            Ok(value) => {
                assert!(exists, "there is no such collection");
                Some(value)
            }
            Err(error) => {
                assert!(error.kind() == ErrorKind::NotFound && !exists, "{error:?}");
                None
            }
        }
    }

    /// Scans a range, from either end or from both.
    fn scan(&self, bytes: &mut Bytes<'_>) {
        let collection = bytes.below(COLLECTIONS.len());
        let range = range(bytes);
        let mut ends = bytes.byte();
        let Some(snapshot) = self.snapshot(bytes) else { return };
        let scan = snapshot.scan(name(collection), range.clone());
        let Some(mut scan) = self.known(collection, scan) else { return };
        let state = self.at(snapshot.lsn()).iter();
        let mut expected = state.filter(|((of, key), _)| *of == collection && range.contains(key));
        loop {
            let (found, expected) = if ends & 1 == 0 {
                (scan.next(), expected.next())
            } else {
                (scan.next_back(), expected.next_back())
            };
            ends = ends.rotate_right(1);
            let found = found.map(|record| {
                let record = record.expect("every record is readable");
                (record.key().to_vec(), (record.lsn(), Rc::from(record.image().bytes())))
            });
            assert_eq!(found, expected.map(|(slot, version)| (slot.1.clone(), version.clone())));
            if found.is_none() {
                break;
            }
        }
    }

    /// The history of a record, newest first.
    fn check_history(&self, slot: &Slot) {
        let head = self.store.head();
        let history = self.store.record_history(name(slot.0), &slot.1);
        let Some(mut history) = self.known(slot.0, history) else { return };
        for lsn in (1..=head.get()).rev().map(Lsn::new) {
            let before = self.at(lsn.previous()).get(slot);
            let after = self.at(lsn).get(slot);
            if before == after {
                continue;
            }
            let version = history.next().expect("a version").expect("every version is readable");
            assert_eq!(version.lsn(), lsn);
            assert_eq!(version.before().map(|image| image.bytes()), before.map(|(_, v)| &**v));
            assert_eq!(version.after().map(|image| image.bytes()), after.map(|(_, v)| &**v));
            let op = match (before, after) {
                (None, _) => Op::Create,
                (Some(_), Some(_)) => Op::Update,
                (Some(_), None) => Op::Delete,
            };
            assert_eq!(version.op(), op);
        }
        assert!(history.next().is_none(), "more versions than were written");
    }

    fn checkpoint(&self, extent: Extent) {
        let head = self.issued();
        match self.store.engine.write_checkpoint(extent) {
            Ok(info) => assert_eq!(info.lsn, head),
            Err(error) => self.refused(&error),
        }
    }

    fn sync(&mut self) {
        match self.store.sync() {
            Ok(lsn) => {
                assert_eq!(lsn, self.issued());
                assert!(self.store.durable() >= lsn);
                self.acknowledged = lsn;
            }
            Err(error) => self.refused(&error),
        }
    }

    /// Has a call to the disk fail, some time from now.
    fn arm(&mut self, bytes: &mut Bytes<'_>) {
        if self.armed {
            return;
        }
        let (after, choice) = (u64::from(bytes.byte() % 32), bytes.byte());
        let errno = ERRNOS.get(usize::from(choice & 1)).copied().unwrap_or_default();
        let (forever, torn) = (choice & 2 != 0, choice & 4 != 0);
        self.disk.fail(Fault { after, forever, errno, torn });
        self.armed = true;
    }

    /// What a power cut must leave.
    fn promised(&self) -> Lsn {
        let durable = self.store.durable();
        if self.durability == Durability::Sync { durable.max(self.acknowledged) } else { durable }
    }

    /// Closes and opens, if need be once more when the disk is healthy again.
    fn reopen(&mut self) {
        let promised = self.promised();
        if let Err(error) = self.store.clone().close() {
            self.refused(&error);
        }
        let opened = self.open();
        let has_failed = self.armed && self.disk.has_failed();
        let store = match opened {
            Ok(store) if !has_failed => store,
            opened => {
                if let Err(error) = &opened {
                    self.refused(error);
                }
                drop(opened);
                self.disk.heal();
                self.armed = false;
                self.open().expect("a store opens when its disk is healthy again")
            }
        };
        let least = if has_failed { promised } else { self.issued() };
        self.take_over(store, least);
    }

    /// Cuts the power in the way that the seed chooses, and goes on with what is left.
    fn cut(&mut self, seed: u64) {
        let promised = self.promised();
        self.disk = Arc::new(self.disk.crash(seed));
        self.armed = false;
        let store = self.open().expect("a store opens after a power cut");
        self.take_over(store, promised);
    }

    fn open(&self) -> Result<Store> {
        open(&self.disk, self.durability, self.checkpoint_bytes)
    }

    fn take_over(&mut self, store: Store, least: Lsn) {
        self.states.extend(self.doubtful.take());
        let (head, issued) = (store.head(), self.issued());
        assert!(head >= least && head <= issued, "LSN {head} is not in {least}..={issued}");
        self.states.truncate(usize::try_from(head.get()).expect("few transactions") + 1);
        self.acknowledged = head;
        self.store = store;
        self.check_state(&self.store.snapshot());
    }

    /// What is visible is what was acknowledged, and has the digest of the model's state.
    fn check_head(&mut self) {
        let snapshot = self.store.snapshot();
        assert!(snapshot.lsn() >= self.acknowledged, "what was acknowledged is not visible");
        assert!(
            snapshot.lsn() == self.issued() || (self.armed && self.disk.has_failed()),
            "LSN {} is visible, {} is there",
            snapshot.lsn(),
            self.issued()
        );
        let digest = snapshot.digest().expect("the newest transaction is readable");
        assert_eq!(digest, digest_of(self.at(snapshot.lsn())));
        // Nobody reads what a power cut could still take back.
        self.acknowledged = snapshot.lsn();
    }

    /// Every record of a snapshot.
    fn check_state(&self, snapshot: &Snapshot) {
        let state = self.at(snapshot.lsn());
        assert_eq!(snapshot.digest().expect("readable"), digest_of(state));
        let mut found = State::new();
        for collection in 0..COLLECTIONS.len() {
            let scan = snapshot.scan(name(collection), KeyRange::all());
            for record in self.known(collection, scan).into_iter().flatten() {
                let record = record.expect("every record is readable");
                let version = (record.lsn(), Rc::from(record.image().bytes()));
                found.insert((collection, record.key().to_vec()), version);
            }
        }
        assert_eq!(&found, state);
    }

    fn check_all(&self) {
        for lsn in (0..self.states.len() as u64).map(Lsn::new) {
            self.check_state(&self.store.snapshot_at(lsn).expect("every moment is kept"));
        }
        let slots = self.states.iter().flat_map(State::keys);
        slots.collect::<std::collections::BTreeSet<_>>().into_iter().for_each(|slot| {
            self.check_history(slot);
        });
        let report = self.store.verify(VerifyDepth::Deep, &mut |_| {}).expect("readable");
        let unarmed = !(self.armed && self.disk.has_failed());
        assert!(report.valid || !unarmed, "{:?}", report.errors);
    }
}

fn open(disk: &Arc<SimDisk>, durability: Durability, checkpoint_bytes: u64) -> Result<Store> {
    let disk: Arc<dyn Disk> = Arc::<SimDisk>::clone(disk);
    let options = Options::default().segment_bytes(4096).checkpoint_every(checkpoint_bytes);
    options.durability(durability).disk(disk).open(ROOT)
}

fn name(collection: usize) -> &'static str {
    COLLECTIONS.get(collection).copied().unwrap_or_default()
}

fn slot(bytes: &mut Bytes<'_>) -> Slot {
    let choice = bytes.byte();
    (usize::from(choice) % COLLECTIONS.len(), key(choice / 3, bytes))
}

fn key(choice: u8, bytes: &mut Bytes<'_>) -> Vec<u8> {
    match choice {
        0..=63 => format!("key-{}", choice % 12).into_bytes(),
        64..=71 => vec![0xff; usize::from(choice - 63)],
        _ => {
            let key = bytes.take(usize::from(choice - 71));
            if key.is_empty() { vec![0] } else { key.to_vec() }
        }
    }
}

fn value(bytes: &mut Bytes<'_>) -> Rc<[u8]> {
    let (choice, fill) = (usize::from(bytes.byte()), bytes.byte());
    // Some take most of a segment, or more.
    let length = if choice < 200 { choice } else { (choice - 199) * 144 };
    Rc::from(vec![fill; length])
}

fn write(bytes: &mut Bytes<'_>) -> Write {
    let slot = slot(bytes);
    let value = (!bytes.byte().is_multiple_of(4)).then(|| value(bytes));
    (slot, value)
}

fn range(bytes: &mut Bytes<'_>) -> KeyRange {
    let bound = |choice: u8, key: Vec<u8>| match choice % 3 {
        0 => Bound::Unbounded,
        1 => Bound::Included(key),
        _ => Bound::Excluded(key),
    };
    match bytes.byte() % 4 {
        0 => KeyRange::all(),
        1 => {
            let count = bytes.below(6);
            KeyRange::prefix(bytes.take(count))
        }
        _ => {
            let (choice, from, to) = (bytes.byte(), slot(bytes).1, slot(bytes).1);
            KeyRange::from_bounds(bound(choice, from), bound(choice / 3, to))
        }
    }
}

/// Writes in a transaction that began at this state.
fn apply(tx: &mut Transaction<'_>, writes: &[Write], state: &State) -> Result<()> {
    for (index, (slot, value)) in writes.iter().enumerate() {
        let (collection, key) = (name(slot.0), &slot.1);
        if let Some(value) = value {
            tx.put_image(collection, key, Image::new(value, CodecId::Raw))?;
            continue;
        }
        let earlier = writes.iter().take(index).rfind(|(other, _)| other == slot);
        let existed = earlier.map_or(state.contains_key(slot), |(_, value)| value.is_some());
        assert_eq!(tx.delete_record(collection, key)?, existed);
    }
    Ok(())
}

/// The state after a transaction; `None` if it changes nothing.
fn after(state: &State, writes: &[Write], lsn: Lsn) -> Option<State> {
    let last: BTreeMap<&Slot, &Option<Rc<[u8]>>> =
        writes.iter().map(|(slot, value)| (slot, value)).collect();
    let mut next = state.clone();
    let mut changed = false;
    for (slot, value) in last {
        changed |= match value {
            Some(value) => {
                next.insert(slot.clone(), (lsn, Rc::clone(value)));
                true
            }
            None => next.remove(slot).is_some(),
        };
    }
    changed.then_some(next)
}

fn digest_of(state: &State) -> StateDigest {
    state.iter().fold(StateDigest::default(), |digest, ((collection, key), (_, value))| {
        let record = CollectionSeed::of(name(*collection)).record(key);
        digest.with(record, Some(Image::new(value, CodecId::Raw)))
    })
}
