//! Accidents of others that must not happen here.

use afterimage::{Lsn, OnConflict, Reason, Restore, Store, Undo, UndoMode};

use super::{by, json, put, text};
use crate::common::Place;

const MODES: [UndoMode; 5] = [
    UndoMode::Strict,
    UndoMode::Cascade,
    UndoMode::Force,
    UndoMode::Nonconflicting,
    UndoMode::Merge(OnConflict::Fail),
];

fn digest(store: &Store, lsn: Lsn) -> afterimage::StateDigest {
    store.snapshot_at(lsn).expect("kept").digest().expect("readable")
}

#[test]
fn accident_a8_several_writes_to_one_record_in_one_transaction_are_undone() {
    for mode in MODES {
        let place = Place::new();
        let store = place.open();
        put(&store, "rooms", "kept", r#"{"a":0,"b":0}"#);
        put(&store, "rooms", "gone", r#"{"a":0}"#);
        let before = store.head();
        let commit = store
            .write(|tx| {
                for n in 1..5 {
                    let value = format!("{{\"a\":{n},\"b\":0}}");
                    tx.put_image("rooms", b"kept", json(&value))?;
                }
                tx.delete_record("rooms", b"kept")?;
                tx.put_image("rooms", b"kept", json(r#"{"a":5,"b":5}"#))?;
                tx.put_image("rooms", b"gone", json("1"))?;
                tx.delete_record("rooms", b"gone")?;
                tx.put_image("rooms", b"fleeting", json("1"))?;
                tx.delete_record("rooms", b"fleeting")?;
                tx.put_image("rooms", b"new", json("1"))?;
                tx.delete_record("rooms", b"new")?;
                tx.put_image("rooms", b"new", json("2"))
            })
            .expect("written");
        assert_eq!(commit.changes(), 3, "the net change of each record");
        let after = digest(&store, commit.lsn());
        let undo = store.undo(&Undo::transaction(commit.lsn()).mode(mode), &by("ana"));
        let undo = undo.expect("undone");
        assert_eq!(digest(&store, undo.lsn()), digest(&store, before), "{mode:?}");
        assert_eq!(text(&store, "rooms", "gone").as_deref(), Some(r#"{"a":0}"#));
        let redo = store.undo(&Undo::transaction(undo.lsn()).mode(mode), &by("ana"));
        assert_eq!(digest(&store, redo.expect("undone").lsn()), after, "{mode:?}");
    }
}

#[test]
fn accident_a8_many_transactions_that_wrote_one_field_are_undone_newest_first() {
    for mode in MODES {
        let place = Place::new();
        let store = place.open();
        put(&store, "rooms", "a", r#"{"n":0}"#);
        // There and back, deleted and made anew: undone in any other order it would be in conflict.
        for value in ["1", "2", "1", "0", "3", "3", "2"] {
            put(&store, "rooms", "a", &format!("{{\"n\":{value}}}"));
            if value == "3" {
                store.write(|tx| tx.delete_record("rooms", b"a")).expect("deleted");
            }
        }
        let head = store.head();
        for after in (1..head.get()).map(Lsn::new) {
            let undo = Undo::everything().between(after, head).mode(mode);
            let plan = store.plan_undo(&undo).expect("planned");
            assert_eq!(plan.counts().conflict, 0, "{mode:?} after {after}");
            let done = store.undo(&undo, &by("ana")).expect("undone");
            assert_eq!(
                store.snapshot().digest().expect("known"),
                digest(&store, after),
                "{mode:?}"
            );
            if !done.is_empty() {
                store.undo(&Undo::transaction(done.lsn()), &by("ana")).expect("taken back");
            }
            assert_eq!(store.snapshot().digest().expect("known"), digest(&store, head));
        }
    }
}

/// The collections of the store's own records that a transaction changed.
fn system(store: &Store, lsn: Lsn) -> Vec<String> {
    let transaction = store.transaction(lsn).expect("kept");
    let changes = transaction.changes().map(|change| change.expect("readable"));
    changes
        .filter(afterimage::ChangeView::is_system)
        .map(|change| change.collection().to_owned())
        .collect()
}

#[test]
fn accident_a9_what_the_store_does_itself_is_journalled_and_stays() {
    let place = Place::new();
    let store = place.open();
    put(&store, "rooms", "a", "1");
    let second = put(&store, "rooms", "a", "2");
    let undo = store.undo(&Undo::transaction(second), &by("ana")).expect("undone");
    let restore = store.restore(&Restore::to(second), &by("bo")).expect("restored");
    for commit in [&undo, &restore] {
        let mut own = system(&store, commit.lsn());
        own.retain(|name| name != "$collections");
        assert_eq!(own, ["$points", "$audit"], "of LSN {}", commit.lsn());
        let metadata = store.transaction(commit.lsn()).expect("kept").metadata().clone();
        assert!(metadata.actor.is_some() && metadata.message.is_some());
        let point = store.point(commit.value().point.as_ref().expect("named")).expect("there");
        assert_eq!(point.lsn, commit.lsn().previous());
    }
    let points = store.points().expect("readable").len();
    for lsn in [restore.lsn(), undo.lsn()] {
        let plan = store.plan_undo(&Undo::transaction(lsn)).expect("planned");
        assert_eq!(plan.counts().changes(), 1, "the record of the user");
        let mut left: Vec<_> = plan.not_undone().iter().map(|left| left.collection).collect();
        left.retain(|name| *name != "$collections");
        assert_eq!(left, ["$points", "$audit"]);
        assert!(plan.not_undone().iter().all(|left| left.reason == Reason::SystemRecord));
        store.execute(&plan, &by("cleo")).expect("undone");
    }
    assert_eq!(text(&store, "rooms", "a").as_deref(), Some("2"));
    assert_eq!(store.points().expect("readable").len(), points + 2, "none was taken back");
    let audit = store.snapshot().scan("$audit", afterimage::KeyRange::all()).map(Iterator::count);
    assert_eq!(audit.expect("readable"), 4, "each was noted");
}

#[test]
fn accident_a9_a_collection_that_came_with_a_transaction_stays_and_that_is_said() {
    let place = Place::new();
    let store = place.open();
    let first = put(&store, "rooms", "a", "1");
    let plan = store.plan_undo(&Undo::transaction(first)).expect("planned");
    assert_eq!((plan.counts().delete, plan.not_undone().len()), (1, 1));
    store.execute(&plan, &by("ana")).expect("undone");
    assert_eq!(store.snapshot().digest().expect("known"), digest(&store, Lsn::ZERO));
    assert!(store.collections().iter().any(|info| info.name == "rooms" && info.records == 0));
    put(&store, "rooms", "a", "1");
}
