//! What the store notes of what was done to it as a whole: records in `$audit`.

use super::Transaction;
use super::catalogue::AUDIT;
use crate::error::Result;
use crate::lsn::Lsn;

impl Transaction<'_> {
    /// Notes an action, `{ACTION}-{LSN}` by the transaction that this one is about to be, in front
    /// of what it writes: who counts the changes of a transaction leaves out what the store itself
    /// has put first.
    pub(crate) fn note_in_audit(&mut self, action: &str, entry: &serde_json::Value) -> Result<()> {
        let key = format!("{action}-{:020}", self.snapshot_lsn().get() + 1);
        // Two that begin at the same moment must not write one record.
        self.expect_system(AUDIT, key.as_bytes(), Lsn::ZERO);
        self.put_system(AUDIT, key.as_bytes(), entry.to_string().as_bytes())
    }
}
