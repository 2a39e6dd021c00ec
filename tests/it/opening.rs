//! Opening: recovery, other processes, damage.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use afterimage::{ErrorKind, KeyRange, Lsn, Store, VerifyDepth, code, verify};

use crate::common::{Place, put, raw, value};
use crate::copy::copy;

#[test]
fn a_store_that_was_dropped_while_a_checkpoint_was_due_can_be_opened_at_once() {
    let place = Place::new();
    for round in 0..20 {
        let store = Place::options().checkpoint_every(4096).open(place.path()).expect("free again");
        for n in 0..200 {
            put(&store, &format!("k{n}"), &format!("{round}"));
        }
    }
}

#[test]
fn transactions_are_found_from_both_ends() {
    let place = Place::new();
    let store = place.open();
    for n in 0..200 {
        put(&store, &format!("k{n}"), &"x".repeat(n * n * 7 % 30_011));
    }
    for lsn in 1..=200 {
        assert_eq!(store.transaction(Lsn::new(lsn)).expect("found").lsn(), Lsn::new(lsn));
    }
    let backwards: Vec<_> = store
        .transactions(..)
        .expect("transactions")
        .rev()
        .map(|transaction| transaction.expect("readable").lsn().get())
        .collect();
    assert_eq!(backwards, (1..=200).rev().collect::<Vec<_>>());
}

#[test]
fn a_segment_without_a_transaction_hides_none_behind_it() {
    // The search by halves once stopped at a segment that recovery had left empty.
    let place = Place::new();
    put(&place.open(), "first", "1");
    for _ in 0..5 {
        // Dropping CONTROL's clean mark: as after a kill, recovery seals an empty segment.
        let store = place.open();
        let copied = place.beside("copy.store");
        copy(&place.path(), &copied);
        drop(store);
        fs::remove_dir_all(place.path()).expect("removed");
        copy(&copied, &place.path());
        fs::remove_dir_all(&copied).expect("removed");
    }
    let store = place.open();
    for n in 0..50 {
        let lsn = put(&store, "k", &"x".repeat(n * 100));
        assert_eq!(store.transaction(lsn).expect("found").lsn(), lsn);
    }
}

#[test]
fn a_second_writer_is_refused_with_the_pid_of_the_first() {
    let place = Place::new();
    let store = place.open();
    let error = Place::options().open(place.path()).expect_err("locked");
    assert_eq!(error.kind(), ErrorKind::Locked);
    assert!(error.message().contains(&std::process::id().to_string()), "{error}");
    assert_eq!(place.reader().status().expect("status").writer, Some(std::process::id()));
    store.close().expect("closed");
    assert_eq!(place.reader().status().expect("status").writer, None);
    place.open();
}

#[test]
fn a_reader_beside_a_writer_follows_it_over_segments() {
    let place = Place::new();
    let store = place.open();
    put(&store, "a", "0");
    let reader = place.reader();
    for n in 1..100 {
        let lsn = put(&store, "a", &n.to_string().repeat(n));
        if n % 7 == 0 {
            assert_eq!(reader.refresh().expect("followed"), lsn);
            assert_eq!(value(&reader, "a"), Some(n.to_string().repeat(n)));
        }
    }
    store.write(|tx| tx.put_image("new", b"k", raw(b"v"))).expect("a new collection");
    store.close().expect("closed");
    reader.refresh().expect("followed");
    assert!(reader.snapshot().record("new", b"k").expect("read").is_some());
    assert_eq!(reader.snapshot().digest().ok(), place.reader().snapshot().digest().ok());
}

