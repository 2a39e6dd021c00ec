//! Processes that read a store while another one writes it never see half a transaction.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use afterimage::{CodecId, Image, KeyRange, Lsn, Snapshot, Store};

use crate::history::value;
use crate::{Random, number, options};

/// What the follower follows or the writer writes, and the mark after which it ends.
const STORE: &str = "AFTERIMAGE_FOLLOWED";
const WRITTEN: &str = "AFTERIMAGE_FOLLOWED_WRITER";
const LAST: &str = "AFTERIMAGE_FOLLOWED_TO";

/// So often a follower looks at most; a writer that never comes to its end fails the test.
const LOOKS_MAX: u64 = 50_000_000;

/// How many records there are behind the transaction of this mark.
fn records(mark: u64) -> u64 {
    3 + mark % 7
}

/// Every record carries the mark of the transaction that wrote it last, and each transaction writes
/// all of them, some to delete them.
fn write(store: &Store, mark: u64) -> Lsn {
    let written = store.write(|tx| {
        for n in 0..records(mark).max(records(mark.saturating_sub(1))) {
            let key = format!("r{n}");
            if n < records(mark) {
                let bytes = [mark.to_le_bytes(); 20].concat();
                tx.put_image("marks", key.as_bytes(), Image::new(&bytes, CodecId::Raw))?;
            } else {
                tx.delete_record("marks", key.as_bytes())?;
            }
        }
        Ok(())
    });
    written.expect("written").lsn()
}

/// The mark that all records of a snapshot carry, which must be one.
fn mark(snapshot: &Snapshot, reverse: bool) -> u64 {
    if snapshot.lsn() == Lsn::ZERO {
        return 0;
    }
    let scan = snapshot.scan("marks", KeyRange::all()).expect("a collection");
    let found: Vec<_> = if reverse { scan.rev().collect() } else { scan.collect() };
    let marks: Vec<u64> = found
        .into_iter()
        .map(|record| {
            let record = record.expect("readable");
            let (words, rest) = record.image().bytes().as_chunks::<8>();
            assert!(rest.is_empty() && words.iter().all(|word| *word == words[0]), "one value");
            value(&words[0])
        })
        .collect();
    let first = marks[0];
    assert!(marks.iter().all(|mark| *mark == first), "half a transaction: {marks:?}");
    assert_eq!(marks.len() as u64, records(first), "half a transaction: {marks:?}");
    first
}

/// The follower, in a process of its own: does nothing when the tests run it.
#[test]
fn follower() {
    let Ok(path) = std::env::var(STORE) else { return };
    let (last, reader) = (number(LAST, 0), Store::options().read_only(true));
    let mut random = Random(u64::from(std::process::id()));
    let mut store = reader.open(&path).expect("opened beside the writer");
    let (mut newest, mut moved, mut looks) = (0, 0_u64, 0_u64);
    while newest < last {
        looks += 1;
        assert!(looks < LOOKS_MAX, "the writer never came to its end");
        if random.below(200) == 0 {
            store = reader.open(&path).expect("opened beside the writer");
        }
        let lsn = store.refresh().expect("it continues what is known");
        let snapshot = store.snapshot();
        assert_eq!(snapshot.lsn(), lsn);
        let found = mark(&snapshot, random.below(2) == 0);
        assert!(found >= newest, "time does not go back");
        moved += u64::from(found > newest);
        newest = found;
        // One transaction for each mark, so that each moment has its own.
        let past = Lsn::new(1 + random.below(lsn.get().max(1)));
        if past <= lsn {
            assert_eq!(mark(&store.snapshot_at(past).expect("kept"), false), past.get());
        }
    }
    println!("told {looks} {moved}");
}

/// The writer that is killed, in a process of its own: does nothing when the tests run it.
#[test]
fn writer() {
    let Ok(path) = std::env::var(WRITTEN) else { return };
    let store = options().open(path).expect("opened");
    // Who was killed before may have written more than it told.
    println!("told {}", store.head());
    for mark in store.head().get() + 1..=number(LAST, 0) {
        assert_eq!(write(&store, mark), Lsn::new(mark));
        println!("told {mark}");
        if mark % 50 == 0 {
            store.checkpoint().expect("a checkpoint");
        }
    }
}

fn start(worker: &str, variable: &str, path: &Path, last: u64) -> Child {
    Command::new(std::env::current_exe().expect("the test runs"))
        .args([worker, "--exact", "--nocapture", "--test-threads=1"])
        .env(variable, path)
        .env(LAST, last.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the worker starts")
}

fn start_followers(path: &Path, last: u64) -> Vec<Child> {
    (0..2).map(|_| start("followers::follower", STORE, path, last)).collect()
}

/// How often followers looked, and how often they saw something new, when all have come to the end.
fn end(followers: Vec<Child>) -> (u64, u64) {
    let (mut looks, mut moved) = (0, 0);
    for mut follower in followers {
        let out = BufReader::new(follower.stdout.take().expect("a pipe"));
        for line in out.lines().map_while(Result::ok) {
            if let Some((_, numbers)) = line.split_once("told ") {
                let numbers: Vec<u64> =
                    numbers.split(' ').map(|word| word.parse().expect("a number")).collect();
                looks += numbers[0];
                moved += numbers[1];
            }
        }
        assert!(follower.wait().expect("ended").success(), "a follower failed");
    }
    assert!(moved > 0, "they saw the store change");
    (looks, moved)
}

#[test]
fn followers_in_other_processes_never_see_half_a_transaction() {
    let place = tempfile::tempdir().expect("a directory");
    let path = place.path().join("followed.store");
    let last = number("AFTERIMAGE_SERIAL", 4) * 100;
    let mut store = options().open(&path).expect("opened");
    write(&store, 1);
    let followers = start_followers(&path, last);
    let mut random = Random(3);
    for mark in 2..=last {
        assert_eq!(write(&store, mark), Lsn::new(mark));
        match random.below(60) {
            0 => drop(store.checkpoint().expect("a checkpoint")),
            1 => {
                store.close().expect("closed");
                store = options().open(&path).expect("opened");
            }
            _ => {}
        }
    }
    let (looks, moved) = end(followers);
    println!("{last} transactions, 2 followers: {looks} snapshots, {moved} of them new");
}

#[test]
fn followers_go_on_when_the_writer_is_killed_and_another_one_recovers() {
    let place = tempfile::tempdir().expect("a directory");
    let path = place.path().join("followed.store");
    let last = number("AFTERIMAGE_SERIAL", 4) * 50;
    write(&options().open(&path).expect("opened"), 1);
    let followers = start_followers(&path, last);
    let mut random = Random(5);
    let (mut kills, mut reached) = (0, 0);
    while reached < last {
        let mut child = start("followers::writer", WRITTEN, &path, last);
        let out = BufReader::new(child.stdout.take().expect("a pipe"));
        let (lines, mut count) = (1 + random.below(40), 0);
        for line in out.lines().map_while(Result::ok) {
            let Some((_, told)) = line.split_once("told ") else { continue };
            reached = told.parse().expect("a number");
            count += 1;
            if count == lines {
                child.kill().expect("killed");
                kills += 1;
            }
        }
        child.wait().expect("ended");
    }
    let (looks, moved) = end(followers);
    println!(
        "{last} transactions, {kills} kills of the writer, 2 followers: {looks} snapshots, {moved} \
         of them new"
    );
}
