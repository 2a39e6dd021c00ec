//! The real thing, under real file systems: killed processes, cut power, full and failing disks.
//!
//! A worker process tells each commit that was acknowledged, with the digest of the state behind
//! it; what is left of its store must hold all of them. Killing a process proves nothing about
//! power cuts, since the page cache survives. The cuts are made in two ways:
//!
//! * By the shutdown call of ext4 and XFS on a loop device, which drops what was not synced. A sync
//!   that is under way at that moment may say that all went well, as a program of ten lines that
//!   only writes and syncs shows, too: so what was told before the cut counts, and no more.
//! * From a log of what the kernel wrote to the device (`reorder.rs`): of the writes since the last
//!   flush any may be missing or torn. What was told counts if its flush is in the image.
//!
//! A device of which a sector can't be written (`sector.rs`) shows what becomes of failed syncs.
//!
//! All this needs root and `mkfs`; the shutdown call `python3`, the devices `qemu-storage-daemon`
//! and `filefrag`. Where they are missing, the test says that it is skipped. What can't be found
//! here: devices that say "synced" and have not, sectors that are torn inside, and file systems
//! other than these two.
//!
//! More of it: `AFTERIMAGE_KILLS=2000 AFTERIMAGE_CUTS=1000 AFTERIMAGE_IMAGES=10000
//! AFTERIMAGE_FAULTS=500 cargo test --release --test power`.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a broken promise fails the test; what was tried is told"
)]

mod blocks;
mod imports;
mod log;
mod mount;
#[path = "../kit/number.rs"]
mod number;
#[path = "../kit/random.rs"]
mod random;
mod reorder;
mod restores;
mod sector;
#[path = "../kit/skipped.rs"]
mod skipped;
mod undos;
mod worker;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use afterimage::{
    CodecId, Durability, ErrorKind, EventSource, Image, KeyRange, Lsn, Options, Store, VerifyDepth,
    export_state,
};
use mount::Mounted;
use number::number;
use random::Random;
use skipped::skipped;
use worker::{Counts, listen, start};

/// Small segments and few changes between checkpoints, so that a short run has many of both.
fn options() -> Options {
    Store::options()
        .segment_bytes(128 << 10)
        .checkpoint_every(256 << 10)
        .durability(Durability::Sync)
}

fn put(store: &Store, key: &str, bytes: &[u8]) -> afterimage::Result<Lsn> {
    let image = Image::new(bytes, CodecId::Raw);
    store.write(|tx| tx.put_image("things", key.as_bytes(), image)).map(|commit| commit.lsn())
}

#[test]
fn a_killed_process_loses_nothing_it_told() {
    let place = tempfile::tempdir().expect("a directory");
    let path = place.path().join("killed.store");
    let mut random = Random(7);
    let rounds = number("AFTERIMAGE_KILLS", 20);
    let mut last = 0;
    for round in 0..rounds {
        if round % 50 == 0 {
            drop(std::fs::remove_dir_all(&path));
        }
        let mut child = start(&path, round);
        let told = listen(&mut child, 1 + random.below(60), Counts::Always, |child| {
            child.kill().expect("killed");
        });
        assert!(told.promised > 0, "round {round}: it was killed while it wrote");
        told.check(&path, round);
        last = last.max(told.promised);
    }
    println!("kills: {rounds}, up to LSN {last}");
}

fn cut(kind: &str) {
    let Some(mut mounted) = Mounted::new(kind, 320) else { return };
    let path = mounted.path().join("cut.store");
    let mut random = Random(11);
    let rounds = number("AFTERIMAGE_CUTS", 6);
    for round in 0..rounds {
        if round % 40 == 0 {
            drop(std::fs::remove_dir_all(&path));
        }
        let mut child = start(&path, round);
        let told = listen(&mut child, 1 + random.below(40), Counts::BeforeTheStop, |child| {
            mounted.cut();
            child.kill().expect("killed");
        });
        mounted.again();
        told.check(&path, round);
    }
    println!("{kind}: {rounds} power cuts");
}

