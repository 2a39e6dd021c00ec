//! Taking change events in, and writing them out.

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
    /// Take the events' times as commit times
    #[arg(long)]
    pub keep_times: bool,
    /// Take after images as the truth, whatever the store holds
    #[arg(long)]
    pub upsert: bool,
    /// How many lines that name no transaction become one
    #[arg(long, value_name = "N", default_value = "1000")]
    pub batch: NonZeroUsize,
    /// What a power cut may cost while importing
    #[arg(long, default_value = "process", value_name = "WHAT")]
    pub durability: DurabilityArg,
    #[command(flatten)]
    pub signed: Signed,
}

/// The form of an import.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Format {
    /// Change events, one JSON object a line
    Changes,
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
    /// Only this collection; may be given several times
    #[arg(long, value_name = "C")]
    pub collection: Vec<String>,
    /// The file to write, replaced when the export is whole; default, and `-`: standard output
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    #[command(flatten)]
    pub reading: Reading,
}
