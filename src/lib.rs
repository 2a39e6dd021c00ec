//! `afterimage` is an embedded storage engine that never forgets: every change is appended to one
//! journal with its before and its after image, and the present, any moment of the past, and a
//! restored copy are read from it.
//!
//! Begin with [`Store`]; its page has the first example. Then:
//!
//! * [`Transaction`] and [`Store::write`]: changing records, of several [`Collection`]s at once.
//! * [`Snapshot`]: the store at one moment. [`Store::resolve`] finds the moment.
//! * [`Store::history`], [`Store::transactions`], [`Store::log`], [`Store::diff`],
//!   [`Store::blame`]: what was done. [`Store::search`], [`Store::bisect`]: when.
//! * [`Store::undo`], [`Store::restore`]: taking changes back, each [planned](Plan) first.
//! * [`fold`]: giving up the oldest history.
//! * [`Slice`], [`rebuild()`]: parts of a journal as bytes, and a store made of them.
//! * [`Store::restore_into`]: a store as it was. [`verify()`]: whether it is sound. [`doctor()`]:
//!   why it can't be used well.
//! * [`Projection`] and [`Runner`]: read models of your own.
//! * [`Store::import`], [`export_state`], [`HistoryExport`]: change events as lines of JSON.
//!   [`export_json`], [`export_csv`]: records alone. [`analyze_import`] and
//!   [`Store::compare_import`]: what an input holds, before and after.
//! * `Filter`, with the feature `jq`: conditions on values.
//! * `Repository`, with the feature `backup`: where backups are kept.
//! * [`Options`] and [`Durability`]: how to open a store, and what a power cut can cost.
//!
//! Errors have a kind, a stable code, and a place: [`Error`].
//!
//! # Features
//!
//! `bincode` and `rkyv` bring the codecs of these names, `tokio` the async methods, `jq` filters,
//! `backup` what backups are made of and where they are kept, `cli` the command line. All are on by
//! default; without them the crate is a lean library. `cloud`, which is not, adds repositories on
//! object stores.

mod error;
mod lsn;
mod time;

#[cfg(feature = "jq")]
mod filter;
mod format;
pub mod json;
mod sys;

mod journal;
mod state;

mod store;

pub mod backup;
mod exchange;
mod folding;
mod history;
mod projection;
mod recovery;
mod verify;

#[cfg(any(test, feature = "testing"))]
#[doc(hidden)]
pub mod testing;

#[cfg(feature = "backup")]
pub use backup::repository::{
    Folder, KEYS_MAX, Listing, PARALLEL_MAX, PassphraseCost, Repository, RepositoryKey,
    SECRET_BYTES_MAX, Secret, Stored,
};
pub use backup::{RebuildReport, SLICE_BYTES, Slice, rebuild};
pub use error::{Code, Conflict, Error, ErrorKind, Place, Result, code};
pub use exchange::{
    CsvTypes, EventSource, FieldAnalysis, HistoryExport, ImportAnalysis, ImportComparison,
    ImportDifference, ImportFormat, ImportMapping, ImportMode, ImportOptions, ImportProblem,
    ImportReport, InputCollection, LINE_BYTES_MAX, RecordShape, analyze_import, export_csv,
    export_json, export_state, write_event, write_key, write_value,
};
#[cfg(feature = "jq")]
pub use filter::Filter;
pub use folding::{FoldPlan, FoldReport, Keep, fold};
pub use format::FORMAT_VERSION;
pub use format::digest::StateDigest;
#[cfg(feature = "backup")]
pub use format::envelope::OBJECT_BYTES_MAX;
pub use format::image::{CodecId, Image, Op, OwnedImage, UnknownCodec};
pub use format::metadata::Metadata;
#[cfg(feature = "backup")]
pub use format::object_name::{
    ContentHash, LABEL_BYTES_MAX, Label, NotAnObjectName, ObjectKind, ObjectName,
};
pub use format::store_header::Fork;
pub use history::{
    Bisection, BlameLine, FieldChange, FieldState, Log, LogEntry, LogQuery, Probe, RecordDiff,
    Search, SearchQuery, Transition, Verdict, field_changes,
};
pub use journal::recover::Notice;
pub use lsn::Lsn;
pub use projection::{Runner, RunnerState};
pub use recovery::{
    Condition, NotUndone, OnConflict, Plan, PlanCounts, PlanId, PlannedChange, Purpose, Reason,
    RecordConflict, Recovered, Resolution, Restore, RestoreMode, RestorePlan, RestoreReport, Scope,
    Undo, UndoMode, Undoable,
};
pub use store::*;
pub use time::{Clock, SystemClock, Timestamp};
pub use verify::{
    Check, Checkup, Finding, Hole, LostTransactions, Outcome, RecordName, RepairReport,
    SupportBundle, VerifyDepth, VerifyReport, doctor, repair, support_bundle, verify,
    verify_incremental,
};

/// The example of the README must compile.
#[doc = include_str!("../README.md")]
#[cfg(doctest)]
#[derive(Debug)]
pub struct Readme;
