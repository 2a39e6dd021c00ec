//! The background thread of durability: syncs for async tasks and by interval, and notes in CONTROL
//! how far the journal is durable when it has been quiet for a while.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use super::Journal;
use crate::error::Result;
use crate::lsn::Lsn;
use crate::sys::thread;

/// How often the thread looks whether the journal has gone quiet. The beacon is written after one
/// to two of these.
const TICK: Duration = Duration::from_millis(450);

/// The thread, until stopped.
#[derive(Debug)]
pub(crate) struct Flusher {
    thread: Option<JoinHandle<()>>,
}

impl Flusher {
    /// Starts the thread. With an interval, what was appended is synced that often.
    pub(crate) fn start(journal: &Arc<Journal>, interval: Option<Duration>) -> Result<Self> {
        let journal = Arc::clone(journal);
        let thread = thread::spawn("afterimage-flusher", move || flush(&journal, interval))?;
        Ok(Self { thread: Some(thread) })
    }

    pub(crate) fn stop(&mut self, journal: &Journal) {
        journal.sync.bell.stop();
        if let Some(thread) = self.thread.take()
            // This very thread may hold the last handle while it tells what became durable.
            && thread.thread().id() != std::thread::current().id()
        {
            // A panic of the thread was printed when it happened; there is nothing to undo.
            drop(thread.join());
        }
    }
}

fn flush(journal: &Journal, interval: Option<Duration>) {
    let mut asked = Lsn::ZERO;
    let mut last_seen = journal.sync.tail().lsn;
    let mut since_beacon_look = Duration::ZERO;
    loop {
        let pause = interval.unwrap_or(TICK).min(TICK);
        let rung = journal.sync.bell.wait(asked, pause);
        if rung.stop {
            return;
        }
        let tail = journal.sync.tail().lsn;
        let by_request = rung.lsn > asked;
        asked = asked.max(rung.lsn);
        if by_request || interval.is_some() {
            // An error poisons the journal, and everyone who waits is told.
            drop(journal.sync.wait(asked.max(if interval.is_some() { tail } else { asked })));
        }
        since_beacon_look += if by_request { Duration::ZERO } else { pause };
        if since_beacon_look >= TICK {
            since_beacon_look = Duration::ZERO;
            if tail == last_seen && journal.beacon_lsn() < tail {
                note_quiet(journal, tail);
            }
            last_seen = tail;
        }
    }
}

fn note_quiet(journal: &Journal, tail: Lsn) {
    let noted = journal.sync.wait(tail).and_then(|()| journal.write_beacon(None, false));
    if let Err(error) = noted {
        journal.sync.poison(&error);
    }
}
