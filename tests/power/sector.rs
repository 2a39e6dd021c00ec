//! A sector that can't be written, or read, under a real file system.
//!
//! The kernel tells a failed write once and then takes the page for clean: a second sync succeeds,
//! and whoever reads the file, in another process too, is shown what the disk does not have.

use std::path::{Path, PathBuf};

use afterimage::{ErrorKind, KeyRange, Lsn, Store, VerifyDepth};

use crate::blocks::{Blocks, Fault, Through};
use crate::log::SECTOR;
use crate::worker::{Told, hear, start};
use crate::{Random, number, options, put};

const STORE: &str = "failing.store";
const BLOCK_BYTES: u64 = 4096;

/// Writes some history and closes the store, so that the next writer goes on in the same segment.
fn history(path: &Path, random: &mut Random) -> Told {
    let store = options().open(path).expect("the store opens");
    let mut told = Told::default();
    for number in 0..=random.below(20) {
        let value = vec![b'x'; usize::try_from(random.below(3000)).expect("small")];
        let lsn = put(&store, &format!("old-{number}"), &value).expect("written");
        let digest = store.transaction(lsn).expect("it is there").digest();
        told.lines.push((lsn.get(), digest.to_string()));
        told.promised = lsn.get();
    }
    store.close().expect("closed");
    told
}

/// The segment that is being written.
fn active_segment(store: &Path) -> PathBuf {
    let entries = std::fs::read_dir(store.join("journal")).expect("a directory");
    entries.map(|entry| entry.expect("an entry").path()).max().expect("a segment")
}

/// The first sector on the device of a block of a file.
fn sector_of(file: &Path, block: u64) -> u64 {
    let extents = Blocks::extents(&[file.to_owned()]);
    let at = extents.iter().find(|at| (at.logical..at.logical + at.length).contains(&block));
    let at = at.expect("the file has this block");
    (at.physical + block - at.logical) * (BLOCK_BYTES / SECTOR)
}

/// A sector that the next commits write: where the newest frame ends, or a little behind it.
fn next_sector(store: &Path, random: &mut Random) -> u64 {
    let segment = active_segment(store);
    let bytes = std::fs::read(&segment).expect("readable");
    let end = bytes.iter().rposition(|byte| *byte != 0).expect("it has a header") as u64;
    let block = (end / BLOCK_BYTES + random.below(3)).min(bytes.len() as u64 / BLOCK_BYTES - 1);
    sector_of(&segment, block) + random.below(BLOCK_BYTES / SECTOR)
}

/// Has a worker write until it fails; says whether it did. Nothing it tells is told after that.
fn write_until_it_fails(path: &Path, seed: u64, told: &mut Told) -> bool {
    const LINES_MAX: usize = 100;
    let mut failed = None;
    let mut count = 0;
    hear(&mut start(path, seed), |child, line| {
        if let Some((_, what)) = line.split_once("failed ") {
            failed.get_or_insert_with(|| what.to_owned());
        }
        if told.line(line) {
            assert_eq!(failed, None, "nothing is acknowledged after a failure");
            count += 1;
        }
        if count == LINES_MAX {
            child.kill().expect("killed");
        }
    });
    told.promised = told.lines.last().map_or(0, |(lsn, _)| *lsn);
    let Some(failed) = failed else { return false };
    let expected = ["Io then Err(Poisoned)", "Poisoned then Err(Poisoned)"];
    assert!(expected.contains(&&*failed), "{failed}");
    true
}

