//! History that was folded away: everything else is as it was.

use std::collections::BTreeMap;
use std::fs;

use afterimage::{
    Author, CodecId, ErrorKind, Image, Keep, KeyRange, Lsn, Restore, Store, Undo, UndoMode,
    VerifyDepth, code, fold,
};
use proptest::prelude::*;

use crate::common::{Place, put, value};
use crate::copy::copy;

type Whole = BTreeMap<(String, Vec<u8>), Vec<u8>>;

fn whole(store: &Store, lsn: Lsn) -> Whole {
    let snapshot = store.snapshot_at(lsn).expect("kept");
    let mut whole = Whole::new();
    for info in snapshot.collections().expect("listed") {
        for record in snapshot.scan(&info.name, KeyRange::all()).expect("scanned") {
            let record = record.expect("read");
            let name = (info.name.clone(), record.key().to_vec());
            whole.insert(name, record.image().bytes().to_vec());
        }
    }
    whole
}

fn folded(place: &Place, keep: Keep) -> afterimage::FoldReport {
    fold(&place.path(), keep, &Author::default(), &mut |_| {}).expect("folded")
}

/// All moments that are kept, as they are read; and one by one, as the index finds them.
fn moments(store: &Store) -> BTreeMap<Lsn, (Whole, String)> {
    let first = store.first().previous().get();
    (first..=store.head().get())
        .map(Lsn::new)
        .map(|lsn| {
            let snapshot = store.snapshot_at(lsn).expect("kept");
            let whole = whole(store, lsn);
            for ((collection, key), bytes) in &whole {
                let found = snapshot.record(collection, key).expect("read").expect("there");
                assert_eq!(found.image().bytes(), bytes);
                assert!(found.lsn() <= lsn);
            }
            (lsn, (whole, snapshot.digest().expect("known").to_string()))
        })
        .collect()
}

fn check(store: &Store, before: &BTreeMap<Lsn, (Whole, String)>) {
    for (lsn, now) in moments(store) {
        assert_eq!(&now, before.get(&lsn).expect("a moment of before"), "LSN {lsn}");
    }
    let report = store.verify(VerifyDepth::Deep, &mut |_| {}).expect("looked");
    assert!(report.valid, "{report:?}");
}

#[test]
fn what_is_kept_is_as_it_was_and_what_is_not_takes_no_room() {
    let place = Place::new();
    let store = place.open();
    for turn in 0..40 {
        for n in 0..10 {
            put(&store, &format!("k{n}"), &format!("value {turn} {}", "x".repeat(200)));
        }
    }
    put(&store, "only once", "and never again");
    for turn in 0..40 {
        put(&store, "k3", &format!("later {turn} {}", "y".repeat(400)));
    }
    let (before, head) = (moments(&store), store.head());
    store.close().expect("closed");
    let size = || -> u64 {
        let journal = fs::read_dir(place.path().join("journal")).expect("listed");
        journal.map(|entry| entry.expect("an entry").metadata().expect("known").len()).sum()
    };
    let large = size();
    let report = folded(&place, Keep::From(Lsn::new(410)));
    assert!(report.plan.window_from <= Lsn::new(410) && report.plan.window_from > Lsn::new(350));
    assert!(size() * 2 < large, "{} of {large}", size());
    let store = place.open();
    assert_eq!(store.first(), report.plan.window_from.next());
    assert_eq!(store.head(), head.next(), "the folding is in the journal");
    let mut before = before;
    before.insert(store.head(), moments(&store).remove(&store.head()).expect("the newest"));
    check(&store, &before);
    assert_eq!(value(&store, "only once").as_deref(), Some("and never again"));
    let old = store.snapshot_at(report.plan.window_from.previous());
    let error = old.expect_err("gone");
    assert_eq!(error.kind(), ErrorKind::OutsideWindow);
    assert!(error.message().contains(&store.first().to_string()), "{error}");
}

#[test]
fn a_restore_point_holds_back_what_it_names() {
    let place = Place::new();
    let store = place.open();
    for n in 0..200 {
        put(&store, &format!("k{n}"), &"x".repeat(300));
    }
    store.create_point("early", Lsn::new(5), None, &Author::default()).expect("named");
    let plan = store.plan_fold(Keep::From(Lsn::new(150))).expect("planned");
    assert_eq!(plan.held_by.as_deref(), Some("early"));
    assert_eq!((plan.segments, plan.window_from), (0, Lsn::ZERO));
    store.delete_point("early", &Author::default()).expect("forgotten");
    let plan = store.plan_fold(Keep::From(Lsn::new(150))).expect("planned");
    assert!(plan.segments > 0 && plan.held_by.is_none());
}

#[test]
fn what_a_base_has_taken_the_place_of_is_not_read_if_it_is_still_there() {
    let place = Place::new();
    let store = place.open();
    for n in 0..200 {
        put(&store, &format!("k{}", n % 7), &"x".repeat(300));
    }
    let before = moments(&store);
    store.close().expect("closed");
    let old = place.beside("old");
    copy(&place.path().join("journal"), &old);
    let report = folded(&place, Keep::From(Lsn::new(150)));
    // As if the process had ended before the last of them was removed.
    for entry in fs::read_dir(&old).expect("listed") {
        let entry = entry.expect("an entry");
        let target = place.path().join("journal").join(entry.file_name());
        if !target.exists() {
            fs::copy(entry.path(), target).expect("copied");
        }
    }
    let store = place.open();
    assert_eq!(store.first(), report.plan.window_from.next());
    let kept: BTreeMap<_, _> =
        moments(&store).into_iter().filter(|(l, _)| l.get() <= 200).collect();
    assert!(kept.iter().all(|(lsn, now)| before.get(lsn) == Some(now)));
}

