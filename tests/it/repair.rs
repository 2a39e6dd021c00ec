//! Repair: everything sound is kept, on both sides of the damage, and what is lost is named.

use std::fs;
use std::path::{Path, PathBuf};

use afterimage::{Author, ErrorKind, Lsn, RepairReport, Store, VerifyDepth, code, repair, verify};

use crate::common::{Place, put, value};
use crate::copy::copy;

/// What a transaction did, as far as a repair must keep it.
fn describe(store: &Store, lsn: Lsn) -> String {
    let transaction = store.transaction(lsn).expect("there");
    let changes = transaction.changes().map(|change| {
        let change = change.expect("readable");
        let after = change.after().map(|image| image.bytes().to_vec());
        format!("{} {:?} {after:?}", change.collection(), change.key())
    });
    let changes: Vec<String> = changes.filter(|text| !text.starts_with("$collections")).collect();
    format!("{} {:?} {changes:?}", transaction.time(), transaction.metadata())
}

/// Forty transactions over ten records, in segments of 8 KiB.
fn filled(place: &Place) -> Vec<String> {
    let store = place.open();
    for n in 0..40 {
        put(&store, &format!("k{}", n % 10), &format!("{n}-{}", "x".repeat(600)));
    }
    let by = Author { actor: Some("desk".into()), message: None };
    store.create_point("half", Lsn::new(20), None, &by).expect("a point");
    let described = (1..=41).map(|lsn| describe(&store, Lsn::new(lsn))).collect();
    store.close().expect("closed");
    described
}

fn run(place: &Place) -> RepairReport {
    repair(place.path(), &Author::default(), false, &mut |_| {}).expect("repaired")
}

/// The frame of a transaction: file, offset.
fn frame_of(place: &Place, lsn: u64) -> (PathBuf, usize) {
    // It stands behind the last thing that is sound when it is damaged.
    let text = format!("{}-{}", lsn - 1, "x".repeat(600));
    for entry in fs::read_dir(place.path().join("journal")).expect("listed") {
        let path = entry.expect("an entry").path();
        let bytes = fs::read(&path).expect("read");
        // The after image of this one; the one that follows on the same record holds it, too.
        let found = bytes.windows(text.len()).position(|window| window == text.as_bytes());
        if let Some(at) = found
            && path_holds_first(place, &path, &text)
        {
            return (path, at);
        }
    }
    panic!("LSN {lsn} was not found");
}

/// Whether no older segment holds the text.
fn path_holds_first(place: &Place, path: &Path, text: &str) -> bool {
    let entries = fs::read_dir(place.path().join("journal")).expect("listed");
    let older = entries.map(|entry| entry.expect("an entry").path()).filter(|other| *other < *path);
    older.into_iter().all(|other| {
        let bytes = fs::read(other).expect("read");
        !bytes.windows(text.len()).any(|window| window == text.as_bytes())
    })
}

fn damage(place: &Place, lsn: u64) {
    let (path, at) = frame_of(place, lsn);
    let mut bytes = fs::read(&path).expect("read");
    bytes[at + 3] ^= 0x40;
    fs::write(path, bytes).expect("written");
}

/// All transactions are there as they were, but for those that are named as lost.
fn check(place: &Place, before: &[String], report: &RepairReport) {
    let lost = |lsn: u64| {
        report.lost.iter().any(|lost| (lost.first_lsn..=lost.last_lsn).contains(&Lsn::new(lsn)))
    };
    let store = place.open();
    assert!(store.notices().is_empty(), "{:?}", store.notices());
    for (lsn, before) in (1..).zip(before) {
        if !lost(lsn) {
            // The first transaction names the collection; without it nothing does.
            let now = describe(&store, Lsn::new(lsn)).replace("recovered-64", "things");
            assert_eq!(now, *before, "LSN {lsn}");
        }
    }
    store.close().expect("closed");
    let verified = verify(place.path(), VerifyDepth::Deep, &mut |_| {}).expect("looked");
    assert!(verified.valid, "{verified:?}");
    let kept = report.kept.as_ref().expect("the damaged one is kept");
    assert!(kept.join("STORE").exists());
}

#[test]
fn accident_a18_damage_in_the_middle_loses_one_transaction_and_says_which() {
    let place = Place::new();
    let before = filled(&place);
    damage(&place, 15);
    assert_eq!(place.open_result().expect_err("damaged").kind(), ErrorKind::Corrupt);
    let report = run(&place);
    assert_eq!((report.holes.len(), report.transactions, report.lost.len()), (1, 40, 1));
    let lost = &report.lost[0];
    assert_eq!((lost.first_lsn, lost.last_lsn), (Lsn::new(15), Lsn::new(15)));
    assert!(lost.not_before_us.is_some() && lost.not_after_us.is_some());
    // Its record was changed again later, which tells what it was.
    assert_eq!(lost.recovered.len(), 1);
    assert_eq!(lost.recovered[0].key, "k4");
    assert_eq!(report.state_proved, Some(true));
    check(&place, &before, &report);
    let store = place.open();
    assert_eq!(value(&store, "k4"), Some(format!("34-{}", "x".repeat(600))));
    let then = store.snapshot_at(Lsn::new(15)).expect("inside the window");
    let record = then.record("things", b"k4").expect("readable").expect("there");
    assert_eq!(record.image().bytes(), format!("14-{}", "x".repeat(600)).as_bytes());
    let audit =
        store.snapshot().scan("$audit", afterimage::KeyRange::all()).expect("there").count();
    assert_eq!(audit, 1, "the loss is recorded");
    assert_eq!(store.points().expect("points")[0].lsn, Lsn::new(20));
    assert_eq!(store.forks().last().expect("an origin").lsn, Lsn::new(14));
}

