//! The model: a list of whole states, one for each LSN, as slow and as plain as it can be.

use std::collections::BTreeMap;
use std::rc::Rc;

use afterimage::Op;

use super::{COLLECTIONS, Range, Slot};

pub(super) type Bytes = Rc<[u8]>;

/// What a transaction writes: a new value, or none to delete it.
pub(super) type Writes = BTreeMap<Slot, Option<Bytes>>;

#[derive(Clone, Debug)]
pub(super) struct Value {
    pub(super) lsn: u64,
    pub(super) bytes: Bytes,
}

/// One version of a record.
#[derive(Clone, Debug)]
pub(super) struct Change {
    pub(super) slot: Slot,
    pub(super) before: Option<Bytes>,
    pub(super) after: Option<Bytes>,
}

impl Change {
    pub(super) fn op(&self) -> Op {
        match (&self.before, &self.after) {
            (None, _) => Op::Create,
            (Some(_), Some(_)) => Op::Update,
            (Some(_), None) => Op::Delete,
        }
    }
}

/// The state after a transaction, and what that did.
#[derive(Clone, Debug, Default)]
pub(super) struct Moment {
    pub(super) time: i64,
    pub(super) records: BTreeMap<Slot, Value>,
    pub(super) points: BTreeMap<String, u64>,
    pub(super) changes: Vec<Change>,
}

/// All moments by LSN; the first is the empty store.
#[derive(Debug)]
pub(super) struct Model(Vec<Moment>);

impl Model {
    pub(super) fn new() -> Self {
        Self(vec![Moment { time: i64::MIN, ..Moment::default() }])
    }

    pub(super) fn head(&self) -> u64 {
        self.0.len() as u64 - 1
    }

    /// How many moments there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn at(&self, lsn: u64) -> &Moment {
        &self.0[usize::try_from(lsn).expect("few transactions")]
    }

    pub(super) fn newest(&self) -> &Moment {
        self.at(self.head())
    }

    /// The last transaction committed at or before a time; times never go back.
    pub(super) fn lsn_at(&self, time: i64) -> u64 {
        (1..=self.head()).rev().find(|lsn| self.at(*lsn).time <= time).unwrap_or(0)
    }

    /// What these writes change now.
    pub(super) fn changes(&self, writes: &Writes) -> Vec<Change> {
        let change = |(slot, after): (&Slot, &Option<Bytes>)| {
            let before = self.newest().records.get(slot).map(|value| Rc::clone(&value.bytes));
            let is_one = before.is_some() || after.is_some();
            is_one.then(|| Change { slot: slot.clone(), before, after: after.clone() })
        };
        writes.iter().filter_map(change).collect()
    }

    /// The time of a transaction that is committed now.
    pub(super) fn time(&self, wanted: i64) -> i64 {
        wanted.max(self.newest().time)
    }

    pub(super) fn commit(&mut self, wanted: i64, changes: Vec<Change>) {
        let lsn = self.head() + 1;
        let mut moment = Moment { time: self.time(wanted), ..self.newest().clone() };
        for Change { slot, after, .. } in &changes {
            match after {
                Some(bytes) => {
                    let value = Value { lsn, bytes: Rc::clone(bytes) };
                    moment.records.insert(slot.clone(), value);
                }
                None => drop(moment.records.remove(slot)),
            }
        }
        moment.changes = changes;
        self.0.push(moment);
    }

    /// Commits a transaction that names a moment, or forgets a name.
    pub(super) fn set_point(&mut self, wanted: i64, name: &str, at: Option<u64>) {
        let mut moment =
            Moment { time: self.time(wanted), changes: Vec::new(), ..self.newest().clone() };
        match at {
            Some(lsn) => moment.points.insert(name.to_owned(), lsn),
            None => moment.points.remove(name),
        };
        self.0.push(moment);
    }

    /// Forgets what stands behind a moment; returns how many transactions that were.
    pub(super) fn cut(&mut self, head: u64) -> u64 {
        let lost = self.head() - head;
        self.0.truncate(usize::try_from(head).expect("few transactions") + 1);
        lost
    }

    /// The transaction that changed a record last, deletions included; zero if none did.
    pub(super) fn last_change(&self, slot: &Slot) -> u64 {
        self.versions(slot).first().map_or(0, |(lsn, _)| *lsn)
    }

    /// The versions of a record, newest first.
    pub(super) fn versions(&self, slot: &Slot) -> Vec<(u64, &Change)> {
        let mut found = Vec::new();
        for lsn in (0..=self.head()).rev() {
            let moment = self.at(lsn);
            found.extend(moment.changes.iter().find(|it| it.slot == *slot).map(|it| (lsn, it)));
        }
        found
    }

    /// All records that ever were.
    pub(super) fn slots(&self) -> std::collections::BTreeSet<&Slot> {
        self.0.iter().flat_map(|moment| moment.records.keys()).collect()
    }

    /// Records of a range that changed after a moment, with their newest change.
    pub(super) fn changed(&self, collection: usize, range: &Range, after: u64) -> Vec<(Slot, u64)> {
        let inside = |slot: &&&Slot| slot.0 == collection && range.contains(&slot.1);
        let slots = self.slots();
        let newest =
            slots.iter().filter(inside).map(|slot| ((*slot).clone(), self.last_change(slot)));
        newest.filter(|(_, lsn)| *lsn > after).collect()
    }

    /// Whether a collection was written to at or before a moment.
    pub(super) fn has_collection(&self, collection: usize, lsn: u64) -> bool {
        let mut changes = (0..=lsn).flat_map(|lsn| &self.at(lsn).changes);
        changes.any(|change| change.slot.0 == collection)
    }

    /// The records of a range at a moment, in the order of their keys.
    pub(super) fn scan(&self, lsn: u64, collection: usize, range: &Range) -> Vec<(Vec<u8>, Value)> {
        let records = self.at(lsn).records.iter();
        let inside = records.filter(|((of, key), _)| *of == collection && range.contains(key));
        inside.map(|((_, key), value)| (key.clone(), value.clone())).collect()
    }

    /// Names of the collections that exist at a moment with their numbers of records, by name.
    pub(super) fn collections(&self, lsn: u64) -> Vec<(String, u64)> {
        let existing = (0..COLLECTIONS.len()).filter(|of| self.has_collection(*of, lsn));
        let count = |of| self.scan(lsn, of, &Range::All).len() as u64;
        let mut found: Vec<_> =
            existing.map(|of| (COLLECTIONS[of].to_owned(), count(of))).collect();
        found.sort();
        found
    }
}
