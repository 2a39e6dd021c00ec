//! The writer section, kept for longer than one commit: for work that must read the newest state
//! and write before anybody else does, and that others would overtake for ever.

use parking_lot::MutexGuard;

use super::commit::{Commit, append_in};
use super::engine::{Engine, Section};
use super::options::Durability;
use super::transaction::Transaction;
use crate::error::Result;

/// Nobody else commits while this lives.
pub(crate) struct Alone<'e> {
    engine: &'e Engine,
    section: MutexGuard<'e, Section>,
}

impl<'e> Alone<'e> {
    /// Waits for the transactions that are being written. What was committed can be read then.
    ///
    /// # Errors
    /// `Invalid` if the store is open for reading; `Poisoned`, `Closed`.
    pub(crate) fn begin(engine: &'e Engine) -> Result<Self> {
        let section = engine.writing()?.section.lock();
        if engine.durability == Durability::Sync {
            engine.journal.sync.wait(section.writer.tail().lsn)?;
        }
        Ok(Self { engine, section })
    }

    /// Appends a transaction, which is not durable yet.
    ///
    /// # Errors
    /// As [`Transaction::commit`].
    pub(crate) fn append(&mut self, transaction: &Transaction<'_>) -> Result<Commit<()>> {
        append_in(&mut self.section, self.engine, transaction)
    }

    /// Lets others commit again, and waits until this transaction is as durable as the store
    /// promises.
    ///
    /// # Errors
    /// `Poisoned` if a sync failed.
    pub(crate) fn end<T>(self, commit: Commit<T>) -> Result<Commit<T>> {
        let Self { engine, section } = self;
        drop(section);
        if engine.durability == Durability::Sync && !commit.is_empty() {
            engine.journal.sync.wait(commit.lsn)?;
        }
        Ok(commit)
    }
}
