//! Looking through the past and comparing moments.

mod bisect;
mod blame;
mod diff;
mod log;
mod search;

pub use bisect::{Bisection, Probe, Verdict};
pub use blame::BlameLine;
pub use diff::{FieldChange, RecordDiff, field_changes};
pub(crate) use diff::{shown, tree};
pub use log::{Log, LogEntry, LogQuery};
pub use search::{FieldState, Search, SearchQuery, Transition};
