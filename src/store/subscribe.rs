//! Waiting for what others commit.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Store;
use super::engine::Handle;
use super::past::{ChangeView, TransactionView};
use crate::error::{Error, Result, code};
use crate::format::digest::StateDigest;
use crate::format::image::{Op, OwnedImage};
use crate::format::metadata::Metadata;
use crate::lsn::Lsn;
use crate::time::Timestamp;

/// A transaction that can be sent to another task.
#[derive(Clone, Debug, PartialEq)]
pub struct OwnedTransaction {
    /// The transaction's number.
    pub lsn: Lsn,
    /// When it was committed.
    pub time: Timestamp,
    /// The digest of the state after it.
    pub digest: StateDigest,
    /// Who wrote it, why, and in what context.
    pub metadata: Metadata,
    /// The changes in their order.
    pub changes: Vec<OwnedChange>,
}

/// One change of an [`OwnedTransaction`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnedChange {
    /// The record's collection.
    pub collection: String,
    /// The record's key.
    pub key: Vec<u8>,
    /// What was done to the record.
    pub op: Op,
    /// The value before.
    pub before: Option<OwnedImage>,
    /// The value after.
    pub after: Option<OwnedImage>,
}

impl OwnedTransaction {
    fn new(view: &TransactionView<'_>) -> Result<Self> {
        let own = |change: ChangeView<'_>| OwnedChange {
            collection: change.collection().to_owned(),
            key: change.key().to_vec(),
            op: change.op(),
            before: change.before().map(OwnedImage::from),
            after: change.after().map(OwnedImage::from),
        };
        Ok(Self {
            lsn: view.lsn(),
            time: view.time(),
            digest: view.digest(),
            metadata: view.metadata().clone(),
            changes: view.changes().map(|change| change.map(own)).collect::<Result<_>>()?,
        })
    }
}

/// The transactions after a moment, each once and in order: first those of the past, then those of
/// the present as they are published.
#[derive(Debug)]
pub struct Subscription {
    engine: Arc<Handle>,
    store: Store,
    next: Lsn,
    news: tokio::sync::watch::Receiver<u64>,
}

impl Store {
    /// Subscribes to the transactions after `from`; zero for all.
    ///
    /// A subscriber holds a number and nothing else: one that is slow costs nothing, and one that
    /// was away goes on where it stopped. What the store promises to be durable is delivered when
    /// it is durable.
    ///
    /// # Errors
    /// `OutsideWindow` if transactions after `from` are not kept any more, or `from` lies ahead.
    pub fn subscribe(&self, from: Lsn) -> Result<Subscription> {
        self.engine
            .check_window(from)
            .map_err(|error| Error::new(&code::LAGGED, error.message()).at_path(self.path()))?;
        self.engine.subscriptions.fetch_add(1, Ordering::SeqCst);
        Ok(Subscription {
            engine: Arc::clone(&self.engine),
            store: self.clone(),
            next: from.next(),
            news: self.engine.announcement.subscribe(),
        })
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.engine.subscriptions.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Subscription {
    /// The next transaction; waits until there is one.
    ///
    /// # Errors
    /// `Corrupt` if it can't be read; `Closed` when the store is closed and all was delivered. The
    /// same transaction is tried again by the next call.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn next(&mut self) -> Result<OwnedTransaction> {
        loop {
            if self.next <= self.engine.visible() {
                let transaction = OwnedTransaction::new(&self.store.transaction(self.next)?)?;
                self.next = self.next.next();
                return Ok(transaction);
            }
            if self.engine.is_writer() {
                self.engine.writing()?;
            }
            self.news.mark_unchanged();
            if self.next <= self.engine.visible() {
                continue;
            }
            if self.news.changed().await.is_err() {
                return Err(Error::new(&code::CLOSED, "the store is closed"));
            }
        }
    }

    /// The last transaction delivered; where to subscribe again later.
    #[must_use]
    pub fn position(&self) -> Lsn {
        self.next.previous()
    }
}
