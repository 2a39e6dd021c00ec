//! W1 and W1u: single buffered puts.

use crate::engine::Outcome;
use crate::measure::{Figures, STEP_MAX, Task, Timed, check, load, note, note_quantiles, timed};
use crate::rows::{Random, Row, VALUE_BYTES, belongs, key};

fn figures(timed: &Timed) -> Figures {
    let mut figures = Figures::new();
    note(&mut figures, "ops/s", timed.rate());
    note_quantiles(&mut figures, "", timed);
    note(&mut figures, "p99.9 us", timed.quantile(0.999));
    note(&mut figures, "max us", timed.slowest());
    note(&mut figures, "puts", timed.done as f64);
    figures
}

/// New keys; peers keep no history.
pub(crate) fn insert(task: &Task) -> Outcome<Figures> {
    let peer = task.open("insert", false, false)?;
    let mut row = Row::new(0, 0, VALUE_BYTES);
    let timed = timed(task.count(1_000_000), STEP_MAX, |number| {
        row.set(number, 1);
        peer.put(&row.key, &row.value)
    })?;
    let mut random = Random::new(1);
    for _ in 0..1000 {
        let key = key(random.below(timed.done));
        let mut right = false;
        peer.get(&key, &mut |value| right = belongs(value, &key))?;
        check(right, || "a record that was put is missing or wrong".into())?;
    }
    Ok(figures(&timed))
}

/// Keys that exist, ten times each, with history.
pub(crate) fn update(task: &Task) -> Outcome<Figures> {
    let keys = task.count(100_000);
    let peer = task.open("update", false, true)?;
    load(&*peer, keys)?;
    let mut row = Row::new(0, 0, VALUE_BYTES);
    let timed = timed(keys * 10, STEP_MAX, |number| {
        row.set(number % keys, number + 1);
        peer.put(&row.key, &row.value)
    })?;
    let kept = peer.changes_kept()?;
    check(kept == timed.done, || format!("{kept} changes kept of {}", timed.done))?;
    let mut right = false;
    peer.get(&row.key, &mut |value| right = value == row.value)?;
    check(right, || "the newest value is not the one put last".into())?;
    Ok(figures(&timed))
}
