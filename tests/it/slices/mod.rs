//! Slices of a journal, and stores built from them.

mod hostile;
mod random;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use afterimage::{
    Author, ErrorKind, Lsn, RebuildReport, Result, SLICE_BYTES, Slice, Store, Timestamp,
    VerifyDepth, code, rebuild,
};

use crate::common::{Place, put, raw, value};

fn by() -> Author {
    Author { actor: Some("ana".into()), message: Some("back to noon".into()) }
}

fn take(store: &Store, after: u64, until: u64) -> Slice {
    Slice::take(store, Lsn::new(after), Lsn::new(until), SLICE_BYTES).expect("taken")
}

/// Slices of the whole journal, each with so many transactions at most.
fn cut(store: &Store, each: u64) -> Vec<Slice> {
    store.sync().expect("durable");
    let head = store.head().get();
    let starts = (0..head).step_by(usize::try_from(each).expect("few"));
    starts.map(|after| take(store, after, (after + each).min(head))).collect()
}

fn build(slices: &[Slice], to: u64, directory: &Path) -> Result<RebuildReport> {
    let mut slices = slices.iter().map(|slice| Slice::decode(slice.encode()));
    rebuild(&mut slices, Lsn::new(to), directory, &by(), &mut |_| {})
}

/// All that is told of each transaction up to `to`.
fn history(store: &Store, to: Lsn) -> Vec<String> {
    let transactions = store.transactions(Lsn::new(1)..=to).expect("kept");
    let line = |transaction: Result<afterimage::TransactionView<'_>>| {
        let transaction = transaction.expect("readable");
        let mut line = format!(
            "{} {} {} {:?}",
            transaction.lsn(),
            transaction.time(),
            transaction.digest(),
            transaction.metadata(),
        );
        for change in transaction.changes() {
            let change = change.expect("readable");
            let written = write!(
                line,
                "; {} {:?} {:?} {:?} {:?} {}",
                change.collection(),
                change.key(),
                change.op(),
                change.before(),
                change.after(),
                change.previous_lsn().expect("readable"),
            );
            written.expect("into memory");
        }
        line
    };
    transactions.map(line).collect()
}

/// That a store which was built is the other one as it was, can be gone on with, and is sound.
fn assert_rebuilt(original: &Store, report: &RebuildReport) {
    let to = report.target_lsn;
    assert!(
        afterimage::verify(&report.directory, VerifyDepth::Deep, &mut |_| {}).expect("read").valid
    );
    let copy = Place::options().open(&report.directory).expect("opened");
    assert_eq!(history(&copy, to), history(original, to));
    let digest = original.snapshot_at(to).expect("kept").digest().expect("digest");
    assert_eq!(copy.snapshot_at(to).expect("kept").digest().expect("digest"), digest);
    assert_eq!(report.state_digest, digest);
    assert_eq!((copy.head(), copy.id().to_string()), (to.next(), report.store.clone()));
    let fork = copy.forks().last().copied().expect("a fork");
    assert_eq!((fork.store, fork.timeline), (original.id(), original.timeline()));
    assert_eq!((fork.lsn, copy.timeline()), (to, original.timeline() + 1));
    assert_eq!(copy.forks().len(), original.forks().len() + 1);
    let audit = copy.transaction(to.next()).expect("kept");
    assert_eq!(audit.metadata().actor.as_deref(), Some("ana"));
    put(&copy, "since", "it was built");
    copy.close().expect("closed");
    let copy = Place::options().open(&report.directory).expect("opened again");
    assert_eq!(value(&copy, "since").as_deref(), Some("it was built"));
}

fn fill(store: &Store, transactions: u64) {
    for n in 0..transactions {
        let size = usize::try_from(n % 5 * 300).expect("small");
        put(store, &format!("k{}", n % 7), &format!("{n} {}", "x".repeat(size)));
    }
}

#[test]
fn a_store_built_from_slices_is_the_original_at_every_moment() {
    let place = Place::new();
    let store = place.open();
    fill(&store, 40);
    for each in [1, 3, 40] {
        let slices = cut(&store, each);
        for to in 0..=40 {
            let directory = place.beside(&format!("{each}-{to}.store"));
            let report = build(&slices, to, &directory).expect("built");
            assert_eq!(report.slices, to.div_ceil(each).max(1));
            assert_rebuilt(&store, &report);
        }
    }
}

