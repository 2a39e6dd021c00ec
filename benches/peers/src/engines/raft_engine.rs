//! raft-engine, the peer whose design is nearest: a log with an index in memory.

use std::sync::atomic::{AtomicU64, Ordering};

use raft_engine::{Config, LogBatch};

use crate::engine::{Engine, Opening, Outcome, Peer, Seen, Stripes, audit_row, audits_a_change};
use crate::rows::{Key, Row};

/// As it is registered.
pub(crate) const ENGINE: Engine = Engine {
    id: "raft-engine",
    package: "raft-engine",
    buffered: "write(batch, sync=false): one write() a commit; purge never called",
    buffered_survives: "kill: all; power cut: a prefix",
    durable: "write(batch, sync=true) (group commit)",
    history: "striped lock, get, one LogBatch (audit rows also stay in memory)",
    weaker: "",
    open,
};

const THINGS: u64 = 1;
const AUDIT: u64 = 2;

struct Raft {
    engine: raft_engine::Engine,
    durable: bool,
    history: bool,
    next: AtomicU64,
    stripes: Stripes,
}

fn open(opening: &Opening<'_>) -> Outcome<Box<dyn Peer>> {
    let dir = opening.path.join("bench.raft").to_string_lossy().into_owned();
    let engine = raft_engine::Engine::open(Config { dir, ..Config::default() })?;
    Ok(Box::new(Raft {
        engine,
        durable: opening.durable,
        history: opening.history,
        next: AtomicU64::new(0),
        stripes: Stripes::default(),
    }))
}

/// Keys that begin with two underscores are the engine's own, so each of ours gets a letter.
fn named(key: &Key) -> [u8; 17] {
    let mut name = [b'k'; 17];
    name[1..].copy_from_slice(key);
    name
}

impl Raft {
    fn write<'r>(&self, rows: impl Iterator<Item = (&'r Key, &'r [u8])>) -> Outcome<()> {
        let mut batch = LogBatch::default();
        for (key, value) in rows {
            let name = named(key);
            if self.history {
                let old = self.engine.get(THINGS, &name);
                let sequence = self.next.fetch_add(1, Ordering::Relaxed).to_be_bytes();
                batch.put(AUDIT, sequence.to_vec(), audit_row(key, old.as_deref(), value))?;
            }
            batch.put(THINGS, name.to_vec(), value.to_vec())?;
        }
        self.engine.write(&mut batch, self.durable)?;
        Ok(())
    }
}

impl Peer for Raft {
    fn put(&self, key: &Key, value: &[u8]) -> Outcome<()> {
        let _lock = self.history.then(|| self.stripes.one(key));
        self.write(std::iter::once((key, value)))
    }

    fn put_many(&self, rows: &[Row]) -> Outcome<()> {
        let _locks = self.history.then(|| self.stripes.all(rows));
        self.write(rows.iter().map(|row| (&row.key, &row.value[..])))
    }

    fn load(&self, rows: &[Row]) -> Outcome<()> {
        let mut batch = LogBatch::default();
        for row in rows {
            batch.put(THINGS, named(&row.key).to_vec(), row.value.clone())?;
        }
        self.engine.write(&mut batch, false)?;
        Ok(())
    }

    fn get(&self, key: &Key, seen: Seen<'_>) -> Outcome<bool> {
        let found = self.engine.get(THINGS, &named(key));
        found.iter().for_each(|value| seen(value));
        Ok(found.is_some())
    }

    fn scan(&self, from: Option<&Key>, limit: usize, seen: Seen<'_>) -> Outcome<()> {
        let from = from.map(named);
        let mut left = limit;
        let from = from.as_ref().map(|name| &name[..]);
        self.engine.scan_raw_messages(THINGS, from, None, false, |_, value| {
            seen(value);
            left -= 1;
            left > 0
        })?;
        Ok(())
    }

    fn changes_kept(&self) -> Outcome<u64> {
        let mut kept = 0;
        self.engine.scan_raw_messages(AUDIT, None, None, false, |_, value| {
            kept += u64::from(audits_a_change(value));
            true
        })?;
        Ok(kept)
    }

    fn flush(&self) -> Outcome<()> {
        Ok(self.engine.sync()?)
    }
}
