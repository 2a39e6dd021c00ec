//! Taking change events and records in, and writing them out.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args as ClapArgs, ValueEnum};

use super::{Reading, Signed};

#[derive(Debug, ClapArgs)]
pub(crate) struct ImportArgs {
    /// The file; `-` for standard input
    pub file: String,
    /// The form of the input
    #[arg(long, default_value = "changes")]
    pub format: Format,
    /// What becomes of records that exist
    #[arg(long, default_value = "append")]
    pub mode: ModeArg,
    /// Take the events' times as commit times
    #[arg(long)]
    pub keep_times: bool,
    /// Take after images as the truth, whatever the store holds
    #[arg(long)]
    pub upsert: bool,
    /// How many lines that name no transaction become one
    #[arg(long, value_name = "N", default_value = "1000")]
    pub batch: NonZeroUsize,
    /// Up to so many bytes, old and new values together, a replacement is one transaction
    #[arg(long, value_name = "N", default_value = "67108864")]
    pub replace_bytes: u64,
    /// What a power cut may cost while importing
    #[arg(long, default_value = "process", value_name = "WHAT")]
    pub durability: DurabilityArg,
    #[command(flatten)]
    pub shape: ShapeArgs,
    #[command(flatten)]
    pub mapping: MappingArgs,
    #[command(flatten)]
    pub step: StepArgs,
    #[command(flatten)]
    pub signed: Signed,
}

/// How the records of `json` and `csv` become records of a collection.
#[derive(Debug, ClapArgs)]
pub(crate) struct ShapeArgs {
    /// The collection that the records of `json` and `csv` become part of
    #[arg(long, value_name = "COLLECTION")]
    pub into: Option<String>,
    /// The field or column that is the key
    #[arg(long, value_name = "FIELD", default_value = "id")]
    pub key: String,
    /// Leave the key out of the value
    #[arg(long)]
    pub drop_key: bool,
    /// What the cells of `csv` become
    #[arg(long, value_name = "WHAT", default_value = "strings")]
    pub types: TypesArg,
}

/// Other names, and less.
#[derive(Debug, ClapArgs)]
pub(crate) struct MappingArgs {
    /// Only this collection, by its new name; may be given several times
    #[arg(long, value_name = "C")]
    pub collection: Vec<String>,
    /// Give a collection another name; may be given several times
    #[arg(long, value_name = "OLD=NEW", value_parser = renaming)]
    pub map_collection: Vec<(String, String)>,
    /// Give a field another name, or place; dots separate the steps of a path, and COLLECTION. or
    /// COLLECTION/ may stand before it; may be given several times
    #[arg(long, value_name = "OLD=NEW", value_parser = renaming)]
    pub map_field: Vec<(String, String)>,
    /// Leave a field out; may be given several times
    #[arg(long, value_name = "FIELD")]
    pub drop_field: Vec<String>,
}

fn renaming(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((old, new)) if !old.is_empty() && !new.is_empty() => {
            Ok((old.to_owned(), new.to_owned()))
        }
        Some(_) | None => Err("write OLD=NEW".to_owned()),
    }
}

/// The steps before and after an import.
#[derive(Debug, ClapArgs)]
pub(crate) struct StepArgs {
    /// Say what the input holds, and write nothing; needs no store
    #[arg(long, conflicts_with_all = ["verify", "dry_run"])]
    pub analyze: bool,
    /// Compare the store with what the input says, and write nothing
    #[arg(long, conflicts_with = "dry_run")]
    pub verify: bool,
    /// Exit with 4 if --verify finds differences, or --analyze problems
    #[arg(long)]
    pub check: bool,
}

/// The form of an import or an export.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Change events, one JSON object a line
    Changes,
    /// One JSON document: an object by key, or an array of objects
    Json,
    /// Comma-separated values behind a line of column names
    Csv,
}

/// What becomes of records that exist, by name.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum ModeArg {
    /// Apply each event, if it fits what the store holds
    Append,
    /// Make the collections what the input says, and nothing else
    Replace,
    /// Combine field by field; the input wins
    Merge,
    /// Leave them as they are
    SkipExisting,
}

/// What cells become, by name.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum TypesArg {
    /// Strings
    Strings,
    /// Numbers, true, false and null, where their text stays the same
    Auto,
}

/// A durability by name.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum DurabilityArg {
    /// Nothing: sync each transaction
    Sync,
    /// The last 100 ms
    Interval,
    /// What the kernel had not written; one sync at the end
    Process,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct ExportArgs {
    /// Every change since the first, not only the records of the moment
    #[arg(long)]
    pub history: bool,
    /// The form of the output; `json` and `csv` hold one collection
    #[arg(long, default_value = "changes")]
    pub format: Format,
    /// Only this collection; may be given several times
    #[arg(long, value_name = "C")]
    pub collection: Vec<String>,
    /// The file to write, replaced when the export is whole; default, and `-`: standard output
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    #[command(flatten)]
    pub reading: Reading,
}
