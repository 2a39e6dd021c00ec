//! Transactions that are open together, beside what the model says they must read and come to.

use std::collections::BTreeMap;
use std::rc::Rc;

use afterimage::{
    Commit, Conflict, ErrorKind, Lsn, Result, Store, Ticket, Timestamp, Transaction, code,
};
use proptest::prelude::*;

use super::moments::{Bytes, Model, Writes};
use super::run::Tried;
use super::{Action, COLLECTIONS, Checked, End, Expected, Range, Script, Slot};
use crate::common::raw;

/// A transaction, and what is known of it.
pub(super) struct Open<'s> {
    tx: Transaction<'s>,
    snapshot: u64,
    time: Option<i64>,
    writes: Writes,
    expected: Vec<(Slot, u64)>,
    read: Vec<Slot>,
    scanned: Vec<(usize, Range)>,
}

/// What a commit must come to.
enum Verdict {
    Commits,
    /// These records, each with its version now.
    Unexpected(Vec<(Slot, u64)>),
    /// These records, and one of each of these groups.
    Conflict(Vec<(Slot, u64)>, Vec<Vec<(Slot, u64)>>),
}

impl<'s> Open<'s> {
    pub(super) fn begin(store: &'s Store, model: &Model) -> Result<Self, TestCaseError> {
        let tx = store.begin().expect("the store is open");
        prop_assert_eq!(tx.snapshot_lsn(), Lsn::new(model.head()));
        Ok(Self {
            tx,
            snapshot: model.head(),
            time: None,
            writes: BTreeMap::new(),
            expected: Vec::new(),
            read: Vec::new(),
            scanned: Vec::new(),
        })
    }

    pub(super) fn act(&mut self, model: &Model, action: &Action, now: i64) -> Checked {
        match action {
            Action::Put((of, key), value) => {
                self.tx.put_image(COLLECTIONS[*of], key, raw(value)).expect("put");
                self.writes.insert((*of, key.clone()), Some(value.as_slice().into()));
            }
            Action::Insert(slot, value) => self.insert(slot, value)?,
            Action::Delete(slot) => {
                let existed = self.tx.delete_record(COLLECTIONS[slot.0], &slot.1).expect("deleted");
                prop_assert_eq!(existed, self.seen(model, slot).is_some());
                self.writes.insert(slot.clone(), None);
            }
            Action::Get(slot) => self.get(model, slot)?,
            Action::Scan(of, range) => self.scan(model, *of, range)?,
            Action::Expect(slot, expected) => {
                let version = |lsn| model.at(lsn).records.get(slot).map_or(0, |value| value.lsn);
                let lsn = match expected {
                    Expected::Seen => version(self.snapshot),
                    Expected::Absent => 0,
                    Expected::Any(index) => version(index.index(model.len()) as u64),
                };
                let name = COLLECTIONS[slot.0];
                self.tx.expect_record_lsn(name, &slot.1, Lsn::new(lsn)).expect("noted");
                self.expected.push((slot.clone(), lsn));
            }
            Action::At(by) => {
                self.time = Some(now + by);
                self.tx.at_time(Timestamp::from_micros(now + by));
            }
        }
        Ok(())
    }

    fn insert(&mut self, slot: &Slot, value: &[u8]) -> Checked {
        let inserted = self.tx.insert_image(COLLECTIONS[slot.0], &slot.1, raw(value));
        if self.writes.contains_key(slot) {
            let error = inserted.expect_err("this transaction has written it");
            prop_assert_eq!(error.code().id, code::EXPECTATION_FAILED.id);
            check_conflicts(error.conflicts(), &[(slot.clone(), self.snapshot)])?;
        } else {
            inserted.expect("inserted");
            self.expected.push((slot.clone(), 0));
            self.writes.insert(slot.clone(), Some(value.into()));
        }
        Ok(())
    }

    /// What the transaction must see of a record; a read of what is stored is noted.
    fn seen(&mut self, model: &Model, slot: &Slot) -> Option<Bytes> {
        if let Some(own) = self.writes.get(slot) {
            return own.clone();
        }
        self.read.push(slot.clone());
        model.at(self.snapshot).records.get(slot).map(|value| Rc::clone(&value.bytes))
    }

