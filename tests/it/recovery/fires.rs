//! A real register that lost its records six times (see `the_real_register_shows_each_outage`).

use std::collections::BTreeSet;

use afterimage::{
    Durability, ImportOptions, KeyRange, Lsn, Op, Restore, Store, Undo, UndoMode, code,
};

use super::by;
use crate::common::Place;

const CHICKEN: &[u8] = b"35d04cb5-0455-4d36-b857-d7952670aef0";
const OUTAGE: Lsn = Lsn::new(829);

fn options() -> afterimage::Options {
    Store::options().durability(Durability::Process)
}

fn restored_to(store: &Store, lsn: Lsn, place: &Place) -> Store {
    let directory = place.beside(&format!("at-{lsn}.store"));
    store.restore_into(lsn, &directory, &by("tester"), &mut |_| {}).expect("restored");
    options().open(directory).expect("opened")
}

fn incidents(store: &Store, lsn: Lsn) -> BTreeSet<Vec<u8>> {
    let snapshot = store.snapshot_at(lsn).expect("kept");
    let scan = snapshot.scan("incidents", KeyRange::all()).expect("scan");
    scan.map(|record| record.expect("readable").key().to_vec()).collect()
}

#[test]
fn the_real_register_gets_back_what_an_outage_took() {
    let Some(path) = std::env::var_os("AFTERIMAGE_CA_FIRES") else {
        crate::skipped::skipped("AFTERIMAGE_CA_FIRES does not name the file of real change events");
        return;
    };
    let events = std::fs::read(path).expect("the unpacked file of change events");
    let place = Place::new();
    let store = options().open(place.path()).expect("opened");
    let import = ImportOptions { keep_times: true, ..ImportOptions::default() };
    store.import(&mut &events[..], &import, &mut |_| {}).expect("imported");
    the_outage_is_undone(&restored_to(&store, OUTAGE, &place));
    what_came_back_since_stays(&restored_to(&store, OUTAGE.next(), &place));
    the_last_outage_is_left_behind_and_found_again(&store);
}

fn the_outage_is_undone(store: &Store) {
    let plan = store.plan_undo(&Undo::transaction(OUTAGE)).expect("planned");
    let lost = incidents(store, OUTAGE.previous());
    let back: BTreeSet<_> = plan
        .changes()
        .iter()
        .filter(|change| change.collection() == "incidents" && change.op() == Some(Op::Create))
        .map(|change| change.key().to_vec())
        .collect();
    assert_eq!((back.len(), &back), (11, &lost));
    assert_eq!(plan.counts().conflict, 0);
    let done = store.execute(&plan, &by("tester")).expect("undone");
    assert_eq!(incidents(store, done.lsn()), lost);
    let digest = |lsn| store.snapshot_at(lsn).expect("kept").digest().expect("readable");
    assert_eq!(digest(done.lsn()), digest(OUTAGE.previous()));
}

fn what_came_back_since_stays(store: &Store) {
    let undo = Undo::transaction(OUTAGE);
    let error = store.undo(&undo, &by("tester")).expect_err("refused");
    assert_eq!(error.code().id, code::UNDO_CONFLICT.id);
    assert!(error.message().contains("LSN 830"), "{error}");
    assert!(error.conflicts().iter().all(|conflict| conflict.lsn == OUTAGE.next()));
    let before = incidents(store, OUTAGE.next());
    let done = store.undo(&undo.mode(UndoMode::Nonconflicting), &by("tester")).expect("undone");
    let counts = done.value().counts;
    assert_eq!((counts.create, counts.update, counts.delete), (1, 0, 0));
    let mut after = incidents(store, done.lsn());
    assert!(after.remove(CHICKEN) && after == before, "exactly the one");
}

fn the_last_outage_is_left_behind_and_found_again(store: &Store) {
    let (head, before) = (store.head(), Lsn::new(2580));
    let digest = |lsn| store.snapshot_at(lsn).expect("kept").digest().expect("readable");
    let restored = store.restore(&Restore::to(before), &by("tester")).expect("restored");
    assert_eq!(digest(restored.lsn()), digest(before));
    let undone = store.undo(&Undo::transaction(restored.lsn()), &by("tester")).expect("undone");
    assert_eq!(digest(undone.lsn()), digest(head));
    for lsn in [341, 829, 2581, 1, 2000] {
        let lsn = Lsn::new(lsn);
        store.restore(&Restore::to(lsn), &by("tester")).expect("restored");
        assert_eq!(store.snapshot().digest().expect("readable"), digest(lsn));
    }
}
