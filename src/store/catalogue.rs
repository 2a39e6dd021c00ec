//! Which collections there are. Each is a record in `$collections`, written by the transaction that
//! used it first; those of the store itself are fixed.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{PoisonError, RwLock};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result, code};
use crate::format::digest::CollectionSeed;
use crate::journal::table::GrowingTable;
use crate::lsn::Lsn;

/// The store's own collections, in the order of their ids, from 1.
const SYSTEM: [&str; 8] = [
    "$collections",
    "$points",
    "$schemas",
    "$releases",
    "$migrations",
    "$audit",
    "$backups",
    "$projections",
];
/// Id of `$collections`.
pub(crate) const COLLECTIONS: u32 = 1;
/// Id of `$points`.
pub(crate) const POINTS: u32 = 2;
/// Id of `$audit`.
pub(crate) const AUDIT: u32 = 6;
/// The first id of a user's collection; those before are kept for the store.
pub(crate) const FIRST_USER_ID: u32 = 64;

/// A collection.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) id: u32,
    pub(crate) name: Box<str>,
    pub(crate) seed: CollectionSeed,
    /// The transaction that used it first; zero for the store's own.
    pub(crate) created: Lsn,
}

impl Entry {
    pub(crate) const fn is_system(&self) -> bool {
        self.id < FIRST_USER_ID
    }
}

/// The record of a collection in `$collections`.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct CatalogueRecord {
    pub(crate) id: u32,
}

/// The collections by id and by name. A collection is never removed.
#[derive(Debug)]
pub(crate) struct Catalogue {
    entries: GrowingTable<Entry>,
    ids: RwLock<BTreeMap<Box<str>, u32>>,
    /// The collection that was looked up last, for each length of its name: found without a lock.
    recent: [AtomicU32; RECENT],
}

const RECENT: usize = 16;

impl Catalogue {
    pub(crate) fn new() -> Self {
        let catalogue = Self {
            entries: GrowingTable::new(),
            ids: RwLock::new(BTreeMap::new()),
            recent: std::array::from_fn(|_| AtomicU32::new(0)),
        };
        for (id, name) in (1..).zip(SYSTEM) {
            catalogue.insert(id, name, Lsn::ZERO);
        }
        catalogue
    }

    /// The collection of this id, which a change of the journal names.
    pub(crate) fn by_id(&self, id: u32) -> Result<&Entry> {
        self.entries.get(id).ok_or_else(|| {
            Error::new(&code::FRAME_DAMAGED, format!("a change names collection {id}, unknown"))
        })
    }

    pub(crate) fn by_name(&self, name: &str) -> Option<&Entry> {
        let recent = self.recent.get(name.len() % RECENT);
        let known = recent.and_then(|id| self.entries.get(id.load(Ordering::Relaxed)));
        if let Some(entry) = known
            && *entry.name == *name
        {
            return Some(entry);
        }
        let entry = self.look_up(name)?;
        if let Some(recent) = recent {
            recent.store(entry.id, Ordering::Relaxed);
        }
        Some(entry)
    }

    fn look_up(&self, name: &str) -> Option<&Entry> {
        let id = *self.ids.read().unwrap_or_else(PoisonError::into_inner).get(name)?;
        self.entries.get(id)
    }

    /// The collection of this name, or the error that says that there never was one.
    pub(crate) fn existing(&self, name: &str) -> Result<&Entry> {
        self.by_name(name).ok_or_else(|| {
            let shown: String = name.chars().take(80).flat_map(char::escape_debug).collect();
            Error::new(&code::NO_SUCH_COLLECTION, format!("there is no collection `{shown}`"))
        })
    }

    /// All collections in the order of their ids.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter()
    }

    /// The id that the next new collection gets.
    pub(crate) fn next_id(&self) -> u32 {
        self.entries.newest().max(FIRST_USER_ID - 1) + 1
    }

    /// Adds a collection whose record was just applied, or read again.
    pub(crate) fn insert(&self, id: u32, name: &str, created: Lsn) -> bool {
        let entry = Entry { id, name: name.into(), seed: CollectionSeed::of(name), created };
        let added = self.entries.set(id, entry);
        if added {
            let mut ids = self.ids.write().unwrap_or_else(PoisonError::into_inner);
            ids.insert(name.into(), id);
        }
        added
    }
}
