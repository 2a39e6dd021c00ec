//! W7: opening after the process was killed.

use std::time::Instant;

use crate::engine::{OWN_CHECKPOINTED, Opening, Outcome, Peer};
use crate::measure::{Figures, LOAD_ROWS, Task, check, disk_bytes, note};
use crate::rows::{Random, Row, VALUE_BYTES, belongs, key};

const GETS: u64 = 50_000;
/// The records written last.
const LAST: u64 = 1000;

/// 1M records.
pub(crate) fn open_1m(task: &Task) -> Outcome<Figures> {
    open_after_kill(task, task.count(1_000_000))
}

/// 5M records.
pub(crate) fn open_5m(task: &Task) -> Outcome<Figures> {
    open_after_kill(task, 5_000_000)
}

/// What the process that dies does: it fills, and kills itself. Returns only if that fails.
pub(crate) fn fill_and_die(task: &Task, records: u64) -> Outcome<()> {
    let peer = open(task)?;
    let mut rows: Vec<Row> = (0..LOAD_ROWS).map(|i| Row::new(i, 0, VALUE_BYTES)).collect();
    let mut number = 0;
    while number < records {
        for row in &mut rows {
            row.set(number, 0);
            number += 1;
        }
        peer.put_many(&rows)?;
    }
    if task.engine.id == OWN_CHECKPOINTED {
        peer.checkpoint()?;
    }
    rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL)?;
    Err("the process survived SIGKILL".into())
}

fn open(task: &Task) -> Outcome<Box<dyn Peer>> {
    let path = task.directory("kill")?;
    (task.engine.open)(&Opening { path: &path, durable: false, history: false, exists: false })
}

fn open_after_kill(task: &Task, records: u64) -> Outcome<Figures> {
    let start = Instant::now();
    crate::run::die(task, records)?;
    let filled = start.elapsed();

    let (first, mut seen) = (key(records / 2), false);
    let start = Instant::now();
    let peer = open(task)?;
    let opened = start.elapsed();
    peer.get(&first, &mut |value| seen = belongs(value, &first))?;
    let answered = start.elapsed();

    let mut random = Random::new(3);
    let any = survivors(&*peer, (0..GETS).map(|_| random.below(records)))?;
    let last = survivors(&*peer, records - LAST..records)?;
    let mut figures = Figures::new();
    note(&mut figures, "open ms", opened.as_secs_f64() * 1e3);
    note(&mut figures, "first get ms", answered.as_secs_f64() * 1e3);
    note(&mut figures, "survived %", 100.0 * any as f64 / GETS as f64);
    note(&mut figures, "of the last 1000 %", 100.0 * last as f64 / LAST as f64);
    note(&mut figures, "fill s", filled.as_secs_f64());
    note(&mut figures, "disk MB", disk_bytes(&task.directory)? as f64 / 1e6);
    Ok(figures)
}

/// How many of these records are there, all with a value of their own.
fn survivors(peer: &dyn Peer, numbers: impl Iterator<Item = u64>) -> Outcome<u64> {
    let mut found = 0;
    for number in numbers {
        let key = key(number);
        let mut right = true;
        found += u64::from(peer.get(&key, &mut |value| right = belongs(value, &key))?);
        check(right, || "after a kill, a record has the value of another".into())?;
    }
    Ok(found)
}
