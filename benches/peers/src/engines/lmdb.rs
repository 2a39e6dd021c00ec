//! LMDB through heed, in its usual form and with the writable map.

use std::ops::Bound;
use std::sync::atomic::{AtomicU64, Ordering};

use heed::types::Bytes;
use heed::{CommitOrAbort, Database, Env, EnvFlags, EnvOpenOptions, PutFlags, RwTxn};

use crate::engine::{Engine, Opening, Outcome, Peer, Seen, audit_row, audits_a_change};
use crate::rows::{Key, Row};

const MAP_BYTES: usize = 64 << 30;

/// The usual form.
pub(crate) const ENGINE: Engine = Engine {
    id: "lmdb",
    package: "heed",
    buffered: "MDB_NOSYNC: dirty pages written to the kernel a commit",
    buffered_survives: "kill: all; power cut: MAY BE CORRUPT",
    durable: "default flags (fdatasync and a synchronous meta page)",
    history: "get, put, put(MDB_APPEND) in a second database, same transaction",
    weaker: "a power cut may corrupt the whole database of a buffered run",
    open: |opening| open(opening, EnvFlags::empty()),
};

/// With the writable map.
pub(crate) const WRITEMAP: Engine = Engine {
    id: "lmdb-writemap",
    buffered: "MDB_WRITEMAP and MDB_NOSYNC: pages changed in the shared map",
    durable: "MDB_WRITEMAP (msync a commit)",
    open: |opening| open(opening, EnvFlags::WRITE_MAP),
    ..ENGINE
};

type Rows = Database<'static, Bytes, Bytes>;

struct Lmdb {
    environment: Env,
    things: Rows,
    audit: Rows,
    history: bool,
    next: AtomicU64,
}

fn open(opening: &Opening<'_>, mut flags: EnvFlags) -> Outcome<Box<dyn Peer>> {
    if !opening.durable {
        flags |= EnvFlags::NO_SYNC;
    }
    let path = opening.path.join("bench.lmdb");
    std::fs::create_dir_all(&path)?;
    let mut options = EnvOpenOptions::new();
    options.map_size(MAP_BYTES).max_dbs(2).max_readers(256);
    // SAFETY: what the flags give up (a power cut may corrupt) is what is measured and printed.
    unsafe { options.flags(flags) };
    // SAFETY: the directory belongs to this process alone, which opens it once at a time.
    let environment = unsafe { options.open(&path)? };
    let tx = environment.write_txn()?;
    let opened = environment.create_databases_and_commit(tx, |opener, tx| {
        let things = opener.create_database::<Bytes, Bytes>(tx, Some("things"))?;
        let audit = opener.create_database::<Bytes, Bytes>(tx, Some("audit"))?;
        heed::Result::Ok(CommitOrAbort::<_, ()>::Commit((things, audit)))
    })?;
    let (things, audit): (Rows, Rows) = opened.unwrap_commit();
    let tx = environment.read_txn()?;
    let next = AtomicU64::new(audit.len(&tx)?);
    drop(tx);
    Ok(Box::new(Lmdb { environment, things, audit, history: opening.history, next }))
}

impl Lmdb {
    fn write(&self, tx: &mut RwTxn<'_>, key: &Key, value: &[u8]) -> Outcome<()> {
        if self.history {
            let row = audit_row(key, self.things.get(tx, key)?, value);
            let sequence = self.next.fetch_add(1, Ordering::Relaxed).to_be_bytes();
            self.audit.put_with_flags(tx, PutFlags::APPEND, &sequence, &row)?;
        }
        Ok(self.things.put(tx, key, value)?)
    }
}

impl Peer for Lmdb {
    fn put(&self, key: &Key, value: &[u8]) -> Outcome<()> {
        let mut tx = self.environment.write_txn()?;
        self.write(&mut tx, key, value)?;
        Ok(tx.commit()?)
    }

    fn put_many(&self, rows: &[Row]) -> Outcome<()> {
        let mut tx = self.environment.write_txn()?;
        for row in rows {
            self.write(&mut tx, &row.key, &row.value)?;
        }
        Ok(tx.commit()?)
    }

    fn load(&self, rows: &[Row]) -> Outcome<()> {
        let mut tx = self.environment.write_txn()?;
        for row in rows {
            self.things.put(&mut tx, &row.key, &row.value)?;
        }
        Ok(tx.commit()?)
    }

    fn get(&self, key: &Key, seen: Seen<'_>) -> Outcome<bool> {
        let tx = self.environment.read_txn()?;
        let found = self.things.get(&tx, key)?;
        found.iter().for_each(|value| seen(value));
        Ok(found.is_some())
    }

    fn get_many(&self, keys: &[Key], seen: Seen<'_>) -> Outcome<()> {
        let tx = self.environment.read_txn()?;
        for key in keys {
            self.things.get(&tx, key)?.iter().for_each(|value| seen(value));
        }
        Ok(())
    }

    fn scan(&self, from: Option<&Key>, limit: usize, seen: Seen<'_>) -> Outcome<()> {
        let tx = self.environment.read_txn()?;
        let from = from.map_or(Bound::Unbounded, |key| Bound::Included(&key[..]));
        for row in self.things.range(&tx, &(from, Bound::<&[u8]>::Unbounded))?.take(limit) {
            seen(row?.1);
        }
        Ok(())
    }

    fn changes_kept(&self) -> Outcome<u64> {
        let tx = self.environment.read_txn()?;
        let mut kept = 0;
        for row in self.audit.iter(&tx)? {
            kept += u64::from(audits_a_change(row?.1));
        }
        Ok(kept)
    }

    fn flush(&self) -> Outcome<()> {
        Ok(self.environment.force_sync()?)
    }
}
