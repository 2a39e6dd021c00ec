//! What goes out of a store and comes in from elsewhere: change events as lines of JSON, and
//! records as documents and tables.

mod analyze;
mod compare;
mod document;
mod event;
mod export;
mod import;
mod mapping;
mod modes;
mod options;
mod records;
mod rehearsal;
mod replace;
mod source;
mod table;

pub use analyze::{FieldAnalysis, ImportAnalysis, ImportProblem, InputCollection, analyze_import};
pub use compare::{ImportComparison, ImportDifference};
pub use document::export_json;
pub use event::{EventSource, write_event, write_key, write_value};
pub use export::{HistoryExport, export_state};
pub use options::{
    CsvTypes, ImportFormat, ImportMapping, ImportMode, ImportOptions, ImportReport, RecordShape,
};
pub use source::LINE_BYTES_MAX;
pub use table::export_csv;
