//! The write path, start to end. One function serves a single put and a batch.

use std::collections::BTreeMap;
use std::fmt;

use super::buffer::NetWrite;
use super::catalogue::{COLLECTIONS, CatalogueRecord};
use super::engine::{Engine, Section};
use super::options::Durability;
use super::transaction::{Expectation, Slot, Transaction};
use crate::error::{Conflict, Error, Result, code};
use crate::format::change::Change;
use crate::format::digest::{CollectionSeed, StateDigest};
use crate::format::image::{CodecId, Image, Op};
use crate::journal::segment::Tail;
use crate::journal::writer::NewFrame;
use crate::lsn::{Lsn, Position};
use crate::state::{Applied, Head, apply};
use crate::time::Timestamp;

/// What a commit wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Commit<T> {
    pub(crate) lsn: Lsn,
    pub(crate) time: Timestamp,
    pub(crate) changes: u32,
    pub(crate) value: T,
}

impl<T> Commit<T> {
    /// The transaction's number; of a transaction without a change, the newest one it could see.
    #[must_use]
    pub const fn lsn(&self) -> Lsn {
        self.lsn
    }

    /// The commit time.
    #[must_use]
    pub const fn time(&self) -> Timestamp {
        self.time
    }

    /// How many records were changed.
    #[must_use]
    pub const fn changes(&self) -> u32 {
        self.changes
    }

    /// Whether there was nothing to write, and so no transaction in the journal.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.changes == 0
    }

    /// What the closure of [`Store::write`](super::Store::write) returned.
    #[must_use]
    pub const fn value(&self) -> &T {
        &self.value
    }

    /// What the closure of [`Store::write`](super::Store::write) returned.
    #[must_use]
    pub fn into_value(self) -> T {
        self.value
    }

    pub(crate) fn with_value<U>(self, value: U) -> Commit<U> {
        Commit { lsn: self.lsn, time: self.time, changes: self.changes, value }
    }
}

/// One change that a commit would write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PreviewChange {
    /// The record's collection.
    pub collection: String,
    /// The record's key.
    pub key: Vec<u8>,
    /// What would happen to it.
    pub op: Op,
}

impl<'s> Transaction<'s> {
    /// What a commit would write now. Nothing is written.
    ///
    /// # Errors
    /// As [`commit`](Self::commit).
    pub fn preview(&self) -> Result<Vec<PreviewChange>> {
        let changes = preview(self.engine, self)?;
        let change = |(collection, key, op)| PreviewChange { collection, key, op };
        Ok(changes.into_iter().map(change).collect())
    }

    /// Commits, and returns when the transaction is as durable as the store promises.
    ///
    /// # Errors
    /// `Conflict` with the records concerned; `Full`, nothing was written; `Poisoned` or `Io`, the
    /// transaction is present or absent as a whole after opening again, and was not acknowledged.
    pub fn commit(self) -> Result<Commit<()>> {
        commit(self.engine, &self)
    }

    /// [`commit`](Self::commit), giving the transaction back if it is refused: to look at what it
    /// would have written, or to try again with other expectations.
    ///
    /// # Errors
    /// As [`commit`](Self::commit).
    pub fn try_commit(self) -> Result<Commit<()>, Rejected<'s>> {
        match commit(self.engine, &self) {
            Ok(commit) => Ok(commit),
            Err(error) => Err(Rejected { error, transaction: Box::new(self) }),
        }
    }
}

/// A transaction that did not commit, with the reason, into which it turns by `?`.
#[derive(Debug)]
pub struct Rejected<'s> {
    error: Error,
    transaction: Box<Transaction<'s>>,
}

impl<'s> Rejected<'s> {
    /// The reason.
    #[must_use]
    pub fn error(&self) -> &Error {
        &self.error
    }

    /// The transaction, whose writes are still there.
    #[must_use]
    pub fn into_transaction(self) -> Transaction<'s> {
        *self.transaction
    }
}

impl fmt::Display for Rejected<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl std::error::Error for Rejected<'_> {}

impl From<Rejected<'_>> for Error {
    fn from(rejected: Rejected<'_>) -> Self {
        rejected.error
    }
}

/// Commits a transaction and returns when it is as durable as the store promises.
///
/// Once the frame is appended there is no way back: an error after that poisons the journal, and
/// the transaction is then present or absent, whole, and was never acknowledged.
pub(crate) fn commit(engine: &Engine, transaction: &Transaction<'_>) -> Result<Commit<()>> {
    let commit = append(engine, transaction)?;
    if engine.durability == Durability::Sync && !commit.is_empty() {
        engine.journal.sync.wait(commit.lsn)?;
    }
    Ok(commit)
}

