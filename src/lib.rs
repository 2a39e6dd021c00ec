//! `afterimage` is an embedded storage engine that never forgets.

mod error;
mod lsn;
mod time;

mod format;
pub mod json;
mod sys;

mod journal;
mod state;

mod store;

mod exchange;
mod history;
mod projection;
mod verify;

#[cfg(any(test, feature = "testing"))]
#[doc(hidden)]
pub mod testing;

pub use error::{Code, Conflict, Error, ErrorKind, Place, Result, code};
pub use exchange::{
    EventSource, HistoryExport, ImportOptions, ImportReport, LINE_BYTES_MAX, export_state,
    write_event, write_key, write_value,
};
pub use format::FORMAT_VERSION;
pub use format::digest::StateDigest;
pub use format::image::{CodecId, Image, Op, OwnedImage, UnknownCodec};
pub use format::metadata::Metadata;
pub use format::store_header::Fork;
pub use history::{
    BlameLine, FieldChange, Log, LogEntry, LogQuery, RecordDiff, RestorePlan, RestoreReport,
    field_changes,
};
pub use journal::recover::Notice;
pub use lsn::Lsn;
pub use projection::{Projection, Runner, RunnerState};
pub use store::*;
pub use time::{Clock, SystemClock, Timestamp};
pub use verify::{Finding, VerifyDepth, VerifyReport, verify};