    fn get(&mut self, model: &Model, slot: &Slot) -> Checked {
        let expected = self.seen(model, slot);
        let found = self.tx.record(COLLECTIONS[slot.0], &slot.1).expect("readable");
        prop_assert_eq!(found.map(|record| record.image().bytes()), expected.as_deref());
        if let Some(record) = found {
            prop_assert_eq!(record.key(), slot.1.as_slice());
            let stored = model.at(self.snapshot).records.get(slot);
            let lsn = match stored.filter(|_| !self.writes.contains_key(slot)) {
                Some(value) => value.lsn,
                None => self.snapshot,
            };
            prop_assert_eq!(record.lsn(), Lsn::new(lsn));
        }
        Ok(())
    }

    fn scan(&mut self, model: &Model, of: usize, range: &Range) -> Checked {
        let stored = model.scan(self.snapshot, of, range).into_iter();
        let mut expected: BTreeMap<_, _> = stored.map(|(key, value)| (key, value.bytes)).collect();
        for ((own, key), after) in &self.writes {
            match after {
                Some(bytes) if *own == of && range.contains(key) => {
                    expected.insert(key.clone(), Rc::clone(bytes));
                }
                None if *own == of => drop(expected.remove(key)),
                Some(_) | None => {}
            }
        }
        let found = self.tx.scan(COLLECTIONS[of], &range.own()).expect("readable");
        let found: Vec<_> =
            found.into_iter().map(|it| (it.key().to_vec(), it.image().bytes().into())).collect();
        prop_assert_eq!(found, expected.into_iter().collect::<Vec<_>>());
        self.scanned.push((of, range.clone()));
        Ok(())
    }

    fn verdict(&self, model: &Model) -> Verdict {
        let version = |slot| model.newest().records.get(slot).map_or(0, |value| value.lsn);
        let expected = self.expected.iter().map(|(slot, lsn)| (slot, version(slot), *lsn));
        let unexpected: Vec<_> = expected
            .filter(|(_, found, lsn)| found != lsn)
            .map(|(slot, found, _)| (slot.clone(), found))
            .collect();
        if !unexpected.is_empty() {
            return Verdict::Unexpected(unexpected);
        }
        let newest = self.read.iter().map(|slot| (slot.clone(), model.last_change(slot)));
        let read: Vec<_> = newest.filter(|(_, lsn)| *lsn > self.snapshot).collect();
        let scanned =
            self.scanned.iter().map(|(of, range)| model.changed(*of, range, self.snapshot));
        let scanned: Vec<_> = scanned.filter(|changed| !changed.is_empty()).collect();
        if read.is_empty() && scanned.is_empty() {
            Verdict::Commits
        } else {
            Verdict::Conflict(read, scanned)
        }
    }

    /// Ends it, and the model with it; what was submitted is to be waited for.
    pub(super) fn end(
        self,
        model: &mut Model,
        (end, now): (End, i64),
        tried: &mut Tried,
    ) -> Result<Option<Ticket<'s>>, TestCaseError> {
        if matches!(end, End::Rollback) {
            self.tx.rollback();
            return Ok(None);
        }
        let (verdict, changes) = (self.verdict(model), model.changes(&self.writes));
        let wanted = self.time.unwrap_or(now);
        let preview = self.tx.preview();
        if !matches!(verdict, Verdict::Commits) {
            return refused(self.tx, &preview.expect_err("as the commit"), &verdict, tried);
        }
        let mut preview: Vec<_> = preview
            .expect("as the commit")
            .into_iter()
            .map(|change| (change.collection, change.key, change.op))
            .collect();
        preview.sort_by(|a, b| (&a.0, &a.1).cmp(&(&b.0, &b.1)));
        let name = |of: usize| COLLECTIONS[of].to_owned();
        let mut expected: Vec<_> =
            changes.iter().map(|it| (name(it.slot.0), it.slot.1.clone(), it.op())).collect();
        expected.sort_by(|a, b| (&a.0, &a.1).cmp(&(&b.0, &b.1)));
        prop_assert_eq!(preview, expected);
        let count = changes.len();
        tried.changes += count as u64;
        if count > 0 {
            tried.commits += 1;
            model.commit(wanted, changes);
        }
        if matches!(end, End::Submit) {
            let ticket = self.tx.submit().expect("submitted");
            prop_assert_eq!(ticket.lsn(), Lsn::new(model.head()));
            return Ok(Some(ticket));
        }
        check_commit(&self.tx.commit().expect("committed"), count, model)?;
        Ok(None)
    }
}

