//! What does a read cost, now and in the past? Backs the figures in docs/benchmarks.md.

#![expect(clippy::expect_used, reason = "a bench that fails should stop")]

use std::hint::black_box;

use afterimage::{CodecId, Durability, Image, KeyRange, Lsn, Store};
use criterion::{Criterion, criterion_group, criterion_main};

fn store(records: u64, versions: u64) -> (tempfile::TempDir, Store) {
    let directory = tempfile::tempdir().expect("a directory");
    let options = Store::options().durability(Durability::Process);
    let store = options.open(directory.path().join("bench.store")).expect("a store");
    for version in 0..versions {
        let mut tx = store.begin().expect("begun");
        for key in 0..records {
            let value = [u8::try_from(version % 256).expect("small"); 100];
            tx.put_image("things", &key.to_le_bytes(), Image::new(&value, CodecId::Raw))
                .expect("put");
        }
        tx.commit().expect("committed");
    }
    (directory, store)
}

fn benches(c: &mut Criterion) {
    // Twice the history must not make a read dearer.
    for versions in [4, 8] {
        let records = 50_000;
        let (_directory, store) = store(records, versions);
        let mut key = 0_u64;
        let mut next = || {
            key = (key.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1)) % records;
            key.to_le_bytes()
        };
        let now = store.snapshot();
        c.bench_function(&format!("read::get/versions={versions}"), |b| {
            b.iter(|| black_box(now.record("things", &next()).expect("read").is_some()));
        });
        let past = store.snapshot_at(Lsn::new(versions - 2)).expect("kept");
        c.bench_function(&format!("read::as_of/back=2,versions={versions}"), |b| {
            b.iter(|| black_box(past.record("things", &next()).expect("read").is_some()));
        });
        c.bench_function(&format!("read::scan/records=1000,versions={versions}"), |b| {
            b.iter(|| {
                let scan = now.scan("things", KeyRange::all()).expect("scan");
                black_box(
                    scan.take(1000)
                        .map(|record| record.expect("read").image().bytes().len())
                        .sum::<usize>(),
                )
            });
        });
    }
}

criterion_group!(read, benches);
criterion_main!(read);