#[test]
fn whole_segments_come_back_byte_by_byte() {
    let place = Place::new();
    let store = place.open();
    fill(&store, 60);
    let slices = cut(&store, 7);
    let report = build(&slices, 60, &place.beside("copy.store")).expect("built");
    let sealed: Vec<_> = store.stats().segments.into_iter().filter(|found| found.sealed).collect();
    assert!(sealed.len() > 2);
    for segment in sealed {
        let name = format!("journal/{:08}.seg", segment.number);
        let [own, copied] = [&place.path(), &report.directory]
            .map(|directory| fs::read(directory.join(&name)).expect("read"));
        assert!(own == copied, "{name}");
    }
}

#[test]
fn what_is_taken_twice_is_equal_also_when_its_segment_was_sealed_since() {
    let place = Place::new();
    let store = place.open();
    let mut taken = Vec::new();
    for n in 1..=60 {
        put(&store, "k", &"x".repeat(n * 37 % 900));
        store.sync().expect("durable");
        let head = store.head().get();
        for bytes_max in [1, 700, 5000, 9000] {
            let slice = Slice::take(&store, Lsn::new(head / 2), Lsn::new(head), bytes_max);
            taken.push((head, bytes_max, slice.expect("taken").encode()));
        }
    }
    drop(store);
    for store in [place.open(), place.reader()] {
        for (head, bytes_max, bytes) in &taken {
            let (after, until) = (Lsn::new(head / 2), Lsn::new(*head));
            let again = Slice::take(&store, after, until, *bytes_max).expect("taken");
            assert!(again.encode() == *bytes, "{head} {bytes_max}");
            let decoded = Slice::decode(bytes.clone()).expect("sound");
            assert_eq!(decoded, again);
            let mut written = Vec::new();
            again.write(&mut written).expect("written");
            assert!(written == *bytes);
        }
    }
}

#[test]
fn a_slice_keeps_to_its_bytes_but_for_a_transaction_that_is_larger() {
    let place = Place::new();
    let store = place.open();
    put(&store, "a", "small");
    put(&store, "b", &"large".repeat(20_000));
    for n in 0..20 {
        put(&store, &format!("k{n}"), &"x".repeat(500));
    }
    store.sync().expect("durable");
    let (mut after, mut slices) = (Lsn::ZERO, Vec::new());
    while after < store.head() {
        let slice = Slice::take(&store, after, store.head(), 2000).expect("taken");
        assert_eq!(slice.first(), after.next());
        let is_large = (slice.first(), slice.last()) == (Lsn::new(2), Lsn::new(2));
        assert_eq!(slice.journal_bytes() > 2000, is_large);
        after = slice.last();
        slices.push(slice);
    }
    assert!(slices.len() > 6);
    for pair in slices.windows(2) {
        assert_eq!(pair[0].last_checksum(), pair[1].previous_checksum());
    }
    assert_rebuilt(&store, &build(&slices, 22, &place.beside("copy.store")).expect("built"));
}

#[test]
fn a_slice_knows_its_times() {
    let place = Place::new();
    let store = place.open();
    for time in [10, 20, 20, 30] {
        let written = store.write(|tx| {
            tx.at_time(Timestamp::from_micros(time));
            tx.put_image("things", b"k", raw(b"v"))
        });
        written.expect("written");
    }
    store.sync().expect("durable");
    let slice = take(&store, 1, 4);
    assert_eq!(slice.first_time(), Timestamp::from_micros(20));
    assert_eq!(slice.last_time(), Timestamp::from_micros(30));
    let found = [19, 20, 29, 30, 31].map(|time| slice.find_time(Timestamp::from_micros(time)));
    let expected = [None, Some(3), Some(3), Some(4), Some(4)].map(|lsn| lsn.map(Lsn::new));
    assert_eq!(found, expected);
}

