//! What does a write cost? Backs the figures in docs/benchmarks.md.

#![expect(clippy::expect_used, reason = "a bench that fails should stop")]

use std::hint::black_box;

use afterimage::{CodecId, Durability, Image, Store};
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};

const VALUE: [u8; 100] = [b'v'; 100];

fn store(durability: Durability) -> (tempfile::TempDir, Store) {
    let directory = tempfile::tempdir().expect("a directory");
    let options = Store::options().durability(durability);
    let store = options.open(directory.path().join("bench.store")).expect("a store");
    (directory, store)
}

fn put(store: &Store, key: u64) {
    let image = Image::new(&VALUE, CodecId::Raw);
    let key = format!("{:016x}", key.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let committed = store.write(|tx| tx.put_image("things", key.as_bytes(), image));
    black_box(committed.expect("committed"));
}

fn benches(c: &mut Criterion) {
    // A put of 100 bytes over a record that exists: both images are written.
    for keys in [10_000, 100_000] {
        let (_directory, store) = store(Durability::Process);
        (0..keys).for_each(|key| put(&store, key));
        let mut next = 0;
        c.bench_function(&format!("write::put/durability=process,keys={keys}"), |b| {
            b.iter(|| {
                next = (next + 1) % keys;
                put(&store, next);
            });
        });
    }
    let (_directory, durable) = store(Durability::Sync);
    let mut next = 0;
    c.bench_function("write::put/durability=sync", |b| {
        b.iter(|| {
            next = (next + 1) % 1000;
            put(&durable, next);
        });
    });
    let (_directory, batched) = store(Durability::Process);
    c.bench_function("write::batch/puts=1000", |b| {
        b.iter_batched(
            || batched.begin().expect("begun"),
            |mut tx| {
                for key in 0..1000_u64 {
                    let image = Image::new(&VALUE, CodecId::Raw);
                    tx.put_image("batch", &key.to_le_bytes(), image).expect("put");
                }
                black_box(tx.commit().expect("committed"));
            },
            BatchSize::SmallInput,
        );
    });
}

criterion_group!(write, benches);
criterion_main!(write);
