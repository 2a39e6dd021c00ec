//! What does it cost to prove and to walk what happened: digests, checksums, versions,
//! transactions?

#![expect(clippy::expect_used, reason = "a bench that fails should stop")]

mod common;

use std::hint::black_box;

use afterimage::testing::parts::{PartChange, PartDigest, checksum, decode_frame, encode_frame};
use afterimage::{CodecId, Durability, Image};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

use common::{COLLECTION, fill, key, put, store};

fn image(bytes: &[u8]) -> Image<'_> {
    Image::new(bytes, CodecId::Raw)
}

/// Bytes of values, or of frames.
const SIZES: [usize; 2] = [100, 10_000];

fn digests(c: &mut Criterion) {
    let mut group = c.benchmark_group("history::digest");
    for bytes in SIZES {
        let (before, after) = (vec![b'b'; bytes], vec![b'a'; bytes]);
        let mut digest = PartDigest::of(COLLECTION);
        let key = key(17);
        group.throughput(Throughput::Bytes(2 * bytes as u64));
        group.bench_function(format!("op=update,value_bytes={bytes}"), |b| {
            b.iter(|| {
                let before = Some(image(black_box(&before)));
                black_box(digest.replace(&key, before, Some(image(&after))));
            });
        });
    }
    group.finish();
}

fn checksums(c: &mut Criterion) {
    let mut group = c.benchmark_group("history::crc");
    for bytes in SIZES {
        let frame = vec![b'f'; bytes];
        group.throughput(Throughput::Bytes(bytes as u64));
        group.bench_function(format!("frame_bytes={bytes}"), |b| {
            b.iter(|| black_box(checksum(black_box(&frame))));
        });
    }
    group.finish();
}

/// A frame read back: its checksum, its header, each change.
fn decode(c: &mut Criterion) {
    let mut group = c.benchmark_group("history::decode");
    let value = [b'v'; 100];
    for changes in [1, 1000] {
        let keys: Vec<_> = (0..changes).map(key).collect();
        let creates: Vec<_> =
            keys.iter().map(|key| PartChange { key, before: None, after: image(&value) }).collect();
        let mut frame = Vec::new();
        encode_frame(&creates, &mut frame);
        assert_eq!(decode_frame(&frame), Some(creates.len()));
        group.throughput(Throughput::Bytes(frame.len() as u64));
        group.bench_function(format!("changes={changes}"), |b| {
            b.iter(|| black_box(decode_frame(black_box(&frame))));
        });
    }
    group.finish();
}

/// The versions of one record among others, and the transactions of the journal.
fn walks(c: &mut Criterion) {
    let (_directory, store) = store(Durability::Process);
    fill(&store, 1000, 1000);
    for turn in 0..10_000 {
        put(&store, turn % 10..turn % 10 + 1, turn);
    }
    let mut group = c.benchmark_group("history::walk");
    let key = key(7);
    group.throughput(Throughput::Elements(1001));
    group.bench_function("versions=1001", |b| {
        b.iter(|| {
            let history = store.record_history(COLLECTION, &key).expect("a record");
            let images = history.filter_map(|version| version.expect("read").after());
            assert_eq!(images.map(|image| image.bytes().len()).sum::<usize>(), 1001 * 100);
        });
    });
    group.throughput(Throughput::Elements(10_001));
    group.bench_function("transactions=10001", |b| {
        b.iter(|| {
            let transactions = store.transactions(..).expect("kept");
            let changes = transactions.map(|tx| tx.expect("read").changes().count());
            assert!(changes.sum::<usize>() > 10_000);
        });
    });
    group.finish();
}

criterion_group!(history, digests, checksums, decode, walks);
criterion_main!(history);
