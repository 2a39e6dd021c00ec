//! Commits.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use afterimage::{
    AppendMethod, Bincode, Clock, CodecId, Collection, Durability, ErrorKind, Image, Json,
    KeyRange, Lsn, Raw, Rkyv, Store, Timestamp, VerifyDepth, code,
};

use crate::common::{Place, put, raw, value};

#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
struct Guest {
    name: String,
    room: u32,
}

#[derive(Debug, rkyv::Archive, rkyv::Serialize)]
struct Room {
    number: u32,
    tags: Vec<String>,
}

const AS_JSON: Collection<Guest, Json> = Collection::new("as-json");
const AS_BINCODE: Collection<Guest, Bincode> = Collection::new("as-bincode");
const AS_RKYV: Collection<Room, Rkyv> = Collection::new("as-rkyv");
const WRONG: Collection<Guest, Json> = Collection::new("as-bincode");
const AS_BYTES: Collection<[u8], Raw> = Collection::new("as-bytes");

#[test]
fn large_values_are_written_to_the_file_and_read_from_the_map() {
    let place = Place::new();
    let options = Store::options().durability(Durability::Process).append(AppendMethod::Map);
    let store = options.open(place.path()).expect("open");
    let reader = place.reader();
    let value = |n: usize| vec![u8::try_from(n % 251).expect("small"); 10_000 + n * 3001];
    for n in 0..40 {
        // Large and small frames by turns, and now and then a reader in between.
        let bytes = value(n);
        store.write(|tx| tx.put_image("blobs", &n.to_le_bytes(), raw(&bytes))).expect("put");
        put(&store, "small", &n.to_string());
        if n % 7 == 0 {
            reader.refresh().expect("followed");
            let snapshot = reader.snapshot();
            let record = snapshot.record("blobs", &n.to_le_bytes()).expect("read");
            assert_eq!(record.expect("there").image().bytes(), bytes);
        }
    }
    store.close().expect("closed");
    let again = options.open(place.path()).expect("open");
    let snapshot = again.snapshot();
    for n in 0..40_usize {
        let record = snapshot.record("blobs", &n.to_le_bytes()).expect("read").expect("there");
        assert_eq!(record.image().bytes(), value(n));
    }
    again.close().expect("closed");
    let report = afterimage::verify(place.path(), VerifyDepth::Deep, &mut |_| {}).expect("looked");
    assert!(report.valid, "{report:?}");
}

#[test]
fn a_transaction_of_any_length_writes_every_record_and_every_before_image() {
    let place = Place::new();
    let store = place.open();
    for round in 0..3_usize {
        for count in [1, 31, 32, 33, 64, 65, 1000] {
            let value = format!("{round}-{count}");
            let commit = store.write(|tx| {
                for n in 0..count {
                    let image = Image::new(value.as_bytes(), CodecId::Raw);
                    tx.put_image("things", format!("{count}-{n}").as_bytes(), image)?;
                }
                Ok(())
            });
            assert_eq!(commit.expect("committed").changes() as usize, count);
        }
    }
    let snapshot = store.snapshot();
    assert_eq!(snapshot.scan("things", KeyRange::all()).expect("scan").count(), 1226);
    for record in snapshot.scan("things", KeyRange::all()).expect("scan") {
        let record = record.expect("sound");
        assert_eq!(store.record_history("things", record.key()).expect("history").count(), 3);
    }
}

#[test]
fn a_snapshot_is_whole_while_checkpoints_replace_the_index_under_it() {
    const RECORDS: usize = 300;
    let place = Place::new();
    let store = Place::options().segment_bytes(1 << 20).open(place.path()).expect("open");
    let write = |round: u32| {
        let committed = store.write(|tx| {
            (0..RECORDS).try_for_each(|n| {
                tx.put_image("things", format!("k{n:03}").as_bytes(), raw(&round.to_le_bytes()))
            })
        });
        committed.expect("written");
    };
    write(0);
    let done = AtomicBool::new(false);
    let is_done = || done.load(Ordering::Relaxed);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_done() {
                store.checkpoint().expect("a checkpoint");
            }
        });
        for reverse in [false, true] {
            let (store, is_done) = (&store, &is_done);
            scope.spawn(move || {
                while !is_done() {
                    let snapshot = store.snapshot();
                    let scan = snapshot.scan("things", KeyRange::all()).expect("a scan");
                    let records: Vec<_> =
                        if reverse { scan.rev().collect() } else { scan.collect() };
                    assert_eq!(records.len(), RECORDS);
                    let values = records.into_iter().map(|record| record.expect("read"));
                    let first = snapshot.record("things", b"k000").expect("read").expect("there");
                    values.for_each(|record| assert_eq!(record.image(), first.image()));
                }
            });
        }
        (1..150).for_each(write);
        done.store(true, Ordering::Relaxed);
    });
    assert!(store.notices().is_empty(), "{:?}", store.notices());
}

