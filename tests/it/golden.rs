//! Stores written by released versions, read for ever; and today's bytes, pinned.
//!
//! `AFTERIMAGE_GOLDEN=write cargo test golden` writes the files of the current format. That is a
//! change of the format: it needs a new version number, a row in docs/format.md, and a second look.

use std::fs;
use std::path::Path;

use afterimage::{CodecId, Lsn, Store, VerifyDepth};

use crate::common::{Place, put};
use crate::copy::copy;

const GOLDEN: &str = "tests/golden/format-1.store";
const CHECKPOINT: &str = "state/00000000000000000006.ckpt";
const HEAD: Lsn = Lsn::new(6);

#[test]
fn todays_bytes_are_the_golden_bytes() {
    let files = afterimage::testing::golden::store_files().expect("built");
    if std::env::var_os("AFTERIMAGE_GOLDEN").is_some() {
        for (name, bytes) in &files {
            let path = Path::new(GOLDEN).join(name);
            fs::create_dir_all(path.parent().expect("inside")).expect("created");
            fs::write(path, bytes).expect("written");
        }
    }
    for (name, bytes) in files {
        // How often CONTROL was written depends on the background thread.
        if name.as_os_str() != "CONTROL" {
            let golden = fs::read(Path::new(GOLDEN).join(&name)).expect("a golden file");
            assert!(golden == bytes, "{} has changed", name.display());
        }
    }
}

fn check(store: &Store) {
    assert_eq!(store.first(), Lsn::new(1));
    assert!(store.head() >= HEAD);
    let at = |lsn: u64| store.snapshot_at(Lsn::new(lsn)).expect("kept");
    let value = |lsn: u64, collection: &str, key: &[u8]| {
        let snapshot = at(lsn);
        let record = snapshot.record(collection, key).expect("readable")?;
        Some((record.image().bytes().to_vec(), record.image().codec(), record.image().schema()))
    };
    let ana = |room: &str| format!(r#"{{"name":"Ana","room":{room}}}"#).into_bytes();
    assert_eq!(value(1, "guests", b"g-17"), Some((ana("204"), CodecId::Json, 0)));
    assert_eq!(value(2, "guests", b"g-17"), Some((ana("206"), CodecId::Json, 2)));
    assert_eq!(value(4, "guests", b"g-17"), None);
    assert_eq!(value(2, "typed", b"b"), Some((vec![3, 7], CodecId::Bincode, 0)));
    assert_eq!(value(5, "photos", b"\x00\xff"), Some((b"\x89PNG".to_vec(), CodecId::Raw, 0)));
    assert_eq!(value(5, "photos", b"large").map(|value| value.0.len()), Some(2500));
    assert_eq!(store.resolve("point:before-the-move").expect("named"), Lsn::new(2));
    let first = store.transaction(Lsn::new(1)).expect("kept");
    assert_eq!(first.metadata().actor.as_deref(), Some("desk-2"));
    assert_eq!(first.metadata().attributes["floor"], 2);
    assert_eq!(first.time().as_micros(), 1_795_104_245_123_456);
}

/// Each format that was ever released has its store here: a new one without would go unnoticed.
#[test]
fn accident_a16_every_released_format_has_a_golden_store() {
    for released in 1..=afterimage::FORMAT_VERSION {
        let golden = Path::new(GOLDEN).with_file_name(format!("format-{released}.store"));
        assert!(golden.join("STORE").is_file(), "{} is missing", golden.display());
    }
}

#[test]
fn accident_a16_a_store_of_format_1_is_read_and_written_on() {
    for with_checkpoint in [true, false] {
        let place = Place::new();
        // A copy: opening for writing changes files.
        copy(Path::new(GOLDEN), &place.path());
        if !with_checkpoint {
            fs::remove_file(place.path().join(CHECKPOINT)).expect("removed");
        }
        let reader = place.reader();
        assert!(reader.notices().is_empty(), "{:?}", reader.notices());
        let from = if with_checkpoint { HEAD } else { Lsn::ZERO };
        assert_eq!(reader.status().expect("status").checkpoint_lsn, from);
        check(&reader);
        drop(reader);
        let store = place.open();
        assert!(store.notices().is_empty(), "{:?}", store.notices());
        check(&store);
        put(&store, "new", "value");
        store.checkpoint().expect("on top of the old one");
        store.close().expect("closed");
        check(&place.reader());
        let report = afterimage::verify(place.path(), VerifyDepth::Deep, &mut |_| {});
        let report = report.expect("looked");
        assert!(report.valid && report.warnings.is_empty(), "{report:?}");
    }
}
