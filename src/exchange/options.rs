//! What to import and how, and what came of it.

use serde::Serialize;

use crate::error::{Error, Result, code};
use crate::lsn::Lsn;
use crate::store::Author;

/// Lines that name no transaction are grouped by this many, unless told otherwise.
const BATCH: usize = 1000;
/// A replacement holds at most this much of its input in memory, unless told otherwise.
const REPLACE_BYTES: u64 = 64 << 20;

/// How to import.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportOptions {
    /// What the input is written in.
    pub format: ImportFormat,
    /// What becomes of records that exist.
    pub mode: ImportMode,
    /// Other names for what the input names.
    pub mapping: ImportMapping,
    /// Only these collections, by their new names; all if empty.
    pub collections: Vec<String>,
    /// Take the events' times as commit times; else they are kept as the attribute
    /// `original_ts_us`.
    pub keep_times: bool,
    /// Take after images as the truth, whatever the store holds. Only when appending.
    pub upsert: bool,
    /// How many lines that name no transaction become one.
    pub batch: usize,
    /// Up to this many bytes, old and new values together, a replacement is one transaction. It is
    /// held in memory, where it takes some five times as much.
    pub replace_bytes: u64,
    /// Check everything and write nothing. Keeps the key and a hash of each record in memory.
    pub dry_run: bool,
    /// Who imports, and why; for events that do not say themselves.
    pub author: Author,
    /// Where the input comes from, for the record in `$audit`.
    pub file: Option<String>,
}

impl Default for ImportOptions {
    fn default() -> Self {
        Self {
            format: ImportFormat::default(),
            mode: ImportMode::default(),
            mapping: ImportMapping::default(),
            collections: Vec::new(),
            keep_times: false,
            upsert: false,
            batch: BATCH,
            replace_bytes: REPLACE_BYTES,
            dry_run: false,
            author: Author::default(),
            file: None,
        }
    }
}

impl ImportOptions {
    /// Refuses what does not go together.
    pub(super) fn check(&self) -> Result<()> {
        let wrong = |message| Err(Error::new(&code::INVALID_OPTION, message));
        if self.upsert && self.mode != ImportMode::Append {
            return wrong("upsert goes with the mode append; the others say what wins themselves");
        }
        if self.keep_times && self.mode == ImportMode::Replace {
            return wrong("a replacement happens now, and can't keep the times of its records");
        }
        Ok(())
    }
}

/// What becomes of records that exist.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ImportMode {
    /// Each event is applied, after a check that it fits what the store holds.
    #[default]
    Append,
    /// The collections that the input names hold afterwards what it says, and nothing else.
    ///
    /// Up to [`replace_bytes`](ImportOptions::replace_bytes) it is one transaction. What is larger
    /// becomes several, the deletions last: if it is interrupted, what the input does not name is
    /// still there, and running it again completes it. Of a history, the net result counts. Keeps
    /// the key of each record in memory.
    Replace,
    /// A record that exists is combined with the input's, field by field: the input's fields win,
    /// objects in objects likewise, and what only the store has stays. What is no JSON object is
    /// replaced. Takes records, no updates and deletions. A dry run counts a record that comes
    /// again in a later transaction as updated, whether or not it would be.
    Merge,
    /// A record that exists stays as it is. Takes records, no updates and deletions.
    SkipExisting,
}

impl ImportMode {
    /// The name, as on the command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Append => "append",
            Self::Replace => "replace",
            Self::Merge => "merge",
            Self::SkipExisting => "skip-existing",
        }
    }
}

/// What the input is written in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ImportFormat {
    /// Change events, one JSON object a line.
    #[default]
    Changes,
    /// One JSON document: an array of objects, or one object whose names are the keys. One value at
    /// a time is in memory, and the keys of all.
    Json(RecordShape),
    /// Lines of comma-separated values behind one that names the columns. One line at a time is in
    /// memory, and the keys of all.
    Csv(RecordShape, CsvTypes),
}

impl ImportFormat {
    /// The name, as on the command line.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Changes => "changes",
            Self::Json(_) => "json",
            Self::Csv(..) => "csv",
        }
    }
}

/// How records that stand for themselves become records of a collection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordShape {
    /// The collection.
    pub collection: String,
    /// The field or column that is the key.
    pub key: String,
    /// Leave that field out of the value.
    pub drop_key: bool,
}

/// What the cells of a table become.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CsvTypes {
    /// Strings.
    #[default]
    Strings,
    /// What is written as JSON writes it becomes a number, true or false, what is empty null; the
    /// text stays the same, so `007` is a string.
    Auto,
}

/// Other names for what an input names.
///
/// A field is named by its path, steps separated by dots. With `COLLECTION.` or `COLLECTION/` in
/// front, collections by their old names, it is meant there only; the dot is taken so if there is
/// an event of a collection of that name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImportMapping {
    /// Collections, the old name first.
    pub collections: Vec<(String, String)>,
    /// Fields, the old path first; the new one begins at the record in any case.
    pub fields: Vec<(String, String)>,
    /// Fields that are left out.
    pub drop_fields: Vec<String>,
}

/// What an import has done, or with `dry_run` would do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ImportReport {
    /// Transactions written.
    pub transactions: u64,
    /// Change events, or records, taken in.
    pub changes: u64,
    /// Records created.
    pub created: u64,
    /// Records updated.
    pub updated: u64,
    /// Records deleted.
    pub deleted: u64,
    /// Records that were replaced by what they are, or merged with what they have.
    pub unchanged: u64,
    /// Records that exist and so were skipped.
    pub skipped: u64,
    /// The first transaction written; zero if none was.
    pub first_lsn: Lsn,
    /// The last transaction written; zero if none was.
    pub last_lsn: Lsn,
    /// The restore point that names the moment before the first transaction written.
    pub point: Option<String>,
    /// Names of the mapping that the input never has.
    pub warnings: Vec<String>,
}
