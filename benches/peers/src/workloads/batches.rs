//! W3: many puts a transaction.

use crate::engine::Outcome;
use crate::measure::{Figures, STEP_MAX, Task, check, load, note, timed};
use crate::rows::{Row, VALUE_BYTES};

const ROWS: u64 = 1000;

/// Buffered and durable.
pub(crate) fn batches(task: &Task) -> Outcome<Figures> {
    let mut figures = Figures::new();
    for (mode, durable, transactions) in [("buffered", false, 500), ("durable", true, 300)] {
        let keys = task.count(100_000);
        let peer = task.open(mode, durable, true)?;
        load(&*peer, keys)?;
        let mut rows: Vec<Row> = (0..ROWS).map(|i| Row::new(i, 0, VALUE_BYTES)).collect();
        let transactions = (task.count(transactions * ROWS) / ROWS).max(10);
        let timed = timed(transactions, STEP_MAX, |number| {
            for (row, i) in rows.iter_mut().zip(number * ROWS..) {
                row.set(i % keys, i + 1);
            }
            peer.put_many(&rows)
        })?;
        let (kept, put) = (peer.changes_kept()?, timed.done * ROWS);
        check(kept == put, || format!("{kept} changes kept of {put}"))?;
        note(&mut figures, format!("{mode} rows/s"), timed.rate() * ROWS as f64);
        note(&mut figures, format!("{mode} p50 us"), timed.quantile(0.5));
        note(&mut figures, format!("{mode} p99 us"), timed.quantile(0.99));
    }
    Ok(figures)
}
