//! Looking through the past and comparing moments.

mod blame;
mod diff;
mod log;

pub use blame::BlameLine;
pub use diff::{FieldChange, RecordDiff, field_changes};
pub(crate) use diff::{shown, tree};
pub use log::{Log, LogEntry, LogQuery};