#[test]
fn the_newest_version_of_a_record_that_is_lost_is_not_claimed_to_be_there() {
    let place = Place::new();
    let before = filled(&place);
    damage(&place, 38);
    let report = run(&place);
    assert_eq!(report.lost.len(), 1);
    assert!(report.lost[0].recovered.is_empty());
    assert_eq!(report.state_proved, Some(false));
    check(&place, &before, &report);
    assert_eq!(value(&place.open(), "k7"), Some(format!("27-{}", "x".repeat(600))));
}

#[test]
fn a_segment_that_is_missing_or_has_no_header_loses_what_it_held_and_no_more() {
    for missing in [false, true] {
        let place = Place::new();
        let before = filled(&place);
        let path = place.path().join("journal/00000002.seg");
        if missing {
            fs::remove_file(&path).expect("removed");
        } else {
            let mut bytes = fs::read(&path).expect("read");
            bytes[20] ^= 1;
            fs::write(&path, bytes).expect("written");
        }
        let report = run(&place);
        assert_eq!((report.lost.len(), report.holes.len()), (1, 1), "{report:?}");
        let lost = &report.lost[0];
        assert!(lost.last_lsn > lost.first_lsn && lost.recovered.len() > 2);
        assert_eq!(report.state_proved, Some(true), "every record was changed again later");
        check(&place, &before, &report);
    }
}

#[test]
fn a_segment_renamed_to_a_far_number_is_found_and_exhausts_no_memory() {
    let place = Place::new();
    let before = filled(&place);
    let journal = place.path().join("journal");
    fs::copy(journal.join("00000002.seg"), journal.join("4294967295.seg")).expect("copied");
    fs::remove_file(journal.join("00000002.seg")).expect("removed");
    let dry = repair(place.path(), &Author::default(), true, &mut |_| {}).expect("planned");
    assert!(dry.holes.len() < 10_000, "{} holes", dry.holes.len());
    assert_eq!((dry.lost.len(), dry.kept), (1, None));
    check(&place, &before, &run(&place));
}

#[test]
fn an_end_that_was_durable_and_is_gone_is_named() {
    let place = Place::new();
    let before = filled(&place);
    let (path, at) = frame_of(&place, 39);
    let bytes = fs::read(&path).expect("read");
    fs::write(&path, &bytes[..at]).expect("cut");
    assert_eq!(place.open_result().expect_err("damaged").kind(), ErrorKind::Corrupt);
    let report = run(&place);
    let last = report.lost.last().expect("something is lost");
    assert_eq!(last.last_lsn, Lsn::new(41));
    assert!(last.not_after_us.is_none());
    check(&place, &before, &report);
    assert_eq!(place.open().head(), Lsn::new(41), "numbers are never used twice");
}

#[test]
fn a_dry_run_writes_nothing_and_a_sound_store_is_left_alone() {
    let place = Place::new();
    filled(&place);
    let sound = repair(place.path(), &Author::default(), false, &mut |_| {}).expect("looked");
    assert!(sound.kept.is_none() && sound.holes.is_empty() && sound.lost.is_empty());
    damage(&place, 15);
    let names = || {
        let entries = fs::read_dir(place.path().parent().expect("a parent")).expect("listed");
        entries.map(|entry| entry.expect("an entry").file_name()).collect::<Vec<_>>()
    };
    let before = names();
    let plan = repair(place.path(), &Author::default(), true, &mut |_| {}).expect("looked");
    assert_eq!((plan.lost.len(), plan.state_proved, plan.kept), (1, None, None));
    assert_eq!(names(), before);
    assert!(place.open_result().is_err());
}

#[test]
fn a_store_whose_identity_is_lost_is_known_by_its_segments() {
    for missing in [false, true] {
        let place = Place::new();
        let before = filled(&place);
        let id = place.reader().id();
        let path = place.path().join("STORE");
        if missing {
            fs::remove_file(&path).expect("removed");
        } else {
            fs::write(&path, "afterimage store\nnothing of use\n").expect("written");
        }
        assert!(place.open_result().is_err() || missing, "it does not open");
        let report = run(&place);
        assert_eq!((report.holes.len(), report.lost.len()), (1, 0));
        assert_eq!(report.state_proved, Some(true));
        let store = place.open();
        assert_eq!(store.forks().last().expect("an origin").store, id);
        for (lsn, before) in (1..).zip(before) {
            assert_eq!(describe(&store, Lsn::new(lsn)), before);
        }
    }
    let nothing = Place::new();
    let error = repair(nothing.path(), &Author::default(), true, &mut |_| {}).expect_err("nothing");
    assert_eq!(error.code().id, code::NOT_A_STORE.id);
}

