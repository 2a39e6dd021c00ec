//! W9: large values.

use crate::engine::Outcome;
use crate::measure::{Figures, STEP_MAX, Task, check, note, note_quantiles, timed};
use crate::rows::{LARGE_BYTES, Row, belongs, key};

const ROWS_A_TRANSACTION: u64 = 16;

/// Single buffered puts, then durable transactions of 16.
pub(crate) fn values(task: &Task) -> Outcome<Figures> {
    let mut figures = Figures::new();
    let rows = (8192.0 * task.scale).max(64.0) as u64;
    let peer = task.open("buffered", false, false)?;
    let mut row = Row::new(0, 0, LARGE_BYTES);
    let buffered = timed(rows, STEP_MAX, |number| {
        row.set(number, 1);
        peer.put(&row.key, &row.value)
    })?;
    let mut right = false;
    let middle = key(buffered.done / 2);
    peer.get(&middle, &mut |value| right = value.len() == LARGE_BYTES && belongs(value, &middle))?;
    check(right, || "a large value is missing or wrong".into())?;
    drop(peer);
    note(&mut figures, "buffered MB/s", buffered.rate() * LARGE_BYTES as f64 / 1e6);
    note_quantiles(&mut figures, "buffered ", &buffered);

    let peer = task.open("durable", true, false)?;
    let row = |i| Row::new(i, 0, LARGE_BYTES);
    let mut batch: Vec<Row> = (0..ROWS_A_TRANSACTION).map(row).collect();
    let durable = timed(rows / ROWS_A_TRANSACTION / 2, STEP_MAX, |number| {
        for (row, i) in batch.iter_mut().zip(number * ROWS_A_TRANSACTION..) {
            row.set(i, 1);
        }
        peer.put_many(&batch)
    })?;
    let bytes_a_transaction = ROWS_A_TRANSACTION as f64 * LARGE_BYTES as f64;
    note(&mut figures, "durable MB/s", durable.rate() * bytes_a_transaction / 1e6);
    note_quantiles(&mut figures, "durable ", &durable);
    Ok(figures)
}
