//! The workloads, on two stores: one whose commits wait for the disk, and one whose commits do not.

use std::path::Path;

use afterimage::{CodecId, Durability, Image, KeyRange, Result, Snapshot, Store};

use super::limits::{self, Memory};
use super::measure::{Measured, Pace};
use super::report::{Limit, Report, Row};
use crate::args::BenchArgs;
use crate::progress::now;

const COLLECTION: &str = "bench";
/// Puts of a batch, if there are so many records.
const BATCH: u64 = 1000;
/// Records of a short range.
const RANGE: u64 = 100;
const KEY_BYTES: usize = 16;
/// Values begin at different places of the noise, so that two in a row differ.
const NOISE_SPARE: usize = 4096;

/// What is written: records with keys in no order and values that nothing compresses.
pub(super) struct Load {
    records: u64,
    value_bytes: usize,
    threads: u64,
    noise: Vec<u8>,
    pace: Pace,
}

impl Load {
    pub(super) fn new(args: &BenchArgs) -> Self {
        let value_bytes = args.value_bytes as usize;
        let words = (value_bytes + NOISE_SPARE).div_ceil(8) as u64;
        Self {
            records: args.records,
            value_bytes,
            threads: u64::from(args.threads),
            noise: (0..words).flat_map(|n| mixed(n).to_le_bytes()).collect(),
            pace: Pace::new(args.seconds),
        }
    }

    fn key(index: u64) -> [u8; KEY_BYTES] {
        let mut key = [0; KEY_BYTES];
        let parts = mixed(index).to_le_bytes().into_iter().chain(index.to_le_bytes());
        key.iter_mut().zip(parts).for_each(|(to, from)| *to = from);
        key
    }

    /// The key of some record, another one each turn.
    fn some_key(&self, turn: u64) -> [u8; KEY_BYTES] {
        Self::key(mixed(turn) % self.records)
    }

    fn value(&self, turn: u64) -> Image<'_> {
        let start = usize::from(turn.to_le_bytes()[0]) * 16 + 1;
        let bytes = self.noise.get(start..start + self.value_bytes).unwrap_or_default();
        Image::new(bytes, CodecId::Raw)
    }

    /// One transaction with one record.
    fn put(&self, store: &Store, key: &[u8], turn: u64) -> Result<()> {
        store.write(|tx| tx.put_image(COLLECTION, key, self.value(turn))).map(|_| ())
    }

    fn batch_records(&self) -> u64 {
        BATCH.min(self.records)
    }

    /// One transaction with a thousand records, those behind the ones of the turn before.
    fn put_batch(&self, store: &Store, turn: u64) -> Result<()> {
        let puts = self.batch_records();
        let mut tx = store.begin()?;
        for index in turn * puts..(turn + 1) * puts {
            tx.put_image(COLLECTION, &Self::key(index % self.records), self.value(turn))?;
        }
        tx.commit().map(|_| ())
    }
}

