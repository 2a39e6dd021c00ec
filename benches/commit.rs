//! What does a write cost, and which part of it is the frame? Backs the figures in
//! docs/benchmarks.md.

#![expect(clippy::expect_used, reason = "a bench that fails should stop")]

mod common;

use std::hint::black_box;
use std::time::Duration;

use afterimage::testing::parts::{PartChange, encode_frame};
use afterimage::{CodecId, Durability, Image};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

use common::{fill, key, mixed, put, store};

/// A frame of updates, encoded and checksummed into memory.
fn encode(c: &mut Criterion) {
    let value = [b'v'; 100];
    let image = Image::new(&value, CodecId::Raw);
    let mut group = c.benchmark_group("commit::encode");
    for changes in [1, 1000] {
        let keys: Vec<_> = (0..changes).map(key).collect();
        let updates: Vec<_> =
            keys.iter().map(|key| PartChange { key, before: Some(image), after: image }).collect();
        let mut frame = Vec::new();
        encode_frame(&updates, &mut frame);
        group.throughput(Throughput::Bytes(frame.len() as u64));
        group.bench_function(format!("changes={changes}"), |b| {
            b.iter(|| black_box(encode_frame(black_box(&updates), &mut frame)));
        });
    }
    group.finish();
}

/// One record a transaction, over one that exists: both images are written.
fn update(c: &mut Criterion) {
    for keys in [10_000, 100_000] {
        let (_directory, store) = store(Durability::Process);
        fill(&store, keys, 1000);
        let mut turn = 0;
        c.bench_function(&format!("commit::put/durability=process,keys={keys}"), |b| {
            b.iter(|| {
                turn += 1;
                let index = mixed(turn) % keys;
                put(&store, index..index + 1, turn);
            });
        });
    }
}

/// One record a transaction, with a new key. Each one stays, so this is not measured for long.
fn create(c: &mut Criterion) {
    let (_directory, store) = store(Durability::Process);
    let mut group = c.benchmark_group("commit::put");
    group.warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(1));
    let mut next = 0;
    group.bench_function("durability=process,key=new", |b| {
        b.iter(|| {
            put(&store, next..next + 1, next);
            next += 1;
        });
    });
    group.finish();
}

fn batch(c: &mut Criterion) {
    let mut group = c.benchmark_group("commit::batch");
    group.throughput(Throughput::Elements(1000)).measurement_time(Duration::from_secs(2));
    for (name, durability) in [("process", Durability::Process), ("sync", Durability::Sync)] {
        let (_directory, store) = store(durability);
        let mut turn = 0;
        group.bench_function(format!("puts=1000,durability={name}"), |b| {
            b.iter(|| {
                turn += 1;
                let start = turn % 100 * 1000;
                put(&store, start..start + 1000, turn);
            });
        });
    }
    group.finish();
}

fn durable(c: &mut Criterion) {
    let (_directory, store) = store(Durability::Sync);
    let mut turn = 0;
    c.bench_function("commit::put/durability=sync", |b| {
        b.iter(|| {
            turn += 1;
            put(&store, turn % 1000..turn % 1000 + 1, turn);
        });
    });
}

criterion_group!(commit, encode, update, create, batch, durable);
criterion_main!(commit);