/// The writer section: everything up to the sync, one transaction at a time.
pub(crate) fn append(engine: &Engine, transaction: &Transaction<'_>) -> Result<Commit<()>> {
    append_in(&mut engine.writing()?.section.lock(), engine, transaction)
}

/// [`append`], by whoever is in the writer section.
pub(super) fn append_in(
    section: &mut Section,
    engine: &Engine,
    transaction: &Transaction<'_>,
) -> Result<Commit<()>> {
    let _guard = PoisonOnPanic(engine);
    // Checked inside the section: who waited for it may have waited for the one that failed.
    engine.writing()?;
    engine.journal.sync.check()?;
    let Section { writer, positions, metadata, heads, spare } = section;
    let tail = *writer.tail();

    let names = resolve(engine, transaction)?;
    validate(engine, transaction, &names, tail.lsn)?;
    let records = catalogue_records(&names)?;
    let mut capture = Capture { changes: recycled(spare), digest: tail.digest };
    capture.new_collections(&names, &records);
    let mut writes = transaction.writes().iter();
    look_up(engine, &names, writes.clone(), heads)?;
    // What the records were is on its way to the processor meanwhile.
    let (lsn, time) = number(engine, transaction, &tail);
    metadata.clear();
    transaction.metadata.encode(metadata);
    capture.writes(engine, &names, &mut writes, heads)?;
    let Capture { changes, digest } = capture;
    if changes.is_empty() {
        return Ok(Commit { lsn: tail.lsn, time: tail.time, changes: 0, value: () });
    }
    let frame = NewFrame { lsn, time, digest, metadata, changes: &changes };
    let end = writer.append(&engine.journal, &frame, positions)?;

    for new in &names.new {
        engine.catalogue.insert(new.id, &new.name, lsn);
    }
    let applied = changes.iter().zip(&*positions).map(|(change, position)| Applied {
        collection: change.collection,
        key: change.key,
        op: change.op,
        position: *position,
        previous: change.previous,
    });
    apply(&mut engine.state_mut(), lsn, applied);
    engine.note_applied(&end, changes.len() as u64);
    let user_changes = changes.len() - records.len();
    *spare = recycled(&mut { changes });
    Ok(Commit { lsn, time, changes: u32::try_from(user_changes).unwrap_or(u32::MAX), value: () })
}

/// An empty vector that keeps the memory of another one: collecting a vector's own iterator into a
/// vector of elements of the same layout does not allocate.
fn recycled<'to>(from: &mut Vec<Change<'_>>) -> Vec<Change<'to>> {
    let mut from = std::mem::take(from);
    from.clear();
    from.into_iter().map_while(|_| None).collect()
}

/// Stops the journal if the writer section is left by a panic: journal and index may then differ,
/// and a transaction that started from the wrong before image must never be written.
struct PoisonOnPanic<'a>(&'a Engine);

impl Drop for PoisonOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let cause = Error::new(&code::POISONED, "a thread panicked in the writer section");
            self.0.journal.sync.poison(&cause);
        }
    }
}

/// The next number and the commit time, which never goes back behind the one before.
fn number(engine: &Engine, transaction: &Transaction<'_>, tail: &Tail) -> (Lsn, Timestamp) {
    let wanted = transaction.time.unwrap_or_else(|| engine.journal.clock.now());
    (tail.lsn.next(), wanted.max(tail.time))
}

/// The collections that a transaction named before they existed.
#[derive(Debug, Default)]
pub(crate) struct Names {
    /// What a provisional id stands for, if it is not new any more or is about to be created.
    ids: BTreeMap<u32, u32>,
    new: Vec<NewCollection>,
}

#[derive(Debug)]
struct NewCollection {
    id: u32,
    name: String,
    seed: CollectionSeed,
}

impl Names {
    fn id(&self, collection: u32) -> u32 {
        self.ids.get(&collection).copied().unwrap_or(collection)
    }
}