#[test]
fn tickets_become_durable_whether_they_are_waited_for_or_not() {
    let place = Place::new();
    let store = Store::options().segment_bytes(8192).open(place.path()).expect("open");
    let submit = |n: u32| {
        let mut tx = store.begin().expect("begun");
        tx.put_image("things", &n.to_le_bytes(), raw(b"value")).expect("put");
        tx.submit().expect("submitted")
    };
    let mut tickets: Vec<_> = (0..200).map(submit).collect();
    let last = tickets.pop().expect("the last");
    let lsn = last.lsn();
    assert_eq!(last.wait().expect("durable").lsn(), lsn);
    assert!(store.durable() >= lsn && store.head() >= lsn);
    assert!(tickets.iter().all(afterimage::Ticket::is_durable), "an earlier one is never later");
    let forgotten = submit(1000).lsn();
    // Nobody waits for it, and it becomes durable all the same; else this never ends.
    while store.head() < forgotten {
        std::thread::yield_now();
    }
}

#[test]
fn each_codec_gives_back_what_was_put() {
    let place = Place::new();
    let store = place.open();
    let ana = Guest { name: "Ana".into(), room: 204 };
    let room = Room { number: 204, tags: vec!["quiet".into()] };
    let committed = store.write(|tx| {
        tx.put(&AS_JSON, "k", &ana)?;
        tx.put(&AS_BINCODE, "k", &ana)?;
        tx.put(&AS_RKYV, "k", &room)?;
        tx.put(&AS_BYTES, "k", b"\x00\xff".as_slice())?;
        assert_eq!(tx.get(&AS_BINCODE, "k")?, Some(ana.clone()), "own writes are seen");
        Ok(())
    });
    assert_eq!(committed.expect("committed").changes(), 4);
    let snapshot = store.snapshot();
    assert_eq!(snapshot.get(&AS_JSON, "k").expect("read"), Some(ana.clone()));
    assert_eq!(snapshot.get(&AS_BINCODE, "k").expect("read"), Some(ana));
    assert_eq!(snapshot.get(&AS_BYTES, "k").expect("read"), Some(&b"\x00\xff"[..]));
    let archived = snapshot.get(&AS_RKYV, "k").expect("read").expect("there");
    assert_eq!((archived.number.to_native(), archived.tags.len()), (204, 1));
    let error = snapshot.get(&WRONG, "k").expect_err("another codec");
    assert_eq!(error.code().id, code::DECODE.id);
}

#[test]
fn raw_and_archived_values_are_lent_from_the_map_and_not_copied() {
    let place = Place::new();
    let store = place.open();
    store.write(|tx| tx.put(&AS_BYTES, "k", &[7; 5000])).expect("committed");
    let (now, then) = (store.snapshot(), store.snapshot_at(Lsn::new(1)).expect("kept"));
    let (a, b) = (now.get(&AS_BYTES, "k").expect("read"), then.get(&AS_BYTES, "k").expect("read"));
    let (a, b) = (a.expect("there"), b.expect("there"));
    assert!(std::ptr::eq(a, b), "both views are the same bytes in memory");
    let record = now.record("as-bytes", b"k").expect("read").expect("there");
    assert!(std::ptr::eq(record.image().bytes(), a));
}

