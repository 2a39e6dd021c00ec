//! What does it cost to take a transaction back out of a large store, to plan a restore over many
//! changes, and to make a copy of a moment? Backs the figures in docs/benchmarks.md.
//!
//! The large store takes some gigabytes in the temporary directory.

#![expect(clippy::expect_used, reason = "a bench that fails should stop")]

mod common;

use std::fs::{self, File};
use std::path::Path;

use afterimage::{Author, Durability, Lsn, Restore, Store, Undo, UndoMode};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};

use common::{fill, put, store};

/// Records of the large store, and the transactions that change one of them each.
const RECORDS: u64 = 1_000_000;
const TRANSACTIONS: u64 = 5_000_000;
/// Changes that a restore goes back over.
const CHANGES: u64 = 100_000;

/// Who only wants to see the bench run gets a hundredth of everything.
fn scaled(number: u64) -> u64 {
    let is_trial = std::env::args().any(|arg| arg == "--test");
    if is_trial { number / 100 } else { number }
}

/// A record of no order for each turn: the same one seldom comes again soon.
fn random(turn: u64) -> u64 {
    common::mixed(turn) % scaled(RECORDS)
}

fn large(c: &mut Criterion) {
    let (_directory, store) = store(Durability::Process);
    fill(&store, scaled(RECORDS), 1000);
    for turn in 0..scaled(TRANSACTIONS) {
        put(&store, random(turn)..random(turn) + 1, turn);
    }
    store.checkpoint().expect("a checkpoint");
    let by = Author { actor: Some("bench".into()), message: None };
    let mut group = c.benchmark_group("undo::one");
    group.sample_size(50);
    // Another one each time, so that there is something to take back.
    let mut lsn = Lsn::new(scaled(RECORDS) / 1000);
    group.bench_function("records=1000000,transactions=5000000", |b| {
        b.iter(|| {
            lsn = lsn.next();
            let undo = Undo::transaction(lsn).mode(UndoMode::Force);
            let undone = store.undo(&undo, &by).expect("undone");
            assert_eq!(undone.value().counts.changes(), 1);
        });
    });
    group.finish();
    let mut group = c.benchmark_group("undo::plan_restore");
    group.sample_size(10);
    group.throughput(Throughput::Elements(CHANGES));
    let target = Lsn::new(store.head().get() - scaled(CHANGES));
    group.bench_function("changes=100000", |b| {
        b.iter(|| {
            let plan = store.plan_restore(&Restore::to(target)).expect("planned");
            assert!(plan.counts().changes() > scaled(CHANGES) / 2);
            plan.id()
        });
    });
    group.finish();
}

/// A copy of a moment of a journal of a gigabyte, beside what the disk takes to copy as much. The
/// moment is in the middle of the last segment, so that one is cut.
fn copies(c: &mut Criterion) {
    let (directory, store) = store(Durability::Process);
    let journal = store.path().join("journal");
    for turn in 0.. {
        if turn % 64 == 0 && store.status().expect("status").journal_bytes > scaled(1_000_000_000) {
            break;
        }
        put(&store, turn * 100 % RECORDS..turn * 100 % RECORDS + 100, turn);
    }
    store.sync().expect("durable");
    let bytes = store.status().expect("status").journal_bytes;
    let mut group = c.benchmark_group("undo::into");
    group.sample_size(10);
    group.throughput(Throughput::Bytes(bytes));
    let target = directory.path().join("copy.store");
    let remove = || drop(fs::remove_dir_all(&target));
    group.bench_function("journal=1GB,restore", |b| {
        b.iter_batched(remove, |()| restore(&store, &target), BatchSize::PerIteration);
    });
    group.bench_function("journal=1GB,copy", |b| {
        b.iter_batched(remove, |()| copy(&journal, &target), BatchSize::PerIteration);
    });
    group.finish();
}

fn restore(store: &Store, target: &Path) {
    let to = store.head().previous();
    let restored = store.restore_into(to, target, &Author::default(), &mut |_| {});
    assert_eq!(restored.expect("restored").target_lsn, to);
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("created");
    for entry in fs::read_dir(from).expect("listed") {
        let path = entry.expect("an entry").path();
        let target = to.join(path.file_name().expect("a name"));
        fs::copy(&path, &target).expect("copied");
        File::open(&target).and_then(|file| file.sync_all()).expect("synced");
    }
}

criterion_group!(undo, large, copies);
criterion_main!(undo);
