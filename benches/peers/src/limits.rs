//! What this machine could do at best, measured in the same run as the engines.

use std::fs::{File, OpenOptions};
use std::hint::black_box;
use std::os::unix::fs::FileExt;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use memmap2::MmapMut;

use crate::engine::Outcome;
use crate::measure::{Figures, Task, note};
use crate::rows::Random;

const FILE_BYTES: usize = 256 << 20;
const PAGE: usize = 4096;
/// About what a put of 100 bytes takes in a journal.
const FRAME_BYTES: usize = 150;
const RECORD_BYTES: usize = 128;
const THREADS: usize = 64;

/// Rates of the steps that no engine can do without.
pub(crate) fn measure(task: &Task) -> Outcome<Figures> {
    let (file, mut map) = prepared(task)?;
    let mut figures = Figures::new();
    let seconds = task.seconds(0.5);
    note(&mut figures, "frames/s", frames(&mut map, seconds));
    note(&mut figures, "crc 150 B GB/s", checksums(FRAME_BYTES, seconds / 2));
    note(&mut figures, "crc 4 KiB GB/s", checksums(PAGE, seconds / 2));
    note(&mut figures, "dependent reads/s", random_reads::<true>(&map, seconds));
    note(&mut figures, "random reads/s", random_reads::<false>(&map, seconds));
    note(&mut figures, "sequential reads/s", sequential_reads(&map));
    note(&mut figures, "copied MB/s", copies(&mut map, 64 << 10, seconds));
    note(&mut figures, "syncs/s", appends(&file, FRAME_BYTES, seconds * 2)?);
    note(&mut figures, "4 KiB syncs/s", appends(&file, PAGE, seconds * 2)?);
    let synced = synced_copies(&file, &mut map, 1000 * FRAME_BYTES, seconds * 2)?;
    note(&mut figures, "synced frames/s", synced * 1000.0);
    let synced = synced_copies(&file, &mut map, 1 << 20, seconds * 2)?;
    note(&mut figures, "synced MB/s", synced * f64::from(1 << 20) / 1e6);
    note(&mut figures, "hand-overs/s", hand_overs(seconds));
    Ok(figures)
}

/// A file whose blocks are written and whose pages are mapped. Written in small steps: after large
/// ones the kernel keeps large folios, and writes whole ones back for a single byte.
fn prepared(task: &Task) -> Outcome<(File, MmapMut)> {
    let path = task.directory("limits")?.join("file");
    let file = OpenOptions::new().read(true).write(true).create_new(true).open(path)?;
    for page in 0..FILE_BYTES / PAGE {
        file.write_all_at(&[1; PAGE], (page * PAGE) as u64)?;
    }
    file.sync_all()?;
    // SAFETY: this process alone knows the file, and does not shorten it.
    let mut map = unsafe { MmapMut::map_mut(&file)? };
    for page in (0..FILE_BYTES).step_by(PAGE) {
        map[page] = 2;
    }
    file.sync_all()?;
    Ok((file, map))
}

/// Repeats for so long; how often in a second. Looks at the clock every `stride` steps.
fn rate(duration: Duration, stride: u64, mut step: impl FnMut()) -> f64 {
    let start = Instant::now();
    let mut done = 0;
    loop {
        for _ in 0..stride {
            step();
        }
        done += stride;
        let elapsed = start.elapsed();
        if elapsed >= duration {
            return done as f64 / elapsed.as_secs_f64();
        }
    }
}

/// The next place for so many bytes, from the begin again when the file is full.
fn advance(at: &mut usize, bytes: usize) -> usize {
    if *at + bytes > FILE_BYTES {
        *at = 0;
    }
    *at += bytes;
    *at - bytes
}