#[test]
fn an_undo_reaches_as_far_as_history_is_kept() {
    let place = Place::new();
    let store = place.open();
    for n in 0..200 {
        put(&store, &format!("k{}", n % 7), &format!("{n} {}", "x".repeat(300)));
    }
    store.close().expect("closed");
    let report = folded(&place, Keep::From(Lsn::new(150)));
    let store = place.open();
    let first = store.first();
    let gone = store.plan_undo(&Undo::transaction(report.plan.window_from));
    assert_eq!(gone.expect_err("gone").code().id, code::OUTSIDE_WINDOW.id);
    let oldest = Undo::transaction(first).mode(UndoMode::Force);
    store.undo(&oldest, &Author::default()).expect("undone");
    let restore = Restore::to(report.plan.window_from);
    store.restore(&restore, &Author::default()).expect("restored");
    let digest = |lsn| store.snapshot_at(lsn).expect("kept").digest().expect("known");
    assert_eq!(digest(store.head()), digest(report.plan.window_from));
    let target = place.beside("copy");
    let copied = store.restore_into(store.head(), &target, &Author::default(), &mut |_| {});
    assert_eq!(copied.expect("copied").state_digest, digest(store.head()));
}

#[test]
fn every_flipped_bit_of_a_base_is_noticed() {
    let place = Place::new();
    let store = place.open();
    for n in 0..100 {
        put(&store, &format!("k{}", n % 5), &format!("{n} {}", "x".repeat(300)));
    }
    store.close().expect("closed");
    let report = folded(&place, Keep::From(Lsn::new(90)));
    let journal = fs::read_dir(place.path().join("journal")).expect("listed");
    let base = journal
        .map(|entry| entry.expect("an entry").path())
        .find(|path| path.extension().is_some_and(|end| end == "base"))
        .expect("a base");
    let sound = fs::read(&base).expect("read");
    assert_eq!(sound.len() as u64, report.plan.bytes_added);
    for at in (0..sound.len()).step_by(5) {
        let mut bytes = sound.clone();
        bytes[at] ^= 1 << (at % 8);
        fs::write(&base, &bytes).expect("written");
        let opened = Store::options().read_only(true).open(place.path());
        let looked = opened.and_then(|store| store.verify(VerifyDepth::Deep, &mut |_| {}));
        assert!(looked.is_err() || looked.is_ok_and(|report| !report.valid), "byte {at}");
    }
    for length in [0, 100, 128, sound.len() / 2, sound.len() - 1] {
        fs::write(&base, &sound[..length]).expect("written");
        let error = Store::options().read_only(true).open(place.path()).expect_err("damaged");
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{length}: {error}");
    }
    fs::write(&base, &sound).expect("written");
    let sound = place.reader().verify(VerifyDepth::Deep, &mut |_| {}).expect("looked");
    assert!(sound.valid, "{sound:?}");
}

#[test]
fn a_folding_that_was_interrupted_has_happened_or_not() {
    let place = Place::new();
    let store = place.open();
    for n in 0..150 {
        put(&store, &format!("k{}", n % 9), &format!("{n} {}", "x".repeat(300)));
    }
    store.checkpoint().expect("a checkpoint");
    let before = moments(&store);
    store.close().expect("closed");
    // Before the base had its name: part of it lies there, and the checkpoints are gone.
    let journal = place.path().join("journal");
    fs::write(journal.join("00000003.base.tmp"), b"part of it").expect("written");
    for entry in fs::read_dir(place.path().join("state")).expect("listed") {
        fs::remove_file(entry.expect("an entry").path()).expect("removed");
    }
    let store = place.open();
    assert_eq!(store.first(), Lsn::new(1));
    check(&store, &before);
    store.close().expect("closed");
    let report = folded(&place, Keep::From(Lsn::new(100)));
    assert_eq!(place.open().first(), report.plan.window_from.next());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn any_history_can_be_folded_again_and_again(
        rounds in prop::collection::vec(
            (prop::collection::vec((0..12_u8, 0..3_u8, 0..300_usize), 20..120), 0.0..1.0_f64),
            1..4,
        ),
        checkpoints in any::<bool>(),
    ) {
        let place = Place::new();
        let mut known = BTreeMap::new();
        for (writes, part) in rounds {
            let store = place.open();
            for (key, what, length) in writes {
                let name = format!("k{key}");
                let collection = ["rooms", "guests"][usize::from(key % 2)];
                let text = format!("\"{}\"", "v".repeat(length));
                let written = store.write(|tx| {
                    if what == 0 {
                        return tx.delete_record(collection, name.as_bytes()).map(drop);
                    }
                    let image = Image::new(text.as_bytes(), CodecId::Json);
                    tx.put_image(collection, name.as_bytes(), image)
                });
                written.expect("written");
            }
            if checkpoints {
                store.checkpoint().expect("a checkpoint");
            }
            known.extend(moments(&store));
            let (first, head) = (store.first().get(), store.head().get());
            store.close().expect("closed");
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss,
                     clippy::cast_precision_loss, reason = "some moment between the two")]
            let from = first - 1 + ((head - first + 1) as f64 * part) as u64;
            let report = folded(&place, Keep::From(Lsn::new(from)));
            prop_assert!(report.plan.window_from.get() <= from);
            let store = place.open();
            for lsn in head + 1..=store.head().get() {
                known.insert(Lsn::new(lsn), moments(&store).remove(&Lsn::new(lsn)).expect("new"));
            }
            check(&store, &known);
            store.close().expect("closed");
            let reader = place.reader();
            check(&reader, &known);
        }
    }
}
