//! Looking through the past.

use clap::{Args as ClapArgs, ValueEnum};

use super::Reading;

#[derive(Debug, ClapArgs)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
pub(crate) struct LogArgs {
    /// A collection, or a record: COLLECTION[/KEY]
    pub subject: Option<String>,
    /// With the fields that changed
    #[arg(short, long)]
    pub patch: bool,
    /// One line a transaction
    #[arg(long, conflicts_with_all = ["patch", "stat"])]
    pub oneline: bool,
    /// With numbers for each collection
    #[arg(long)]
    pub stat: bool,
    /// With whether each change could be taken back now, and if not, why
    #[arg(long, conflicts_with_all = ["oneline", "stat"])]
    pub undoable: bool,
    #[command(flatten)]
    pub choice: Choice,
    /// The store's own collections too
    #[arg(long)]
    pub system: bool,
    /// Go on with what is committed from now on, oldest first
    #[arg(short, long, conflicts_with = "until")]
    pub follow: bool,
}

/// Which changes to look at; for commands that go through the past.
#[derive(Debug, ClapArgs)]
pub(crate) struct Choice {
    /// Only after this moment
    #[arg(long, value_name = "REV")]
    pub since: Option<String>,
    /// Only up to this moment
    #[arg(long, value_name = "REV")]
    pub until: Option<String>,
    /// Only these operations: c, u, d
    #[arg(long, value_name = "OPS", value_delimiter = ',')]
    pub op: Vec<OpArg>,
    /// Only transactions of this actor
    #[arg(long, value_name = "A")]
    pub actor: Option<String>,
    /// Only transactions whose message matches
    #[arg(long, value_name = "RE")]
    pub grep: Option<String>,
    /// Only transactions that belong to this
    #[arg(long, value_name = "ID")]
    pub where_correlation: Option<String>,
    /// Only transactions with this attribute; may be given several times
    #[arg(long, value_name = "NAME=VALUE")]
    pub where_attribute: Vec<String>,
    /// Only records whose keys begin with this
    #[arg(long, value_name = "P")]
    pub prefix: Option<String>,
    /// Only the newest N
    #[arg(short, value_name = "N")]
    pub n: Option<usize>,
    /// Oldest first
    #[arg(long)]
    pub reverse: bool,
    /// Of a damaged store, serve what is sound
    #[arg(long)]
    pub salvage: bool,
}

/// An operation by its letter.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum OpArg {
    /// create
    C,
    /// update
    U,
    /// delete
    D,
    /// carried over
    R,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct ShowArgs {
    /// The transaction
    pub rev: String,
    /// With whether each change could be taken back now, and if not, why
    #[arg(long)]
    pub undoable: bool,
    /// Of a damaged store, serve what is sound
    #[arg(long)]
    pub salvage: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct DiffArgs {
    /// The two moments, A..B
    pub range: String,
    /// A collection, or a record: COLLECTION[/KEY]
    pub subject: Option<String>,
    /// Numbers alone
    #[arg(long)]
    pub stat: bool,
    /// Exit 4 if there are differences
    #[arg(long)]
    pub check: bool,
    /// Of a damaged store, serve what is sound
    #[arg(long)]
    pub salvage: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct BlameArgs {
    /// The record, COLLECTION/KEY
    pub record: String,
    #[command(flatten)]
    pub reading: Reading,
}