#[test]
fn a_reader_opened_when_the_next_segment_is_ready_follows_the_one_that_is_written() {
    // It once looked for news in the segment that was made ready, and saw none until the writer
    // went on there; then it took the journal for damaged.
    let place = Place::new();
    let store = Place::options().segment_bytes(1 << 20).open(place.path()).expect("open");
    let write = |n: usize| put(&store, &format!("k{n}"), &"x".repeat(6000));
    for n in 0..100 {
        write(n);
    }
    // Made ready behind the writer, since half of the first one is used.
    let next = place.path().join("journal/00000002.seg");
    while fs::read(&next).map_or(true, |bytes| bytes.iter().all(|byte| *byte == 0)) {
        std::thread::yield_now();
    }
    let reader = place.reader();
    for n in 100..300 {
        let lsn = write(n);
        assert_eq!(reader.refresh().expect("followed"), lsn);
    }
}

#[test]
fn a_reader_follows_a_writer_that_makes_an_empty_segment_anew() {
    let place = Place::new();
    let store = place.open();
    let write = |store: &Store, n: usize| put(store, &format!("k{n}"), &"x".repeat(800));
    for n in 0..8 {
        write(&store, n);
    }
    // The next segment is the newest then, and holds nothing.
    store.checkpoint().expect("a checkpoint");
    store.close().expect("closed");
    let reader = place.reader();
    // Opening for writing removes it, and makes one of the same name.
    let store = place.open();
    for n in 8..30 {
        let lsn = write(&store, n);
        assert_eq!(reader.refresh().expect("followed"), lsn);
    }
}

#[test]
fn a_reader_changes_nothing() {
    let place = Place::new();
    let store = place.open();
    put(&store, "a", "1");
    store.close().expect("closed");
    let before = listing(&place);
    let reader = place.reader();
    reader.verify(VerifyDepth::Deep, &mut |_| {}).expect("verified");
    reader.plan_restore_into(Lsn::new(1), &place.beside("elsewhere")).expect("planned");
    reader.rehearse().put_image("things", b"b", raw(b"2")).expect("rehearsed");
    drop(reader);
    assert_eq!(listing(&place), before, "accident A10: byte for byte as before");
}

fn listing(place: &Place) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    let mut open = vec![place.path()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(directory).expect("listed") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                open.push(path);
            } else {
                found.push((path.clone(), fs::read(path).expect("read")));
            }
        }
    }
    found.sort();
    found
}

/// A store with sealed segments, closed properly, and what it holds.
fn filled(place: &Place) -> Vec<Vec<u8>> {
    let store = place.open();
    for n in 0..40 {
        put(&store, &format!("k{}", n % 10), &format!("{n}").repeat(200));
    }
    store.checkpoint().expect("a checkpoint");
    let contents = contents(&store);
    store.close().expect("closed");
    contents
}

fn contents(store: &Store) -> Vec<Vec<u8>> {
    let snapshot = store.snapshot();
    let records = snapshot.scan("things", KeyRange::all()).expect("scan");
    records.map(|record| record.expect("readable").image().bytes().to_vec()).collect()
}

#[test]
fn a_flipped_bit_is_never_silent() {
    let original = Place::new();
    let expected = filled(&original);
    let files = listing(&original);
    let mut outcomes = [0, 0];
    for (path, bytes) in &files {
        if path.ends_with("LOCK") {
            continue;
        }
        // Every byte of the small files, one in 61 of the large ones; a bit that moves with it.
        let step = if bytes.len() < 1000 { 1 } else { 61 };
        for at in (0..bytes.len()).step_by(step) {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1 << (at % 8);
            fs::write(path, &damaged).expect("written");
            let detected = match Store::options().read_only(true).open(original.path()) {
                Err(error) => {
                    let known = [ErrorKind::Corrupt, ErrorKind::Format];
                    assert!(known.contains(&error.kind()), "{}:{at}: {error:?}", path.display());
                    true
                }
                Ok(store) => {
                    let report = store.verify(VerifyDepth::Deep, &mut |_| {}).expect("looked");
                    if report.valid {
                        let same = contents(&store) == expected && store.head() == Lsn::new(40);
                        assert!(same, "{}:{at} gives other data in silence", path.display());
                    }
                    !report.valid || !report.warnings.is_empty()
                }
            };
            outcomes[usize::from(detected)] += 1;
        }
        fs::write(path, bytes).expect("restored");
    }
    println!("{} flips detected, {} harmless", outcomes[1], outcomes[0]);
    assert!(outcomes[1] > 500);
}

