//! Change events as lines of JSON: what goes out of a store and comes in from elsewhere.

mod event;
mod export;
mod import;
mod rehearsal;

pub use event::{EventSource, write_event, write_key, write_value};
pub use export::{HistoryExport, export_state};
pub use import::{ImportOptions, ImportReport, LINE_BYTES_MAX};
