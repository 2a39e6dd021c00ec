//! Naming moments and going back to them.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Subcommand, ValueEnum};

use super::Signed;

#[derive(Debug, Subcommand)]
pub(crate) enum PointCommand {
    /// Name a moment
    #[command(after_help = "Examples:\n  afterimage point create before-import\n  \
                            afterimage point create audit-2026 'point:closing^' --protect")]
    Create {
        /// The name
        name: String,
        /// The moment; default: HEAD
        rev: Option<String>,
        /// What it is good for
        #[arg(long, value_name = "TEXT")]
        note: Option<String>,
        /// Refuse to delete it until it is unprotected
        #[arg(long)]
        protect: bool,
        #[command(flatten)]
        signed: Signed,
    },
    /// List the names, newest moment first
    List(PointListArgs),
    /// Say more about a name
    #[command(after_help = "Examples:\n  \
                            afterimage point annotate closing --note 'books of 2026'\n  \
                            afterimage point annotate closing --set ticket=FIN-17 --unset draft")]
    Annotate(PointAnnotateArgs),
    /// Refuse to delete a name until it is unprotected
    Protect {
        /// The name
        name: String,
        #[command(flatten)]
        signed: Signed,
    },
    /// Allow deleting a name again
    Unprotect {
        /// The name
        name: String,
        #[command(flatten)]
        signed: Signed,
    },
    /// Forget names; the moments stay
    Delete {
        /// The names: all of them are forgotten, or none
        #[arg(required = true, value_name = "NAME")]
        names: Vec<String>,
        #[command(flatten)]
        signed: Signed,
    },
}

#[derive(Debug, ClapArgs)]
pub(crate) struct PointListArgs {
    /// Only of this kind
    #[arg(long, value_name = "KIND")]
    pub kind: Option<PointKindArg>,
    /// Only the newest N
    #[arg(short = 'n', long, value_name = "N")]
    pub limit: Option<usize>,
}

/// A kind of restore point by name.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum PointKindArg {
    /// Made by a person; kept until deleted
    Manual,
    /// Made by undo, restore and import; the newest 10 are kept
    Auto,
    /// Made by migrations; the newest 5 of the last 7 days are kept
    PreMigration,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct PointAnnotateArgs {
    /// The name
    pub name: String,
    /// What it is good for, in place of what was said before; an empty text removes it
    #[arg(long, value_name = "TEXT")]
    pub note: Option<String>,
    /// Set an annotation; may be given several times
    #[arg(long, value_name = "NAME=VALUE")]
    pub set: Vec<String>,
    /// Remove an annotation; may be given several times
    #[arg(long, value_name = "NAME")]
    pub unset: Vec<String>,
    #[command(flatten)]
    pub signed: Signed,
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