#[test]
fn a_transaction_conflicts_with_what_was_written_after_it_read() {
    let place = Place::new();
    let store = place.open();
    put(&store, "a", "1");
    let mut tx = store.begin().expect("begun");
    assert!(tx.record("things", b"a").expect("read").is_some());
    tx.put_image("things", b"b", raw(b"2")).expect("put");
    let lsn = put(&store, "a", "3");
    let rejected = tx.try_commit().expect_err("a conflict");
    assert_eq!(rejected.error().kind(), ErrorKind::Conflict);
    assert_eq!(rejected.error().conflicts()[0].lsn, lsn);
    assert_eq!(
        rejected.into_transaction().preview().expect_err("still").kind(),
        ErrorKind::Conflict
    );
    assert_eq!(value(&store, "b"), None);
}

#[test]
fn a_scan_conflicts_with_a_phantom_and_not_with_its_neighbours() {
    let place = Place::new();
    let store = place.open();
    put(&store, "a1", "");
    for (written, conflicts) in [("a2", true), ("b1", false)] {
        let mut tx = store.begin().expect("begun");
        let seen = tx.scan("things", &KeyRange::prefix(b"a")).expect("scan").len();
        tx.put_image("counts", b"a", raw(seen.to_string().as_bytes())).expect("put");
        put(&store, written, "");
        assert_eq!(tx.commit().is_err(), conflicts, "{written}");
    }
}

#[test]
fn blind_writes_do_not_conflict_and_the_last_one_counts() {
    let place = Place::new();
    let store = place.open();
    let mut tx = store.begin().expect("begun");
    tx.put_image("things", b"a", raw(b"first")).expect("put");
    put(&store, "a", "second");
    tx.commit().expect("committed");
    assert_eq!(value(&store, "a").as_deref(), Some("first"));
}

#[test]
fn counters_of_many_threads_add_up() {
    let place = Place::new();
    let store = place.open();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..100 {
                    let counted = store.write(|tx| {
                        let before = tx.record("things", b"n")?.map_or(0, |record| {
                            String::from_utf8_lossy(record.image().bytes())
                                .parse::<u64>()
                                .expect("a number")
                        });
                        tx.put_image("things", b"n", raw((before + 1).to_string().as_bytes()))
                    });
                    counted.expect("committed after some tries");
                }
            });
        }
    });
    assert_eq!(value(&store, "n").as_deref(), Some("400"));
    assert_eq!(store.head(), Lsn::new(400));
}

#[test]
fn durable_commits_of_many_threads_share_syncs() {
    let place = Place::new();
    let store = Place::options().durability(Durability::Sync).open(place.path()).expect("open");
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let store = &store;
            scope.spawn(move || {
                for n in 0..25 {
                    let lsn = put(store, &format!("{thread}-{n}"), "v");
                    assert!(store.durable() >= lsn, "acknowledged is durable");
                    assert!(store.head() >= lsn, "what is durable is seen");
                }
            });
        }
    });
    assert_eq!(store.durable(), Lsn::new(200));
}

#[test]
fn an_interval_syncs_by_itself() {
    let place = Place::new();
    let interval = Durability::Interval(Duration::from_millis(1));
    let store = Place::options().durability(interval).open(place.path()).expect("open");
    let lsn = put(&store, "a", "1");
    while store.durable() < lsn {
        std::thread::yield_now();
    }
}

#[test]
fn expectations_hold_or_the_commit_fails() {
    let place = Place::new();
    let store = place.open();
    let first = put(&store, "a", "1");
    let expecting = |lsn: Lsn| {
        store.write(|tx| {
            tx.expect_record_lsn("things", b"a", lsn)?;
            tx.put_image("things", b"a", raw(b"2"))
        })
    };
    let error = expecting(Lsn::ZERO).expect_err("it exists");
    assert_eq!(error.code().id, code::EXPECTATION_FAILED.id);
    let second = expecting(first).expect("as expected").lsn();
    assert!(expecting(first).is_err(), "another version by now");
    let inserted = store.write(|tx| tx.insert_image("things", b"a", raw(b"3")));
    assert_eq!(inserted.expect_err("it exists").kind(), ErrorKind::Conflict);
    store.write(|tx| tx.delete_record("things", b"a")).expect("deleted");
    assert!(expecting(second).is_err(), "deleted by now");
    store.write(|tx| tx.insert_image("things", b"a", raw(b"4"))).expect("inserted again");
}

