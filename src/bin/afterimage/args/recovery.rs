//! Naming moments and going back to them.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Subcommand};

use super::Signed;

#[derive(Debug, Subcommand)]
pub(crate) enum PointCommand {
    /// Name a moment
    Create {
        /// The name
        name: String,
        /// The moment; default: HEAD
        rev: Option<String>,
        /// What it is good for
        #[arg(long, value_name = "TEXT")]
        note: Option<String>,
        #[command(flatten)]
        signed: Signed,
    },
    /// List the names
    List,
    /// Forget a name; the moment stays
    Delete {
        /// The name
        name: String,
        #[command(flatten)]
        signed: Signed,
    },
}

#[derive(Debug, ClapArgs)]
pub(crate) struct RestoreArgs {
    /// The moment
    #[arg(long, value_name = "REV")]
    pub to: String,
    /// The directory of the new store; new or empty
    #[arg(long, value_name = "DIR")]
    pub into: PathBuf,
    #[command(flatten)]
    pub signed: Signed,
}
