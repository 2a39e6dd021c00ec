//! W11: gets of the past.

use crate::engine::Outcome;
use crate::engines::afterimage::{get, open, put};
use crate::measure::{Figures, STEP_MAX, Task, check, note, timed};
use crate::rows::{Random, Row, VALUE_BYTES, belongs, key};

const KEYS: u64 = 100;
const VERSIONS: u64 = 1100;
const GETS: u64 = 20_000;

/// Keys with many versions, read as they were so many versions ago.
pub(crate) fn gets(task: &Task) -> Outcome<Figures> {
    let store = open(&task.directory("past")?, false)?;
    let mut row = Row::new(0, 0, VALUE_BYTES);
    for version in 0..VERSIONS {
        for number in 0..KEYS {
            row.set(number, version);
            put(&store, &row)?;
        }
    }
    let mut figures = Figures::new();
    for back in [0, 1, 10, 100, 1000] {
        let head = store.head();
        let then = afterimage::Lsn::new(head.get() - back * KEYS);
        let snapshot = store.snapshot_at(then)?;
        let mut random = Random::new(back);
        let mut wanted = Row::new(0, 0, VALUE_BYTES);
        let timed = timed(GETS, STEP_MAX, |_| {
            let number = random.below(KEYS);
            let key = key(number);
            let mut right = false;
            get(&snapshot, &key, &mut |value| right = belongs(value, &key))?;
            check(right, || "a get of the past found nothing or another record".into())
        })?;
        wanted.set(1, VERSIONS - 1 - back);
        let mut right = false;
        get(&snapshot, &wanted.key, &mut |value| right = value == wanted.value)?;
        check(right, || format!("the value of {back} versions ago is another one"))?;
        note(&mut figures, format!("{back} back p50 us"), timed.quantile(0.5));
        note(&mut figures, format!("{back} back p99 us"), timed.quantile(0.99));
    }
    Ok(figures)
}