#[test]
fn a_journal_cut_short_is_reported() {
    let place = Place::new();
    filled(&place);
    // Behind a checkpoint stands a new segment.
    let store = place.open();
    for n in 0..5 {
        put(&store, &format!("k{n}"), "written after the checkpoint");
    }
    store.close().expect("closed");
    let newest = listing(&place)
        .into_iter()
        .rfind(|(path, _)| path.extension().is_some_and(|end| end == "seg"))
        .expect("a segment");
    for length in [0, 100, 128, 200, 400] {
        fs::write(&newest.0, &newest.1[..length]).expect("written");
        let error = Place::options().open(place.path()).expect_err("acknowledged data is gone");
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error:?}");
    }
    fs::remove_file(&newest.0).expect("removed");
    let error = Place::options().open(place.path()).expect_err("a segment is gone");
    assert_eq!(error.code().id, code::JOURNAL_INCOMPLETE.id);
    fs::write(&newest.0, &newest.1).expect("restored");
    Place::options().open(place.path()).expect("as before");
}

/// A copy of the files of a store that is open: what a killed process leaves.
fn killed(place: &Place, store: &Store) -> PathBuf {
    let target = place.beside("killed.store");
    copy(store.path(), &target);
    target
}

#[test]
fn a_tail_that_is_cut_off_is_kept_byte_for_byte() {
    let place = Place::new();
    let store = place.open();
    for n in 0..3 {
        put(&store, &format!("k{n}"), "a value that is whole");
    }
    put(&store, "torn", "the last one of the journal");
    let path = killed(&place, &store);
    let segment = path.join("journal/00000001.seg");
    let mut bytes = fs::read(&segment).expect("read");
    let text = b"the last one";
    let at = bytes.windows(text.len()).position(|window| window == text).expect("there");
    bytes[at] = b'T';
    fs::write(&segment, &bytes).expect("written");
    let recovered = Place::options().open(&path).expect("recovered");
    assert_eq!(recovered.head(), Lsn::new(3));
    let kept: Vec<_> = fs::read_dir(path.join("quarantine")).expect("listed").collect();
    assert_eq!(kept.len(), 1);
    let kept = fs::read(kept[0].as_ref().expect("an entry").path()).expect("read");
    let tail =
        &bytes[bytes.windows(kept.len()).position(|window| window == kept).expect("there")..];
    assert!(tail.starts_with(&kept) && kept.windows(8).any(|window| window == b"The last"));
    assert!(recovered.notices()[0].to_string().contains("quarantine"));
}

#[test]
fn nothing_is_appended_to_a_segment_that_a_crash_has_left() {
    let place = Place::new();
    let store = place.open();
    put(&store, "k", "v");
    let path = killed(&place, &store);
    let recovered = Place::options().open(&path).expect("recovered");
    put(&recovered, "k", "behind the crash");
    let segments = recovered.stats().segments;
    assert_eq!(segments.len(), 2);
    assert!(segments[0].sealed && segments[1].first_lsn == Some(Lsn::new(2)));
}

#[test]
fn a_quick_look_finds_what_rots_in_a_sealed_segment_that_nothing_reads() {
    let place = Place::new();
    filled(&place);
    let segment = place.path().join("journal/00000001.seg");
    let mut bytes = fs::read(&segment).expect("read");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&segment, bytes).expect("written");
    drop(place.open());
    let report = verify(place.path(), VerifyDepth::Quick, &mut |_| {}).expect("looked");
    assert!(!report.valid);
    assert_eq!(report.errors[0].code, code::SEAL_MISMATCH.id);
}

