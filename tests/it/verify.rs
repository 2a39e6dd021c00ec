//! `verify` again and again: what was verified is left out, what was not is not.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use afterimage::{Lsn, VerifyDepth, VerifyReport, code, verify, verify_incremental};

use crate::common::{Place, put};
use crate::copy::copy;

const EVER: Duration = Duration::MAX;

/// Segments of 8 KiB, all but the last one sealed.
fn fill(place: &Place, from: u32) {
    let store = place.open();
    for n in from..from + 60 {
        put(&store, &format!("k{}", n % 10), &format!("{n}-{}", "x".repeat(600)));
    }
    store.close().expect("closed");
}

fn incremental(place: &Place, depth: VerifyDepth, max_age: Duration) -> VerifyReport {
    verify_incremental(place.path(), depth, max_age, &mut |_| {}).expect("looked")
}

fn flip(place: &Place, segment: u32, offset: usize) {
    let path = place.path().join(format!("journal/{segment:08}.seg"));
    let mut bytes = fs::read(&path).expect("read");
    bytes[offset] ^= 1;
    fs::write(path, bytes).expect("written");
}

#[test]
fn accident_a12_what_was_verified_is_skipped_and_a_cut_tail_or_a_lost_segment_is_found() {
    for depth in [VerifyDepth::Quick, VerifyDepth::Deep] {
        let place = Place::new();
        fill(&place, 0);
        let first = incremental(&place, depth, EVER);
        assert!(first.valid && first.warnings.is_empty(), "{first:?}");
        assert_eq!(first.skipped_segments, 0);
        let second = incremental(&place, depth, EVER);
        let sealed = second.skipped_segments;
        assert!(second.valid && sealed >= 4, "{second:?}");
        assert_eq!(VerifyReport { skipped_segments: 0, ..second }, first);
        // Of what is new all is looked at, and nothing is lost from the report.
        fill(&place, 60);
        let third = incremental(&place, depth, EVER);
        assert!(third.valid && third.skipped_segments == sealed, "{third:?}");
        let whole = verify(place.path(), depth, &mut |_| {}).expect("looked");
        assert_eq!(VerifyReport { skipped_segments: 0, ..third }, whole);

        let last = fs::read_dir(place.path().join("journal")).expect("listed").count();
        let path = place.path().join(format!("journal/{last:08}.seg"));
        let bytes = fs::read(&path).expect("read");
        let used = bytes.iter().rposition(|byte| *byte != 0).expect("frames") + 1;
        fs::write(&path, &bytes[..used - 700]).expect("cut");
        let cut = incremental(&place, depth, EVER);
        assert_eq!((cut.valid, cut.errors[0].code), (false, code::JOURNAL_INCOMPLETE.id));
        fs::write(&path, &bytes).expect("put back");
        // Nothing of this journal ever expires by itself: what is not there is lost.
        fs::remove_file(place.path().join("journal/00000003.seg")).expect("removed");
        let missing = incremental(&place, depth, EVER);
        assert_eq!((missing.valid, missing.errors[0].code), (false, code::JOURNAL_INCOMPLETE.id));
    }
}

#[test]
fn damage_is_found_in_what_is_not_skipped_and_stays_found() {
    let place = Place::new();
    fill(&place, 0);
    // So that opening has no reason to look there.
    place.open().checkpoint().expect("written");
    assert!(incremental(&place, VerifyDepth::Quick, EVER).valid);
    flip(&place, 2, 5000);
    // That was promised: it is sealed, and was found sound.
    assert!(incremental(&place, VerifyDepth::Quick, EVER).valid);
    for _ in 0..2 {
        let old = incremental(&place, VerifyDepth::Quick, Duration::ZERO);
        assert_eq!((old.valid, old.errors[0].code), (false, code::SEAL_MISMATCH.id));
        // It is not in the ledger any more.
        assert!(!incremental(&place, VerifyDepth::Quick, EVER).valid);
    }
    // A quick look does not stand for a deep one.
    assert!(!incremental(&place, VerifyDepth::Deep, EVER).valid);
}

#[test]
fn a_check_that_is_interrupted_is_gone_on_with() {
    for depth in [VerifyDepth::Quick, VerifyDepth::Deep] {
        let place = Place::new();
        fill(&place, 0);
        let mut steps = 0;
        let interrupted = catch_unwind(AssertUnwindSafe(|| {
            verify_incremental(place.path(), VerifyDepth::Quick, EVER, &mut |_| {
                steps += 1;
                assert!(steps < 4, "somebody pressed a key");
            })
        }));
        assert!(interrupted.is_err());
        let mut looked_at = Vec::new();
        let report = verify_incremental(place.path(), depth, EVER, &mut |progress| {
            looked_at.push(progress.done);
        });
        let report = report.expect("looked");
        assert!(report.valid);
        assert_eq!(report.skipped_segments > 0, depth == VerifyDepth::Quick, "{report:?}");
        assert!(looked_at.len() > 4, "progress is told of what is skipped, too");
    }
}

#[test]
fn a_ledger_that_is_not_what_was_written_is_none() {
    let place = Place::new();
    fill(&place, 0);
    assert!(incremental(&place, VerifyDepth::Quick, EVER).valid);
    let path = place.path().join("VERIFIED");
    let text = fs::read_to_string(&path).expect("a ledger");
    let other = Place::new();
    fill(&other, 0);
    for wrong in
        [text.replace("hashed_us\": 1", "hashed_us\": 2"), "{}".to_owned(), text.clone() + "x"]
    {
        fs::write(&path, wrong).expect("written");
        assert_eq!(incremental(&place, VerifyDepth::Quick, EVER).skipped_segments, 0);
    }
    fs::write(other.path().join("VERIFIED"), text).expect("written");
    assert_eq!(incremental(&other, VerifyDepth::Quick, EVER).skipped_segments, 0);
    // One that can't be written is told, and costs nothing else.
    fs::remove_file(&path).expect("removed");
    fs::create_dir(&path).expect("created");
    fs::write(path.join("in the way"), "").expect("written");
    let report = incremental(&place, VerifyDepth::Quick, EVER);
    assert!(report.valid && report.warnings.len() == 1, "{report:?}");
    assert_eq!(report.head_lsn, Lsn::new(60));
}

#[test]
fn a_segment_of_the_same_number_and_length_is_not_taken_for_the_one_that_was_verified() {
    let (place, other) = (Place::new(), Place::new());
    fill(&place, 100);
    copy(&place.path(), &other.path());
    let common = incremental(&place, VerifyDepth::Deep, EVER).skipped_segments
        + incremental(&place, VerifyDepth::Deep, EVER).skipped_segments;
    // Two ways on from the same past, as after a copy that was made by hand.
    fill(&place, 200);
    fill(&other, 300);
    let whole = incremental(&place, VerifyDepth::Deep, EVER);
    assert!(whole.valid && incremental(&place, VerifyDepth::Deep, EVER).skipped_segments > common);
    fs::copy(place.path().join("VERIFIED"), other.path().join("VERIFIED")).expect("copied");
    let report = incremental(&other, VerifyDepth::Deep, EVER);
    assert!(report.valid, "{report:?}");
    assert_eq!(report.skipped_segments, common);
}
