//! Whether a change can be taken back, and if not, why.

use std::fmt;

use super::plan::Reason;
use crate::error::Result;
use crate::format::image::{Image, Op};
use crate::lsn::Lsn;
use crate::store::{ChangeView, Store, TransactionView, Version};

/// What a strict [`undo`](Store::undo) of a change would meet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Undoable {
    /// The record is as the change left it: the change can be taken back.
    Cleanly,
    /// The record is as it was before the change.
    Already,
    /// A later transaction made something else of the record.
    Conflict {
        /// The first one that did.
        later: Lsn,
        /// Who wrote it.
        actor: Option<String>,
    },
    /// The change can't be taken back.
    Not(Reason),
}

impl fmt::Display for Undoable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cleanly => f.write_str("can be undone"),
            Self::Already => f.write_str("the record is as it was before"),
            Self::Conflict { later, .. } => write!(f, "LSN {later} changed the record again"),
            Self::Not(reason) => write!(f, "can't be undone: {reason}"),
        }
    }
}

impl Store {
    /// Whether a change could be taken back now. Costs what the record's later versions cost.
    ///
    /// # Errors
    /// `Corrupt`.
    pub fn undoable(
        &self,
        transaction: &TransactionView<'_>,
        change: &ChangeView<'_>,
    ) -> Result<Undoable> {
        if let Some(reason) = reason_against(change) {
            return Ok(Undoable::Not(reason));
        }
        let head = self.head();
        let name = (change.collection(), change.key());
        let now = current(self, name, head)?;
        if now == change.after() {
            return Ok(Undoable::Cleanly);
        }
        if now == change.before() {
            return Ok(Undoable::Already);
        }
        let later = later(self, name, transaction.lsn(), head)?;
        let first = later.last();
        Ok(Undoable::Conflict {
            later: first.map_or(head, Version::lsn),
            actor: first.and_then(Version::actor).map(str::to_owned),
        })
    }
}

/// A record, by collection and key.
pub(super) type Name<'a> = (&'a str, &'a [u8]);

/// Why a change can't be taken back, whatever came after it.
pub(super) fn reason_against(change: &ChangeView<'_>) -> Option<Reason> {
    match change.op() {
        _ if change.is_system() => Some(Reason::SystemRecord),
        Op::Read => Some(Reason::ImageGone),
        Op::Create | Op::Update | Op::Delete => None,
    }
}

/// The value of a record at `head`.
pub(super) fn current<'a>(
    store: &'a Store,
    (collection, key): Name<'_>,
    head: Lsn,
) -> Result<Option<Image<'a>>> {
    for version in store.record_history(collection, key)? {
        let version = version?;
        if version.lsn() <= head {
            return Ok(version.after());
        }
    }
    Ok(None)
}

/// The versions of a record after `lsn` up to `head`, newest first.
pub(super) fn later<'a>(
    store: &'a Store,
    (collection, key): Name<'_>,
    lsn: Lsn,
    head: Lsn,
) -> Result<Vec<Version<'a>>> {
    let mut later = Vec::new();
    for version in store.record_history(collection, key)? {
        let version = version?;
        if version.lsn() <= lsn {
            break;
        }
        if version.lsn() <= head {
            later.push(version);
        }
    }
    Ok(later)
}