#[test]
fn what_an_interrupted_repair_left_behind_is_replaced_and_nothing_else_is() {
    let place = Place::new();
    let before = filled(&place);
    damage(&place, 15);
    let partial = place.beside("test.store.partial");
    fs::create_dir_all(partial.join("journal")).expect("created");
    fs::write(partial.join("journal/00000001.seg"), "half").expect("written");
    fs::write(partial.join("notes"), "precious").expect("written");
    let refused = repair(place.path(), &Author::default(), false, &mut |_| {});
    assert_eq!(refused.expect_err("in the way").code().id, code::DIRECTORY_NOT_EMPTY.id);
    assert!(partial.join("notes").exists() && partial.join("journal/00000001.seg").exists());
    fs::remove_file(partial.join("notes")).expect("removed");
    check(&place, &before, &run(&place));
    assert!(!partial.exists());
}

#[test]
#[expect(clippy::disallowed_methods, reason = "what a crash leaves is made by hand")]
fn a_repair_that_was_interrupted_between_its_renames_is_finished_by_the_next() {
    let place = Place::new();
    let before = filled(&place);
    damage(&place, 15);
    let mut report = run(&place);
    fs::rename(place.path(), place.beside("test.store.partial")).expect("renamed");
    let dry = repair(place.path(), &Author::default(), true, &mut |_| {});
    assert_eq!(dry.expect_err("nothing is written").code().id, code::NOT_A_STORE.id);
    let again = run(&place);
    assert!(again.kept.is_none() && again.holes.is_empty());
    // The one that was interrupted said the same and kept the same.
    report.state_proved = Some(true);
    check(&place, &before, &report);
}

#[test]
fn a_store_that_is_being_written_is_not_repaired() {
    let place = Place::new();
    let store = place.open();
    put(&store, "k", "v");
    let error = repair(place.path(), &Author::default(), false, &mut |_| {}).expect_err("locked");
    assert_eq!(error.code().id, code::LOCKED.id);
}

#[test]
fn any_block_of_the_journal_can_be_lost_and_everything_else_is_kept() {
    let original = Place::new();
    let before = filled(&original);
    let segments: Vec<PathBuf> = {
        let entries = fs::read_dir(original.path().join("journal")).expect("listed");
        let mut paths: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
        paths.sort();
        paths
    };
    let mut repaired = 0;
    for (number, path) in segments.iter().enumerate() {
        let bytes = fs::read(path).expect("read");
        for block in (0..bytes.len() / 512).step_by(3) {
            let place = Place::new();
            copy(&original.path(), &place.path());
            let mut damaged = bytes.clone();
            damaged[block * 512..(block + 1) * 512].fill(0xa5);
            let name = path.file_name().expect("a name");
            fs::write(place.path().join("journal").join(name), damaged).expect("written");
            let report = run(&place);
            if report.kept.is_none() {
                // A part that nothing stands in.
                continue;
            }
            repaired += 1;
            let lost: u64 =
                report.lost.iter().map(|lost| lost.last_lsn.get() + 1 - lost.first_lsn.get()).sum();
            assert!(block == 0 || lost <= 3, "segment {number}, block {block}: {report:?}");
            check(&place, &before, &report);
        }
    }
    assert!(repaired > 20, "{repaired}");
}

#[test]
fn a_store_without_its_beacon_is_made_anew_with_everything() {
    for missing in [false, true] {
        let place = Place::new();
        let before = filled(&place);
        let path = place.path().join("CONTROL");
        if missing {
            fs::remove_file(&path).expect("removed");
        } else {
            fs::write(&path, [0; 8192]).expect("written");
        }
        let error = place.open_result().expect_err("it does not open");
        assert_eq!(error.code().id, code::CONTROL_DAMAGED.id);
        let salvaged = Store::options().read_only(true).salvage(true).open(place.path());
        assert_eq!(salvaged.expect("the journal is sound").head(), Lsn::new(41));
        let report = run(&place);
        assert_eq!((report.holes.len(), report.lost.len(), report.transactions), (1, 0, 41));
        assert_eq!(report.state_proved, Some(true));
        check(&place, &before, &report);
    }
}

#[test]
fn a_store_that_does_not_open_is_repaired_also_where_no_transaction_is_known_to_be_lost() {
    let place = Place::new();
    let before = filled(&place);
    let last = fs::read_dir(place.path().join("journal")).expect("listed").count();
    let path = place.path().join(format!("journal/{last:08}.seg"));
    let bytes = fs::read(&path).expect("read");
    let used = bytes.iter().rposition(|byte| *byte != 0).expect("frames") + 1;
    fs::write(&path, &bytes[..used + 8]).expect("cut behind the last frame");
    assert_eq!(place.open_result().expect_err("cut").code().id, code::JOURNAL_INCOMPLETE.id);
    let report = run(&place);
    assert_eq!((report.holes.len(), report.lost.len(), report.transactions), (1, 0, 41));
    check(&place, &before, &report);
}
