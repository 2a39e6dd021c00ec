//! A commit that was submitted and not waited for yet.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::commit::{Commit, append};
use super::engine::Engine;
use super::options::Durability;
use super::transaction::Transaction;
use crate::error::Result;
use crate::lsn::Lsn;

/// A transaction that is in the journal and on its way to be durable: to be waited for by a thread
/// ([`wait`](Self::wait)) or a task (`.await`), or not at all.
///
/// One thread that submits many before it waits for the first has as many commits under way as it
/// likes, and the disk makes them durable together.
///
/// ```
/// use afterimage::{Collection, Raw, Store};
///
/// const ROOMS: Collection<[u8], Raw> = Collection::new("rooms");
///
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("hotel.store");
/// let store = Store::open(&path)?;
/// let mut tickets = Vec::new();
/// for room in ["203", "204", "205"] {
///     let mut tx = store.begin()?;
///     tx.put(&ROOMS, room, b"open".as_slice())?;
///     tickets.push(tx.submit()?);
/// }
/// for ticket in tickets {
///     let commit = ticket.wait()?; // durable when it returns
///     assert_eq!(commit.changes(), 1);
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[must_use = "a transaction is acknowledged when its ticket was waited for"]
pub struct Ticket<'s> {
    engine: &'s Engine,
    commit: Commit<()>,
}

impl<'s> Transaction<'s> {
    /// Commits, and returns before the transaction is durable. Other transactions may read it from
    /// now on; a snapshot sees it when it is as durable as the store promises.
    ///
    /// # Errors
    /// `Conflict` with the records concerned; `Full`, nothing was written; `Poisoned`, `Closed`.
    pub fn submit(self) -> Result<Ticket<'s>> {
        let engine = self.engine;
        let commit = append(engine, &self)?;
        let ticket = Ticket { engine, commit };
        if !ticket.is_durable() {
            engine.journal.sync.bell.ring(ticket.lsn());
        }
        Ok(ticket)
    }

    /// Commits without blocking the task for the sync: ten thousand tasks may wait for one.
    ///
    /// # Errors
    /// As [`commit`](Self::commit).
    pub async fn commit_async(self) -> Result<Commit<()>> {
        self.submit()?.await
    }
}

impl Ticket<'_> {
    /// The transaction's number.
    #[must_use]
    pub const fn lsn(&self) -> Lsn {
        self.commit.lsn()
    }

    /// Whether the transaction is as durable as the store promises.
    #[must_use]
    pub fn is_durable(&self) -> bool {
        self.engine.durability != Durability::Sync
            || self.commit.is_empty()
            || self.engine.journal.sync.durable() >= self.lsn()
    }

    /// Returns when the transaction is as durable as the store promises.
    ///
    /// # Errors
    /// `Poisoned` or `Io`: after opening again the transaction is present or absent as a whole, and
    /// it was not acknowledged.
    pub fn wait(self) -> Result<Commit<()>> {
        if !self.is_durable() {
            self.engine.journal.sync.wait(self.lsn())?;
        }
        Ok(self.commit)
    }
}

impl Future for Ticket<'_> {
    type Output = Result<Commit<()>>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let sync = &self.engine.journal.sync;
        if self.is_durable() {
            return Poll::Ready(Ok(self.commit));
        }
        if sync.wake_when_durable(self.lsn(), context.waker()) {
            return Poll::Pending;
        }
        Poll::Ready(match sync.check() {
            Err(poisoned) if sync.durable() < self.lsn() => Err(poisoned),
            Ok(()) | Err(_) => Ok(self.commit),
        })
    }
}
