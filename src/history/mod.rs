//! What can be done with the past: looking through it, comparing moments, restoring one.

mod blame;
mod diff;
mod log;
pub(crate) mod restore;

pub use blame::BlameLine;
pub use diff::{FieldChange, RecordDiff, field_changes};
pub use log::{Log, LogEntry, LogQuery};
pub use restore::{RestorePlan, RestoreReport};
