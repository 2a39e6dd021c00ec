//! The engine: the only place that knows both the journal and the state folded from it.
//!
//! Reading order: [`options`] and [`open`] (opening), [`transaction`] and [`commit`] (the write
//! path), [`snapshot`], [`record`] and [`past`] (reading), [`collection`], [`codec`] and
//! [`catalogue`] (what is stored where), [`revision`] and [`points`] (addressing moments),
//! [`maintenance`] and [`status`].

mod alone;
mod audit;
mod background;
mod buffer;
mod catalogue;
mod codec;
mod collection;
mod commit;
pub(crate) mod engine;
mod maintenance;
mod open;
mod options;
mod partial;
mod past;
mod points;
mod projection;
mod record;
pub(crate) mod replay;
mod revision;
mod snapshot;
mod status;
#[cfg(feature = "tokio")]
mod subscribe;
mod ticket;
mod transaction;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use serde::Serialize;
use uuid::Uuid;

use crate::error::{ErrorKind, Result};
use crate::format::store_header::Fork;
use crate::journal::recover::Notice;
use crate::lsn::Lsn;
use engine::Handle;

pub(crate) use alone::Alone;
pub(crate) use catalogue::{AUDIT, COLLECTIONS, CatalogueRecord, FIRST_USER_ID};
pub use codec::{Bincode, Codec, Json, Raw, Rkyv};
pub use collection::{COLLECTION_NAME_BYTES_MAX, Collection, KeyRange};
pub use commit::{Commit, PreviewChange, Rejected};
pub use maintenance::CheckpointInfo;
pub(crate) use open::{create_files, create_header, read_identity};
pub use options::{
    AppendMethod, CHECKPOINT_BYTES, Durability, Options, SEGMENT_BYTES, SEGMENT_BYTES_MAX,
    SEGMENT_BYTES_MIN,
};
pub(crate) use partial::remove_partial;
pub use past::{ChangeView, ChangeViews, History, TransactionView, Transactions, Version};
pub use points::{
    AUTOMATIC_POINTS_KEPT, PRE_MIGRATION_DAYS_KEPT, PRE_MIGRATION_POINTS_KEPT, PointKind,
    PointOptions, RestorePoint,
};
pub use projection::Projection;
pub use record::{Record, Scan};
pub use snapshot::Snapshot;
pub use status::{Stats, Status};
#[cfg(feature = "tokio")]
pub use subscribe::{OwnedChange, OwnedTransaction, Subscription};
pub use ticket::Ticket;
pub use transaction::Transaction;

/// An open store. A cheap handle: clones share it, and any thread may use one.
///
/// ```
/// use afterimage::{Collection, Json, Store};
///
/// #[derive(serde::Serialize, serde::Deserialize)]
/// struct Guest { name: String, room: u32 }
///
/// const GUESTS: Collection<Guest, Json> = Collection::new("guests");
///
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("hotel.store");
/// let store = Store::open(&path)?;
/// let commit = store.write(|tx| {
///     tx.actor("desk-2").message("check-in");
///     tx.put(&GUESTS, "g-17", &Guest { name: "Ana".into(), room: 204 })
/// })?; // durable when it returns
///
/// let before = store.snapshot_at(commit.lsn().previous())?;
/// assert!(before.get(&GUESTS, "g-17")?.is_none());
/// for version in store.history(&GUESTS, "g-17")? {
///     println!("{}", version?);
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Store {
    pub(crate) engine: Arc<Handle>,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("path", &self.engine.root)
            .field("id", &self.id())
            .field("head", &self.head())
            .finish_non_exhaustive()
    }
}

/// A collection, as it is listed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CollectionInfo {
    /// Its number in the journal.
    pub id: u32,
    /// Its name.
    pub name: String,
    /// How many live records it holds.
    pub records: u64,
    /// The transaction that used it first; zero for the store's own.
    pub created_lsn: Lsn,
}

impl CollectionInfo {
    pub(crate) fn new(entry: &catalogue::Entry, records: u64) -> Self {
        Self { id: entry.id, name: entry.name.to_string(), records, created_lsn: entry.created }
    }

    /// Whether it is one of the store's own.
    #[must_use]
    pub fn is_system(&self) -> bool {
        self.name.starts_with('$')
    }
}

/// Who does something, and why, for methods that write a transaction of their own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Author {
    /// Who.
    pub actor: Option<String>,
    /// Why.
    pub message: Option<String>,
}

/// How far a longer operation has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// What is being done.
    pub phase: &'static str,
    /// How much of it is done.
    pub done: u64,
    /// How much there is to do; zero if that is not known.
    pub total: u64,
    /// What is counted.
    pub unit: &'static str,
}

/// How often [`Store::write`] runs its closure before it gives up on a conflict.
pub const WRITE_ATTEMPTS_MAX: u32 = 256;

