//! W4: gets.

use std::time::Instant;

use crate::engine::{Outcome, Peer, Seen};
use crate::measure::{Figures, STEP_MAX, Task, check, load, note, note_quantiles, timed};
use crate::rows::{Key, Random, belongs, key};

/// Gets in one snapshot.
const SNAPSHOT_GETS: usize = 10_000;
/// Keys of one multi-get.
const MULTI_GETS: usize = 100;

/// One by one, in one snapshot, and by one call.
pub(crate) fn gets(task: &Task) -> Outcome<Figures> {
    let records = task.count(1_000_000);
    let peer = task.open("gets", false, false)?;
    let peer = &*peer;
    load(peer, records)?;
    let mut warm = 0;
    peer.scan(None, usize::MAX, &mut |_| warm += 1)?;
    check(warm == records, || format!("{warm} records of {records}"))?;
    single(peer, records, records / 2)?;

    let mut figures = Figures::new();
    let timed = single(peer, records, records)?;
    note(&mut figures, "get/s", timed.rate());
    note_quantiles(&mut figures, "get ", &timed);
    let get_many = |keys: &[Key], seen: Seen<'_>| peer.get_many(keys, seen).map(|()| true);
    let rate = grouped(records, SNAPSHOT_GETS, get_many)?;
    note(&mut figures, "snapshot get/s", rate.expect("each engine has it"));
    if let Some(rate) = grouped(records, MULTI_GETS, |keys, seen| peer.multi_get(keys, seen))? {
        note(&mut figures, "multi-get get/s", rate);
    }
    Ok(figures)
}

fn single(peer: &dyn Peer, records: u64, count: u64) -> Outcome<crate::measure::Timed> {
    let mut random = Random::new(7);
    timed(count, STEP_MAX, |_| {
        let key = key(random.below(records));
        let mut right = false;
        peer.get(&key, &mut |value| right = belongs(value, &key))?;
        check(right, || "a get found nothing or another record".into())
    })
}

/// Gets a second in groups of this size; `None` if the engine can't.
fn grouped(
    records: u64,
    size: usize,
    mut get: impl FnMut(&[Key], Seen<'_>) -> Outcome<bool>,
) -> Outcome<Option<f64>> {
    let mut random = Random::new(9);
    let mut keys = vec![[0; 16]; size];
    let (mut done, mut seconds) = (0, 0.0);
    while done < records && seconds < STEP_MAX.as_secs_f64() {
        keys.fill_with(|| key(random.below(records)));
        let mut next = keys.iter();
        let mut right = 0;
        let start = Instant::now();
        let offered = get(&keys, &mut |value| {
            right += usize::from(next.next().is_some_and(|key| belongs(value, key)));
        })?;
        seconds += start.elapsed().as_secs_f64();
        if !offered {
            return Ok(None);
        }
        check(right == size, || format!("{right} right of {size}"))?;
        done += size as u64;
    }
    Ok(Some(done as f64 / seconds))
}