#[test]
fn salvage_serves_what_stands_before_the_damage() {
    let place = Place::new();
    filled(&place);
    let segment = place.path().join("journal/00000002.seg");
    let mut bytes = fs::read(&segment).expect("read");
    // The seal of the segment, too, so that it is read frame by frame.
    let (middle, end) = (bytes.len() / 2, bytes.len() - 10);
    bytes[middle] ^= 1;
    bytes[end] ^= 1;
    fs::write(&segment, bytes).expect("written");
    let error = Store::options().read_only(true).open(place.path()).expect_err("damaged");
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.place().path.is_some() && error.place().lsn.is_some());
    let salvaged = Store::options().read_only(true).salvage(true).open(place.path());
    let salvaged = salvaged.expect("salvaged");
    assert_eq!(salvaged.notices().len(), 2, "{:?}", salvaged.notices());
    assert!(salvaged.head() > Lsn::ZERO && salvaged.head() < Lsn::new(40));
    assert!(!contents(&salvaged).is_empty());
    assert!(!verify(place.path(), VerifyDepth::Deep, &mut |_| {}).expect("looked").valid);
}

#[test]
fn a_damaged_checkpoint_costs_a_warning_and_nothing_else() {
    // In the header, in a block that only a read looks at, and in the directory at the end.
    for (thousandths, found_by_reading) in [(0, false), (500, true), (999, false)] {
        let place = Place::new();
        let expected = filled(&place);
        let state = place.path().join("state");
        for entry in fs::read_dir(&state).expect("listed") {
            let path = entry.expect("an entry").path();
            let mut bytes = fs::read(&path).expect("read");
            let at = bytes.len() * thousandths / 1000;
            bytes[at] ^= 0xff;
            fs::write(path, bytes).expect("written");
        }
        let store = place.open();
        assert_eq!(store.notices().is_empty(), found_by_reading);
        assert_eq!(contents(&store), expected);
        assert!(store.notices()[0].to_string().contains(code::CHECKPOINT_DAMAGED.id));
        store.close().expect("closed");
        let again = place.open();
        assert_eq!(contents(&again), expected);
        assert!(again.notices().is_empty(), "it was set aside");
    }
}

/// The checkpoints of a store, oldest first.
fn checkpoints(place: &Place) -> Vec<PathBuf> {
    let entries = fs::read_dir(place.path().join("state")).expect("listed");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    paths
}

/// A closed store whose newest checkpoint holds a tenth of the records, and stands on an older one.
fn layered(place: &Place) -> Vec<Vec<u8>> {
    let store = place.open();
    for n in 0..400 {
        put(&store, &format!("k{n}"), "as it was first");
    }
    store.checkpoint().expect("a checkpoint");
    for n in 0..40 {
        put(&store, &format!("k{}", n * 10), &"x".repeat(120_000));
    }
    let expected = contents(&store);
    store.close().expect("closed, with a checkpoint of what changed");
    let files = checkpoints(place);
    let bytes = |file: &PathBuf| fs::metadata(file).expect("there").len();
    assert_eq!(files.len(), 2);
    assert!(bytes(&files[0]) > 4 * bytes(&files[1]), "the newer one holds what changed");
    expected
}

#[test]
fn a_checkpoint_stands_on_an_older_one_until_one_holds_everything() {
    let place = Place::new();
    let expected = layered(&place);
    let store = place.open();
    assert!(store.notices().is_empty(), "{:?}", store.notices());
    assert_eq!(contents(&store), expected);
    let info = store.checkpoint().expect("a checkpoint");
    assert!(info.written && info.layers == 1, "at the same LSN, but whole");
    assert!(!store.checkpoint().expect("a checkpoint").written);
    assert_eq!(contents(&store), expected);
    store.close().expect("closed");
    assert_eq!(contents(&place.open()), expected);
    assert!(verify(place.path(), VerifyDepth::Deep, &mut |_| {}).expect("looked").valid);
}