/// Decides the ids of collections that the transaction is the first to write to.
pub(crate) fn resolve(engine: &Engine, transaction: &Transaction<'_>) -> Result<Names> {
    let mut names = Names::default();
    let new = transaction.new_collections();
    if new.is_empty() {
        return Ok(names);
    }
    let mut next = engine.catalogue.next_id();
    for (provisional, name) in new {
        let written = transaction.writes_to(provisional);
        let id = match engine.catalogue.by_name(&name) {
            Some(entry) => entry.id,
            None if written => {
                let id = next;
                next += 1;
                let seed = CollectionSeed::of(&name);
                names.new.push(NewCollection { id, name, seed });
                id
            }
            None => continue,
        };
        names.ids.insert(provisional, id);
    }
    if next as usize >= crate::journal::table::ENTRIES_MAX {
        return Err(Error::new(
            &code::INVALID_COLLECTION_NAME,
            "the store holds as many collections as it can",
        ));
    }
    Ok(names)
}

/// Refuses a transaction whose reads do not hold any more at `head`, or whose expectations fail.
pub(crate) fn validate(
    engine: &Engine,
    transaction: &Transaction<'_>,
    names: &Names,
    head: Lsn,
) -> Result<()> {
    let mut conflicts = Vec::new();
    for (slot, expectation) in transaction.expectations() {
        let head = engine.index(|state| state.head(names.id(slot.collection), &slot.key))?;
        let live = head.filter(|head| !head.is_deleted());
        let lsn = live.map_or(Lsn::ZERO, |head| head.lsn());
        let holds = match expectation {
            Expectation::Version(expected) => lsn == *expected,
            Expectation::UnchangedSince(since) => head.is_none_or(|head| head.lsn() <= *since),
        };
        if !holds {
            conflicts.push(transaction.conflict(slot, lsn));
        }
    }
    if !conflicts.is_empty() {
        return Err(refusal(&code::EXPECTATION_FAILED, "is not as expected", conflicts));
    }
    if head == transaction.snapshot {
        return Ok(());
    }
    let reads = transaction.reads();
    for slot in &reads.records {
        let id = names.id(slot.collection);
        if let Some(head) = engine.index(|state| state.head(id, &slot.key))?
            && head.lsn() > transaction.snapshot
        {
            conflicts.push(transaction.conflict(slot, head.lsn()));
        }
    }
    for (collection, range) in &reads.ranges {
        let id = names.id(*collection);
        let (bounds, snapshot) = (range.as_bounds(), transaction.snapshot);
        if let Some((key, head)) =
            engine.index(|state| state.changed_since(id, bounds, snapshot))?
        {
            let slot = Slot { collection: *collection, key };
            conflicts.push(transaction.conflict(&slot, head.lsn()));
        }
    }
    if conflicts.is_empty() {
        return Ok(());
    }
    Err(refusal(&code::CONFLICT, "was changed after this transaction read it", conflicts))
}

fn refusal(code: &'static crate::error::Code, what: &str, conflicts: Vec<Conflict>) -> Error {
    let first = conflicts.first().map_or_else(String::new, |conflict| {
        let key = String::from_utf8_lossy(&conflict.key);
        let by = match conflict.lsn {
            Lsn::ZERO => "it is absent".to_owned(),
            lsn => format!("its version is LSN {lsn}"),
        };
        format!("the record {}/{} {what}: {by}", conflict.collection, key.escape_debug())
    });
    let more = match conflicts.len() {
        0 | 1 => String::new(),
        count => format!(", and {} more", count - 1),
    };
    Error::new(code, format!("{first}{more}")).with_conflicts(conflicts)
}

/// The records of new collections, as they will stand in `$collections`.
fn catalogue_records(names: &Names) -> Result<Vec<Vec<u8>>> {
    names
        .new
        .iter()
        .map(|new| {
            serde_json::to_vec(&CatalogueRecord { id: new.id }).map_err(|source| {
                Error::new(&code::ENCODE, "the catalogue record can't be written")
                    .with_source(source)
            })
        })
        .collect()
}

/// Records are looked up together in groups of this size, so that waiting for memory overlaps.
const GROUP: usize = 32;

/// Finds the newest changes of the records of the next group, and asks for them to be brought near.
fn look_up<'w>(
    engine: &Engine,
    names: &Names,
    writes: impl Iterator<Item = NetWrite<'w>> + Clone,
    heads: &mut Vec<Option<Head>>,
) -> Result<()> {
    let group = writes.take(GROUP).map(|write| (names.id(write.collection), write.key));
    engine.index(|state| {
        heads.clear();
        if group.clone().nth(1).is_some() {
            state.prefetch(&group);
        }
        for (collection, key) in group.clone() {
            heads.push(state.head(collection, key)?);
        }
        Ok(())
    })?;
    engine.journal.prefetch(heads.iter().flatten().map(|head| head.position));
    Ok(())
}

