//! Syncs of one open file, one at a time, of which the first that fails is final.

use std::sync::{Mutex, PoisonError};

use crate::error::{Error, Result, code};

/// Whether a sync of the file has failed.
///
/// The operating system tells a failed write-back once for each open file: of two threads that sync
/// it, one is told, and the other one's sync says that all went well, although what it wrote is
/// lost. So nobody is told that after one has failed.
#[derive(Debug, Default)]
pub(super) struct Barrier {
    failed: Mutex<bool>,
}

impl Barrier {
    /// Calls the sync of the file, unless one has failed before.
    pub(super) fn pass(&self, sync: impl FnOnce() -> Result<()>) -> Result<()> {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        if *failed {
            return Err(Error::new(&code::IO, "an earlier sync of the file has failed"));
        }
        let synced = sync();
        *failed = synced.is_err();
        synced
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_sync_is_final() {
        let barrier = Barrier::default();
        assert!(barrier.pass(|| Ok(())).is_ok());
        assert!(barrier.pass(|| Err(Error::new(&code::IO, "lost"))).is_err());
        assert!(barrier.pass(|| Ok(())).is_err());
    }
}