#[test]
fn what_comes_and_goes_inside_a_transaction_leaves_no_trace() {
    let place = Place::new();
    let store = place.open();
    let commit = store.write(|tx| {
        tx.put_image("things", b"a", raw(b"1"))?;
        tx.delete_record("things", b"a")
    });
    let commit = commit.expect("committed");
    assert!(commit.is_empty());
    assert_eq!(store.head(), Lsn::ZERO);
    assert!(store.collections().is_empty());
}

#[test]
fn several_writes_of_one_record_in_one_transaction_are_one_net_change() {
    let place = Place::new();
    let store = place.open();
    put(&store, "a", "1");
    store
        .write(|tx| {
            tx.delete_record("things", b"a")?;
            tx.put_image("things", b"a", raw(b"2"))?;
            tx.put_image("things", b"a", raw(b"3"))
        })
        .expect("committed");
    let version = store.record_history("things", b"a").expect("history").next();
    let version = version.expect("a version").expect("readable");
    assert_eq!(version.before().expect("before").bytes(), b"1");
    assert_eq!(version.after().expect("after").bytes(), b"3");
}

#[derive(Debug, Default)]
struct Jumping(std::sync::atomic::AtomicI64);

impl Clock for Jumping {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.load(Ordering::SeqCst))
    }
}

#[test]
fn accident_a20_commit_times_never_go_back_when_the_clock_does() {
    let place = Place::new();
    let clock = Arc::new(Jumping::default());
    let shared: Arc<dyn Clock> = Arc::<Jumping>::clone(&clock);
    let store = Place::options().clock(shared).open(place.path()).expect("open");
    let mut times = Vec::new();
    for now in [1000, 5000, 2000, 4000, 6000] {
        clock.0.store(now, Ordering::SeqCst);
        let lsn = put(&store, "a", "v");
        times.push(store.transaction(lsn).expect("kept").time().as_micros());
    }
    assert_eq!(times, [1000, 5000, 5000, 5000, 6000]);
    assert_eq!(store.lsn_at(Timestamp::from_micros(5000)).expect("kept"), Lsn::new(4));
    assert_eq!(store.lsn_at(Timestamp::from_micros(999)).expect("kept"), Lsn::ZERO);
}

#[test]
fn a_value_larger_than_a_segment_gets_one_of_its_own() {
    let place = Place::new();
    let store = place.open();
    for size in [0, 1, 5_000, 8_000, 100_000, 3_000_000] {
        let value = vec![7; size];
        let committed = store.write(|tx| tx.put_image("large", &[1], raw(&value)));
        committed.expect("committed");
        let snapshot = store.snapshot();
        let record = snapshot.record("large", &[1]).expect("read").expect("there");
        assert_eq!(record.image().bytes(), value);
    }
    store.close().expect("closed");
    let store = place.open();
    assert_eq!(store.record_history("large", &[1]).expect("history").count(), 6);
}

#[test]
fn limits_have_errors_of_their_own() {
    let place = Place::new();
    let store = place.open();
    let refused = |collection: &str, key: &[u8]| {
        let put = store.write(|tx| tx.put_image(collection, key, raw(b"v")));
        put.expect_err("refused").code().id
    };
    let emoji = "\u{1f6cf}".repeat(16 * 1024);
    assert_eq!(refused("things", b""), code::INVALID_KEY.id);
    assert_eq!(refused("things", &vec![b'k'; 65_537]), code::KEY_TOO_LARGE.id);
    for name in ["", "a/b", "a\0b", "a\nb", &emoji, &"n".repeat(256)] {
        assert_eq!(refused(name, b"k"), code::INVALID_COLLECTION_NAME.id);
    }
    assert_eq!(refused("$audit", b"k"), code::SYSTEM_COLLECTION.id);
    let long = store.write(|tx| {
        tx.message("m".repeat(70_000));
        tx.put_image("things", b"k", raw(b"v"))
    });
    assert_eq!(long.expect_err("refused").code().id, code::METADATA_TOO_LARGE.id);
    assert_eq!(store.head(), Lsn::ZERO, "nothing was written");
    for key in [&vec![b'k'; 65_536][..], &[0], &[0xff, 0xfe]] {
        store.write(|tx| tx.put_image("things", key, raw(b"v"))).expect("within the limits");
    }
    assert_eq!(store.snapshot().scan("things", KeyRange::all()).expect("scan").count(), 3);
}

