//! W2 and W2p: durable puts, by threads that wait and by tasks that do not.

use std::cell::RefCell;
use std::collections::VecDeque;
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
/// Commits under way at most on the thread that submits.
const TICKETS: usize = 1000;

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
    drop(store);
    tickets(task, &mut figures)?;
    Ok(figures)
}

/// One thread that submits and waits for the commit it submitted so many before.
fn tickets(task: &Task, figures: &mut Figures) -> Outcome<()> {
    let store = open(&task.directory("tickets")?, true)?;
    let mut row = Row::new(0, 0, VALUE_BYTES);
    let mut waiting = VecDeque::with_capacity(TICKETS);
    let mut latencies = timed(0, Duration::ZERO, |_| Ok(()))?;
    let (start, duration) = (Instant::now(), task.seconds(3.0));
    let mut number = 0;
    while start.elapsed() < duration || !waiting.is_empty() {
        if start.elapsed() < duration {
            number += 1;
            row.set(number % task.count(100_000), number);
            let mut tx = store.begin()?;
            tx.put_image(THINGS, &row.key, Image::new(&row.value, CodecId::Raw))?;
            waiting.push_back((Instant::now(), tx.submit()?));
            if waiting.len() < TICKETS
                && !waiting.front().is_some_and(|(_, ticket)| ticket.is_durable())
            {
                continue;
            }
        }
        let Some((submitted, ticket)) = waiting.pop_front() else { break };
        ticket.wait()?;
        latencies.record(submitted.elapsed());
    }
    latencies.seconds = start.elapsed().as_secs_f64();
    check(store.durable().get() >= number, || "acknowledged, but not durable".into())?;
    note(figures, "tickets/s", latencies.rate());
    note_quantiles(figures, "tickets ", &latencies);
    Ok(())
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
