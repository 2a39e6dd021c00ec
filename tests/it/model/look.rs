//! Reads, of the store and of the model.

use afterimage::{ErrorKind, Image, KeyRange, Lsn, Record, Scan, Snapshot, Store};
use proptest::prelude::*;

use super::moments::{Model, Moment, Value};
use super::{COLLECTIONS, Checked, Look, Range, Slot};

type Found = (Vec<u8>, Vec<u8>, u64);

fn own(record: afterimage::Result<Record<'_>>) -> Found {
    let record = record.expect("readable");
    (record.key().to_vec(), record.image().bytes().to_vec(), record.lsn().get())
}

fn expected((key, value): (Vec<u8>, Value)) -> Found {
    (key, value.bytes.to_vec(), value.lsn)
}

fn bytes(image: Option<Image<'_>>) -> Option<&[u8]> {
    image.map(|image| image.bytes())
}

/// One kind of read, of a snapshot that the model knows by its LSN.
pub(super) fn look(store: &Store, snapshot: &Snapshot, model: &Model, look: &Look) -> Checked {
    let lsn = snapshot.lsn().get();
    match look {
        Look::Scan(of, range, ends) => check_scan(snapshot, model, (*of, range), ends),
        Look::Records(of, keys) => check_records(snapshot, model, *of, keys),
        Look::History(slot) => check_versions(store, model, slot),
        Look::Collections => {
            let listed = snapshot.collections().expect("readable").into_iter();
            let listed: Vec<_> = listed
                .filter(|info| !info.is_system())
                .map(|info| (info.name, info.records))
                .collect();
            prop_assert_eq!(listed, model.collections(lsn));
            let newest = store.collections().into_iter().filter(|info| !info.is_system());
            let newest: Vec<_> = newest.map(|info| (info.name, info.records)).collect();
            prop_assert_eq!(newest, model.collections(model.head()));
            Ok(())
        }
    }
}

/// A scan of a collection that exists now, or did not at this moment: then there is nothing.
fn scan<'s>(
    snapshot: &'s Snapshot,
    model: &Model,
    (of, range): (usize, &Range),
) -> Result<Option<Scan<'s>>, TestCaseError> {
    match snapshot.scan(COLLECTIONS[of], range.own()) {
        Ok(scan) => Ok(Some(scan)),
        Err(error) => {
            prop_assert_eq!(error.kind(), ErrorKind::NotFound);
            prop_assert!(!model.has_collection(of, snapshot.lsn().get()));
            Ok(None)
        }
    }
}

/// Takes records from both ends in some order.
fn check_scan(
    snapshot: &Snapshot,
    model: &Model,
    (of, range): (usize, &Range),
    ends: &[bool],
) -> Checked {
    let mut expected = model.scan(snapshot.lsn().get(), of, range).into_iter().map(expected);
    let Some(mut scan) = scan(snapshot, model, (of, range))? else { return Ok(()) };
    for (number, is_front) in ends.iter().enumerate() {
        let (found, expected) = if *is_front {
            (scan.next(), expected.next())
        } else {
            (scan.next_back(), expected.next_back())
        };
        prop_assert_eq!(found.map(own), expected, "record {} at {}", number, snapshot.lsn());
    }
    Ok(())
}

fn check_records(snapshot: &Snapshot, model: &Model, of: usize, keys: &[Vec<u8>]) -> Checked {
    let moment = model.at(snapshot.lsn().get());
    let found = match snapshot.records(COLLECTIONS[of], keys) {
        Ok(found) => found,
        Err(error) => {
            prop_assert_eq!(error.kind(), ErrorKind::NotFound);
            prop_assert!(!model.has_collection(of, snapshot.lsn().get()));
            return Ok(());
        }
    };
    prop_assert_eq!(found.len(), keys.len());
    for (key, found) in keys.iter().zip(found) {
        let stored = moment.records.get(&(of, key.clone()));
        let expected = stored.map(|value| expected((key.clone(), value.clone())));
        prop_assert_eq!(found.map(|record| own(Ok(record))), expected.clone());
        let one = snapshot.record(COLLECTIONS[of], key).expect("readable");
        prop_assert_eq!(one.map(|record| own(Ok(record))), expected);
        if let Some(record) = one {
            prop_assert_eq!(record.time().as_micros(), model.at(record.lsn().get()).time);
        }
    }
    Ok(())
}

