//! Bytes that go away under an open store: an error, and not the end of the process.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};

use afterimage::{Error, ErrorKind, KeyRange, Lsn, Store, VerifyDepth, code};

use crate::common::{Place, put, value};

fn fill(store: &Store) {
    for n in 0..60 {
        put(store, &format!("k{}", n % 20), &format!("{n}-{}", "x".repeat(600)));
    }
}

fn segment(place: &Place, number: u32) -> PathBuf {
    place.path().join(format!("journal/{number:08}.seg"))
}

/// What no program should do: cuts a file that others have open.
fn cut(path: &Path, bytes: u64) {
    let file = OpenOptions::new().write(true).open(path).expect("opened");
    file.set_len(bytes).expect("cut");
}

/// Of the page that a file is cut in, zeros are left; of the pages behind it, nothing.
fn is_cut_short(error: &Error) -> bool {
    [code::JOURNAL_INCOMPLETE.id, code::FRAME_DAMAGED.id].contains(&error.code().id)
}

/// Looks at everything; how often the answer was an error for a file that was cut.
fn errors(store: &Store) -> usize {
    let mut errors = 0;
    let mut look = |result: Result<(), Error>| {
        if let Err(error) = result {
            assert!(is_cut_short(&error), "{error:?}");
            errors += 1;
        }
    };
    let snapshot = store.snapshot();
    for n in 0..20 {
        let record = snapshot.record("things", format!("k{n}").as_bytes());
        look(record.map(|record| {
            let expected = format!("{}-{}", 40 + n, "x".repeat(600));
            assert_eq!(record.expect("there").image().bytes(), expected.as_bytes());
        }));
    }
    for record in snapshot.scan("things", KeyRange::all()).expect("a collection") {
        look(record.map(|_| ()));
    }
    for lsn in 1..=store.head().get() {
        look(store.transaction(Lsn::new(lsn)).map(|_| ()));
        look(store.snapshot_at(Lsn::new(lsn)).and_then(|then| {
            then.record("things", b"k3")?;
            Ok(())
        }));
    }
    errors
}

#[test]
fn a_segment_that_is_cut_under_its_readers_is_an_error_and_no_signal() {
    let place = Place::new();
    let writer = place.open();
    fill(&writer);
    let reader = place.reader();
    assert_eq!((errors(&writer), errors(&reader)), (0, 0));
    for (number, bytes) in [(1, 0), (2, 100), (3, 4096), (4, 5000)] {
        cut(&segment(&place, number), bytes);
    }
    assert!(errors(&writer) > 0);
    assert!(errors(&reader) > 0);
    // What stands elsewhere is there, and so is the error when it is looked at again.
    assert_eq!(value(&reader, "k19"), Some(format!("59-{}", "x".repeat(600))));
    assert!(errors(&reader) > 0);
    let report = reader.verify(VerifyDepth::Deep, &mut |_| {}).expect("looked");
    assert!(!report.valid);
    put(&writer, "k1", "writing goes on in the newest segment");
}

#[test]
fn the_segment_that_is_written_can_be_cut_without_a_signal_and_nothing_is_acknowledged_then() {
    let place = Place::new();
    let options = Place::options().segment_bytes(64 << 10);
    let store = options.open(place.path()).expect("the store opens");
    put(&store, "k", "v");
    cut(&segment(&place, 1), 0);
    let put = || {
        let image = crate::common::raw(b"w");
        store.write(|tx| tx.put_image("things", b"j", image)).map(|commit| commit.lsn())
    };
    let error = put().expect_err("there is nothing to write to");
    assert!(is_cut_short(&error), "{error:?}");
    assert_eq!(put().expect_err("it stopped").kind(), ErrorKind::Poisoned);
    assert_eq!(store.head(), Lsn::new(1));
}

#[test]
fn a_checkpoint_that_is_cut_under_its_readers_is_no_signal_and_never_believed() {
    let place = Place::new();
    let store = place.open();
    for n in 0..2000 {
        put(&store, &format!("key-{n:05}"), "v");
    }
    let info = store.checkpoint().expect("written");
    store.close().expect("closed");
    let reader = place.reader();
    cut(&place.path().join(format!("state/{:020}.ckpt", info.lsn.get())), 0);
    let snapshot = reader.snapshot();
    let record = snapshot.record("things", b"key-00007").expect("read anew from the journal");
    assert_eq!(record.expect("there").image().bytes(), b"v");
    assert!(reader.notices().iter().any(|notice| notice.to_string().contains("AF0016")));
    assert_eq!(value(&place.open(), "key-00007"), Some("v".to_owned()));
}
