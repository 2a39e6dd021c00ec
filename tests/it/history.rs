//! Looking through the past, and restoring it elsewhere.

use std::fs;

use afterimage::{
    Author, CodecId, ErrorKind, FieldChange, Image, KeyRange, LogQuery, Lsn, Op, Store,
    VerifyDepth, code,
};
use proptest::prelude::*;

use crate::common::{Place, put, raw, timed, value};
use crate::number::number;

fn put_json(store: &Store, actor: &str, key: &str, text: &str) -> Lsn {
    let committed = store.write(|tx| {
        tx.actor(actor).message(format!("set {key}"));
        tx.put_image("guests", key.as_bytes(), Image::new(text.as_bytes(), CodecId::Json))
    });
    committed.expect("committed").lsn()
}

#[test]
fn many_records_at_once_are_those_one_by_one() {
    let place = Place::new();
    let store = place.open();
    for n in 0..100 {
        put(&store, &format!("k{n}"), &format!("first {n}"));
    }
    let before = store.snapshot();
    store.checkpoint().expect("a checkpoint");
    for n in (0..100).step_by(3) {
        put(&store, &format!("k{n}"), "second");
    }
    store.write(|tx| tx.delete_record("things", b"k7").map(drop)).expect("deleted");
    let keys: Vec<String> = (0..150).rev().map(|n| format!("k{n}")).collect();
    for snapshot in [before, store.snapshot()] {
        let found = snapshot.records("things", &keys).expect("read");
        assert_eq!(found.len(), keys.len());
        for (key, found) in keys.iter().zip(found) {
            assert_eq!(found, snapshot.record("things", key.as_bytes()).expect("read"));
        }
    }
}

