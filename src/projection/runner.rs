//! Feeds a projection every transaction, in order, exactly once from its own position.

use crate::error::{Error, Result, code};
use crate::lsn::Lsn;
use crate::store::{Projection, Store};

/// How a projection is doing.
#[derive(Debug)]
pub enum RunnerState {
    /// It takes transactions.
    Running,
    /// It refused this transaction; see [`Runner::retry`], [`Runner::skip`] and
    /// [`Runner::rebuild`].
    Faulted {
        /// The transaction.
        lsn: Lsn,
        /// What the projection said.
        message: String,
    },
}

/// A projection and how far it has come. It reads the store and never writes to it, so whatever a
/// projection does, the store is not affected.
#[derive(Debug)]
pub struct Runner<P> {
    store: Store,
    projection: P,
    state: RunnerState,
    /// A transaction that the operator chose to leave out.
    skip: Option<Lsn>,
}

impl<P: Projection> Runner<P> {
    /// Goes on where the projection stands.
    pub fn new(store: &Store, projection: P) -> Self {
        Self { store: store.clone(), projection, state: RunnerState::Running, skip: None }
    }

    /// The projection.
    pub fn projection(&self) -> &P {
        &self.projection
    }

    /// Gives the projection back.
    pub fn into_projection(self) -> P {
        self.projection
    }

    /// How it is doing.
    pub fn state(&self) -> &RunnerState {
        &self.state
    }

    /// How many transactions it is behind.
    pub fn lag(&self) -> u64 {
        self.store.head().get().saturating_sub(self.position().get())
    }

    /// Up to where it has seen the journal; a skipped transaction counts as seen.
    pub fn position(&self) -> Lsn {
        self.projection.position().max(self.skip.unwrap_or(Lsn::ZERO))
    }

    /// Applies what there is, up to the newest transaction; returns where it stands then.
    ///
    /// # Errors
    /// `Invalid` with the transaction if the projection refuses it, now and until it is retried,
    /// skipped or rebuilt; `OutsideWindow` if it needs transactions that are not kept, or stands
    /// at one that this store does not have; `Corrupt`.
    pub fn catch_up(&mut self) -> Result<Lsn> {
        self.run_to(self.store.head())
    }

    /// Applies what there is, up to `to`.
    ///
    /// # Errors
    /// As [`catch_up`](Self::catch_up).
    pub fn run_to(&mut self, to: Lsn) -> Result<Lsn> {
        if let RunnerState::Faulted { lsn, message } = &self.state {
            let message = format!("{} stands at a fault: {message}", self.projection.name());
            return Err(Error::new(&code::PROJECTION_FAULTED, message).at_lsn(*lsn));
        }
        self.check_position()?;
        for transaction in self.store.transactions(self.position().next()..=to)? {
            let transaction = transaction?;
            let lsn = transaction.lsn();
            let applied = self.projection.apply(&transaction).and_then(|()| self.check(lsn));
            if let Err(error) = applied {
                let message = error.message().to_owned();
                let report = format!("{} failed: {message}", self.projection.name());
                self.state = RunnerState::Faulted { lsn, message };
                return Err(Error::new(&code::PROJECTION_FAULTED, report)
                    .at_lsn(lsn)
                    .with_source(error));
            }
        }
        Ok(self.position())
    }

    /// A saved position may come from another store, or from this one before it was restored. If
    /// the runner waited until the store has grown past it, it would leave out what came between.
    fn check_position(&self) -> Result<()> {
        let (position, head) = (self.position(), self.store.head());
        if position <= head {
            return Ok(());
        }
        let name = self.projection.name();
        let message = format!(
            "{name} stands at LSN {position}, and the newest transaction is {head}; it belongs to \
             another store or to a later life of this one, and must be rebuilt"
        );
        Err(Error::new(&code::OUTSIDE_WINDOW, message))
    }

    /// A projection that does not move its position would get the transaction twice.
    fn check(&self, lsn: Lsn) -> Result<()> {
        let position = self.projection.position();
        if position == lsn {
            return Ok(());
        }
        let message = format!("it stands at LSN {position} after applying LSN {lsn}");
        Err(Error::new(&code::PROJECTION_FAULTED, message))
    }

    /// Clears a fault, to apply the same transaction again.
    pub fn retry(&mut self) {
        self.state = RunnerState::Running;
    }

    /// Clears a fault by leaving that transaction out; returns which one.
    pub fn skip(&mut self) -> Option<Lsn> {
        match std::mem::replace(&mut self.state, RunnerState::Running) {
            RunnerState::Faulted { lsn, .. } => {
                self.skip = Some(lsn);
                Some(lsn)
            }
            RunnerState::Running => None,
        }
    }

    /// Builds `fresh` from where it stands beside the old one, which stays in use until the new one
    /// has caught up with the store as it was when this began; only then are they exchanged. What
    /// is written meanwhile is left to the next [`catch_up`](Self::catch_up): to wait for a moment
    /// without news might take for ever. Returns the old one.
    ///
    /// # Errors
    /// As [`catch_up`](Self::catch_up); the old one then stays.
    pub fn rebuild(&mut self, fresh: P) -> Result<P> {
        let mut beside = Self::new(&self.store, fresh);
        beside.catch_up()?;
        self.state = RunnerState::Running;
        self.skip = beside.skip;
        Ok(std::mem::replace(&mut self.projection, beside.projection))
    }
}