#[test]
fn a_store_is_whole_whatever_happens_to_the_layers_of_its_checkpoint() {
    let flip = |path: &std::path::Path, thousandths: usize| {
        let mut bytes = fs::read(path).expect("read");
        let at = bytes.len() * thousandths / 1000;
        bytes[at] ^= 0xff;
        fs::write(path, bytes).expect("written");
    };
    // The older of the two is number 0.
    for number in [0, 1] {
        for damage in [Some(0), Some(500), Some(999), None] {
            let place = Place::new();
            let expected = layered(&place);
            let file = checkpoints(&place)[number].clone();
            match damage {
                Some(thousandths) => flip(&file, thousandths),
                None => fs::remove_file(&file).expect("removed"),
            }
            // The newer one is not missed: what it held is replayed.
            let told = damage.is_some() || number == 0;
            let store = place.open();
            assert_eq!(contents(&store), expected, "{number}, {damage:?}");
            assert_eq!(!store.notices().is_empty(), told, "{number}, {damage:?}");
            store.checkpoint().expect("a checkpoint");
            store.close().expect("closed");
            let again = place.open();
            assert_eq!(contents(&again), expected);
            assert!(again.notices().is_empty(), "{number}, {damage:?}: {:?}", again.notices());
        }
    }
}

#[test]
fn damage_of_a_checkpoint_that_the_replay_behind_it_finds_costs_a_warning_too() {
    for number in [0, 1] {
        let place = Place::new();
        layered(&place);
        let store = place.open();
        // The large ones would make a checkpoint due on closing.
        for n in (0..400).filter(|n| n % 10 > 0) {
            put(&store, &format!("k{n}"), "behind the checkpoint");
        }
        let expected = contents(&store);
        store.close().expect("closed, with a tail to replay");
        let file = checkpoints(&place)[number].clone();
        let mut bytes = fs::read(&file).expect("read");
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&file, bytes).expect("written");
        let reader = place.reader();
        assert_eq!(contents(&reader), expected);
        assert!(!reader.notices().is_empty());
        let store = place.open();
        assert_eq!(contents(&store), expected);
        assert!(store.notices()[0].to_string().contains(code::CHECKPOINT_DAMAGED.id));
        store.close().expect("closed");
        assert!(place.open().notices().is_empty(), "it was set aside");
    }
}

/// Exchanges what the index says of two records, with the checksum made right again.
fn mislead(path: &std::path::Path) {
    let mut bytes = fs::read(path).expect("read");
    let number = |bytes: &[u8], at: usize, width: usize| {
        let digits = bytes[at..at + width].iter().rev();
        digits.fold(0, |number, digit| number << 8 | usize::from(*digit))
    };
    // The first block is that of `$collections`, and holds one record.
    let first = 128;
    let (shared, end) = (number(&bytes, first + 4, 4), number(&bytes, first + 11, 2));
    let (start, directory) = (first + 10 + 19 + shared + end, number(&bytes, 80, 8));
    let count = number(&bytes, start + 8, 2);
    let (one, other) = (start + 10 + count * 3, start + 10 + count * 3 + 16);
    for byte in 0..16 {
        bytes.swap(one + byte, other + byte);
    }
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&(start as u64).to_le_bytes());
    hasher.update(&bytes[start + 4..directory]);
    bytes[start..start + 4].copy_from_slice(&hasher.finalize().to_le_bytes());
    fs::write(path, bytes).expect("written");
}

#[test]
fn an_index_that_leads_to_another_record_is_not_believed() {
    let place = Place::new();
    filled(&place);
    mislead(&checkpoints(&place)[0]);
    let store = place.open();
    let snapshot = store.snapshot();
    let keys: Vec<String> = (0..10).map(|n| format!("k{n}")).collect();
    let mut refused = 0;
    for (n, key) in keys.iter().enumerate() {
        match snapshot.record("things", key.as_bytes()) {
            Ok(record) => {
                let text = format!("3{n}").repeat(200);
                assert_eq!(record.expect("there").image().bytes(), text.as_bytes());
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Corrupt);
                refused += 1;
            }
        }
    }
    assert_eq!(refused, 2);
    assert!(snapshot.records("things", &keys).is_err());
    assert!(snapshot.scan("things", KeyRange::all()).expect("begun").any(|found| found.is_err()));
    let write = store.write(|tx| tx.put_image("things", b"k0", raw(b"over another's value")));
    assert_eq!(write.expect_err("refused").kind(), ErrorKind::Corrupt);
}

