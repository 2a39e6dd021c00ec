//! W2 and W2p: durable puts, by threads that wait and by tasks that do not.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use afterimage::{CodecId, Image, Store};

use crate::engine::Outcome;
use crate::engines::afterimage::{THINGS, open};
use crate::measure::{
    Figures, Task, Timed, check, load, note, note_quantiles, timed, timed_threads,
};
use crate::rows::{Random, Row, VALUE_BYTES};

/// One put a transaction, each waited for, on 1 to 64 threads.
pub(crate) fn threads(task: &Task) -> Outcome<Figures> {
    let mut figures = Figures::new();
    let keys = task.count(100_000);
    for threads in [1, 4, 16, 64] {
        let peer = task.open(&format!("threads-{threads}"), true, true)?;
        load(&*peer, keys)?;
        let peer = &*peer;
        let timed = timed_threads(threads, task.seconds(1.5), |thread| {
            let mut random = Random::new(thread + 1);
            let mut row = Row::new(0, 0, VALUE_BYTES);
            move |number| {
                row.set(random.below(keys), number + 1);
                peer.put(&row.key, &row.value)
            }
        })?;
        let kept = peer.changes_kept()?;
        check(kept == timed.done, || format!("{kept} changes kept of {}", timed.done))?;
        note(&mut figures, format!("{threads} thr ops/s"), timed.rate());
        note_quantiles(&mut figures, &format!("{threads} thr "), &timed);
    }
    Ok(figures)
}

const TASKS: u64 = 10_000;

/// Tasks on one thread: each begins, puts, and awaits its commit, again and again.
pub(crate) fn pipelined(task: &Task) -> Outcome<Figures> {
    let path = task.directory("pipelined")?;
    let store = open(&path, true)?;
    let duration = task.seconds(3.0);
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let local = tokio::task::LocalSet::new();
    let all = Rc::new(RefCell::new(timed(0, duration, |_| Ok(()))?));
    let start = Instant::now();
    local.block_on(&runtime, async {
        let tasks: Vec<_> = (0..TASKS)
            .map(|number| {
                let (store, all) = (store.clone(), Rc::clone(&all));
                tokio::task::spawn_local(put_again_and_again(store, number, start, duration, all))
            })
            .collect();
        for task in tasks {
            task.await??;
        }
        Outcome::Ok(())
    })?;
    let mut timed = all.borrow_mut();
    timed.seconds = start.elapsed().as_secs_f64();
    check(store.durable().get() >= timed.done, || "acknowledged, but not durable".into())?;
    let mut figures = Figures::new();
    note(&mut figures, "ops/s", timed.rate());
    note_quantiles(&mut figures, "", &timed);
    note(&mut figures, "max us", timed.slowest());
    Ok(figures)
}

async fn put_again_and_again(
    store: Store,
    number: u64,
    start: Instant,
    duration: Duration,
    all: Rc<RefCell<Timed>>,
) -> Outcome<()> {
    let mut row = Row::new(number, 0, VALUE_BYTES);
    let mut version = 0;
    while start.elapsed() < duration {
        version += 1;
        row.set(number, version);
        let before = Instant::now();
        let mut tx = store.begin()?;
        tx.put_image(THINGS, &row.key, Image::new(&row.value, CodecId::Raw))?;
        tx.commit_async().await?;
        all.borrow_mut().record(before.elapsed());
    }
    Ok(())
}
