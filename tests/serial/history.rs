//! What threads do to a store, and what they were answered.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::atomic::{AtomicU64, Ordering};

use afterimage::{CodecId, Image, KeyRange, Lsn, Record, Result, Snapshot, Store, Ticket, code};

use crate::Random;

pub(crate) const COLLECTIONS: [&str; 2] = ["a", "b"];
/// So few that transactions get in each other's way.
const KEYS: u64 = 12;
/// So many tickets a thread keeps before it waits for the oldest.
const TICKETS_MAX: usize = 4;

/// A record: which collection, which key.
pub(crate) type Slot = (usize, u64);

pub(crate) fn key(number: u64) -> Vec<u8> {
    format!("k{number:02}").into_bytes()
}

pub(crate) fn value(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(bytes.try_into().expect("a value of eight bytes"))
}

/// Something that was read, and the answer.
#[derive(Debug)]
pub(crate) enum Read {
    One(Slot, Option<u64>),
    /// Whether there was anything to delete.
    Existed(Slot, bool),
    /// A range of keys, with what the transaction itself had written by then.
    Range {
        collection: usize,
        keys: (u64, u64),
        own: BTreeMap<Slot, Option<u64>>,
        found: Vec<(Vec<u8>, u64)>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Committed(Lsn),
    /// It had nothing to write; the newest transaction it could see.
    Empty(Lsn),
    Conflict,
    ExpectationFailed,
    GivenUp,
}

/// A transaction, with the moments at which it was begun and answered by a clock that only counts.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) begun: u64,
    pub(crate) answered: u64,
    pub(crate) snapshot: Lsn,
    pub(crate) reads: Vec<Read>,
    pub(crate) writes: BTreeMap<Slot, Option<u64>>,
    pub(crate) expected: Vec<(Slot, Lsn)>,
    pub(crate) outcome: Outcome,
}

/// A snapshot and what was read from it.
#[derive(Debug)]
pub(crate) struct View {
    pub(crate) begun: u64,
    pub(crate) taken: u64,
    pub(crate) lsn: Lsn,
    /// Whether it is of the present.
    pub(crate) is_newest: bool,
    pub(crate) reads: Vec<Read>,
}

#[derive(Default, Debug)]
pub(crate) struct History {
    pub(crate) done: Vec<Done>,
    pub(crate) views: Vec<View>,
}

/// Counts moments for all threads: what was answered before something else began has a lower one.
#[derive(Default)]
pub(crate) struct Moments(AtomicU64);

impl Moments {
    fn next(&self) -> u64 {
        self.0.fetch_add(1, Ordering::SeqCst)
    }
}

/// One thread's work.
pub(crate) struct Worker<'s> {
    pub(crate) store: &'s Store,
    pub(crate) moments: &'s Moments,
    pub(crate) random: Random,
    /// No two values are the same.
    pub(crate) next_value: u64,
    history: History,
    /// Transactions that were submitted and not waited for.
    tickets: Vec<(usize, Ticket<'s>)>,
}

/// What a transaction is made of while it runs.
#[derive(Default)]
struct Body {
    reads: Vec<Read>,
    writes: BTreeMap<Slot, Option<u64>>,
    expected: Vec<(Slot, Lsn)>,
}

impl<'s> Worker<'s> {
    pub(crate) fn new(store: &'s Store, moments: &'s Moments, seed: u64, next_value: u64) -> Self {
        let (history, tickets) = (History::default(), Vec::new());
        Self { store, moments, random: Random(seed), next_value, history, tickets }
    }

    pub(crate) fn run(mut self, steps: u64) -> History {
        for _ in 0..steps {
            match self.random.below(12) {
                0..=6 => self.transact(),
                7 => self.write(),
                8 | 9 => self.look(self.store.head(), true),
                10 => {
                    let lsn = Lsn::new(self.random.below(self.store.head().get() + 1));
                    self.look(lsn, false);
                }
                _ => {
                    self.store.checkpoint().map(drop).expect("a checkpoint");
                }
            }
            if self.tickets.len() > TICKETS_MAX {
                self.wait();
            }
        }
        while !self.tickets.is_empty() {
            self.wait();
        }
        self.history
    }

    fn slot(&mut self) -> Slot {
        let collection = usize::from(self.random.below(2) == 1);
        (collection, self.random.below(KEYS))
    }