/// A sector of a sealed segment that can't be read: what stands in it is an error, each time; all
/// else is served, and nothing is lost when it can be read again.
fn fail_to_read(kind: &str) {
    let Some(mut blocks) = Blocks::new(kind) else { return };
    let path = blocks.mount_point().join(STORE);
    assert!(blocks.mount(Through::Nothing), "mounted");
    let store = options().open(&path).expect("the store opens");
    for number in 0..200 {
        put(&store, &format!("key-{number}"), &[b'x'; 3000]).expect("written");
    }
    let head = store.head().get();
    store.close().expect("closed");
    let segment = path.join("journal/00000002.seg");
    let mut failed = 0;
    for block in [3, 30] {
        let sector = sector_of(&segment, block);
        blocks.unmount();
        assert!(blocks.mount(Through::Fault(Fault { sector, of: "read", once: false })), "mounted");
        let store = options().open(&path).expect("the store opens");
        for _ in 0..2 {
            let answers: Vec<_> =
                (1..=head).map(|lsn| store.transaction(Lsn::new(lsn)).map(|_| ())).collect();
            let errors: Vec<_> =
                answers.iter().filter_map(|answer| answer.as_ref().err()).collect();
            assert!(errors.iter().all(|error| error.kind() == ErrorKind::Io), "{errors:?}");
            // Transactions behind it are found by way of those before them, a stretch at a time.
            assert!((1..50).contains(&errors.len()), "{errors:?}");
            failed += errors.len();
        }
        let snapshot = store.snapshot();
        let scanned = snapshot.scan("things", KeyRange::all()).expect("a collection");
        assert!(scanned.filter(Result::is_err).count() < 10, "the others are served");
        put(&store, "more", b"is written").expect("writing goes on");
        drop(store);
    }
    blocks.unmount();
    assert!(blocks.mount(Through::Nothing), "mounted");
    let store = options().open(&path).expect("the store opens");
    let report = store.verify(VerifyDepth::Deep, &mut |_| {}).expect("looked");
    assert!(report.valid, "{report:?}");
    println!("{kind}: {failed} transactions that could not be read");
}

#[test]
fn a_sector_below_ext4_that_cannot_be_read_is_an_error_and_no_signal() {
    fail_to_read("ext4");
}

#[test]
fn a_sector_below_xfs_that_cannot_be_read_is_an_error_and_no_signal() {
    fail_to_read("xfs");
}

/// The head of a store and the digest of its state.
fn head(store: &Store) -> (Lsn, String) {
    let head = store.head();
    (head, store.transaction(head).expect("it is there").digest().to_string())
}

/// Opens the store while the sector fails, in another process than the one that wrote. What it then
/// serves must be what the disk has.
fn reopen(path: &Path, told: &Told, round: u64) -> Option<(Lsn, String)> {
    match options().read_only(round.is_multiple_of(2)).open(path) {
        Ok(store) => {
            let seen = head(&store);
            assert!(seen.0.get() >= told.promised, "round {round}: {seen:?}");
            // Closing syncs, too, and the sector may be in the way; dropping it would do the same.
            drop(store.close());
            Some(seen)
        }
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Io, "round {round}: {error:?}");
            None
        }
    }
}

#[derive(Debug, Default)]
struct Tried {
    rounds: u64,
    failed: u64,
    reopened: u64,
    refused: u64,
}

fn fail(kind: &str) {
    let Some(mut blocks) = Blocks::new(kind) else { return };
    let path = blocks.mount_point().join(STORE);
    let rounds = number("AFTERIMAGE_FAULTS", 6);
    let mut random = Random(rounds);
    let mut tried = Tried { rounds, ..Tried::default() };
    for round in 0..rounds {
        assert!(blocks.mount(Through::Nothing), "mounted");
        drop(std::fs::remove_dir_all(&path));
        let mut told = history(&path, &mut random);
        let sector = if round % 4 == 3 {
            sector_of(&path.join("CONTROL"), random.below(2))
        } else {
            next_sector(&path, &mut random)
        };
        blocks.unmount();
        let fault = Fault { sector, of: "write", once: random.below(2) == 0 };
        assert!(blocks.mount(Through::Fault(fault)), "mounted");
        tried.failed += u64::from(write_until_it_fails(&path, round, &mut told));
        let mut seen = None;
        for _ in 0..2 {
            let opened = reopen(&path, &told, round);
            tried.reopened += u64::from(opened.is_some());
            tried.refused += u64::from(opened.is_none());
            seen = opened.or(seen);
        }
        // The kernel forgets what it held of the files.
        blocks.unmount();
        assert!(blocks.mount(Through::Nothing), "mounted");
        if let Some(seen) = seen {
            let store = options().open(&path).expect("the store opens");
            assert_eq!(head(&store), seen, "round {round}: what was served is on the disk");
        }
        told.check(&path, round);
        let store = options().open(&path).expect("the store opens");
        put(&store, "after", b"the fault").expect("writing goes on");
        store.close().expect("closed");
        blocks.unmount();
    }
    println!("{kind}: {tried:?}");
    assert!(tried.failed * 2 >= tried.rounds, "most faults were hit");
}

#[test]
fn a_sector_below_ext4_that_fails_is_an_error_and_what_the_disk_lacks_is_not_believed() {
    fail("ext4");
}

#[test]
fn a_sector_below_xfs_that_fails_is_an_error_and_what_the_disk_lacks_is_not_believed() {
    fail("xfs");
}
