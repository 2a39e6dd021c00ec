//! Durations in buckets whose width grows with the duration, so that a percentile is right to 3 %
//! and a million durations take no more room than one.

use std::time::Duration;

/// Each doubling is divided into this many buckets.
const PARTS: usize = 32;
const PART_BITS: u32 = PARTS.trailing_zeros();
/// Durations below `PARTS` ns have a bucket each; every doubling above has `PARTS`.
const BUCKETS: usize = (64 - PART_BITS as usize + 1) * PARTS;

/// How many durations fell into each bucket.
#[derive(Clone, Debug)]
pub(super) struct Histogram {
    counts: Vec<u64>,
    total: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: vec![0; BUCKETS], total: 0 }
    }
}

impl Histogram {
    pub(super) fn record(&mut self, duration: Duration) {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        if let Some(count) = self.counts.get_mut(bucket(nanos)) {
            *count += 1;
            self.total += 1;
        }
    }

    /// Takes in what another one has counted.
    pub(super) fn add(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
        self.total += other.total;
    }

    /// The nanoseconds that this many of a thousand durations did not exceed, as the middle of
    /// their bucket; zero if nothing was recorded.
    pub(super) fn permille(&self, permille: u64) -> u64 {
        let wanted = (u128::from(self.total) * u128::from(permille)).div_ceil(1000).max(1);
        let mut seen = 0_u128;
        for (index, count) in self.counts.iter().enumerate() {
            seen += u128::from(*count);
            if seen >= wanted {
                let (start, width) = bounds(index);
                return start + width / 2;
            }
        }
        0
    }
}

/// The bucket of a duration: its highest bits choose it, as in a floating-point number.
fn bucket(nanos: u64) -> usize {
    let shift = nanos.checked_ilog2().unwrap_or(0).saturating_sub(PART_BITS);
    let index = u64::from(shift) * PARTS as u64 + (nanos >> shift);
    usize::try_from(index).unwrap_or(usize::MAX)
}

/// Where a bucket begins, and how many nanoseconds wide it is.
fn bounds(index: usize) -> (u64, u64) {
    let shift = (index / PARTS).saturating_sub(1);
    (((index - shift * PARTS) as u64) << shift, 1 << shift)
}
