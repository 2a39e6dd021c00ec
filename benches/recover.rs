//! What does opening cost, after a checkpoint and without one? Backs the figures in
//! docs/benchmarks.md.

#![expect(clippy::expect_used, reason = "a bench that fails should stop")]

mod common;

use std::path::{Path, PathBuf};

use afterimage::{Durability, Store};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tempfile::TempDir;

use common::{COLLECTION, fill, key, store};

/// A closed store of so many records, so many a transaction, with its checkpoint or without.
fn closed(records: u64, a_transaction: u64, checkpoint: bool) -> (TempDir, PathBuf) {
    let (directory, store) = store(Durability::Process);
    let path = store.path().to_path_buf();
    fill(&store, records, a_transaction);
    store.checkpoint().expect("a checkpoint");
    store.close().expect("closed");
    if !checkpoint {
        // A cache: opening goes on without it, from the first transaction.
        for entry in std::fs::read_dir(path.join("state")).expect("listed") {
            std::fs::remove_file(entry.expect("an entry").path()).expect("removed");
        }
    }
    (directory, path)
}

fn open(path: &Path, records: u64) {
    let store = Store::options().read_only(true).open(path).expect("opened");
    let last = store.snapshot().record(COLLECTION, &key(records - 1)).expect("read").is_some();
    assert!(last, "all of it is there");
}

fn after_a_checkpoint(c: &mut Criterion) {
    let mut group = c.benchmark_group("recover::open");
    group.sample_size(10);
    for records in [100_000, 1_000_000] {
        let (_directory, path) = closed(records, 1000, true);
        group.throughput(Throughput::Elements(records));
        group.bench_function(format!("records={records},after=checkpoint"), |b| {
            b.iter(|| open(&path, records));
        });
    }
    group.finish();
}

/// Each transaction is checked and applied again, one by one: many small ones, and few large ones.
fn replay(c: &mut Criterion) {
    let mut group = c.benchmark_group("recover::replay");
    group.sample_size(10);
    for (records, changes) in [(200_000, 1), (200_000, 1000)] {
        let (_directory, path) = closed(records, changes, false);
        let transactions = records / changes;
        group.throughput(Throughput::Elements(records));
        group.bench_function(format!("transactions={transactions},changes={changes}"), |b| {
            b.iter(|| open(&path, records));
        });
    }
    group.finish();
}

criterion_group!(recover, after_a_checkpoint, replay);
criterion_main!(recover);
