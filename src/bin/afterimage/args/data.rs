//! Reading, changing and listing records.

use clap::Args as ClapArgs;

use super::{Reading, Signed};

#[derive(Debug, ClapArgs)]
pub(crate) struct InitArgs {
    /// Bytes of a segment of the journal
    #[arg(long, value_name = "BYTES")]
    pub segment_bytes: Option<u64>,
    #[command(flatten)]
    pub signed: Signed,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct PutArgs {
    /// The record, COLLECTION/KEY
    pub record: String,
    /// The value as JSON; `-` reads it from standard input
    // Hyphens, not negative numbers: clap does not take -1.5e-3 for a number.
    #[arg(allow_hyphen_values = true)]
    pub value: Option<String>,
    /// Store standard input as it is
    #[arg(long)]
    pub bytes: bool,
    /// Only if the record's version is this LSN; 0: only if it is absent
    #[arg(long, value_name = "LSN")]
    pub if_lsn: Option<u64>,
    #[command(flatten)]
    pub signed: Signed,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct GetArgs {
    /// The record, COLLECTION/KEY
    pub record: String,
    #[command(flatten)]
    pub reading: Reading,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct DeleteArgs {
    /// The record, COLLECTION/KEY
    pub record: String,
    /// Only if the record's version is this LSN
    #[arg(long, value_name = "LSN")]
    pub if_lsn: Option<u64>,
    #[command(flatten)]
    pub signed: Signed,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct ScanArgs {
    /// The collection
    pub collection: String,
    /// Only keys that begin with this
    #[arg(long, value_name = "P")]
    pub prefix: Option<String>,
    /// At most this many records
    #[arg(long, value_name = "N")]
    pub limit: Option<usize>,
    /// In descending order
    #[arg(long)]
    pub reverse: bool,
    #[command(flatten)]
    pub reading: Reading,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct CollectionsArgs {
    /// The store's own collections too
    #[arg(long)]
    pub system: bool,
    #[command(flatten)]
    pub reading: Reading,
}