/// All versions of a record, newest first.
fn check_versions(store: &Store, model: &Model, slot: &Slot) -> Checked {
    let versions = match store.record_history(COLLECTIONS[slot.0], &slot.1) {
        Ok(versions) => versions,
        Err(error) => {
            prop_assert_eq!(error.kind(), ErrorKind::NotFound);
            prop_assert!(!model.has_collection(slot.0, model.head()));
            return Ok(());
        }
    };
    let mut expected = model.versions(slot).into_iter();
    for version in versions {
        let version = version.expect("readable");
        let Some((lsn, change)) = expected.next() else {
            return Err(TestCaseError::fail(format!("{version} is one too many")));
        };
        prop_assert_eq!(version.lsn(), Lsn::new(lsn));
        prop_assert_eq!(version.time().as_micros(), model.at(lsn).time);
        prop_assert_eq!(version.op(), change.op());
        prop_assert_eq!(bytes(version.before()), change.before.as_deref());
        prop_assert_eq!(bytes(version.after()), change.after.as_deref());
    }
    prop_assert_eq!(expected.count(), 0);
    Ok(())
}

/// The whole state at a moment, from both ends.
pub(super) fn check_state(snapshot: &Snapshot, model: &Model) -> Checked {
    let lsn = snapshot.lsn().get();
    let time = snapshot.time().map(afterimage::Timestamp::as_micros);
    prop_assert_eq!(time, (lsn > 0).then(|| model.at(lsn).time));
    for (of, name) in COLLECTIONS.iter().enumerate() {
        let expected: Vec<_> = model.scan(lsn, of, &Range::All).into_iter().map(expected).collect();
        let Some(records) = scan(snapshot, model, (of, &Range::All))? else { continue };
        prop_assert_eq!(&records.map(own).collect::<Vec<_>>(), &expected, "{} at {}", name, lsn);
        let backwards = snapshot.scan(name, KeyRange::all()).expect("as before").rev();
        let mut backwards: Vec<_> = backwards.map(own).collect();
        backwards.reverse();
        prop_assert_eq!(backwards, expected, "{} at {}, backwards", name, lsn);
    }
    Ok(())
}

/// Everything there is to know of a store, at every LSN.
pub(super) fn check_all(store: &Store, model: &Model) -> Checked {
    prop_assert_eq!(store.head(), Lsn::new(model.head()));
    for lsn in 0..=model.head() {
        check_state(&store.snapshot_at(Lsn::new(lsn)).expect("kept"), model)?;
    }
    for slot in model.slots() {
        check_versions(store, model, slot)?;
    }
    check_points(store, model)?;
    check_journal(store, model)
}

pub(super) fn check_points(store: &Store, model: &Model) -> Checked {
    let points = store.points().expect("readable").into_iter();
    let points: Vec<_> = points.map(|point| (point.name, point.lsn.get())).collect();
    let expected = model.newest().points.clone().into_iter();
    prop_assert_eq!(points, expected.collect::<Vec<_>>());
    Ok(())
}

/// Each transaction is what the model did, forwards and backwards.
fn check_journal(store: &Store, model: &Model) -> Checked {
    let mut lsn = 0;
    for transaction in store.transactions(..).expect("transactions") {
        lsn += 1;
        check_transaction(&transaction.expect("readable"), lsn, model.at(lsn))?;
    }
    prop_assert_eq!(lsn, model.head());
    for transaction in store.transactions(..).expect("transactions").rev() {
        check_transaction(&transaction.expect("readable"), lsn, model.at(lsn))?;
        lsn -= 1;
    }
    prop_assert_eq!(lsn, 0);
    Ok(())
}

fn check_transaction(
    transaction: &afterimage::TransactionView<'_>,
    lsn: u64,
    moment: &Moment,
) -> Checked {
    prop_assert_eq!(transaction.lsn(), Lsn::new(lsn));
    prop_assert_eq!(transaction.time().as_micros(), moment.time);
    let mut expected: std::collections::BTreeMap<_, _> = moment
        .changes
        .iter()
        .map(|change| ((COLLECTIONS[change.slot.0], change.slot.1.as_slice()), change))
        .collect();
    for change in transaction.changes() {
        let change = change.expect("readable");
        if change.is_system() {
            continue;
        }
        let slot = (change.collection(), change.key());
        let Some(one) = expected.remove(&slot) else {
            return Err(TestCaseError::fail(format!("{slot:?} is one too many in LSN {lsn}")));
        };
        prop_assert_eq!(change.op(), one.op());
        prop_assert_eq!(bytes(change.before()), one.before.as_deref());
        prop_assert_eq!(bytes(change.after()), one.after.as_deref());
    }
    prop_assert!(expected.is_empty());
    Ok(())
}