#[test]
fn a_value_of_a_gigabyte_and_a_byte_is_refused() {
    let place = Place::new();
    let store = place.open();
    let value = vec![0; (1 << 30) + 1];
    let mut tx = store.begin().expect("begun");
    let image = Image::new(&value, CodecId::Raw);
    let error = tx.put_image("things", b"k", image).expect_err("refused");
    assert_eq!(error.code().id, code::IMAGE_TOO_LARGE.id);
}

#[test]
fn a_closed_store_says_so() {
    let place = Place::new();
    let store = place.open();
    let other = store.clone();
    put(&store, "a", "1");
    store.close().expect("closed");
    assert_eq!(other.begin().expect_err("closed").kind(), ErrorKind::Closed);
    assert_eq!(value(&other, "a").as_deref(), Some("1"), "reading goes on");
    let reader = Store::options().read_only(true).open(place.path()).expect("open");
    assert_eq!(reader.begin().expect_err("read-only").code().id, code::READ_ONLY.id);
}

#[test]
fn a_collection_that_another_transaction_makes_meanwhile_did_not_hide_what_was_written_to_it() {
    let place = Place::new();
    let store = place.open();
    let mut tx = store.begin().expect("begun");
    tx.put_image("things", b"k", raw(b"1")).expect("put");
    put(&store, "other", "of the transaction that makes the collection");
    let own = tx.record("things", b"k").expect("readable").expect("it was put");
    assert_eq!(own.image().bytes(), b"1");
    tx.put_image("things", b"k", raw(b"2")).expect("put");
    assert_eq!(tx.commit().expect("committed").changes(), 1, "one record, one change");
    assert_eq!(value(&store, "k").as_deref(), Some("2"));
    let report = store.verify(VerifyDepth::Deep, &mut |_| {}).expect("looked");
    assert!(report.valid, "{report:?}");
}

#[test]
fn a_store_is_verified_while_segments_are_sealed_under_the_eyes_that_look() {
    let place = Place::new();
    let store = Store::options()
        .segment_bytes(4096)
        .durability(Durability::Process)
        .open(place.path())
        .expect("opened");
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for n in 0..400 {
                put(&store, &format!("k{}", n % 7), &"v".repeat(900));
            }
        });
        let mut depths = [VerifyDepth::Quick, VerifyDepth::Deep].into_iter().cycle();
        while !writer.is_finished() {
            let depth = depths.next().unwrap_or_default();
            let report = store.verify(depth, &mut |_| {}).expect("looked");
            assert!(report.valid, "{report:?}");
        }
    });
}

#[test]
fn a_reader_opens_while_segments_are_sealed_under_its_eyes() {
    let place = Place::new();
    let options = Store::options().segment_bytes(4096).durability(Durability::Process);
    let store = options.open(place.path()).expect("opened");
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for n in 0..600 {
                put(&store, &format!("k{}", n % 7), &"v".repeat(900));
            }
        });
        let mut seen = Lsn::ZERO;
        while !writer.is_finished() {
            let head = place.reader().head();
            assert!(head >= seen, "{head} after {seen}");
            seen = head;
        }
    });
}

/// Whoever looks twice under one lock waits for the one who waits for the first look.
#[test]
fn a_preview_beside_checkpoints_does_not_wait_for_itself() {
    let place = Place::new();
    let store = place.open();
    put(&store, "k", "v");
    let is_done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0..300 {
                put(&store, &format!("other-{n}"), "v");
                store.checkpoint().expect("written");
            }
            is_done.store(true, Ordering::SeqCst);
        });
        while !is_done.load(Ordering::SeqCst) {
            let mut tx = store.begin().expect("begun");
            for n in 0..50 {
                tx.record("things", format!("k{n}").as_bytes()).expect("read");
            }
            tx.put_image("things", b"k", raw(b"w")).expect("put");
            assert_eq!(tx.preview().expect("no conflict").len(), 1);
        }
    });
}