/// The net changes with their before images, straight from the mapped journal, and the digest of
/// the state that they lead to.
struct Capture<'a> {
    changes: Vec<Change<'a>>,
    digest: StateDigest,
}

impl<'a> Capture<'a> {
    /// The records of new collections; the digest leaves the store's own collections out.
    fn new_collections(&mut self, names: &'a Names, records: &'a [Vec<u8>]) {
        for (new, record) in names.new.iter().zip(records) {
            self.changes.push(Change {
                op: Op::Create,
                collection: COLLECTIONS,
                previous: Position::NONE,
                key: new.name.as_bytes(),
                before: None,
                after: Some(Image::new(record, CodecId::Json)),
            });
        }
    }

    /// All writes; `heads` are those of the first group.
    fn writes(
        &mut self,
        engine: &'a Engine,
        names: &Names,
        writes: &mut (impl Iterator<Item = NetWrite<'a>> + Clone),
        heads: &mut Vec<Option<Head>>,
    ) -> Result<()> {
        while !heads.is_empty() {
            let is_last = heads.len() < GROUP;
            // The heads first: the other way round, zip would take one write too many.
            for (head, write) in heads.iter().zip(writes.by_ref()) {
                self.write(engine, names, write, *head)?;
            }
            if is_last {
                break;
            }
            look_up(engine, names, writes.clone(), heads)?;
        }
        Ok(())
    }

    fn write(
        &mut self,
        engine: &'a Engine,
        names: &Names,
        write: NetWrite<'a>,
        head: Option<Head>,
    ) -> Result<()> {
        let collection = names.id(write.collection);
        let seed = || -> Result<_> {
            Ok(seed_of(engine, names, collection)?.map(|seed| seed.record(write.key)))
        };
        // What is new enters the digest first: what was may still be on its way.
        let mut record = if write.image.is_some() { seed()? } else { None };
        let digest = record.map_or(self.digest, |record| self.digest.with(record, write.image));
        // Of a deleted record, too: where its change stands is written down as well.
        let before = match head {
            Some(head) => engine.image_at(collection, write.key, head.position)?,
            None => None,
        };
        if let Some(head) = head.filter(|head| head.is_deleted() != before.is_none()) {
            return Err(engine.misled(head.position));
        }
        let op = match (before, write.image) {
            (None, None) => return Ok(()),
            (None, Some(_)) => Op::Create,
            (Some(_), Some(_)) => Op::Update,
            (Some(_), None) => Op::Delete,
        };
        if op == Op::Delete {
            // Not before: where what is deleted never was, nobody need know the collection.
            record = seed()?;
        }
        self.digest = record.map_or(digest, |record| digest.without(record, before));
        self.changes.push(Change {
            op,
            collection,
            previous: head.map_or(Position::NONE, |head| head.position),
            key: write.key,
            before,
            after: write.image,
        });
        Ok(())
    }
}

fn seed_of(engine: &Engine, names: &Names, collection: u32) -> Result<Option<CollectionSeed>> {
    if let Some(new) = names.new.iter().find(|new| new.id == collection) {
        return Ok(Some(new.seed));
    }
    let entry = engine.catalogue.by_id(collection)?;
    Ok((!entry.is_system()).then_some(entry.seed))
}

/// What a commit would write now; nothing is numbered or written.
pub(crate) fn preview(
    engine: &Engine,
    transaction: &Transaction<'_>,
) -> Result<Vec<(String, Vec<u8>, Op)>> {
    let names = resolve(engine, transaction)?;
    // Not held while it validates, which looks again: a writer that waits would be between the two.
    let newest = engine.state().lsn;
    validate(engine, transaction, &names, newest)?;
    let mut capture = Capture { changes: Vec::new(), digest: StateDigest::default() };
    let (mut writes, mut heads) = (transaction.writes().iter(), Vec::new());
    look_up(engine, &names, writes.clone(), &mut heads)?;
    capture.writes(engine, &names, &mut writes, &mut heads)?;
    let name = |id: u32| match names.new.iter().find(|new| new.id == id) {
        Some(new) => Ok(new.name.clone()),
        None => engine.catalogue.by_id(id).map(|entry| entry.name.to_string()),
    };
    let changes = capture.changes.iter();
    changes.map(|change| Ok((name(change.collection)?, change.key.to_vec(), change.op))).collect()
}
