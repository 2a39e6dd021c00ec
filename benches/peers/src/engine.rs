//! What an engine must be able to do to be measured, and the list of those that are.

use std::error::Error;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::engines::{afterimage, fjall, lmdb, raft_engine, redb, rocksdb, sqlite};
use crate::rows::{Key, Row};

/// A result of anything that may fail here; a measurement that fails is reported as such.
pub(crate) type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// What is called for each value that is read.
pub(crate) type Seen<'a> = &'a mut dyn FnMut(&[u8]);

/// How an engine is opened.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Opening<'a> {
    /// A directory of its own, which exists.
    pub(crate) path: &'a Path,
    /// Whether a put returns only when a power cut can't take it back.
    pub(crate) durable: bool,
    /// Whether each put keeps the value before and the value after it.
    pub(crate) history: bool,
    /// Whether the database is known to be there, so that nothing may be created in its place;
    /// for engines that can be told.
    pub(crate) exists: bool,
}

/// An open engine, shared by all threads of a workload.
pub(crate) trait Peer: Send + Sync {
    /// One put in a transaction of its own.
    fn put(&self, key: &Key, value: &[u8]) -> Outcome<()>;
    /// Puts of different keys in one transaction.
    fn put_many(&self, rows: &[Row]) -> Outcome<()>;
    /// As `put_many`, but without history and, where that can be, without waiting for the device.
    /// What was loaded need not be there before the next `flush`.
    fn load(&self, rows: &[Row]) -> Outcome<()>;
    /// One get as an application would write it; says whether there was a record.
    fn get(&self, key: &Key, seen: Seen<'_>) -> Outcome<bool>;
    /// Gets one by one, but all in one snapshot or read transaction; without these, if the engine
    /// has none.
    fn get_many(&self, keys: &[Key], seen: Seen<'_>) -> Outcome<()> {
        for key in keys {
            self.get(key, seen)?;
        }
        Ok(())
    }
    /// One call for all keys; `false` if the engine has none.
    fn multi_get(&self, _keys: &[Key], _seen: Seen<'_>) -> Outcome<bool> {
        Ok(false)
    }
    /// The values of at most `limit` records in key order from a key, or from the first.
    fn scan(&self, from: Option<&Key>, limit: usize, seen: Seen<'_>) -> Outcome<()>;
    /// A full scan of the state this many changes ago; `false` if the engine can't.
    fn scan_past(&self, _changes_ago: u64, _seen: Seen<'_>) -> Outcome<bool> {
        Ok(false)
    }
    /// How many changes of an existing record stand in the history.
    fn changes_kept(&self) -> Outcome<u64>;
    /// Makes everything durable.
    fn flush(&self) -> Outcome<()>;
    /// Writes what shortens the next opening, if the engine has such a call.
    fn checkpoint(&self) -> Outcome<()> {
        Ok(())
    }
    /// An error if the engine's own check of everything finds damage; nothing if it has no check.
    fn verify(&mut self) -> Outcome<()> {
        Ok(())
    }
    /// What the engine told about opening, although it opened.
    fn told(&self) -> Vec<String> {
        Vec::new()
    }
}

/// An engine of the list.
#[derive(Debug)]
pub(crate) struct Engine {
    /// Its name in arguments and tables.
    pub(crate) id: &'static str,
    /// The package whose version is printed.
    pub(crate) package: &'static str,
    /// The setting for buffered puts.
    pub(crate) buffered: &'static str,
    /// What a killed process and a power cut leave of buffered puts.
    pub(crate) buffered_survives: &'static str,
    /// The setting for durable puts.
    pub(crate) durable: &'static str,
    /// How history is kept.
    pub(crate) history: &'static str,
    /// Why its buffered numbers are for a weaker promise; empty if they are not.
    pub(crate) weaker: &'static str,
    /// Opens or creates it.
    pub(crate) open: fn(&Opening<'_>) -> Outcome<Box<dyn Peer>>,
}

/// The id of the engine that the others are compared with.
pub(crate) const OWN: &str = "afterimage";
/// The same, killed right after a checkpoint; only for the workload that kills.
pub(crate) const OWN_CHECKPOINTED: &str = "afterimage-checkpointed";

/// All engines, in the order of the tables.
pub(crate) static ENGINES: [Engine; 9] = [
    afterimage::ENGINE,
    afterimage::CHECKPOINTED,
    redb::ENGINE,
    fjall::ENGINE,
    rocksdb::ENGINE,
    lmdb::ENGINE,
    lmdb::WRITEMAP,
    sqlite::ENGINE,
    raft_engine::ENGINE,
];

/// The engine of this id.
pub(crate) fn find(id: &str) -> Outcome<&'static Engine> {
    let known = ENGINES.iter().find(|engine| engine.id == id);
    known.ok_or_else(|| format!("there is no engine `{id}`").into())
}

/// The version of a package, from the lock file this program was built with.
pub(crate) fn version(package: &str) -> &'static str {
    let lock = include_str!("../Cargo.lock");
    let entry = lock.split("[[package]]").find(|entry| {
        entry.lines().any(|line| line.strip_prefix("name = ") == Some(&format!("\"{package}\"")))
    });
    let line = entry.and_then(|entry| entry.lines().find_map(|l| l.strip_prefix("version = ")));
    line.map_or("?", |version| version.trim_matches('"'))
}

/// An audit row: the key, the length of the old value, the old and the new value.
pub(crate) fn audit_row(key: &Key, old: Option<&[u8]>, new: &[u8]) -> Vec<u8> {
    let old = old.unwrap_or_default();
    let mut row = Vec::with_capacity(key.len() + 4 + old.len() + new.len());
    row.extend_from_slice(key);
    row.extend_from_slice(&(old.len() as u32).to_be_bytes());
    row.extend_from_slice(old);
    row.extend_from_slice(new);
    row
}

/// Whether an audit row has an old value.
pub(crate) fn audits_a_change(row: &[u8]) -> bool {
    row.get(16..20).is_some_and(|length| length != [0; 4])
}

const STRIPES: usize = 64;

/// Locks for reading and then writing a record, for engines without transactions.
#[derive(Debug)]
pub(crate) struct Stripes([Mutex<()>; STRIPES]);

impl Default for Stripes {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Mutex::new(())))
    }
}

impl Stripes {
    fn of(key: &Key) -> usize {
        usize::from(key[15]) % STRIPES
    }

    /// The lock of one record.
    pub(crate) fn one(&self, key: &Key) -> MutexGuard<'_, ()> {
        self.0[Self::of(key)].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The locks of all these records, in an order that can't deadlock.
    pub(crate) fn all(&self, rows: &[Row]) -> Vec<MutexGuard<'_, ()>> {
        let mut wanted = [false; STRIPES];
        rows.iter().for_each(|row| wanted[Self::of(&row.key)] = true);
        let locks = self.0.iter().zip(wanted).filter(|(_, wanted)| *wanted);
        locks.map(|(lock, _)| lock.lock().unwrap_or_else(PoisonError::into_inner)).collect()
    }
}