#[test]
fn a_power_cut_on_ext4_loses_nothing_acknowledged() {
    cut("ext4");
}

#[test]
fn a_power_cut_on_xfs_loses_nothing_acknowledged() {
    cut("xfs");
}

fn scan(store: &Store) -> usize {
    let snapshot = store.snapshot();
    let records = snapshot.scan("things", KeyRange::all()).expect("a collection");
    records.filter(|record| record.as_ref().expect("readable").lsn() > Lsn::ZERO).count()
}

/// Writes until the disk is full; what is at the second path can be removed to make room.
fn until_full(
    directory: &Path,
    method: afterimage::AppendMethod,
) -> (Store, PathBuf, PathBuf, Lsn) {
    let ballast = directory.join("ballast");
    std::fs::write(&ballast, vec![1; 4 << 20]).expect("room");
    let path = directory.join("full.store");
    let store = options().segment_bytes(1 << 20).append(method).open(&path).expect("it opens");
    let (mut acknowledged, mut refused) = (Lsn::ZERO, 0);
    for number in 0_u64.. {
        match put(&store, &format!("key-{number}"), &[b'x'; 5000]) {
            Ok(lsn) => acknowledged = lsn,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Full, "{error:?}");
                refused += 1;
            }
        }
        if refused == 20 {
            break;
        }
    }
    assert!(acknowledged > Lsn::ZERO);
    assert_eq!(store.head(), acknowledged, "what was refused is not there");
    (store, path, ballast, acknowledged)
}

/// Writes until the disk is full, and goes on when there is room again.
fn fill(directory: &Path, method: afterimage::AppendMethod) {
    let (store, path, ballast, acknowledged) = until_full(directory, method);
    assert!(scan(&store) as u64 >= acknowledged.get() - 2, "reading goes on");
    let mut exported = Vec::new();
    let records =
        export_state(&store.snapshot(), &[], EventSource { store: store.id() }, &mut exported)
            .expect("so does exporting");
    assert!(records >= acknowledged.get() - 2 && exported.len() > 5000, "{records}");
    let past = store.snapshot_at(acknowledged.previous()).expect("and looking back");
    past.digest().expect("all of it is known");
    std::fs::remove_file(&ballast).expect("removed");
    let resumed = put(&store, "again", b"there is room").expect("writing goes on");
    assert_eq!(resumed, acknowledged.next());
    store.close().expect("closed");
    let store = options().append(method).open(&path).expect("the store opens again");
    assert_eq!(store.head(), resumed);
    let report = store.verify(VerifyDepth::Deep, &mut |_| {}).expect("looked");
    assert!(report.valid, "{report:?}");
}

#[test]
fn accident_a1_a_full_disk_is_an_error_and_writing_goes_on_when_there_is_room() {
    use afterimage::AppendMethod::{Map, Pwrite};
    for (kind, method) in [("ext4", Map), ("ext4", Pwrite), ("tmpfs", Map), ("tmpfs", Pwrite)] {
        let Some(mounted) = Mounted::new(kind, 24) else { return };
        fill(&mounted.path(), method);
    }
}

#[test]
fn a_limit_on_the_size_of_files_is_an_error() {
    let place = tempfile::tempdir().expect("a directory");
    let path = place.path().join("limited.store");
    options().open(&path).and_then(Store::close).expect("created");
    let program = std::env::current_exe().expect("the test runs");
    // The signal that goes with the limit is ignored, as programs that handle the error do.
    let script = "trap '' XFSZ; ulimit -f 64; exec \"$0\" \"$1\" --exact --nocapture";
    let mut child = Command::new("sh")
        .args(["-c", script])
        .arg(program)
        .arg(worker::NAME)
        .env(worker::WORKER, &path)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("a shell");
    let told = listen(&mut child, u64::MAX, Counts::Always, |_| {});
    told.check(&path, 0);
}