impl Store {
    /// Opens the store in this directory for writing, creating it if there is none, with the
    /// default [`Options`].
    ///
    /// # Errors
    /// As [`Options::open`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Options::default().open(path)
    }

    /// Options to open a store with.
    pub fn options() -> Options {
        Options::default()
    }

    /// The store's directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.engine.root
    }

    /// The store's id, made when it was created.
    #[must_use]
    pub fn id(&self) -> Uuid {
        self.engine.identity.store
    }

    /// The store's timeline: one more than that of the store it was restored from.
    #[must_use]
    pub fn timeline(&self) -> u32 {
        self.engine.identity.timeline
    }

    /// Where this store, and the stores before it, branched off; oldest first.
    #[must_use]
    pub fn forks(&self) -> &[Fork] {
        &self.engine.identity.forks
    }

    /// The newest transaction that this handle can see.
    #[must_use]
    pub fn head(&self) -> Lsn {
        self.engine.visible()
    }

    /// The oldest transaction that is kept; 1 for an empty store.
    #[must_use]
    pub fn first(&self) -> Lsn {
        self.engine.journal.first()
    }

    /// The newest transaction known durable.
    #[must_use]
    pub fn durable(&self) -> Lsn {
        self.engine.journal.sync.durable()
    }

    /// What opening, or reading since, found or did that a person should know.
    #[must_use]
    pub fn notices(&self) -> Vec<Notice> {
        engine::lock(&self.engine.notices).clone()
    }

    /// Runs the closure in a transaction and commits it; after a conflict with another transaction,
    /// again on the new state.
    ///
    /// # Errors
    /// What the closure returns, with nothing written; as [`Transaction::commit`].
    pub fn write<T>(
        &self,
        mut run: impl FnMut(&mut Transaction<'_>) -> Result<T>,
    ) -> Result<Commit<T>> {
        let mut attempt = 1;
        loop {
            let mut tx = self.begin()?;
            let value = run(&mut tx)?;
            match tx.commit() {
                Ok(commit) => return Ok(commit.with_value(value)),
                Err(error) if attempt < WRITE_ATTEMPTS_MAX && is_retried(&error) => attempt += 1,
                Err(error) => return Err(error),
            }
        }
    }

    /// Begins a transaction that reads what was committed last, durable or not yet.
    ///
    /// # Errors
    /// `Invalid` if the store was opened read-only; `Closed`.
    pub fn begin(&self) -> Result<Transaction<'_>> {
        self.engine.writing()?;
        Ok(Transaction::new(&self.engine, self.engine.applied()))
    }

    /// A transaction that is only ever previewed: works on a store that is open for reading.
    #[must_use]
    pub fn rehearse(&self) -> Transaction<'_> {
        Transaction::new(&self.engine, self.engine.visible())
    }

    /// The store as it is now.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot::new(Arc::clone(&self.engine), self.engine.visible())
    }

    /// The store as it was after this transaction.
    ///
    /// # Errors
    /// `OutsideWindow` if the journal does not hold that moment.
    pub fn snapshot_at(&self, lsn: Lsn) -> Result<Snapshot> {
        self.engine.check_window(lsn)?;
        Ok(Snapshot::new(Arc::clone(&self.engine), lsn))
    }

    /// All collections with their records of now, by name.
    #[must_use]
    pub fn collections(&self) -> Vec<CollectionInfo> {
        let state = self.engine.state();
        let mut found: Vec<_> = self
            .engine
            .catalogue
            .iter()
            .map(|entry| CollectionInfo::new(entry, state.live(entry.id)))
            .filter(|info| !info.is_system() || info.records > 0)
            .collect();
        found.sort_by(|a, b| a.name.cmp(&b.name));
        found
    }

    /// Makes everything that was appended durable.
    ///
    /// # Errors
    /// `Poisoned` after a failed sync; `Invalid` if the store was opened read-only; `Closed`.
    pub fn sync(&self) -> Result<Lsn> {
        self.engine.writing()?;
        let tail = self.engine.journal.sync.tail().lsn;
        self.engine.journal.sync.wait(tail)?;
        Ok(tail)
    }

    /// Takes in what another process has written since; returns the newest transaction in view. On
    /// a store that is open for writing there is nothing to take in.
    ///
    /// # Errors
    /// `Corrupt` if what was written does not continue what is known; `Io`.
    pub fn refresh(&self) -> Result<Lsn> {
        replay::refresh(&self.engine)
    }

    /// Closes the store for all handles, with the mark of a clean shutdown, so that opening it
    /// again has nothing to recover. Dropping the last handle does the same, but keeps errors to
    /// itself.
    ///
    /// # Errors
    /// `Io`, `Poisoned`; the store can be opened again all the same.
    pub fn close(self) -> Result<()> {
        self.engine.close()
    }
}

/// A failed expectation is an answer; only a read that does not hold any more is tried again.
fn is_retried(error: &crate::error::Error) -> bool {
    error.kind() == ErrorKind::Conflict && error.code().id == crate::error::code::CONFLICT.id
}