#[test]
fn a_follower_that_finds_its_checkpoint_damaged_goes_on() {
    let place = Place::new();
    layered(&place);
    let reader = place.reader();
    for path in checkpoints(&place) {
        // In place: the reader has it mapped.
        let file = fs::OpenOptions::new().read(true).write(true).open(&path).expect("opened");
        let middle = file.metadata().expect("there").len() / 2;
        let mut byte = [0];
        file.read_exact_at(&mut byte, middle).expect("read");
        file.write_all_at(&[byte[0] ^ 1], middle).expect("written");
    }
    let store = place.open();
    for n in 0..400 {
        put(&store, &format!("k{n}"), "behind the checkpoint");
    }
    assert_eq!(reader.refresh().expect("followed"), store.head());
    assert_eq!(contents(&reader), contents(&store));
    assert!(!reader.notices().is_empty());
}

#[test]
fn a_reader_beside_a_damaged_checkpoint_reads_all_the_same() {
    let place = Place::new();
    let expected = filled(&place);
    for entry in fs::read_dir(place.path().join("state")).expect("listed") {
        let path = entry.expect("an entry").path();
        let mut bytes = fs::read(&path).expect("read");
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0xff;
        fs::write(path, bytes).expect("written");
    }
    for _ in 0..2 {
        let reader = Store::options().read_only(true).open(place.path()).expect("open");
        assert_eq!(contents(&reader), expected);
        assert_eq!(reader.notices().len(), 1, "{:?}", reader.notices());
    }
}

#[test]
fn a_file_of_another_store_is_refused() {
    let (place, other) = (Place::new(), Place::new());
    filled(&place);
    filled(&other);
    for name in ["journal/00000001.seg", "CONTROL"] {
        let own = fs::read(place.path().join(name)).expect("read");
        fs::copy(other.path().join(name), place.path().join(name)).expect("copied");
        let error = Store::options().read_only(true).open(place.path()).expect_err("refused");
        assert_eq!(error.code().id, code::WRONG_STORE.id, "{name}: {error:?}");
        fs::write(place.path().join(name), own).expect("restored");
    }
}

#[test]
fn checkpoints_of_many_threads_do_not_spoil_each_other() {
    let place = Place::new();
    let store = Place::options().checkpoint_every(4096).open(place.path()).expect("open");
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                for n in 0..40 {
                    put(&store, &format!("k{n}"), &"x".repeat(100));
                    store.checkpoint().expect("a checkpoint");
                }
            });
        }
    });
    store.close().expect("closed");
    let reader = place.reader();
    assert!(reader.notices().is_empty(), "{:?}", reader.notices());
    assert!(reader.status().expect("status").checkpoint_lsn > Lsn::new(100));
}

/// Ten commits in a process that was killed: nothing vouches for them yet.
fn unvouched() -> (Place, Vec<u8>, PathBuf) {
    let original = Place::new();
    let options = Store::options().segment_bytes(64 << 10);
    let store = options.open(original.path()).expect("the store opens");
    for n in 0..10 {
        put(&store, &format!("k{n}"), &"v".repeat(100 + n));
    }
    let place = Place::new();
    copy(&original.path(), &place.path());
    let path = place.path().join("journal/00000001.seg");
    let bytes = fs::read(&path).expect("read");
    (place, bytes, path)
}

