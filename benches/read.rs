//! What does a read cost, now and in the past? Backs the figures in docs/benchmarks.md.

#![expect(clippy::expect_used, reason = "a bench that fails should stop")]

mod common;

use std::hint::black_box;

use afterimage::{Durability, KeyRange, Lsn, Snapshot, Store};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tempfile::TempDir;

use common::{COLLECTION, fill, key, mixed, put, store};

const RECORDS: u64 = 50_000;

/// Each transaction writes a version of all records.
fn store_with(versions: u64) -> (TempDir, Store) {
    let (directory, store) = store(Durability::Process);
    fill(&store, RECORDS, RECORDS);
    (1..versions).for_each(|version| put(&store, 0..RECORDS, version));
    (directory, store)
}

fn get(snapshot: &Snapshot, turn: &mut u64) -> bool {
    *turn += 1;
    let key = key(mixed(*turn) % RECORDS);
    snapshot.record(COLLECTION, &key).expect("read").is_some()
}

fn scan(snapshot: &Snapshot, records: usize) -> usize {
    let scan = snapshot.scan(COLLECTION, KeyRange::all()).expect("scan");
    scan.take(records).map(|record| record.expect("read").image().bytes().len()).sum()
}

fn gets(c: &mut Criterion) {
    // Twice the history must not make a read dearer.
    for versions in [4, 8] {
        let (_directory, store) = store_with(versions);
        let now = store.snapshot();
        let mut turn = 0;
        c.bench_function(&format!("read::get/versions={versions}"), |b| {
            b.iter(|| black_box(get(&now, &mut turn)));
        });
        c.bench_function(&format!("read::snapshot_and_get/versions={versions}"), |b| {
            b.iter(|| black_box(get(&store.snapshot(), &mut turn)));
        });
        let past = store.snapshot_at(Lsn::new(versions - 2)).expect("kept");
        c.bench_function(&format!("read::as_of/back=2,versions={versions}"), |b| {
            b.iter(|| black_box(get(&past, &mut turn)));
        });
    }
}

fn scans(c: &mut Criterion) {
    for versions in [4, 8] {
        let (_directory, store) = store_with(versions);
        let now = store.snapshot();
        let past = store.snapshot_at(Lsn::new(versions - 2)).expect("kept");
        for (name, back, snapshot) in [("scan", "", now), ("as_of_scan", "back=2,", past)] {
            let mut group = c.benchmark_group(format!("read::{name}"));
            for records in [1000, RECORDS] {
                let take = usize::try_from(records).expect("small");
                group.throughput(Throughput::Elements(records));
                let name = format!("records={records},{back}versions={versions}");
                group.bench_function(name, |b| b.iter(|| black_box(scan(&snapshot, take))));
            }
            group.finish();
        }
    }
}

criterion_group!(read, gets, scans);
criterion_main!(read);
