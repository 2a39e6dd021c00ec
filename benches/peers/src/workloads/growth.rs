//! How each operation of afterimage depends on the number of records.

use std::time::Instant;

use afterimage::Lsn;

use crate::engine::Outcome;
use crate::engines::afterimage::{ENGINE, get, open, put};
use crate::measure::{Figures, STEP_MAX, Task, check, load, note, timed};
use crate::rows::{Random, Row, VALUE_BYTES, belongs, key};

const SIZES: [(u64, &str); 4] =
    [(10_000, "10k"), (100_000, "100k"), (1_000_000, "1M"), (10_000_000, "10M")];
const STEPS: u64 = 50_000;

/// The operations, at each size: the columns are `SIZE operation unit`.
pub(crate) fn curve(task: &Task) -> Outcome<Figures> {
    let largest = if task.full { 10_000_000.0 } else { 1_000_000.0 * task.scale.min(1.0) };
    let mut figures = Figures::new();
    for (records, size) in SIZES {
        if records as f64 <= largest.max(100_000.0) {
            at(task, records, size, &mut figures)?;
        }
    }
    Ok(figures)
}

fn at(task: &Task, records: u64, size: &str, figures: &mut Figures) -> Outcome<()> {
    let path = task.directory(size)?;
    let opening =
        crate::engine::Opening { path: &path, durable: false, history: true, exists: false };
    let peer = (ENGINE.open)(&opening)?;
    load(&*peer, records)?;
    drop(peer);
    let store = open(&path, false)?;
    let mut random = Random::new(records);
    let loaded = store.head();

    let mut row = Row::new(0, 0, VALUE_BYTES);
    let puts = timed(STEPS, STEP_MAX, |number| {
        row.set(random.below(records), number + 1);
        put(&store, &row).map(drop)
    })?;
    note(figures, format!("{size} put us"), puts.seconds * 1e6 / puts.done as f64);

    for (name, lsn) in [("get", store.head()), ("as-of get", loaded)] {
        let took = gets(&store, records, lsn)?;
        note(figures, format!("{size} {name} us"), took);
    }
    let start = Instant::now();
    store.checkpoint()?;
    note(figures, format!("{size} checkpoint ms"), start.elapsed().as_secs_f64() * 1e3);
    store.close()?;

    let start = Instant::now();
    let store = open(&path, false)?;
    let mut found = false;
    get(&store.snapshot(), &key(records / 2), &mut |_| found = true)?;
    note(figures, format!("{size} open ms"), start.elapsed().as_secs_f64() * 1e3);
    check(found, || "a record is missing after opening again".into())
}

/// Microseconds of a get at this moment.
fn gets(store: &afterimage::Store, records: u64, lsn: Lsn) -> Outcome<f64> {
    let snapshot = store.snapshot_at(lsn)?;
    let mut random = Random::new(lsn.get());
    let timed = timed(STEPS, STEP_MAX, |_| {
        let key = key(random.below(records));
        let mut right = false;
        get(&snapshot, &key, &mut |value| right = belongs(value, &key))?;
        check(right, || "a get found nothing or another record".into())
    })?;
    Ok(timed.seconds * 1e6 / timed.done as f64)
}
