//! W6: the mixes A and B of YCSB.

use std::time::{Duration, Instant};

use crate::engine::{Outcome, Peer};
use crate::measure::{Figures, Task, Timed, check, load, note, note_quantiles};
use crate::rows::{Random, Row, VALUE_BYTES, Zipf, belongs};

const THREADS: u64 = 2;

/// Half puts, then one put in twenty.
pub(crate) fn ycsb(task: &Task) -> Outcome<Figures> {
    let records = task.count(1_000_000);
    let zipf = Zipf::new(records);
    let mut figures = Figures::new();
    for (name, puts_percent) in [("A", 50), ("B", 5)] {
        let peer = task.open(name, false, true)?;
        load(&*peer, records)?;
        let mix = Mix { peer: &*peer, zipf: &zipf, puts_percent, duration: task.seconds(2.0) };
        let start = Instant::now();
        let (gets, puts) = mix.run()?;
        let seconds = start.elapsed().as_secs_f64();
        let kept = peer.changes_kept()?;
        check(kept == puts.done, || format!("{kept} changes kept of {}", puts.done))?;
        note(&mut figures, format!("{name} ops/s"), (gets.done + puts.done) as f64 / seconds);
        note_quantiles(&mut figures, &format!("{name} get "), &gets);
        note_quantiles(&mut figures, &format!("{name} put "), &puts);
    }
    Ok(figures)
}

/// What the threads of one mix share.
struct Mix<'a> {
    peer: &'a dyn Peer,
    zipf: &'a Zipf,
    puts_percent: u64,
    duration: Duration,
}

impl Mix<'_> {
    /// Gets and puts of all threads.
    fn run(&self) -> Outcome<(Timed, Timed)> {
        let results: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> =
                (0..THREADS).map(|thread| scope.spawn(move || self.run_thread(thread))).collect();
            threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
        });
        let (mut gets, mut puts) = (Timed::new()?, Timed::new()?);
        for result in results {
            let (thread_gets, thread_puts) = result?;
            gets.add(&thread_gets)?;
            puts.add(&thread_puts)?;
        }
        Ok((gets, puts))
    }

    fn run_thread(&self, thread: u64) -> Outcome<(Timed, Timed)> {
        let (mut gets, mut puts) = (Timed::new()?, Timed::new()?);
        let mut random = Random::new(thread + 11);
        let mut row = Row::new(0, 0, VALUE_BYTES);
        let start = Instant::now();
        let mut before = start;
        while before - start < self.duration {
            row.set(self.zipf.choose(&mut random), random.next());
            let is_put = random.below(100) < self.puts_percent;
            if is_put {
                self.peer.put(&row.key, &row.value)?;
            } else {
                let mut right = false;
                self.peer.get(&row.key, &mut |value| right = belongs(value, &row.key))?;
                check(right, || "a get found nothing or another record".into())?;
            }
            let after = Instant::now();
            let of_its_kind = if is_put { &mut puts } else { &mut gets };
            of_its_kind.record(after - before);
            before = after;
        }
        Ok((gets, puts))
    }
}
