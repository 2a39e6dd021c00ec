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

/// Which records a restore or an undo is about.
#[derive(Debug, ClapArgs)]
pub(crate) struct ScopeArgs {
    /// Only this collection; may be given several times
    #[arg(long, value_name = "C")]
    pub collection: Vec<String>,
    /// Only this record; may be given several times
    #[arg(long, value_name = "COLLECTION/KEY")]
    pub key: Vec<String>,
    /// Only records whose key begins so; may be given several times
    #[arg(long, value_name = "COLLECTION/PREFIX")]
    pub prefix: Vec<String>,
    /// Only records whose value, as it is or as it would become, makes this jq filter true
    #[arg(long = "where", value_name = "JQ")]
    pub condition: Option<String>,
    /// Only what this actor did; may be given several times
    #[arg(long, value_name = "A")]
    pub where_actor: Vec<String>,
}

/// Carrying out a plan that was looked at before.
#[derive(Debug, ClapArgs)]
pub(crate) struct PlanArgs {
    /// Carry out exactly the plan that --dry-run has shown under this name, and no other
    #[arg(long, value_name = "HEX", conflicts_with = "dry_run")]
    pub plan: Option<String>,
    #[command(flatten)]
    pub signed: Signed,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct RestoreArgs {
    /// The moment
    #[arg(long, value_name = "REV")]
    pub to: String,
    /// Make a new store of it in this directory, new or empty, and leave this one as it is
    #[arg(
        long,
        value_name = "DIR",
        conflicts_with_all = [
            "collection", "key", "prefix", "condition", "where_actor", "mode", "on_conflict", "plan"
        ]
    )]
    pub into: Option<PathBuf>,
    #[command(flatten)]
    pub scope: ScopeArgs,
    /// What becomes of newer values
    #[arg(long, default_value = "replace")]
    pub mode: RestoreModeArg,
    /// What becomes of records that others have changed as well
    #[arg(long, default_value = "fail", requires = "where_actor")]
    pub on_conflict: OnConflictArg,
    #[command(flatten)]
    pub plan: PlanArgs,
}

/// What becomes of newer values.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum RestoreModeArg {
    /// The records become exactly what they were
    Replace,
    /// Only what was lost comes back: records and fields
    Merge,
}

/// What to do where two changes can't both be kept.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum OnConflictArg {
    /// Do nothing at all
    Fail,
    /// Keep what is there now
    Ours,
    /// Bring back what was
    Theirs,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct UndoArgs {
    /// A transaction, or those of A..B; default: all, of which the options choose
    #[arg(value_name = "REV|A..B", required_unless_present_any = [
        "where_actor", "where_correlation", "where_attribute"
    ])]
    pub transactions: Option<String>,
    #[command(flatten)]
    pub scope: ScopeArgs,
    /// Only transactions with this correlation id
    #[arg(long, value_name = "ID")]
    pub where_correlation: Option<String>,
    /// Only transactions with this attribute
    #[arg(long, value_name = "NAME=VALUE")]
    pub where_attribute: Option<String>,
    /// What to do about records that were changed again later
    #[arg(long, default_value = "strict")]
    pub mode: UndoModeArg,
    /// With `--mode merge`: what to do about fields that both have changed
    #[arg(long, default_value = "fail")]
    pub on_conflict: OnConflictArg,
    #[command(flatten)]
    pub plan: PlanArgs,
}

/// What to do about records that were changed again later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum UndoModeArg {
    /// Refuse the whole undo
    Strict,
    /// Take the later transactions back as well
    Cascade,
    /// Overwrite what was written later
    Force,
    /// Leave those records as they are
    Nonconflicting,
    /// Merge JSON values field by field
    Merge,
}