#[test]
fn the_log_shows_what_was_asked_for() {
    let place = Place::new();
    let store = place.open();
    put_json(&store, "ana", "a", r#"{"n":1}"#);
    put_json(&store, "bo", "b", r#"{"n":1}"#);
    put_json(&store, "ana", "a", r#"{"n":2}"#);
    put(&store, "x", "y");
    store.write(|tx| tx.delete_record("guests", b"b")).expect("deleted");
    let lsns = |query: LogQuery| -> Vec<u64> {
        let log = store.log(&query).expect("log");
        log.map(|entry| entry.expect("readable").transaction.lsn().get()).collect()
    };
    let guests = || LogQuery { collection: Some("guests".into()), ..LogQuery::default() };
    assert_eq!(lsns(LogQuery::default()), [5, 4, 3, 2, 1]);
    assert_eq!(lsns(guests()), [5, 3, 2, 1]);
    assert_eq!(lsns(LogQuery { key: Some(b"a".to_vec()), ..guests() }), [3, 1]);
    assert_eq!(lsns(LogQuery { ops: vec![Op::Delete], ..guests() }), [5]);
    assert_eq!(lsns(LogQuery { actor: Some("ana".into()), ..LogQuery::default() }), [3, 1]);
    assert_eq!(lsns(LogQuery { grep: Some("^set b".into()), ..LogQuery::default() }), [2]);
    let window =
        LogQuery { since: Some(Lsn::new(1)), until: Some(Lsn::new(3)), ..LogQuery::default() };
    assert_eq!(lsns(window), [3, 2]);
    let unknown = LogQuery { collection: Some("none".into()), ..LogQuery::default() };
    assert_eq!(store.log(&unknown).expect_err("unknown").kind(), ErrorKind::NotFound);
}

#[test]
fn diff_names_fields_in_both_directions_and_leaves_out_what_came_back() {
    let place = Place::new();
    let store = place.open();
    put_json(&store, "ana", "a", r#"{"n":1,"tags":["x"],"same":0}"#);
    put_json(&store, "ana", "b", r#"{"n":1}"#);
    put_json(&store, "ana", "a", r#"{"n":2,"tags":["x","y"],"same":0}"#);
    put_json(&store, "ana", "b", r#"{"n":2}"#);
    put_json(&store, "ana", "b", r#"{"n":1}"#);
    let fields = |from, to| -> Vec<FieldChange> {
        let diff = store.diff(Lsn::new(from), Lsn::new(to)).expect("diff");
        assert_eq!(diff.iter().map(|diff| diff.key).collect::<Vec<_>>(), [b"a"]);
        diff[0].fields()
    };
    let change = |path: &str, before: Option<&str>, after: Option<&str>| FieldChange {
        path: path.into(),
        before: before.map(Into::into),
        after: after.map(Into::into),
    };
    let there = [change("n", Some("1"), Some("2")), change("tags.1", None, Some("\"y\""))];
    let back = [change("n", Some("2"), Some("1")), change("tags.1", Some("\"y\""), None)];
    assert_eq!(fields(2, 5), there);
    assert_eq!(fields(5, 2), back);
}

/// Looking up each name in turn would be quadratic.
#[test]
fn wide_objects_are_compared_in_time() {
    let wide = |from: u32| {
        let fields: Vec<_> = (from..from + 100_000).map(|n| format!("\"f{n}\":1")).collect();
        format!("{{{}}}", fields.join(","))
    };
    let (a, b) = (wide(0), wide(50_000));
    let image = |text: &'static str| Some(Image::new(text.as_bytes(), CodecId::Json));
    let changes = afterimage::field_changes(image(a.leak()), image(b.leak()));
    assert_eq!(changes.len(), 100_000);
}

/// Prints what it costs; `AFTERIMAGE_BLAME_RECORDS=100000` for many other records.
#[test]
fn blame_looks_at_the_versions_of_its_record_alone() {
    let records = number("AFTERIMAGE_BLAME_RECORDS", 5000);
    let place = Place::new();
    let options = Store::options().durability(afterimage::Durability::Process);
    let store = options.open(place.path()).expect("the store opens");
    let text = |n: u64, version: u64| {
        format!(r#"{{"n":{n},"name":"guest","room":{},"seen":{version}}}"#, version / 150)
    };
    let numbers: Vec<u64> = (0..records).collect();
    for group in numbers.chunks(1000) {
        let written = store.write(|tx| {
            for n in group {
                let text = text(*n, 0);
                let image = Image::new(text.as_bytes(), CodecId::Json);
                tx.put_image("guests", format!("g-{n}").as_bytes(), image)?;
            }
            Ok(())
        });
        written.expect("written");
    }
    let looked_at = [17, records / 2, records - 1];
    for version in 1..200 {
        let others = (0..20).map(|other| (version * 7919 + other * 31) % records);
        for n in looked_at.into_iter().chain(others) {
            put_json(&store, "tester", &format!("g-{n}"), &text(n, version));
        }
    }
    drop(store);
    let store = place.reader();
    for n in looked_at {
        let key = format!("g-{n}");
        for turn in ["first", "second"] {
            let what = format!("{turn} blame of {key} among {records} records");
            let blame = || store.blame("guests", key.as_bytes(), store.head()).expect("blame");
            assert_eq!(timed(&what, blame).len(), 4);
        }
    }
}

#[test]
fn blame_names_the_transaction_of_each_field() {
    let place = Place::new();
    let store = place.open();
    put_json(&store, "ana", "a", r#"{"name":"Ana","room":204,"old":1}"#);
    put_json(&store, "bo", "a", r#"{"name":"Ana","room":206,"old":1}"#);
    put_json(&store, "cy", "a", r#"{"name":"Ana","room":206,"old":1,"new":{"deep":[1]}}"#);
    let blame = |at| -> Vec<(String, u64)> {
        let lines = store.blame("guests", b"a", Lsn::new(at)).expect("blame");
        lines.into_iter().map(|line| (line.path, line.lsn.get())).collect()
    };
    let line = |path: &str, lsn| (path.to_owned(), lsn);
    assert_eq!(blame(3), [line("name", 1), line("room", 2), line("old", 1), line("new.deep.0", 3)]);
    assert_eq!(blame(1), [line("name", 1), line("room", 1), line("old", 1)]);
    assert_eq!(
        store.blame("guests", b"b", Lsn::new(3)).expect_err("none").kind(),
        ErrorKind::NotFound
    );
}

#[test]
fn every_form_of_a_moment_is_understood() {
    let place = Place::new();
    let store = place.open();
    for n in 1..=5_i64 {
        let committed = store.write(|tx| {
            tx.at_time(afterimage::Timestamp::from_micros(n * 3_600_000_000));
            tx.put_image("things", b"k", raw(&[u8::try_from(n).expect("small")]))
        });
        committed.expect("committed");
    }
    store.create_point("mid~dle", Lsn::new(3), None, &Author::default()).expect_err("a bad name");
    store.create_point("middle", Lsn::new(3), None, &Author::default()).expect("named");
    let lsn = |rev: &str| store.resolve(rev).map(Lsn::get).map_err(|error| error.code().id);
    for (rev, expected) in [
        ("3", 3),
        ("0", 0),
        ("HEAD", 6),
        ("HEAD~2", 4),
        ("HEAD^^", 4),
        ("HEAD~1^", 4),
        ("1^", 0),
        ("point:middle", 3),
        ("point:middle^", 2),
        ("1970-01-01T02:00:00Z", 2),
        ("1970-01-01T02:59:59.999999Z", 2),
        ("1970-01-01T04:00:00+01:00", 3),
        ("1970-01-01T00:59:59Z", 0),
        ("now", 6),
        ("1h ago", 5),
        ("2 hours ago", 5),
        ("1h30m ago", 5),
    ] {
        assert_eq!(lsn(rev), Ok(expected), "{rev}");
    }
    for (rev, expected) in [
        ("7", &code::OUTSIDE_WINDOW),
        ("0^", &code::OUTSIDE_WINDOW),
        ("HEAD~7", &code::OUTSIDE_WINDOW),
        ("99999999999999999999", &code::INVALID_REVISION),
        ("yesterday-ish", &code::INVALID_REVISION),
        ("", &code::INVALID_REVISION),
        ("HEAD~x", &code::INVALID_REVISION),
        ("point:none", &code::NO_SUCH_POINT),
    ] {
        assert_eq!(lsn(rev), Err(expected.id), "{rev}");
    }
    assert_eq!(store.resolve_range("2..HEAD^").expect("a range"), (Lsn::new(2), Lsn::new(5)));
    assert_eq!(store.resolve_range("..").expect("a range"), (Lsn::ZERO, Lsn::new(6)));
    store.delete_point("middle", &Author::default()).expect("forgotten");
    assert_eq!(lsn("point:middle"), Err(code::NO_SUCH_POINT.id));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn a_store_restored_to_any_lsn_equals_the_original_there(
        sizes in prop::collection::vec(0..3000_usize, 1..25),
        again in any::<prop::sample::Index>(),
    ) {
        let place = Place::new();
        let store = place.open();
        for (n, size) in sizes.iter().enumerate() {
            put(&store, &format!("k{}", n % 5), &"x".repeat(*size));
        }
        for lsn in 0..=store.head().get() {
            let lsn = Lsn::new(lsn);
            let directory = place.beside(&format!("restored-{lsn}"));
            let by = Author { actor: Some("tester".into()), message: None };
            let report = store.restore_into(lsn, &directory, &by, &mut |_| {}).expect("restored");
            let expected = store.snapshot_at(lsn).expect("kept").digest();
            prop_assert_eq!(Some(report.state_digest), expected.ok());
            let copy = Store::open(&directory).expect("open");
            prop_assert_eq!(copy.timeline(), 2);
            prop_assert_eq!(copy.head(), lsn.next(), "the restore itself is in $audit");
            for past in 1..=lsn.get() {
                let (a, b) = (store.transaction(Lsn::new(past)), copy.transaction(Lsn::new(past)));
                prop_assert_eq!(a.expect("kept").digest(), b.expect("kept").digest());
            }
            put(&copy, "new", "life");
            let deep = copy.verify(VerifyDepth::Deep, &mut |_| {}).expect("looked");
            prop_assert!(deep.valid, "{:?}", deep);
        }
        // A copy of a copy.
        let from = u64::try_from(again.index(sizes.len() + 1)).expect("small");
        let copy = Store::open(place.beside(&format!("restored-{from}"))).expect("open");
        let second = place.beside("second");
        let restored = copy.restore_into(copy.head(), &second, &Author::default(), &mut |_| {});
        restored.expect("restored");
        let second = Store::open(second).expect("open");
        prop_assert_eq!((second.timeline(), second.forks().len()), (3, 2));
        prop_assert_eq!(value(&second, "new"), Some("life".to_owned()));
    }
}

#[test]
fn a_restore_never_goes_where_something_is() {
    let place = Place::new();
    let store = place.open();
    put(&store, "a", "1");
    let by = Author::default();
    let restore = |to: &std::path::Path| {
        store.restore_into(Lsn::new(1), to, &by, &mut |_| {}).map(drop).map_err(|e| e.code().id)
    };
    let full = place.beside("full");
    fs::create_dir(&full).expect("created");
    fs::write(full.join("mine"), "precious").expect("written");
    assert_eq!(restore(&full), Err(code::DIRECTORY_NOT_EMPTY.id));
    assert_eq!(restore(&full.join("mine")), Err(code::NOT_A_DIRECTORY.id));
    assert_eq!(restore(&place.path()), Err(code::INVALID_OPTION.id));
    assert_eq!(restore(&place.path().join("journal/inside")), Err(code::INVALID_OPTION.id));
    let dangling = place.beside("dangling");
    std::os::unix::fs::symlink("nowhere", &dangling).expect("linked");
    assert_eq!(restore(&dangling), Err(code::NOT_A_DIRECTORY.id));
    let empty = place.beside("empty");
    fs::create_dir(&empty).expect("created");
    // What an interrupted restore left behind is replaced.
    fs::create_dir_all(place.beside("empty.partial/journal")).expect("created");
    fs::write(place.beside("empty.partial/journal/00000001.seg"), "half").expect("written");
    assert_eq!(restore(&empty), Ok(()));
    assert!(!place.beside("empty.partial").exists());
    let outside = store.restore_into(Lsn::new(2), &place.beside("x"), &by, &mut |_| {});
    assert_eq!(outside.expect_err("ahead").kind(), ErrorKind::OutsideWindow);
    assert!(!place.beside("x").exists() && !place.beside("x.partial").exists());
}

/// `tests/it/model/` does the same with any history; this one is easy to read.
#[test]
fn accident_a17_history_reads_are_the_same_after_checkpoint_and_reopening() {
    let place = Place::new();
    let store = place.open();
    for n in 0..60 {
        put(&store, &format!("k{}", n % 3), &n.to_string());
    }
    let text = |image: Image<'_>| String::from_utf8_lossy(image.bytes()).into_owned();
    let check = |store: &Store, checkpoint: u64| {
        assert_eq!(store.status().expect("status").checkpoint_lsn, Lsn::new(checkpoint));
        for lsn in 1..=60_u64 {
            let snapshot = store.snapshot_at(Lsn::new(lsn)).expect("kept");
            let scan = snapshot.scan("things", KeyRange::all()).expect("there");
            let found: Vec<_> =
                scan.map(|record| text(record.expect("readable").image())).collect();
            // Transaction n put n - 1, so key k has the last number below with this remainder.
            let newest = (0..3).filter_map(|k| (0..lsn).rev().find(|n| n % 3 == k));
            assert_eq!(found, newest.map(|n| n.to_string()).collect::<Vec<_>>(), "{lsn}");
        }
        for k in 0..3_u64 {
            let versions = store.record_history("things", format!("k{k}").as_bytes());
            let versions = versions.expect("history").map(|version| {
                let version = version.expect("readable");
                (version.lsn().get(), version.before().map(text), version.after().map(text))
            });
            let expected = (0..20_u64)
                .rev()
                .map(|i| 3 * i + k)
                .map(|n| (n + 1, n.checked_sub(3).map(|n| n.to_string()), Some(n.to_string())));
            assert!(versions.eq(expected), "k{k}");
        }
    };
    check(&store, 0);
    store.checkpoint().expect("a checkpoint");
    check(&store, 60);
    store.close().expect("closed");
    let store = place.open();
    check(&store, 60);
    drop(store);
    fs::remove_dir_all(place.path().join("state")).expect("removed");
    fs::create_dir(place.path().join("state")).expect("created");
    check(&place.open(), 0);
}
