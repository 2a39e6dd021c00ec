//! Whether a recorded history is the serial one that the journal claims.

use std::collections::{BTreeMap, BTreeSet};

use afterimage::{Lsn, Store};

use crate::history::{COLLECTIONS, Done, History, Outcome, Read, Slot, key, value};

/// The journal, replayed transaction by transaction.
pub(crate) struct Serial {
    /// What each record was made, and by which transaction.
    versions: BTreeMap<Slot, Vec<(Lsn, Option<u64>)>>,
    transactions: BTreeMap<Lsn, BTreeMap<Slot, Option<u64>>>,
}

impl Serial {
    pub(crate) fn replay(store: &Store) -> Self {
        let mut serial = Self { versions: BTreeMap::new(), transactions: BTreeMap::new() };
        for transaction in store.transactions(..).expect("kept") {
            let transaction = transaction.expect("readable");
            let mut written = BTreeMap::new();
            for change in transaction.changes() {
                let change = change.expect("readable");
                let Some(collection) =
                    COLLECTIONS.iter().position(|name| *name == change.collection())
                else {
                    continue;
                };
                let text = std::str::from_utf8(change.key()).expect("text");
                let slot = (collection, text.trim_start_matches('k').parse().expect("a number"));
                let after = change.after().map(|image| value(image.bytes()));
                written.insert(slot, after);
                serial.versions.entry(slot).or_default().push((transaction.lsn(), after));
            }
            serial.transactions.insert(transaction.lsn(), written);
        }
        serial
    }

    /// A record at a moment: its value, and the transaction that wrote it, zero if it is absent.
    fn at(&self, slot: Slot, lsn: Lsn) -> (Option<u64>, Lsn) {
        let versions = self.versions.get(&slot).map_or(&[][..], |versions| versions);
        let newer = versions.partition_point(|(other, _)| *other <= lsn);
        match newer.checked_sub(1).map(|index| versions[index]) {
            Some((by, Some(value))) => (Some(value), by),
            Some((_, None)) | None => (None, Lsn::ZERO),
        }
    }

    /// Whether a transaction after the one moment and up to the other changed what was read.
    fn changed(&self, read: &Read, after: Lsn, to: Lsn) -> bool {
        let slots = match read {
            Read::One(slot, _) | Read::Existed(slot, _) => vec![*slot],
            Read::Range { collection, keys, .. } => {
                (keys.0..keys.1).map(|key| (*collection, key)).collect()
            }
        };
        slots.iter().any(|slot| {
            let versions = self.versions.get(slot).map_or(&[][..], |versions| versions);
            versions.iter().any(|(lsn, _)| *lsn > after && *lsn <= to)
        })
    }

    /// What was read must be what the serial history has at this moment.
    fn check_read(&self, read: &Read, lsn: Lsn) {
        match read {
            Read::One(slot, found) => {
                assert_eq!(*found, self.at(*slot, lsn).0, "{slot:?} at LSN {lsn}");
            }
            Read::Existed(slot, existed) => {
                assert_eq!(*existed, self.at(*slot, lsn).0.is_some(), "{slot:?} at LSN {lsn}");
            }
            Read::Range { collection, keys, own, found } => {
                let slots = (keys.0..keys.1).map(|key| (*collection, key));
                let expected: Vec<_> = slots
                    .filter_map(|slot| {
                        let now = own.get(&slot).copied().unwrap_or_else(|| self.at(slot, lsn).0);
                        now.map(|value| (key(slot.1), value))
                    })
                    .collect();
                assert_eq!(*found, expected, "a range at LSN {lsn}");
            }
        }
    }
}

/// What was checked.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) committed: u64,
    pub(crate) empty: u64,
    pub(crate) conflicts: u64,
    pub(crate) expectations: u64,
    pub(crate) given_up: u64,
    pub(crate) snapshots: u64,
    pub(crate) reads: u64,
}

/// Something that happened at a moment.
#[derive(Clone, Copy)]
enum Event {
    /// From now on everyone must see this.
    Known(Lsn),
    /// It began now and got this number: higher than all that were known.
    Numbered(Lsn),
    /// It began now and saw this: no less than what was known.
    Saw(Lsn),
}

