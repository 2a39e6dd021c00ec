//! A transaction: reads at a snapshot, buffers its writes, holds no lock while user code runs.

use std::cell::{Ref, RefCell};
use std::collections::BTreeMap;
use std::fmt;

use super::Author;
use super::buffer::WriteBuffer;
use super::codec::{self, Codec};
use super::collection::{Collection, KeyRange, check_image, check_key, check_name};
use super::engine::Engine;
use super::record::{Record, When};
use crate::error::{Conflict, Error, Result, code};
use crate::format::frame::TRANSACTION_BYTES_MAX;
use crate::format::image::{CodecId, Image};
use crate::format::metadata::Metadata;
use crate::lsn::Lsn;
use crate::time::Timestamp;

/// Changes that commit together or not at all, over any collections.
///
/// It reads the store as it was when it began, sees its own writes, and is serializable: it only
/// commits if everything it read still holds.
///
/// ```
/// use afterimage::{Collection, Raw, Store};
///
/// const ROOMS: Collection<[u8], Raw> = Collection::new("rooms");
///
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("hotel.store");
/// let store = Store::open(&path)?;
/// let mut tx = store.begin()?;
/// tx.actor("desk-2").message("renovation");
/// tx.put(&ROOMS, "204", b"closed".as_slice())?;
/// let commit = tx.commit()?;
/// assert_eq!(commit.changes(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Transaction<'s> {
    pub(crate) engine: &'s Engine,
    pub(crate) snapshot: Lsn,
    pub(crate) metadata: Metadata,
    pub(crate) time: Option<Timestamp>,
    writes: WriteBuffer,
    expectations: Vec<(Slot, Expectation)>,
    reads: RefCell<Reads>,
    /// Collections that did not exist when they were named; their provisional ids count down.
    new_collections: RefCell<Vec<String>>,
    /// What the values take together.
    bytes: u64,
}

/// Keys, values, and values that were replaced by longer ones may take this much memory.
const BUFFER_BYTES_MAX: u64 = 2 * TRANSACTION_BYTES_MAX;

/// A record, by the id of its collection.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Slot {
    pub(crate) collection: u32,
    pub(crate) key: Vec<u8>,
}

/// What must hold at commit, whatever was read.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Expectation {
    /// The record's version is this LSN; zero: it is absent.
    Version(Lsn),
    /// The record's newest change, be it a deletion, is this LSN or an earlier one.
    UnchangedSince(Lsn),
}

/// What was read, and so must not change before the commit.
#[derive(Debug, Default)]
pub(crate) struct Reads {
    pub(crate) records: Vec<Slot>,
    pub(crate) ranges: Vec<(u32, KeyRange)>,
}

impl<'s> Transaction<'s> {
    pub(crate) fn new(engine: &'s Engine, snapshot: Lsn) -> Self {
        Self {
            engine,
            snapshot,
            metadata: Metadata::default(),
            time: None,
            writes: WriteBuffer::take(),
            expectations: Vec::new(),
            reads: RefCell::default(),
            new_collections: RefCell::default(),
            bytes: 0,
        }
    }

    /// Names who does it.
    pub fn actor(&mut self, actor: impl Into<String>) -> &mut Self {
        self.metadata.actor = Some(actor.into());
        self
    }

    /// Says why.
    pub fn message(&mut self, message: impl Into<String>) -> &mut Self {
        self.metadata.message = Some(message.into());
        self
    }

    /// Names what it belongs to: a request, a job, a conversation.
    pub fn correlation(&mut self, correlation: impl Into<String>) -> &mut Self {
        self.metadata.correlation = Some(correlation.into());
        self
    }

    /// Names what caused it.
    pub fn causation(&mut self, causation: impl Into<String>) -> &mut Self {
        self.metadata.causation = Some(causation.into());
        self
    }

    /// Notes anything else, by name.
    pub fn attribute(
        &mut self,
        name: impl Into<String>,
        value: impl Into<serde_json::Value>,
    ) -> &mut Self {
        self.metadata.attributes.insert(name.into(), value.into());
        self
    }