fn check_commit(commit: &Commit<()>, changes: usize, model: &Model) -> Checked {
    prop_assert_eq!(commit.changes() as usize, changes);
    prop_assert_eq!(commit.is_empty(), changes == 0);
    prop_assert_eq!(commit.lsn(), Lsn::new(model.head()));
    if model.head() > 0 {
        prop_assert_eq!(commit.time().as_micros(), model.newest().time);
    }
    Ok(())
}

/// A refusal names the records; the transaction that comes back is refused again.
fn refused<'s>(
    tx: Transaction<'s>,
    preview: &afterimage::Error,
    verdict: &Verdict,
    tried: &mut Tried,
) -> Result<Option<Ticket<'s>>, TestCaseError> {
    let rejected = tx.try_commit().expect_err("refused");
    let error = rejected.error();
    prop_assert_eq!(error.kind(), ErrorKind::Conflict);
    prop_assert_eq!(error.conflicts(), preview.conflicts());
    match verdict {
        Verdict::Unexpected(records) => {
            tried.unexpected += 1;
            prop_assert_eq!(error.code().id, code::EXPECTATION_FAILED.id);
            check_conflicts(error.conflicts(), records)?;
        }
        Verdict::Conflict(records, groups) => {
            tried.conflicts += 1;
            prop_assert_eq!(error.code().id, code::CONFLICT.id);
            prop_assert_eq!(error.conflicts().len(), records.len() + groups.len());
            let (read, scanned) = error.conflicts().split_at(records.len());
            check_conflicts(read, records)?;
            for (found, group) in scanned.iter().zip(groups) {
                let one = group.iter().find(|(slot, _)| slot.1 == found.key);
                prop_assert!(one.is_some(), "{:?} is none of {:?}", found, group);
                check_conflicts(std::slice::from_ref(found), &[one.expect("found").clone()])?;
            }
        }
        Verdict::Commits => {}
    }
    let again = rejected.into_transaction().commit().expect_err("refused again");
    prop_assert_eq!(again.kind(), ErrorKind::Conflict);
    Ok(None)
}

fn check_conflicts(found: &[Conflict], expected: &[(Slot, u64)]) -> Checked {
    let conflict = |((of, key), lsn): &(Slot, u64)| Conflict {
        collection: COLLECTIONS[*of].to_owned(),
        key: key.clone(),
        lsn: Lsn::new(*lsn),
    };
    prop_assert_eq!(found, expected.iter().map(conflict).collect::<Vec<_>>());
    Ok(())
}

/// Runs the scripts, all of them open before the first ends, which ends `first`, the next one so
/// many places behind it. Returns the tickets of those submitted, and the newest that was waited
/// for.
pub(super) fn together<'s>(
    store: &'s Store,
    model: &mut Model,
    scripts: &[Script],
    now: i64,
    (order, tried): (&[prop::sample::Index], &mut Tried),
) -> Result<(Vec<Ticket<'s>>, u64), TestCaseError> {
    let (mut open, mut waited) = (Vec::new(), 0);
    for script in scripts {
        open.push((Open::begin(store, model)?, script));
    }
    for (one, script) in &mut open {
        script.actions.iter().take(script.early).try_for_each(|it| one.act(model, it, now))?;
    }
    let mut tickets = Vec::new();
    for index in order.iter().take(scripts.len()) {
        let (mut one, script) = open.remove(index.index(open.len()));
        script.actions.iter().skip(script.early).try_for_each(|it| one.act(model, it, now))?;
        let before = model.head();
        tickets.extend(one.end(model, (script.end, now), tried)?);
        if matches!(script.end, End::Commit) && model.head() > before {
            waited = model.head();
        }
        prop_assert_eq!(store.begin().expect("open").snapshot_lsn(), Lsn::new(model.head()));
    }
    Ok((tickets, waited))
}
