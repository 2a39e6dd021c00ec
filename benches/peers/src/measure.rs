//! Counting and timing, the same for each workload.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::engine::{Engine, Opening, Outcome, Peer};
use crate::rows::{Row, VALUE_BYTES};

/// Named numbers, in the order of the columns.
pub(crate) type Figures = Vec<(String, f64)>;

/// No step of a run takes longer; what was done by then is what counts.
pub(crate) const STEP_MAX: Duration = Duration::from_secs(8);

/// Rows of a transaction when a workload loads.
pub(crate) const LOAD_ROWS: u64 = 1000;

/// What one child process is to measure.
#[derive(Clone, Debug)]
pub(crate) struct Task {
    pub(crate) engine: &'static Engine,
    pub(crate) scale: f64,
    pub(crate) full: bool,
    /// Fresh, and removed afterwards.
    pub(crate) directory: PathBuf,
}

impl Task {
    /// So many of something at scale 1, fewer at a smaller scale.
    pub(crate) fn count(&self, at_scale_1: u64) -> u64 {
        ((at_scale_1 as f64 * self.scale) as u64).max(LOAD_ROWS)
    }

    /// So many seconds at scale 1 or more, fewer at a smaller scale.
    pub(crate) fn seconds(&self, at_scale_1: f64) -> Duration {
        Duration::from_secs_f64((at_scale_1 * self.scale.min(1.0)).max(0.1))
    }

    /// An empty directory in that of the task.
    pub(crate) fn directory(&self, name: &str) -> Outcome<PathBuf> {
        let path = self.directory.join(name);
        std::fs::create_dir_all(&path)?;
        Ok(path)
    }

    /// A new database, buffered or durable, with or without history.
    pub(crate) fn open(&self, name: &str, durable: bool, history: bool) -> Outcome<Box<dyn Peer>> {
        let path = self.directory(name)?;
        (self.engine.open)(&Opening { path: &path, durable, history, exists: false })
    }
}

/// Loads the records of these many numbers, without history, and makes them durable.
pub(crate) fn load(peer: &dyn Peer, count: u64) -> Outcome<()> {
    let mut rows: Vec<Row> =
        (0..LOAD_ROWS.min(count)).map(|i| Row::new(i, 0, VALUE_BYTES)).collect();
    let mut number = 0;
    while number < count {
        rows.truncate((count - number).min(LOAD_ROWS) as usize);
        for row in &mut rows {
            row.set(number, 0);
            number += 1;
        }
        peer.load(&rows)?;
    }
    peer.flush()
}

/// Nanoseconds; a slower step counts as this.
const LATENCY_MAX: u64 = 100_000_000_000;

/// Steps that were timed one by one.
#[derive(Debug)]
pub(crate) struct Timed {
    pub(crate) done: u64,
    pub(crate) seconds: f64,
    nanoseconds: Histogram<u64>,
}

impl Timed {
    /// None yet.
    pub(crate) fn new() -> Outcome<Self> {
        Ok(Self { done: 0, seconds: 0.0, nanoseconds: Histogram::new_with_max(LATENCY_MAX, 3)? })
    }

    /// Steps a second.
    pub(crate) fn rate(&self) -> f64 {
        self.done as f64 / self.seconds
    }

    /// The microseconds that this share of the steps stayed below.
    pub(crate) fn quantile(&self, share: f64) -> f64 {
        self.nanoseconds.value_at_quantile(share) as f64 / 1000.0
    }

    /// The microseconds of the slowest step.
    pub(crate) fn slowest(&self) -> f64 {
        self.nanoseconds.max() as f64 / 1000.0
    }

    /// One more step.
    pub(crate) fn record(&mut self, took: Duration) {
        self.done += 1;
        self.nanoseconds.saturating_record(took.as_nanos() as u64);
    }

    /// Takes in the steps of another thread.
    pub(crate) fn add(&mut self, other: &Self) -> Outcome<()> {
        self.done += other.done;
        self.nanoseconds.add(&other.nanoseconds)?;
        Ok(())
    }
}

/// Does a step so many times, but not longer than `limit`, and times each.
pub(crate) fn timed(
    count: u64,
    limit: Duration,
    mut step: impl FnMut(u64) -> Outcome<()>,
) -> Outcome<Timed> {
    let mut timed = Timed::new()?;
    let start = Instant::now();
    let mut before = start;
    for number in 0..count {
        step(number)?;
        let after = Instant::now();
        timed.record(after - before);
        before = after;
        if after - start > limit {
            break;
        }
    }
    timed.seconds = (before - start).as_secs_f64();
    Ok(timed)
}

/// Does steps on so many threads for so long, and times each.
pub(crate) fn timed_threads<S>(
    threads: u64,
    duration: Duration,
    start_thread: impl Fn(u64) -> S + Sync,
) -> Outcome<Timed>
where
    S: FnMut(u64) -> Outcome<()>,
{
    let stop = AtomicBool::new(false);
    let begun = Instant::now();
    let run = |thread| {
        let mut step = start_thread(thread);
        let result = timed(u64::MAX, duration, |number| {
            if stop.load(Ordering::Relaxed) {
                return Err("another thread failed".into());
            }
            step(number)
        });
        if result.is_err() {
            stop.store(true, Ordering::Relaxed);
        }
        result
    };
    let run = &run;
    let results: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|thread| scope.spawn(move || run(thread))).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    });
    let mut all = Timed::new()?;
    for result in results {
        all.add(&result?)?;
    }
    all.seconds = begun.elapsed().as_secs_f64();
    Ok(all)
}

/// Adds a number to the figures.
pub(crate) fn note(figures: &mut Figures, name: impl Into<String>, value: f64) {
    figures.push((name.into(), value));
}

/// Adds the usual quantiles to the figures.
pub(crate) fn note_quantiles(figures: &mut Figures, prefix: &str, timed: &Timed) {
    note(figures, format!("{prefix}p50 us"), timed.quantile(0.5));
    note(figures, format!("{prefix}p99 us"), timed.quantile(0.99));
}

/// Fails the measurement if something is not as it must be: a fast wrong engine is worthless.
pub(crate) fn check(holds: bool, what: impl FnOnce() -> String) -> Outcome<()> {
    if holds { Ok(()) } else { Err(format!("wrong result: {}", what()).into()) }
}

/// Bytes that a directory takes on the device.
pub(crate) fn disk_bytes(path: &Path) -> Outcome<u64> {
    use std::os::unix::fs::MetadataExt;
    let mut bytes = 0;
    for entry in std::fs::read_dir(path)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        bytes += metadata.blocks() * 512;
        if metadata.is_dir() {
            bytes += disk_bytes(&entry.path())?;
        }
    }
    Ok(bytes)
}
