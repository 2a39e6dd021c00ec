//! Finding the moment at which something happened.

use std::ffi::OsString;

use clap::Args as ClapArgs;

use super::past::Choice;

#[derive(Debug, ClapArgs)]
pub(crate) struct SearchArgs {
    /// A collection, or a record: COLLECTION[/KEY]
    pub subject: String,
    /// Only changes of this field; names and indices with dots between, as in rooms.0.number
    #[arg(long, value_name = "PATH")]
    pub field: Option<String>,
    /// Only changes from this value: JSON, or a word; `absent`: it was not there
    #[arg(long, value_name = "V", allow_hyphen_values = true)]
    pub from: Option<String>,
    /// Only changes to this value: JSON, or a word; `absent`: it is not there any more
    #[arg(long, value_name = "V", allow_hyphen_values = true)]
    pub to: Option<String>,
    #[command(flatten)]
    pub choice: Choice,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct BisectArgs {
    /// A moment at which all was well
    #[arg(long, value_name = "REV")]
    pub good: String,
    /// A later moment at which it was not
    #[arg(long, value_name = "REV")]
    pub bad: String,
    /// The collection concerned; the filter sees it as an object of its records by key
    #[arg(long, value_name = "C", conflicts_with = "record")]
    pub collection: Option<String>,
    /// The record that the filter sees; null while it is absent
    #[arg(long, value_name = "COLLECTION/KEY", requires = "expr")]
    pub record: Option<String>,
    /// A jq filter that is true of what is good
    #[arg(long, value_name = "JQ", conflicts_with = "command")]
    pub expr: Option<String>,
    /// Of a damaged store, serve what is sound
    #[arg(long)]
    pub salvage: bool,
    /// The command that tells good from bad, with its arguments
    #[arg(last = true, value_name = "CMD", required_unless_present = "expr")]
    pub command: Vec<OsString>,
}
