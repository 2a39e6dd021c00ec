//! W10: the memory that many records take.

use crate::engine::Outcome;
use crate::measure::{Figures, STEP_MAX, Task, check, load, note, timed};
use crate::rows::{Random, belongs, key};

const RECORDS: u64 = 20_000_000;

/// 20M records: resident anonymous memory after a checkpoint, then gets.
pub(crate) fn records_20m(task: &Task) -> Outcome<Figures> {
    let peer = task.open("memory", false, true)?;
    load(&*peer, RECORDS)?;
    peer.checkpoint()?;
    let (anonymous, all) = (status_kib("RssAnon:")?, status_kib("VmRSS:")?);
    let mut random = Random::new(1);
    let timed = timed(2_000_000, STEP_MAX, |_| {
        let key = key(random.below(RECORDS));
        let mut right = false;
        peer.get(&key, &mut |value| right = belongs(value, &key))?;
        check(right, || "a get found nothing or another record".into())
    })?;
    let mut figures = Figures::new();
    note(&mut figures, "anon MB", anonymous * 1.024e-3);
    note(&mut figures, "rss MB", all * 1.024e-3);
    note(&mut figures, "anon bytes a record", anonymous * 1024.0 / RECORDS as f64);
    note(&mut figures, "get/s", timed.rate());
    Ok(figures)
}

fn status_kib(field: &str) -> Outcome<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    let number = line.and_then(|line| line.split_whitespace().next());
    Ok(number.ok_or_else(|| format!("no {field} in /proc/self/status"))?.parse()?)
}