    /// Names author and reason, as far as they are given.
    pub fn sign(&mut self, by: &Author) -> &mut Self {
        if let Some(actor) = &by.actor {
            self.actor(actor);
        }
        if let Some(message) = &by.message {
            self.message(message);
        }
        self
    }

    /// Gives the commit time, for histories that are taken over from elsewhere. It is raised where
    /// it would go back behind the transaction before.
    pub fn at_time(&mut self, time: Timestamp) -> &mut Self {
        self.time = Some(time);
        self
    }

    /// The moment at which this transaction reads.
    #[must_use]
    pub fn snapshot_lsn(&self) -> Lsn {
        self.snapshot
    }

    /// Sets a record's value, whether it exists or not.
    ///
    /// # Errors
    /// `Invalid` if name, key or value are over their limits or the codec refuses the value.
    pub fn put<T: ?Sized, C: Codec<T>>(
        &mut self,
        collection: &Collection<T, C>,
        key: impl AsRef<[u8]>,
        value: &T,
    ) -> Result<()> {
        let bytes = C::encode(value)?;
        self.put_image(collection.name(), key.as_ref(), Image::new(&bytes, C::ID))
    }

    /// Creates a record. The commit fails with `Conflict` if it exists by then.
    ///
    /// # Errors
    /// As [`put`](Self::put); `Conflict` if this transaction has written the record already.
    pub fn insert<T: ?Sized, C: Codec<T>>(
        &mut self,
        collection: &Collection<T, C>,
        key: impl AsRef<[u8]>,
        value: &T,
    ) -> Result<()> {
        let bytes = C::encode(value)?;
        self.insert_image(collection.name(), key.as_ref(), Image::new(&bytes, C::ID))
    }

    /// Deletes a record; says whether it existed.
    ///
    /// # Errors
    /// `Invalid` for a bad name or key; `Corrupt` if the record can't be read.
    pub fn delete<T: ?Sized, C>(
        &mut self,
        collection: &Collection<T, C>,
        key: impl AsRef<[u8]>,
    ) -> Result<bool> {
        self.delete_record(collection.name(), key.as_ref())
    }

