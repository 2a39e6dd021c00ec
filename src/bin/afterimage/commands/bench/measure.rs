//! How something is measured: again and again for a while, with the time of each operation or, of
//! fast ones, of each sixteenth, since asking the clock takes a good part of what a get takes.

use std::time::Duration;

use afterimage::{Error, Result, code};

use super::histogram::Histogram;
use crate::progress::now;

/// Of operations that may take less than the clock, every so many is timed.
const STRIDE: u64 = 16;
const CLOCK_READINGS: usize = 1001;

/// How long to repeat, and what to time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    time: Duration,
    operations_max: u64,
    stride: u64,
    /// What asking the clock adds to a measured time.
    clock: Duration,
}

impl Pace {
    pub(super) fn new(time: Duration) -> Self {
        let mut readings: Vec<_> = (0..CLOCK_READINGS).map(|_| now().elapsed()).collect();
        readings.sort_unstable();
        let clock = readings.get(CLOCK_READINGS / 2).copied().unwrap_or_default();
        Self { time, operations_max: u64::MAX, stride: 1, clock }
    }

    /// For operations that take microseconds or less.
    pub(super) const fn sampled(self) -> Self {
        Self { stride: STRIDE, ..self }
    }

    /// Until so many are done, however long it takes.
    pub(super) const fn exactly(self, operations: u64) -> Self {
        Self { operations_max: operations, time: Duration::MAX, ..self }
    }

    pub(super) fn half(self) -> Self {
        Self { time: self.time / 2, ..self }
    }

    pub(super) const fn time(&self) -> Duration {
        self.time
    }

    /// Repeats the operation, which is told how often it ran before; at least once.
    pub(super) fn repeat(&self, mut operation: impl FnMut(u64) -> Result<()>) -> Result<Measured> {
        let mut measured = Measured::default();
        let began = now();
        while measured.operations < self.operations_max {
            let turn = measured.operations;
            if turn.is_multiple_of(self.stride) {
                let start = now();
                if turn > 0 && start.duration_since(began) >= self.time {
                    break;
                }
                operation(turn)?;
                measured.times.record(start.elapsed().saturating_sub(self.clock));
            } else {
                operation(turn)?;
            }
            measured.operations += 1;
        }
        measured.elapsed = began.elapsed();
        Ok(measured)
    }

    /// Repeats the operation on each of so many threads, all at once; it is told the thread, and
    /// how often it ran there before.
    pub(super) fn repeat_on(
        &self,
        threads: u64,
        operation: impl Fn(u64, u64) -> Result<()> + Sync,
    ) -> Result<Measured> {
        let operation = &operation;
        std::thread::scope(|scope| {
            let start = |thread| {
                std::thread::Builder::new()
                    .name(format!("bench-{thread}"))
                    .spawn_scoped(scope, move || self.repeat(|turn| operation(thread, turn)))
                    .map_err(|source| {
                        Error::new(&code::IO, "could not start a thread").with_source(source)
                    })
            };
            let running: Vec<_> = (0..threads).map(start).collect::<Result<_>>()?;
            let mut measured = Measured::default();
            for thread in running {
                match thread.join() {
                    Ok(of_thread) => measured.add(&of_thread?),
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            }
            Ok(measured)
        })
    }
}

/// What was measured.
#[derive(Clone, Debug, Default)]
pub(super) struct Measured {
    pub operations: u64,
    pub elapsed: Duration,
    pub times: Histogram,
}

impl Measured {
    /// Counts one operation that was timed by itself.
    pub(super) fn record(&mut self, took: Duration) {
        self.operations += 1;
        self.elapsed += took;
        self.times.record(took);
    }

    /// Takes in what was measured at the same time on another thread.
    fn add(&mut self, other: &Self) {
        self.operations += other.operations;
        self.elapsed = self.elapsed.max(other.elapsed);
        self.times.add(&other.times);
    }

    /// Operations a second.
    pub(super) fn rate(&self) -> f64 {
        real(self.operations) / self.elapsed.as_secs_f64().max(f64::MIN_POSITIVE)
    }
}

/// A count to calculate with.
#[expect(clippy::cast_precision_loss, reason = "what is counted here stays below 2^53")]
pub(super) const fn real(count: u64) -> f64 {
    count as f64
}
