//! The store at one moment.

use std::sync::Arc;

use super::CollectionInfo;
use super::codec::{self, Codec};
use super::collection::{Collection, KeyRange, check_key};
use super::engine::Handle;
use super::record::{self, Record, Scan};
use crate::error::Result;
use crate::format::digest::StateDigest;
use crate::lsn::Lsn;
use crate::time::Timestamp;

/// A read-only view of the store at one LSN. Taking one costs nothing, and what is written later
/// does not show.
///
/// ```
/// use afterimage::{Collection, Raw, Store};
///
/// const ROOMS: Collection<[u8], Raw> = Collection::new("rooms");
///
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("hotel.store");
/// let store = Store::open(&path)?;
/// store.write(|tx| tx.put(&ROOMS, "204", b"open".as_slice()))?;
/// let before = store.snapshot();
/// store.write(|tx| tx.put(&ROOMS, "204", b"closed".as_slice()))?;
/// assert_eq!(before.get(&ROOMS, "204")?, Some(b"open".as_slice()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Snapshot {
    engine: Arc<Handle>,
    lsn: Lsn,
}

impl Snapshot {
    pub(crate) fn new(engine: Arc<Handle>, lsn: Lsn) -> Self {
        Self { engine, lsn }
    }

    /// The last transaction in view.
    #[must_use]
    pub fn lsn(&self) -> Lsn {
        self.lsn
    }

    /// When that transaction was committed; `None` for the empty store.
    #[must_use]
    pub fn time(&self) -> Option<Timestamp> {
        // Zero, the empty store, has no transaction and so no time.
        let tail = self.engine.journal.tail_at(self.lsn).ok();
        tail.filter(|tail| tail.lsn > Lsn::ZERO).map(|tail| tail.time)
    }

    /// A record's value; with the codecs `Raw` and `Rkyv` borrowed straight from the map.
    ///
    /// # Errors
    /// `Invalid` if the value is of another type or codec, or the key over its limit; `Corrupt`.
    pub fn get<T: ?Sized, C: Codec<T>>(
        &self,
        collection: &Collection<T, C>,
        key: impl AsRef<[u8]>,
    ) -> Result<Option<C::View<'_>>> {
        let Some(entry) = self.engine.catalogue.by_name(collection.name()) else {
            return Ok(None);
        };
        match record::read(&self.engine, entry.id, key.as_ref(), self.lsn)? {
            Some(record) => codec::decode::<T, C>(record.image()).map(Some),
            None => Ok(None),
        }
    }

    /// A record, by name and bytes.
    ///
    /// # Errors
    /// `NotFound` if there never was such a collection; `Invalid`, `Corrupt`.
    pub fn record(&self, collection: &str, key: &[u8]) -> Result<Option<Record<'_>>> {
        check_key(key)?;
        let entry = self.engine.catalogue.existing(collection)?;
        record::read(&self.engine, entry.id, key, self.lsn)
    }

    /// Several records of one collection, in the order of their keys as given. Faster than one by
    /// one: what waits for memory waits together.
    ///
    /// ```
    /// # use afterimage::{Collection, Raw, Store};
    /// # const ROOMS: Collection<[u8], Raw> = Collection::new("rooms");
    /// # let directory = tempfile::tempdir()?;
    /// # let path = directory.path().join("hotel.store");
    /// # let store = Store::open(&path)?;
    /// store.write(|tx| tx.put(&ROOMS, "204", b"open".as_slice()))?;
    /// let snapshot = store.snapshot();
    /// let found = snapshot.records("rooms", &["203", "204"])?;
    /// assert!(found[0].is_none() && found[1].is_some());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`record`](Self::record).
    pub fn records<K: AsRef<[u8]>>(
        &self,
        collection: &str,
        keys: &[K],
    ) -> Result<Vec<Option<Record<'_>>>> {
        keys.iter().try_for_each(|key| check_key(key.as_ref()))?;
        let entry = self.engine.catalogue.existing(collection)?;
        record::read_all(&self.engine, entry.id, keys, self.lsn)
    }

    /// The records of a range in key order, from both ends. A collection that did not exist yet at
    /// this moment is empty.
    ///
    /// # Errors
    /// `NotFound` if there never was such a collection; each item may be `Corrupt`.
    pub fn scan(&self, collection: &str, range: KeyRange) -> Result<Scan<'_>> {
        let entry = self.engine.catalogue.existing(collection)?;
        if entry.created > self.lsn {
            return Ok(Scan::empty(&self.engine, self.lsn));
        }
        Ok(Scan::new(&self.engine, entry.id, range, self.lsn))
    }

    /// The collections that existed at this moment, by name. Counting the records of the past means
    /// looking at each; those of the newest state are counted already.
    ///
    /// # Errors
    /// `Corrupt` if a record can't be read.
    pub fn collections(&self) -> Result<Vec<CollectionInfo>> {
        let mut found = Vec::new();
        for entry in self.engine.catalogue.iter().filter(|entry| entry.created <= self.lsn) {
            let newest = {
                let state = self.engine.state();
                (state.lsn == self.lsn).then(|| state.live(entry.id))
            };
            let records = match newest {
                Some(records) => records,
                None => Scan::new(&self.engine, entry.id, KeyRange::all(), self.lsn)
                    .try_fold(0, |count, record| record.map(|_| count + 1))?,
            };
            if records > 0 || !entry.is_system() {
                found.push(CollectionInfo::new(entry, records));
            }
        }
        found.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(found)
    }

    /// The digest of the state, as it was recorded with the transaction.
    ///
    /// # Errors
    /// `Corrupt` if the transaction can't be read.
    pub fn digest(&self) -> Result<StateDigest> {
        Ok(self.engine.journal.tail_at(self.lsn)?.digest)
    }
}