/// Checksum and copy of a frame.
fn frames(map: &mut MmapMut, duration: Duration) -> f64 {
    let mut frame = [7_u8; FRAME_BYTES];
    let mut at = 0;
    let mut step = || {
        frame[4] = frame[4].wrapping_add(1);
        let sum = crc32fast::hash(&frame[4..]);
        frame[..4].copy_from_slice(&sum.to_le_bytes());
        let place = advance(&mut at, FRAME_BYTES);
        map[place..place + FRAME_BYTES].copy_from_slice(&frame);
    };
    // Once around before: the first touch of a clean page is a fault.
    (0..FILE_BYTES / FRAME_BYTES).for_each(|_| step());
    rate(duration, 1024, step)
}

fn checksums(bytes: usize, duration: Duration) -> f64 {
    let block = vec![7_u8; bytes];
    let rate = rate(duration, 1024, || {
        black_box(crc32fast::hash(black_box(&block)));
    });
    rate * bytes as f64 / 1e9
}

/// Reads of random records in 128 MiB. If they depend on each other, where to read next is known
/// only from what was read before, as from an index to its record; if not, the processor reads
/// several at once.
fn random_reads<const DEPENDENT: bool>(map: &MmapMut, duration: Duration) -> f64 {
    let records = (FILE_BYTES / RECORD_BYTES) as u64 / 2;
    let mut random = Random::new(1);
    let (mut sum, mut read) = (0_u64, 0);
    let rate = rate(duration, 1024, || {
        let mut number = random.below(records);
        if DEPENDENT {
            number = (number ^ read) % records;
        }
        read = u64::from(map[number as usize * RECORD_BYTES]);
        sum = sum.wrapping_add(read);
    });
    black_box(sum);
    rate
}

fn sequential_reads(map: &MmapMut) -> f64 {
    let half = &map[..FILE_BYTES / 2];
    let start = Instant::now();
    let rounds = 4;
    let mut sum = 0_u64;
    for _ in 0..rounds {
        sum += half.iter().step_by(RECORD_BYTES).map(|byte| u64::from(*byte)).sum::<u64>();
        black_box(sum);
    }
    (rounds * half.len() / RECORD_BYTES) as f64 / start.elapsed().as_secs_f64()
}

/// Megabytes a second, copied into mapped pages.
fn copies(map: &mut MmapMut, bytes: usize, duration: Duration) -> f64 {
    let block = vec![9_u8; bytes];
    let mut at = 0;
    let rate = rate(duration, 16, || {
        let place = advance(&mut at, bytes);
        map[place..place + bytes].copy_from_slice(&block);
    });
    rate * bytes as f64 / 1e6
}

/// Appends of so many bytes a second, each followed by `fdatasync`, over blocks written before.
fn appends(file: &File, bytes: usize, duration: Duration) -> Outcome<f64> {
    let block = vec![3_u8; bytes];
    let mut at = 0;
    let mut failed = Ok(());
    file.sync_all()?;
    let rate = rate(duration, 1, || {
        let place = advance(&mut at, bytes);
        let written = file.write_all_at(&block, place as u64).and_then(|()| file.sync_data());
        if written.is_err() {
            failed = written;
        }
    });
    failed?;
    Ok(rate)
}

/// Copies of so many bytes into the map a second, each followed by `fdatasync`.
fn synced_copies(file: &File, map: &mut MmapMut, bytes: usize, duration: Duration) -> Outcome<f64> {
    let block = vec![5_u8; bytes];
    let mut at = 0;
    let mut failed = Ok(());
    file.sync_all()?;
    let rate = rate(duration, 1, || {
        let place = advance(&mut at, bytes);
        map[place..place + bytes].copy_from_slice(&block);
        let synced = file.sync_data();
        if synced.is_err() {
            failed = synced;
        }
    });
    failed?;
    Ok(rate)
}

/// How many threads a second can wait and be woken, all together, as in a group commit.
fn hand_overs(duration: Duration) -> f64 {
    let barrier = Barrier::new(THREADS);
    let rounds = (duration.as_secs_f64() * 1000.0) as usize;
    let start = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for _ in 0..rounds {
                    barrier.wait();
                }
            });
        }
    });
    (rounds * THREADS) as f64 / start.elapsed().as_secs_f64()
}
