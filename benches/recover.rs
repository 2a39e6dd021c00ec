//! What does opening cost? Backs the figures in docs/benchmarks.md.

#![expect(clippy::expect_used, reason = "a bench that fails should stop")]

use afterimage::{CodecId, Durability, Image, Store};
use criterion::{Criterion, criterion_group, criterion_main};

fn benches(c: &mut Criterion) {
    let mut group = c.benchmark_group("recover");
    group.sample_size(10);
    for records in [100_000_u64, 1_000_000] {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("bench.store");
        let store = Store::options().durability(Durability::Process).open(&path).expect("a store");
        for start in (0..records).step_by(1000) {
            let mut tx = store.begin().expect("begun");
            for key in start..start + 1000 {
                let key = format!("{:016x}", key.wrapping_mul(0x9e37_79b9_7f4a_7c15));
                tx.put_image("things", key.as_bytes(), Image::new(&[7; 100], CodecId::Raw))
                    .expect("put");
            }
            tx.commit().expect("committed");
        }
        store.checkpoint().expect("a checkpoint");
        store.close().expect("closed");
        group.bench_function(format!("open/records={records},after=checkpoint"), |b| {
            b.iter(|| {
                let store = Store::options().read_only(true).open(&path).expect("opened");
                assert_eq!(store.status().expect("status").records, records);
            });
        });
    }
    group.finish();
}

criterion_group!(recover, benches);
criterion_main!(recover);
