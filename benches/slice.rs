//! What does it cost to take a journal of a gigabyte out of its store in slices, and to build a
//! store from them, beside what the disk takes to copy as much? Backs the figures in
//! docs/benchmarks.md.

#![expect(clippy::expect_used, reason = "a bench that fails should stop")]

mod common;

use std::fs::{self, File};
use std::path::Path;

use afterimage::{Author, Durability, Lsn, SLICE_BYTES, Slice, Store, rebuild};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};

use common::{fill, store};

/// Bytes of the journal; a hundredth for who only wants to see the bench run.
fn journal_bytes() -> u64 {
    let is_trial = std::env::args().any(|arg| arg == "--test");
    if is_trial { 10_000_000 } else { 1_000_000_000 }
}

/// Takes the whole journal, slice by slice.
fn take(store: &Store, mut each: impl FnMut(&Slice)) {
    let (mut after, newest) = (Lsn::ZERO, store.durable());
    while after < newest {
        let slice = Slice::take(store, after, newest, SLICE_BYTES).expect("taken");
        after = slice.last();
        each(&slice);
    }
}

fn slices(c: &mut Criterion) {
    let (directory, store) = store(Durability::Process);
    while store.status().expect("status").journal_bytes < journal_bytes() {
        // All of its records once more.
        fill(&store, journal_bytes() / 1000, 100);
    }
    store.sync().expect("durable");
    let bytes = store.status().expect("status").journal_bytes;
    let [kept, target] = ["slices", "copy.store"].map(|name| directory.path().join(name));
    let clear = |path: &Path| drop(fs::remove_dir_all(path));
    let mut group = c.benchmark_group("slice");
    group.sample_size(10);
    group.throughput(Throughput::Bytes(bytes));
    group.bench_function("journal=1GB,take", |b| b.iter(|| take(&store, |_| {})));
    group.bench_function("journal=1GB,take_and_write", |b| {
        b.iter_batched(|| clear(&kept), |()| write(&store, &kept), BatchSize::PerIteration);
    });
    clear(&kept);
    write(&store, &kept);
    group.bench_function("journal=1GB,rebuild", |b| {
        let build = |()| build(&kept, store.durable(), &target);
        b.iter_batched(|| clear(&target), build, BatchSize::PerIteration);
    });
    group.bench_function("journal=1GB,copy", |b| {
        let copy = |()| copy(&store.path().join("journal"), &target);
        b.iter_batched(|| clear(&target), copy, BatchSize::PerIteration);
    });
    group.finish();
}

/// Writes the slices to files, as one that keeps them would.
fn write(store: &Store, directory: &Path) {
    fs::create_dir_all(directory).expect("created");
    take(store, |slice| {
        let file = File::create_new(directory.join(format!("{:020}", slice.first().get())));
        let mut file = file.expect("created");
        slice.write(&mut file).expect("written");
        file.sync_all().expect("synced");
    });
}

fn build(slices: &Path, to: Lsn, target: &Path) {
    let mut paths: Vec<_> = fs::read_dir(slices)
        .expect("listed")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    paths.sort();
    let mut slices = paths.iter().map(|path| Slice::decode(fs::read(path).expect("read")));
    rebuild(&mut slices, to, target, &Author::default(), &mut |_| {}).expect("built");
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

criterion_group!(benches, slices);
criterion_main!(benches);