#[test]
fn what_is_not_durable_or_not_there_is_not_taken() {
    let place = Place::new();
    let store = place.open();
    let refused = |store: &Store, after, until| {
        let taken = Slice::take(store, Lsn::new(after), Lsn::new(until), SLICE_BYTES);
        taken.expect_err("refused").kind()
    };
    assert_eq!(refused(&store, 0, 1), ErrorKind::OutsideWindow);
    put(&store, "a", "1");
    put(&store, "b", "2");
    assert_eq!(Slice::newest(&store).expect("told"), Lsn::ZERO);
    assert_eq!(refused(&store, 0, 2), ErrorKind::OutsideWindow);
    let reader = place.reader();
    assert_eq!((reader.head(), Slice::newest(&reader).expect("told")), (Lsn::new(2), Lsn::ZERO));
    assert_eq!(refused(&reader, 0, 2), ErrorKind::OutsideWindow);
    store.sync().expect("durable");
    put(&store, "c", "3");
    reader.refresh().expect("refreshed");
    assert_eq!(Slice::newest(&reader).expect("told"), Lsn::new(2), "the last frame vouches");
    assert_eq!(take(&reader, 0, 2), take(&store, 0, 2));
    assert_eq!(refused(&store, 2, 2), ErrorKind::Invalid);
    assert_eq!(refused(&store, 2, 1), ErrorKind::Invalid);
    assert_eq!(refused(&store, 0, 9), ErrorKind::OutsideWindow);
    store.close().expect("closed");
    assert_eq!(Slice::newest(&place.reader()).expect("told"), Lsn::new(3));
}

#[test]
fn slices_are_taken_while_others_write() {
    let place = Place::new();
    let store = place.open();
    let ended = AtomicBool::new(false);
    let slices = std::thread::scope(|scope| {
        for thread in 0..2 {
            let (store, ended) = (&store, &ended);
            scope.spawn(move || {
                for n in 0..400 {
                    put(store, &format!("{thread}-{}", n % 9), &"x".repeat(n % 11 * 60));
                    if n % 16 == 0 {
                        store.sync().expect("durable");
                    }
                }
                store.sync().expect("durable");
                ended.store(true, Ordering::Release);
            });
        }
        let reader = place.reader();
        let mut slices: Vec<Slice> = Vec::new();
        loop {
            let is_last = ended.load(Ordering::Acquire) && store.head() == Lsn::new(800);
            reader.refresh().expect("refreshed");
            let source = if slices.len().is_multiple_of(2) { &store } else { &reader };
            let after = slices.last().map_or(Lsn::ZERO, Slice::last);
            let newest = Slice::newest(source).expect("told");
            if newest > after {
                slices.push(Slice::take(source, after, newest, 3000).expect("taken"));
            } else if is_last {
                break slices;
            }
            std::thread::yield_now();
        }
    });
    let last = slices.last().expect("slices").last().get();
    assert!(last > 700, "{last}");
    assert_rebuilt(&store, &build(&slices, last, &place.beside("copy.store")).expect("built"));
}

#[test]
fn a_store_that_was_built_can_be_sliced_and_built_again() {
    let place = Place::new();
    let mut store = place.open();
    for round in 0..4 {
        fill(&store, 15);
        let (slices, head) = (cut(&store, 4), store.head().get());
        let report = build(&slices, head, &place.beside(&format!("{round}.store"))).expect("built");
        assert_rebuilt(&store, &report);
        store = Place::options().open(&report.directory).expect("opened");
        assert_eq!(store.timeline(), round + 2);
    }
}

#[test]
fn nothing_is_built_where_something_stands() {
    let place = Place::new();
    let store = place.open();
    fill(&store, 3);
    let slices = cut(&store, 3);
    let directory = place.beside("full");
    fs::create_dir(&directory).expect("created");
    fs::write(directory.join("letter"), "dear").expect("written");
    let refused = build(&slices, 3, &directory).expect_err("refused");
    assert_eq!(refused.code().id, code::DIRECTORY_NOT_EMPTY.id);
    fs::remove_file(directory.join("letter")).expect("removed");
    build(&slices, 3, &directory).expect("into an empty directory");
    let refused = build(&slices, 3, &directory).expect_err("refused");
    assert_eq!(refused.code().id, code::DIRECTORY_NOT_EMPTY.id);
    let file = place.beside("file");
    fs::write(&file, "dear").expect("written");
    let refused = build(&slices, 3, &file).expect_err("refused");
    assert_eq!(refused.code().id, code::NOT_A_DIRECTORY.id);
}

/// A6: a target that is outside of what the slices hold is refused, and the message says what they
/// hold.
#[test]
fn a_moment_behind_the_last_slice_is_refused_with_the_window() {
    let place = Place::new();
    let store = place.open();
    fill(&store, 5);
    let directory = place.beside("copy.store");
    let refused = build(&cut(&store, 2), 6, &directory).expect_err("refused");
    assert_eq!(refused.code().id, code::OUTSIDE_WINDOW.id);
    assert!(refused.message().contains("LSN 1 to 5"), "{refused}");
    assert!(!directory.exists());
    let refused = build(&[], 1, &directory).expect_err("refused");
    assert_eq!(refused.code().id, code::OUTSIDE_WINDOW.id);
}