#[test]
fn a_journal_that_was_cut_at_any_length_is_damage_also_where_nothing_vouches_for_its_end() {
    let (place, bytes, path) = unvouched();
    let used = bytes.iter().rposition(|byte| *byte != 0).expect("frames") + 1;
    for length in (0..used).step_by(if cfg!(debug_assertions) { 7 } else { 1 }).chain([used]) {
        fs::write(&path, &bytes[..length]).expect("cut");
        let error = place.open_result().expect_err("it was longer");
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{length}: {error:?}");
        let reader = Store::options().read_only(true).open(place.path());
        assert_eq!(reader.expect_err("also for readers").kind(), ErrorKind::Corrupt, "{length}");
        assert_eq!(fs::read(&path).expect("still there"), &bytes[..length]);
    }
    // With room for its seal, it may be that a crash interrupted the sealing.
    fs::write(&path, &bytes[..used + 4096]).expect("cut");
    assert_eq!(place.open().head(), Lsn::new(10));
}

#[test]
fn a_journal_whose_only_segment_is_missing_is_damage() {
    let (place, bytes, path) = unvouched();
    fs::remove_file(&path).expect("removed");
    let error = place.open_result().expect_err("there was one");
    assert_eq!(error.code().id, code::JOURNAL_INCOMPLETE.id, "{error:?}");
    assert!(!path.exists(), "and no new one takes its place");
    fs::write(&path, bytes).expect("put back");
    assert_eq!(place.open().head(), Lsn::new(10));
}

#[test]
fn salvage_serves_what_stands_before_the_damage_of_a_sealed_segment_too() {
    let place = Place::new();
    let store = place.open();
    for n in 0..60 {
        put(&store, &format!("k{n}"), &"v".repeat(300));
    }
    drop(store);
    fs::remove_dir_all(place.path().join("state")).expect("no checkpoint vouches for the first");
    fs::create_dir(place.path().join("state")).expect("created");
    let path = place.path().join("journal/00000002.seg");
    let mut bytes = fs::read(&path).expect("read");
    bytes[4300] ^= 1;
    fs::write(&path, bytes).expect("damaged");
    assert_eq!(place.open_result().expect_err("damaged").kind(), ErrorKind::Corrupt);
    let salvaged = Store::options().read_only(true).salvage(true).open(place.path());
    let salvaged = salvaged.expect("salvaged");
    let head = salvaged.head().get();
    assert!((20..50).contains(&head), "{head}");
    assert!(salvaged.notices().iter().any(|notice| notice.to_string().contains("AF0011")));
    let things = format!("k{}", head - 1);
    assert_eq!(value(&salvaged, &things), Some("v".repeat(300)));
    assert_eq!(value(&salvaged, &format!("k{head}")), None);
    for lsn in 1..=head {
        salvaged.transaction(Lsn::new(lsn)).expect("sound");
    }
    let later = salvaged.snapshot_at(Lsn::new(head + 1)).expect_err("behind the damage");
    assert_eq!(later.kind(), ErrorKind::OutsideWindow);
}

#[test]
#[cfg(target_os = "linux")]
fn a_segment_that_was_copied_with_holes_has_its_space_again_before_it_is_written() {
    use std::os::unix::fs::MetadataExt as _;
    let place = Place::new();
    let options = Store::options().segment_bytes(1 << 20);
    let store = options.open(place.path()).expect("the store opens");
    put(&store, "k", "v");
    store.close().expect("closed");
    let path = place.path().join("journal/00000001.seg");
    let bytes = fs::read(&path).expect("read");
    let used = bytes.iter().rposition(|byte| *byte != 0).expect("frames") + 1;
    fs::write(&path, &bytes[..used]).expect("copied");
    fs::OpenOptions::new()
        .write(true)
        .open(&path)
        .and_then(|file| file.set_len(1 << 20))
        .expect("with a hole");
    assert!(fs::metadata(&path).expect("there").blocks() * 512 < 1 << 19);
    let store = options.open(place.path()).expect("the store opens");
    put(&store, "j", "w");
    assert!(fs::metadata(&path).expect("there").blocks() * 512 >= 1 << 20);
}
