//! SQLite through rusqlite.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension, TransactionBehavior, params};

use crate::engine::{Engine, Opening, Outcome, Peer, Seen};
use crate::rows::{Key, Row};

/// As it is registered.
pub(crate) const ENGINE: Engine = Engine {
    id: "sqlite",
    package: "rusqlite",
    buffered: "journal_mode=WAL, synchronous=NORMAL, cache 256 MiB",
    buffered_survives: "kill: all; power cut: a prefix",
    durable: "journal_mode=WAL, synchronous=FULL (fsync a commit)",
    history: "AFTER INSERT and AFTER UPDATE triggers into an audit table",
    weaker: "",
    open,
};

const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS things (key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS audit (id INTEGER PRIMARY KEY, key BLOB, old BLOB, new BLOB);";
const TRIGGERS: &str = "
    CREATE TRIGGER IF NOT EXISTS inserted AFTER INSERT ON things BEGIN
        INSERT INTO audit (key, old, new) VALUES (NEW.key, NULL, NEW.value); END;
    CREATE TRIGGER IF NOT EXISTS updated AFTER UPDATE ON things BEGIN
        INSERT INTO audit (key, old, new) VALUES (NEW.key, OLD.value, NEW.value); END;";
const PUT: &str = "INSERT INTO things (key, value) VALUES (?1, ?2)
    ON CONFLICT (key) DO UPDATE SET value = excluded.value";
const GET: &str = "SELECT value FROM things WHERE key = ?1";
const SCAN: &str = "SELECT value FROM things WHERE key >= ?1 ORDER BY key LIMIT ?2";

struct Sqlite {
    path: PathBuf,
    synchronous: &'static str,
    history: bool,
    exists: bool,
    triggers: AtomicBool,
    /// The one that loads, in a transaction that ends with the next `flush`.
    loading: Mutex<Option<Connection>>,
    /// Connections that no thread uses at the moment.
    idle: Mutex<Vec<Connection>>,
}

fn open(opening: &Opening<'_>) -> Outcome<Box<dyn Peer>> {
    let peer = Sqlite {
        path: opening.path.join("bench.sqlite"),
        synchronous: if opening.durable { "FULL" } else { "NORMAL" },
        history: opening.history,
        exists: opening.exists,
        triggers: AtomicBool::new(false),
        loading: Mutex::new(None),
        idle: Mutex::new(Vec::new()),
    };
    let tables = if opening.exists { "" } else { TABLES };
    peer.with(|connection| Ok(connection.execute_batch(tables)?))?;
    Ok(Box::new(peer))
}

impl Sqlite {
    fn connect(&self) -> Outcome<Connection> {
        let mut flags = OpenFlags::default();
        flags.set(OpenFlags::SQLITE_OPEN_CREATE, !self.exists);
        let connection = Connection::open_with_flags(&self.path, flags)?;
        connection.busy_timeout(Duration::from_secs(60))?;
        connection.execute_batch(&format!(
            "PRAGMA journal_mode=WAL; PRAGMA synchronous={}; PRAGMA cache_size=-262144;",
            self.synchronous
        ))?;
        Ok(connection)
    }

    /// Does something on a connection that no other thread uses meanwhile.
    fn with<T>(&self, act: impl FnOnce(&mut Connection) -> Outcome<T>) -> Outcome<T> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut connection = match idle {
            Some(connection) => connection,
            None => self.connect()?,
        };
        let done = act(&mut connection);
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        done
    }

    /// Creates the triggers before the first put that keeps history; loading does not.
    fn begin_history(&self, connection: &Connection) -> Outcome<()> {
        if self.history && !self.triggers.load(Ordering::Acquire) {
            connection.execute_batch(TRIGGERS)?;
            self.triggers.store(true, Ordering::Release);
        }
        Ok(())
    }
}

fn put_all(connection: &mut Connection, rows: &[Row]) -> Outcome<()> {
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    insert(&tx, rows)?;
    Ok(tx.commit()?)
}

fn insert(connection: &Connection, rows: &[Row]) -> Outcome<()> {
    let mut put = connection.prepare_cached(PUT)?;
    for row in rows {
        put.execute(params![row.key, row.value])?;
    }
    Ok(())
}

fn get_one(connection: &Connection, key: &Key, seen: Seen<'_>) -> Outcome<bool> {
    let mut get = connection.prepare_cached(GET)?;
    let found = get.query_row([&key[..]], |row| {
        seen(row.get_ref(0)?.as_blob()?);
        Ok(())
    });
    Ok(found.optional()?.is_some())
}

impl Peer for Sqlite {
    fn put(&self, key: &Key, value: &[u8]) -> Outcome<()> {
        self.with(|connection| {
            self.begin_history(connection)?;
            connection.prepare_cached(PUT)?.execute(params![key, value])?;
            Ok(())
        })
    }

    fn put_many(&self, rows: &[Row]) -> Outcome<()> {
        self.with(|connection| {
            self.begin_history(connection)?;
            put_all(connection, rows)
        })
    }

    fn load(&self, rows: &[Row]) -> Outcome<()> {
        let mut loading = self.loading.lock().unwrap_or_else(PoisonError::into_inner);
        if loading.is_none() {
            let connection = self.connect()?;
            connection.execute_batch("BEGIN IMMEDIATE")?;
            *loading = Some(connection);
        }
        loading.as_ref().map_or(Ok(()), |connection| insert(connection, rows))
    }

    fn get(&self, key: &Key, seen: Seen<'_>) -> Outcome<bool> {
        self.with(|connection| get_one(connection, key, seen))
    }

    fn get_many(&self, keys: &[Key], seen: Seen<'_>) -> Outcome<()> {
        self.with(|connection| {
            let tx = connection.transaction()?;
            for key in keys {
                get_one(&tx, key, seen)?;
            }
            Ok(tx.commit()?)
        })
    }

    fn scan(&self, from: Option<&Key>, limit: usize, seen: Seen<'_>) -> Outcome<()> {
        self.with(|connection| {
            let from: &[u8] = from.map_or(&[], |key| &key[..]);
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            let mut scan = connection.prepare_cached(SCAN)?;
            let mut rows = scan.query(params![from, limit])?;
            while let Some(row) = rows.next()? {
                seen(row.get_ref(0)?.as_blob()?);
            }
            Ok(())
        })
    }

    fn changes_kept(&self) -> Outcome<u64> {
        self.with(|connection| {
            let count = "SELECT count(*) FROM audit WHERE old IS NOT NULL";
            let kept: i64 = connection.query_row(count, [], |row| row.get(0))?;
            Ok(kept as u64)
        })
    }

    fn flush(&self) -> Outcome<()> {
        let loading = self.loading.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(connection) = loading {
            connection.execute_batch("COMMIT")?;
        }
        self.with(|connection| {
            let checkpoint = "PRAGMA wal_checkpoint(TRUNCATE)";
            Ok(connection.query_row(checkpoint, [], |_| Ok(()))?)
        })
    }

    fn verify(&mut self) -> Outcome<()> {
        self.with(|connection| {
            let check = "PRAGMA integrity_check";
            let found: String = connection.query_row(check, [], |row| row.get(0))?;
            if found == "ok" { Ok(()) } else { Err(found.into()) }
        })
    }
}
