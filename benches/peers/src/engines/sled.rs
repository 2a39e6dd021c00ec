//! sled, of which only the pre-release is made anew; for the comparison of damage, not of speed.

use std::ops::Bound;
use std::sync::{Mutex, MutexGuard, PoisonError};

use sled::Config;

use crate::engine::{Engine, Opening, Outcome, Peer, Seen};
use crate::rows::{Key, Row};

/// As it is registered.
pub(crate) const ENGINE: Engine = Engine {
    id: "sled",
    package: "sled",
    buffered: "written by a thread every 200 ms (default)",
    buffered_survives: "kill: NOTHING of the last 200 ms; power cut: the same",
    durable: "flush() after each insert",
    history: "none",
    weaker: "buffered puts stay in the process for 200 ms",
    open,
};

/// The number of entries of a leaf that its documentation uses.
type Database = sled::Db<1024>;

struct Sled {
    /// Each thread would need a clone of its own; one lock is enough for what it is here for.
    database: Mutex<Database>,
    durable: bool,
}

fn open(opening: &Opening<'_>) -> Outcome<Box<dyn Peer>> {
    if opening.history {
        return Err("sled keeps no history here".into());
    }
    let database = Config::new().path(opening.path.join("bench.sled")).open()?;
    Ok(Box::new(Sled { database: Mutex::new(database), durable: opening.durable }))
}

impl Sled {
    fn database(&self) -> MutexGuard<'_, Database> {
        self.database.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sync(&self, wanted: bool) -> Outcome<()> {
        if wanted {
            self.database().flush()?;
        }
        Ok(())
    }
}

impl Peer for Sled {
    fn put(&self, key: &Key, value: &[u8]) -> Outcome<()> {
        self.database().insert(key, value)?;
        self.sync(self.durable)
    }

    fn put_many(&self, rows: &[Row]) -> Outcome<()> {
        self.load(rows)?;
        self.sync(self.durable)
    }

    fn load(&self, rows: &[Row]) -> Outcome<()> {
        let mut batch = sled::Batch::default();
        rows.iter().for_each(|row| batch.insert(row.key, &row.value[..]));
        Ok(self.database().apply_batch(batch)?)
    }

    fn get(&self, key: &Key, seen: Seen<'_>) -> Outcome<bool> {
        let found = self.database().get(key)?;
        found.iter().for_each(|value| seen(value));
        Ok(found.is_some())
    }

    fn scan(&self, from: Option<&Key>, limit: usize, seen: Seen<'_>) -> Outcome<()> {
        let from = from.map_or(Bound::Unbounded, Bound::Included);
        for row in self.database().range::<Key, _>((from, Bound::Unbounded)).take(limit) {
            seen(&row?.1);
        }
        Ok(())
    }

    fn changes_kept(&self) -> Outcome<u64> {
        Err("sled keeps no history here".into())
    }

    fn flush(&self) -> Outcome<()> {
        self.sync(true)
    }
}