    /// A few reads and writes.
    fn fill(&mut self, tx: &mut afterimage::Transaction<'_>) -> Result<Body> {
        let mut body = Body::default();
        for _ in 0..=self.random.below(5) {
            let slot = self.slot();
            let (name, bytes) = (COLLECTIONS[slot.0], key(slot.1));
            match self.random.below(10) {
                0..=3 => {
                    let found =
                        tx.record(name, &bytes)?.map(|record| value(record.image().bytes()));
                    match body.writes.get(&slot) {
                        Some(own) => assert_eq!(found, *own, "a transaction sees what it wrote"),
                        None => body.reads.push(Read::One(slot, found)),
                    }
                }
                4 => {
                    let keys = (slot.1.saturating_sub(2), slot.1 + 2);
                    let found = own_records(tx.scan(name, &range(keys))?.into_iter().map(Ok))?;
                    let own = body.writes.clone();
                    body.reads.push(Read::Range { collection: slot.0, keys, own, found });
                }
                5 => {
                    let existed = tx.delete_record(name, &bytes)?;
                    match body.writes.insert(slot, None) {
                        Some(own) => assert_eq!(existed, own.is_some()),
                        None => body.reads.push(Read::Existed(slot, existed)),
                    }
                }
                6 if !body.writes.contains_key(&slot) => {
                    let lsn = tx.record(name, &bytes)?.map_or(Lsn::ZERO, |record| record.lsn());
                    tx.expect_record_lsn(name, &bytes, lsn)?;
                    body.expected.push((slot, lsn));
                }
                7 if !body.writes.contains_key(&slot) => {
                    self.next_value += 1;
                    let new = self.next_value.to_le_bytes();
                    tx.insert_image(name, &bytes, Image::new(&new, CodecId::Raw))?;
                    body.expected.push((slot, Lsn::ZERO));
                    body.writes.insert(slot, Some(self.next_value));
                }
                _ => {
                    self.next_value += 1;
                    let new = self.next_value.to_le_bytes();
                    tx.put_image(name, &bytes, Image::new(&new, CodecId::Raw))?;
                    body.writes.insert(slot, Some(self.next_value));
                }
            }
            if self.random.below(3) == 0 {
                std::thread::yield_now();
            }
        }
        Ok(body)
    }

    fn transact(&mut self) {
        let begun = self.moments.next();
        let mut tx = self.store.begin().expect("begun");
        let snapshot = tx.snapshot_lsn();
        let body = self.fill(&mut tx).expect("readable");
        let way = self.random.below(8);
        let committed = match way {
            0 => {
                tx.rollback();
                self.note(begun, snapshot, body, Outcome::GivenUp);
                return;
            }
            1 | 2 => tx.submit().map(|ticket| {
                // Its outcome is noted when it was waited for.
                self.tickets.push((self.history.done.len(), ticket));
                Outcome::GivenUp
            }),
            3 => block_on(tx.commit_async()).map(|commit| of(&commit)),
            _ => tx.commit().map(|commit| of(&commit)),
        };
        let outcome = committed.unwrap_or_else(|error| refused(&error));
        self.note(begun, snapshot, body, outcome);
    }

    /// A closure, which is run again after a conflict.
    fn write(&mut self) {
        let begun = self.moments.next();
        let mut last = (Lsn::ZERO, Body::default());
        let store = self.store;
        let written = store.write(|tx| {
            last = (tx.snapshot_lsn(), self.fill(tx)?);
            Ok(())
        });
        let outcome = written.map_or_else(|error| refused(&error), |commit| of(&commit));
        self.note(begun, last.0, last.1, outcome);
    }

    fn note(&mut self, begun: u64, snapshot: Lsn, body: Body, outcome: Outcome) {
        let Body { reads, writes, expected } = body;
        let answered = self.moments.next();
        self.history.done.push(Done {
            begun,
            answered,
            snapshot,
            reads,
            writes,
            expected,
            outcome,
        });
    }

    fn wait(&mut self) {
        let (index, ticket) = self.tickets.remove(0);
        let commit = ticket.wait().expect("durable");
        let done = &mut self.history.done[index];
        (done.answered, done.outcome) = (self.moments.next(), of(&commit));
    }

    /// Reads from a snapshot.
    fn look(&mut self, lsn: Lsn, is_newest: bool) {
        let begun = self.moments.next();
        let snapshot = if is_newest {
            self.store.snapshot()
        } else {
            self.store.snapshot_at(lsn).expect("kept")
        };
        let taken = self.moments.next();
        let mut reads = Vec::new();
        for _ in 0..=self.random.below(4) {
            let slot = self.slot();
            reads.push(read(&snapshot, slot, self.random.below(2) == 0).expect("readable"));
        }
        self.history.views.push(View { begun, taken, lsn: snapshot.lsn(), is_newest, reads });
    }
}

fn read(snapshot: &Snapshot, slot: Slot, one: bool) -> Result<Read> {
    let name = COLLECTIONS[slot.0];
    if one {
        let found = snapshot.record(name, &key(slot.1))?;
        return Ok(Read::One(slot, found.map(|record| value(record.image().bytes()))));
    }
    let keys = (0, KEYS);
    let found = own_records(snapshot.scan(name, range(keys))?)?;
    Ok(Read::Range { collection: slot.0, keys, own: BTreeMap::new(), found })
}

fn own_records<'a>(
    records: impl Iterator<Item = Result<Record<'a>>>,
) -> Result<Vec<(Vec<u8>, u64)>> {
    records
        .map(|record| {
            let record = record?;
            Ok((record.key().to_vec(), value(record.image().bytes())))
        })
        .collect()
}

fn range((from, to): (u64, u64)) -> KeyRange {
    KeyRange::from_bounds(Bound::Included(key(from)), Bound::Excluded(key(to)))
}

fn of<T>(commit: &afterimage::Commit<T>) -> Outcome {
    if commit.is_empty() { Outcome::Empty(commit.lsn()) } else { Outcome::Committed(commit.lsn()) }
}

fn refused(error: &afterimage::Error) -> Outcome {
    match error.code().id {
        id if id == code::CONFLICT.id => Outcome::Conflict,
        id if id == code::EXPECTATION_FAILED.id => Outcome::ExpectationFailed,
        _ => panic!("{error:?}"),
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(future)
}
