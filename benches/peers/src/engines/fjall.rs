//! fjall.

use std::ops::Bound;
use std::sync::atomic::{AtomicU64, Ordering};

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode, Readable};

use crate::engine::{Engine, Opening, Outcome, Peer, Seen, Stripes, audit_row, audits_a_change};
use crate::rows::{Key, Row};

/// As it is registered.
pub(crate) const ENGINE: Engine = Engine {
    id: "fjall",
    package: "fjall",
    buffered: "journal written to the kernel a commit (default), LZ4, cache 1 GiB",
    buffered_survives: "kill: all; power cut: a prefix",
    durable: "batch with PersistMode::SyncData",
    history: "striped lock, get, one batch over two keyspaces",
    weaker: "",
    open,
};

struct Fjall {
    database: Database,
    things: Keyspace,
    audit: Keyspace,
    durable: bool,
    history: bool,
    next: AtomicU64,
    stripes: Stripes,
}

fn open(opening: &Opening<'_>) -> Outcome<Box<dyn Peer>> {
    let database =
        Database::builder(opening.path.join("bench.fjall")).cache_size(1 << 30).open()?;
    if opening.exists && !database.keyspace_exists("things") {
        return Err("there is no keyspace `things`".into());
    }
    let things = database.keyspace("things", KeyspaceCreateOptions::default)?;
    let audit = database.keyspace("audit", KeyspaceCreateOptions::default)?;
    Ok(Box::new(Fjall {
        things,
        audit,
        durable: opening.durable,
        history: opening.history,
        next: AtomicU64::new(0),
        stripes: Stripes::default(),
        database,
    }))
}

impl Fjall {
    fn write<'r>(&self, rows: impl Iterator<Item = (&'r Key, &'r [u8])>) -> Outcome<()> {
        let mode = if self.durable { PersistMode::SyncData } else { PersistMode::Buffer };
        let mut batch = self.database.batch().durability(Some(mode));
        for (key, value) in rows {
            if self.history {
                let old = self.things.get(key)?;
                let sequence = self.next.fetch_add(1, Ordering::Relaxed).to_be_bytes();
                batch.insert(&self.audit, sequence, audit_row(key, old.as_deref(), value));
            }
            batch.insert(&self.things, &key[..], value);
        }
        Ok(batch.commit()?)
    }
}

impl Peer for Fjall {
    fn put(&self, key: &Key, value: &[u8]) -> Outcome<()> {
        if !self.history && !self.durable {
            return Ok(self.things.insert(&key[..], value)?);
        }
        let _lock = self.history.then(|| self.stripes.one(key));
        self.write(std::iter::once((key, value)))
    }

    fn put_many(&self, rows: &[Row]) -> Outcome<()> {
        let _locks = self.history.then(|| self.stripes.all(rows));
        self.write(rows.iter().map(|row| (&row.key, &row.value[..])))
    }

    fn load(&self, rows: &[Row]) -> Outcome<()> {
        let mut batch = self.database.batch();
        for row in rows {
            batch.insert(&self.things, &row.key[..], &row.value[..]);
        }
        Ok(batch.commit()?)
    }

    fn get(&self, key: &Key, seen: Seen<'_>) -> Outcome<bool> {
        let found = self.things.get(key)?;
        found.iter().for_each(|value| seen(value));
        Ok(found.is_some())
    }

    fn get_many(&self, keys: &[Key], seen: Seen<'_>) -> Outcome<()> {
        let snapshot = self.database.snapshot();
        for key in keys {
            snapshot.get(&self.things, key)?.iter().for_each(|value| seen(value));
        }
        Ok(())
    }

    fn scan(&self, from: Option<&Key>, limit: usize, seen: Seen<'_>) -> Outcome<()> {
        let from = from.map_or(Bound::Unbounded, |key| Bound::Included(&key[..]));
        let range = (from, Bound::<&[u8]>::Unbounded);
        let snapshot = self.database.snapshot();
        for row in snapshot.range::<&[u8], _>(&self.things, range).take(limit) {
            seen(&row.value()?);
        }
        Ok(())
    }

    fn changes_kept(&self) -> Outcome<u64> {
        let mut kept = 0;
        for row in self.audit.iter() {
            kept += u64::from(audits_a_change(&row.value()?));
        }
        Ok(kept)
    }

    fn flush(&self) -> Outcome<()> {
        Ok(self.database.persist(PersistMode::SyncAll)?)
    }
}
