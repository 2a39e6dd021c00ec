//! W5: scans, of everything, of short ranges, and of the past.

use std::time::Instant;

use crate::engine::{Outcome, Peer};
use crate::measure::{Figures, Task, check, load, note};
use crate::rows::{Key, Random, Row, VALUE_BYTES, key};

const FULL_SCANS: u64 = 5;
const RANGE_ROWS: usize = 100;
const RANGES: u64 = 20_000;
const CHANGES_AGO: u64 = 10_000;

/// Full scans, ranges of 100 records, and a full scan as of 10,000 changes ago.
pub(crate) fn scans(task: &Task) -> Outcome<Figures> {
    let records = task.count(1_000_000);
    let peer = task.open("scans", false, false)?;
    let peer = &*peer;
    load(peer, records)?;
    let expected = Expected::new(records);
    let mut figures = Figures::new();

    full(peer, &expected)?;
    let start = Instant::now();
    for _ in 0..FULL_SCANS {
        full(peer, &expected)?;
    }
    let rate = (records * FULL_SCANS) as f64 / start.elapsed().as_secs_f64();
    note(&mut figures, "full rows/s", rate);

    ranges(peer, &expected, RANGES / 10)?;
    let start = Instant::now();
    let rows = ranges(peer, &expected, RANGES)?;
    note(&mut figures, "100-row rows/s", rows as f64 / start.elapsed().as_secs_f64());

    past(task, peer, &expected, &mut figures)?;
    Ok(figures)
}

/// What scans must find: the keys in order, and the sums of the first bytes before each.
struct Expected {
    keys: Vec<Key>,
    sums: Vec<u64>,
}

impl Expected {
    fn new(records: u64) -> Self {
        let mut keys: Vec<Key> = (0..records).map(key).collect();
        keys.sort_unstable();
        let mut sum = 0;
        let mut sums = vec![0];
        for key in &keys {
            sum += u64::from(key[0]);
            sums.push(sum);
        }
        Self { keys, sums }
    }
}

fn full(peer: &dyn Peer, expected: &Expected) -> Outcome<()> {
    let (mut rows, mut sum) = (0, 0);
    peer.scan(None, usize::MAX, &mut |value| {
        rows += 1;
        sum += u64::from(value[0]);
    })?;
    check_sum(expected, (rows, sum))
}

fn check_sum(expected: &Expected, (rows, sum): (usize, u64)) -> Outcome<()> {
    let right = rows == expected.keys.len() && sum == expected.sums[rows];
    check(right, || format!("a scan found {rows} rows with the sum {sum}"))
}

fn ranges(peer: &dyn Peer, expected: &Expected, ranges: u64) -> Outcome<u64> {
    let mut random = Random::new(5);
    let starts = expected.keys.len() - RANGE_ROWS;
    for _ in 0..ranges {
        let start = random.below(starts as u64) as usize;
        let (mut rows, mut sum) = (0, 0);
        peer.scan(Some(&expected.keys[start]), RANGE_ROWS, &mut |value| {
            rows += 1;
            sum += u64::from(value[0]);
        })?;
        let wanted = expected.sums[start + RANGE_ROWS] - expected.sums[start];
        check(rows == RANGE_ROWS && sum == wanted, || format!("a range of {rows} rows"))?;
    }
    Ok(ranges * RANGE_ROWS as u64)
}

/// Changes some records, then scans the state before that.
fn past(task: &Task, peer: &dyn Peer, expected: &Expected, figures: &mut Figures) -> Outcome<()> {
    if task.engine.id != crate::engine::OWN {
        return Ok(());
    }
    let mut row = Row::new(0, 0, VALUE_BYTES);
    let records = expected.keys.len() as u64;
    for number in 0..CHANGES_AGO {
        row.set(number % records, number + 1);
        peer.put(&row.key, &row.value)?;
    }
    let (mut rows, mut sum) = (0, 0);
    let start = Instant::now();
    peer.scan_past(CHANGES_AGO, &mut |value| {
        rows += 1;
        sum += u64::from(value[0]);
    })?;
    note(figures, "as-of rows/s", rows as f64 / start.elapsed().as_secs_f64());
    check_sum(expected, (rows, sum))
}
