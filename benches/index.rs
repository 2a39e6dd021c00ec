//! What does the index cost by itself: a new record, a known one, and looking one up?

#![expect(clippy::expect_used, reason = "a bench that fails should stop")]

mod common;

use std::hint::black_box;

use afterimage::Durability;
use afterimage::testing::parts::PartIndex;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};

use common::{COLLECTION, fill, key, store};

const RECORDS: [u64; 2] = [10_000, 200_000];

fn filled(records: u64) -> PartIndex {
    let mut index = PartIndex::default();
    (0..records).for_each(|n| index.set(&key(n), true));
    index
}

fn delta(c: &mut Criterion) {
    let mut group = c.benchmark_group("index::delta");
    for records in RECORDS {
        group.throughput(Throughput::Elements(1000));
        group.bench_function(format!("op=insert,records={records}"), |b| {
            b.iter_batched_ref(
                || filled(records),
                |index| (records..records + 1000).for_each(|n| index.set(&key(n), true)),
                BatchSize::LargeInput,
            );
        });
        group.throughput(Throughput::Elements(1));
        let mut index = filled(records);
        let mut next = 0;
        group.bench_function(format!("op=update,records={records}"), |b| {
            b.iter(|| {
                next = (next + 7919) % records;
                index.set(&key(next), false);
            });
        });
        group.bench_function(format!("op=get,records={records}"), |b| {
            b.iter(|| {
                next = (next + 7919) % records;
                black_box(index.has(&key(next)));
            });
        });
    }
    group.finish();
}

fn base(c: &mut Criterion) {
    let mut group = c.benchmark_group("index::checkpoint");
    group.sample_size(10);
    for records in RECORDS {
        group.throughput(Throughput::Elements(records));
        group.bench_function(format!("records={records}"), |b| {
            b.iter_batched_ref(
                || {
                    let (directory, store) = store(Durability::Process);
                    fill(&store, records, 1000);
                    store.sync().expect("synced");
                    (directory, store)
                },
                |(_, store)| black_box(store.checkpoint().expect("written")),
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
    let (_directory, store) = store(Durability::Process);
    let records = 200_000;
    fill(&store, records, 1000);
    store.checkpoint().expect("written");
    let snapshot = store.snapshot();
    let mut next = 0;
    let mut group = c.benchmark_group("index::base");
    group.bench_function(format!("op=get,records={records}"), |b| {
        b.iter(|| {
            next = (next + 7919) % records;
            black_box(snapshot.record(COLLECTION, &key(next)).expect("read"));
        });
    });
    group.finish();
}

criterion_group!(benches, delta, base);
criterion_main!(benches);