/// A bijection that leaves no order: the output function of `SplitMix64` (Steele, Lea, Flood,
/// 2014).
fn mixed(number: u64) -> u64 {
    let mut z = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Measures what is written to the journal, and how much that was.
fn written(store: &Store, measure: impl FnOnce() -> Result<Measured>) -> Result<(Measured, u64)> {
    let before = store.status()?.journal_bytes;
    let measured = measure()?;
    Ok((measured, store.status()?.journal_bytes.saturating_sub(before)))
}

/// Bytes of one operation, of all of them.
fn each(measured: &Measured, bytes: u64) -> usize {
    usize::try_from(bytes.div_ceil(measured.operations.max(1))).unwrap_or(usize::MAX)
}

/// Commits that wait for the disk. This goes first, while the disk has nothing else to do.
pub(super) fn durable(report: &mut Report<'_>, directory: &Path, load: &Load) -> Result<()> {
    let store = Store::options().durability(Durability::Sync).open(directory.join("durable"))?;
    let pace = load.pace;

    report.begin("durable put");
    let (one, bytes) = written(&store, || {
        pace.repeat(|turn| load.put(&store, &Load::key(turn % load.records), turn))
    })?;
    let frame = each(&one, bytes);
    let write = limits::write_and_sync(directory, frame, pace.half())?;
    let append = limits::append_and_sync(directory, frame, pace.half())?;
    let sync = Limit::new("write_fdatasync", write.rate());
    report.limit("write_fdatasync", "write and fdatasync", frame as u64, &write)?;
    report.limit("append_fdatasync", "append and fdatasync", frame as u64, &append)?;
    report.add(Row::new("put_durable", &one).bytes(bytes).of(sync))?;

    report.begin("durable put on several threads");
    let (many, bytes) = written(&store, || {
        pace.repeat_on(load.threads, |thread, turn| {
            load.put(&store, &load.some_key(turn * load.threads + thread), turn)
        })
    })?;
    let row = Row::new("put_durable_threads", &many).threads(load.threads);
    report.add(row.bytes(bytes).of(sync))?;

    report.begin("durable batch");
    let (batch, bytes) = written(&store, || pace.repeat(|turn| load.put_batch(&store, turn)))?;
    let write = limits::write_and_sync(directory, each(&batch, bytes), pace.half())?;
    let sync = Limit::new("write_fdatasync", write.rate());
    let row = Row::new("batch_durable", &batch).records(load.batch_records());
    report.add(row.bytes(bytes).of(sync))?;
    store.close()
}

/// Commits that do not wait, and reading. The records are written here.
pub(super) fn buffered(report: &mut Report<'_>, directory: &Path, load: &Load) -> Result<()> {
    let path = directory.join("buffered");
    let store = Store::options().durability(Durability::Process).open(&path)?;
    let mut memory = Memory::new();
    let copy = memory.copy(load.pace.half())?;
    report.limit("memory_copy", "memory copy", memory.bytes(), &copy)?;
    let checksum = memory.checksum(load.pace.half())?;
    report.limit("crc32", "CRC-32", memory.bytes(), &checksum)?;

    let past = puts(report, &store, load, &mut memory)?;
    // What is not on the disk yet would get there in the time of the next workload.
    store.sync()?;
    reads(report, load, &store.snapshot(), &past)?;
    scans(report, load, &store.snapshot())?;

    report.begin("batch");
    let (batch, bytes) = written(&store, || load.pace.repeat(|turn| load.put_batch(&store, turn)))?;
    let least = memory.copy_and_checksum(each(&batch, bytes), load.pace.half())?;
    let row = Row::new("batch", &batch).records(load.batch_records()).bytes(bytes);
    report.add(row.of(Limit::new("copy_crc", least.rate())))?;

    report.begin("open");
    store.checkpoint()?;
    drop(past);
    store.close()?;
    let opened = open(&path, load.pace)?;
    report.add(Row::new("open", &opened).records(load.records))
}

/// Writes the records, then updates some; returns the moment in between.
fn puts(
    report: &mut Report<'_>,
    store: &Store,
    load: &Load,
    memory: &mut Memory,
) -> Result<Snapshot> {
    report.begin("put of a new key");
    let pace = load.pace.sampled();
    let (new, bytes) = written(store, || {
        pace.exactly(load.records).repeat(|turn| load.put(store, &Load::key(turn), turn))
    })?;
    let least = memory.copy_and_checksum(each(&new, bytes), pace.half())?;
    let limit = Limit::new("copy_crc", least.rate());
    report.add(Row::new("put_new", &new).bytes(bytes).of(limit))?;

    let past = store.snapshot();

    report.begin("put over a record");
    let (update, bytes) =
        written(store, || pace.repeat(|turn| load.put(store, &load.some_key(turn), turn + 1)))?;
    let least = memory.copy_and_checksum(each(&update, bytes), pace.half())?;
    let limit = Limit::new("copy_crc", least.rate());
    report.add(Row::new("put_update", &update).bytes(bytes).of(limit))?;
    Ok(past)
}

fn reads(report: &mut Report<'_>, load: &Load, head: &Snapshot, past: &Snapshot) -> Result<()> {
    for (name, phase, at) in [("get", "get", head), ("get_past", "get in the past", past)] {
        report.begin(phase);
        let mut bytes = 0;
        let got = load.pace.sampled().repeat(|turn| {
            if let Some(record) = at.record(COLLECTION, &load.some_key(turn))? {
                bytes += record.image().bytes().len() as u64;
            }
            Ok(())
        })?;
        report.add(Row::new(name, &got).bytes(bytes))?;
    }
    Ok(())
}

fn scans(report: &mut Report<'_>, load: &Load, head: &Snapshot) -> Result<()> {
    use std::ops::Bound::{Included, Unbounded};

    report.begin("range");
    let range = |turn| KeyRange::from_bounds(Included(load.some_key(turn).to_vec()), Unbounded);
    let mut seen = (0, 0);
    let ranges = load.pace.repeat(|turn| read_all(head, range(turn), RANGE, &mut seen))?;
    report.add(Row::new("range", &ranges).records_in_all(seen.0).bytes(seen.1))?;

    report.begin("scan");
    let mut seen = (0, 0);
    let scan = load.pace.repeat(|_| read_all(head, KeyRange::all(), u64::MAX, &mut seen))?;
    report.add(Row::new("scan", &scan).records_in_all(seen.0).bytes(seen.1))
}

/// Reads records of a range; adds how many they are, and the bytes of their values.
fn read_all(
    snapshot: &Snapshot,
    range: KeyRange,
    records_max: u64,
    (records, bytes): &mut (u64, u64),
) -> Result<()> {
    let mut left = records_max;
    for record in snapshot.scan(COLLECTION, range)? {
        *bytes += record?.image().bytes().len() as u64;
        *records += 1;
        left -= 1;
        if left == 0 {
            break;
        }
    }
    Ok(())
}

/// Opens the store again and again; closing it is not measured.
fn open(path: &Path, pace: Pace) -> Result<Measured> {
    let mut measured = Measured::default();
    while measured.operations == 0 || measured.elapsed < pace.time() {
        let start = now();
        let store = Store::options().create(false).open(path)?;
        measured.record(start.elapsed());
        store.close()?;
    }
    Ok(measured)
}