/// Checks what the threads recorded, of a store whose head was `first` before.
pub(crate) fn check(serial: &Serial, histories: &[History], first: Lsn, counts: &mut Counts) {
    let mut committed: BTreeSet<Lsn> = BTreeSet::new();
    let mut events = Vec::new();
    let head = serial.transactions.last_key_value().map_or(Lsn::ZERO, |(lsn, _)| *lsn);
    for done in histories.iter().flat_map(|history| &history.done) {
        check_done(serial, done, head, counts);
        events.push((done.begun, Event::Saw(done.snapshot)));
        match done.outcome {
            Outcome::Committed(lsn) => {
                assert!(committed.insert(lsn), "LSN {lsn} is one transaction's");
                events.push((done.begun, Event::Numbered(lsn)));
                events.push((done.answered, Event::Known(lsn)));
            }
            Outcome::Empty(lsn) => events.push((done.begun, Event::Saw(lsn))),
            Outcome::Conflict | Outcome::ExpectationFailed | Outcome::GivenUp => {}
        }
    }
    for view in histories.iter().flat_map(|history| &history.views) {
        view.reads.iter().for_each(|read| serial.check_read(read, view.lsn));
        counts.snapshots += 1;
        counts.reads += view.reads.len() as u64;
        if view.is_newest {
            events.push((view.begun, Event::Saw(view.lsn)));
            events.push((view.taken, Event::Known(view.lsn)));
        }
    }
    // The journal holds nothing else: what failed or was given up left nothing.
    let journal = serial.transactions.keys().copied().filter(|lsn| *lsn > first);
    assert!(journal.eq(committed.iter().copied()), "the journal holds what was committed");
    check_order(events);
}

fn check_done(serial: &Serial, done: &Done, head: Lsn, counts: &mut Counts) {
    // Whatever became of it: what it read was one moment.
    done.reads.iter().for_each(|read| serial.check_read(read, done.snapshot));
    counts.reads += done.reads.len() as u64;
    // It took place at one moment: behind the transaction before it, and nothing between.
    let at_its_place = |before: Lsn| {
        done.reads.iter().for_each(|read| serial.check_read(read, before));
        for (slot, lsn) in &done.expected {
            assert_eq!(serial.at(*slot, before).1, *lsn, "as expected at LSN {before}");
        }
    };
    match done.outcome {
        Outcome::Committed(lsn) => {
            counts.committed += 1;
            at_its_place(lsn.previous());
            let written = &serial.transactions[&lsn];
            let expected: BTreeMap<_, _> = done
                .writes
                .iter()
                .filter(|(slot, after)| {
                    after.is_some() || serial.at(**slot, lsn.previous()).0.is_some()
                })
                .map(|(slot, after)| (*slot, *after))
                .collect();
            assert_eq!(*written, expected, "LSN {lsn} holds what was written, and all of it");
        }
        Outcome::Empty(lsn) => {
            counts.empty += 1;
            at_its_place(lsn);
        }
        Outcome::Conflict => {
            counts.conflicts += 1;
            let changed = |read| serial.changed(read, done.snapshot, head);
            assert!(done.reads.iter().any(changed), "a conflict has a reason: {done:?}");
        }
        Outcome::ExpectationFailed => {
            counts.expectations += 1;
            let failed = |(slot, expected): &(Slot, Lsn)| {
                let mut moments = serial.transactions.range(done.snapshot..=head);
                moments.any(|(lsn, _)| serial.at(*slot, *lsn).1 != *expected)
            };
            assert!(done.expected.iter().any(failed), "a refusal has a reason: {done:?}");
        }
        Outcome::GivenUp => counts.given_up += 1,
    }
}

/// The numbers must agree with what was known when.
fn check_order(mut events: Vec<(u64, Event)>) {
    // Moments are different, but for the beginning of one transaction.
    events.sort_by_key(|(moment, _)| *moment);
    let mut known = Lsn::ZERO;
    for (moment, event) in events {
        match event {
            Event::Known(lsn) => known = known.max(lsn),
            Event::Numbered(lsn) => assert!(lsn > known, "at {moment}: {lsn} after {known}"),
            Event::Saw(lsn) => assert!(lsn >= known, "at {moment}: saw {lsn} after {known}"),
        }
    }
}