    /// Reads a record: as this transaction wrote it, else as it was when the transaction began.
    ///
    /// # Errors
    /// `Invalid` if the value is of another type or codec; `Corrupt` if it can't be read.
    pub fn get<T: ?Sized, C: Codec<T>>(
        &self,
        collection: &Collection<T, C>,
        key: impl AsRef<[u8]>,
    ) -> Result<Option<C::View<'_>>> {
        match self.image(collection.name(), key.as_ref())? {
            Some(image) => codec::decode::<T, C>(image).map(Some),
            None => Ok(None),
        }
    }

    /// Demands that the record's version is `lsn` when this commits; zero: that it is absent.
    ///
    /// # Errors
    /// `Invalid` for a bad name or key.
    pub fn expect_lsn<T: ?Sized, C>(
        &mut self,
        collection: &Collection<T, C>,
        key: impl AsRef<[u8]>,
        lsn: Lsn,
    ) -> Result<()> {
        self.expect_record_lsn(collection.name(), key.as_ref(), lsn)
    }

    /// [`put`](Self::put), by name and bytes. An image of the codec `Json` should be as
    /// [`json::normalise`](crate::json::normalise) makes it: equal values then have equal digests.
    ///
    /// # Errors
    /// `Invalid` if name, key or value are over their limits.
    pub fn put_image(&mut self, collection: &str, key: &[u8], image: Image<'_>) -> Result<()> {
        let collection = self.writable(collection, key)?;
        self.set(collection, key, Some(image))
    }

    /// [`insert`](Self::insert), by name and bytes.
    ///
    /// # Errors
    /// As [`insert`](Self::insert).
    pub fn insert_image(&mut self, collection: &str, key: &[u8], image: Image<'_>) -> Result<()> {
        let id = self.writable(collection, key)?;
        let slot = Slot { collection: id, key: key.to_vec() };
        if self.writes.get(id, key).is_some() {
            return Err(Error::new(
                &code::EXPECTATION_FAILED,
                "the record was written by this transaction already",
            )
            .with_conflicts(vec![self.conflict(&slot, self.snapshot)]));
        }
        self.expectations.push((slot, Expectation::Version(Lsn::ZERO)));
        self.set(id, key, Some(image))
    }

    /// [`delete`](Self::delete), by name and bytes.
    ///
    /// # Errors
    /// As [`delete`](Self::delete).
    pub fn delete_record(&mut self, collection: &str, key: &[u8]) -> Result<bool> {
        let id = self.writable(collection, key)?;
        let existed = self.image(collection, key)?.is_some();
        self.set(id, key, None)?;
        Ok(existed)
    }

    /// [`expect_lsn`](Self::expect_lsn), by name and bytes.
    ///
    /// # Errors
    /// `Invalid` for a bad name or key.
    pub fn expect_record_lsn(&mut self, collection: &str, key: &[u8], lsn: Lsn) -> Result<()> {
        let slot = self.slot(collection, key)?;
        self.expectations.push((slot, Expectation::Version(lsn)));
        Ok(())
    }

    /// Reads a record, by name and bytes. A record that this transaction wrote has no LSN yet and
    /// shows the moment at which the transaction reads.
    ///
    /// # Errors
    /// `Invalid` for a bad name or key; `Corrupt` if it can't be read.
    pub fn record(&self, collection: &str, key: &[u8]) -> Result<Option<Record<'_>>> {
        self.record_in(self.slot(collection, key)?)
    }

    fn record_in(&self, slot: Slot) -> Result<Option<Record<'_>>> {
        if let Some(write) = self.writes.get(slot.collection, &slot.key) {
            return Ok(write.image.map(|image| Record {
                key: write.key,
                image,
                lsn: self.snapshot,
                time: When::At(self.time.unwrap_or_default()),
            }));
        }
        self.stored(slot)
    }

    /// All records of a range in key order, own writes included. The whole range must be as it was
    /// when the transaction commits.
    ///
    /// # Errors
    /// `Invalid` for a bad name; `Corrupt` if a record can't be read.
    pub fn scan(&self, collection: &str, range: &KeyRange) -> Result<Vec<Record<'_>>> {
        let id = self.collection_id(collection);
        self.reads.borrow_mut().ranges.push((id, range.clone()));
        let stored = super::record::Scan::new(self.engine, id, range.clone(), self.snapshot);
        let mut records = BTreeMap::new();
        for record in stored {
            let record = record?;
            records.insert(record.key(), record);
        }
        for write in self.writes.iter() {
            if write.collection != id || !range.contains(write.key) {
                continue;
            }
            let key = write.key;
            match write.image {
                Some(image) => {
                    let time = When::At(self.time.unwrap_or_default());
                    let lsn = self.snapshot;
                    records.insert(key, Record { key, image, lsn, time });
                }
                None => {
                    records.remove(key);
                }
            }
        }
        Ok(records.into_values().collect())
    }

    /// Gives the transaction up; so does dropping it.
    pub fn rollback(self) {
        drop(self);
    }

    /// Reads a record of one of the store's own collections.
    pub(crate) fn system_record(&self, collection: u32, key: &[u8]) -> Result<Option<Record<'_>>> {
        check_key(key)?;
        self.record_in(Slot { collection, key: key.to_vec() })
    }

    /// Writes a record of one of the store's own collections.
    pub(crate) fn put_system(&mut self, collection: u32, key: &[u8], bytes: &[u8]) -> Result<()> {
        check_key(key)?;
        self.set(collection, key, Some(Image::new(bytes, CodecId::Json)))
    }

    pub(crate) fn delete_system(&mut self, collection: u32, key: &[u8]) -> Result<()> {
        self.set(collection, key, None)
    }

    pub(crate) fn expect_system(&mut self, collection: u32, key: &[u8], lsn: Lsn) {
        let slot = Slot { collection, key: key.to_vec() };
        self.expectations.push((slot, Expectation::Version(lsn)));
    }

    /// Demands that nobody has changed the record after this transaction.
    pub(crate) fn expect_unchanged(
        &mut self,
        collection: &str,
        key: &[u8],
        since: Lsn,
    ) -> Result<()> {
        let slot = self.slot(collection, key)?;
        self.expectations.push((slot, Expectation::UnchangedSince(since)));
        Ok(())
    }

    pub(crate) fn writes(&self) -> &WriteBuffer {
        &self.writes
    }

    pub(crate) fn writes_to(&self, collection: u32) -> bool {
        self.writes.iter().any(|write| write.collection == collection && write.image.is_some())
    }

    pub(crate) fn expectations(&self) -> &[(Slot, Expectation)] {
        &self.expectations
    }

    pub(crate) fn reads(&self) -> Ref<'_, Reads> {
        self.reads.borrow()
    }

    /// Collections that did not exist when they were named, with their provisional ids.
    pub(crate) fn new_collections(&self) -> Vec<(u32, String)> {
        let new = self.new_collections.borrow();
        if new.is_empty() {
            return Vec::new();
        }
        (0..).map(|index| u32::MAX - index).zip(new.iter().cloned()).collect()
    }

    pub(crate) fn conflict(&self, slot: &Slot, lsn: Lsn) -> Conflict {
        let provisional = (u32::MAX - slot.collection) as usize;
        let collection = match self.engine.catalogue.by_id(slot.collection) {
            Ok(entry) => entry.name.to_string(),
            Err(_) => self.new_collections.borrow().get(provisional).cloned().unwrap_or_default(),
        };
        Conflict { collection, key: slot.key.clone(), lsn }
    }

    fn slot(&self, collection: &str, key: &[u8]) -> Result<Slot> {
        check_key(key)?;
        Ok(Slot { collection: self.collection_id(collection), key: key.to_vec() })
    }

    /// The id of a collection that may be written to, the key being within its limits.
    fn writable(&self, collection: &str, key: &[u8]) -> Result<u32> {
        check_key(key)?;
        match self.engine.catalogue.by_name(collection) {
            Some(entry) if !entry.is_system() && self.new_collections.borrow().is_empty() => {
                Ok(entry.id)
            }
            Some(_) | None => {
                check_name(collection)?;
                Ok(self.collection_id(collection))
            }
        }
    }

    /// A collection that did not exist when this transaction named it first keeps its provisional
    /// id, also when another transaction creates it meanwhile: what was written under one id would
    /// not be found under the other.
    fn collection_id(&self, name: &str) -> u32 {
        let mut new = self.new_collections.borrow_mut();
        let known = new.iter().position(|known| known == name);
        if known.is_none()
            && let Some(entry) = self.engine.catalogue.by_name(name)
        {
            return entry.id;
        }
        let index = known.unwrap_or_else(|| {
            new.push(name.to_owned());
            new.len() - 1
        });
        u32::MAX - u32::try_from(index).unwrap_or(0)
    }

    fn image(&self, collection: &str, key: &[u8]) -> Result<Option<Image<'_>>> {
        Ok(self.record(collection, key)?.map(|record| record.image()))
    }

    fn stored(&self, slot: Slot) -> Result<Option<Record<'_>>> {
        let record = super::record::read(self.engine, slot.collection, &slot.key, self.snapshot)?;
        self.reads.borrow_mut().records.push(slot);
        Ok(record)
    }

    fn set(&mut self, collection: u32, key: &[u8], image: Option<Image<'_>>) -> Result<()> {
        if let Some(image) = image {
            check_image(image)?;
        }
        let size = |image: Option<Image<'_>>| image.map_or(0, |image| image.bytes().len() as u64);
        let before = self.writes.get(collection, key).map_or(0, |write| size(write.image));
        let bytes = self.bytes - before + size(image);
        if bytes > TRANSACTION_BYTES_MAX || self.writes.bytes() as u64 > BUFFER_BYTES_MAX {
            return Err(Error::new(
                &code::TRANSACTION_TOO_LARGE,
                format!("the transaction's values take {bytes} bytes"),
            ));
        }
        self.bytes = bytes;
        self.writes.set(collection, key, image);
        Ok(())
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        std::mem::take(&mut self.writes).give_back();
    }
}

impl fmt::Debug for Transaction<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transaction")
            .field("snapshot", &self.snapshot)
            .field("writes", &self.writes.len())
            .finish_non_exhaustive()
    }
}
