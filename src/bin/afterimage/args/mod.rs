//! What the command line accepts.

mod care;
mod data;
mod exchange;
mod find;
mod meta;
mod past;
mod recovery;

use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};

pub(crate) use care::{CareArgs, CheckpointArgs, CompactArgs, DoctorArgs, RepairArgs, VerifyArgs};
pub(crate) use data::{CollectionsArgs, DeleteArgs, GetArgs, InitArgs, PutArgs, ScanArgs};
pub(crate) use exchange::{DurabilityArg, ExportArgs, Format, ImportArgs, ModeArg, TypesArg};
pub(crate) use find::{BisectArgs, SearchArgs};
pub(crate) use meta::{BenchArgs, CompletionsArgs, DemoArgs, ExplainArgs, ManArgs, ShellArgs};
pub(crate) use past::{BlameArgs, Choice, DiffArgs, LogArgs, OpArg, ShowArgs};
pub(crate) use recovery::{
    OnConflictArg, PlanArgs, PointAnnotateArgs, PointCommand, PointKindArg, PointListArgs,
    RestoreArgs, RestoreModeArg, ScopeArgs, UndoArgs, UndoModeArg,
};

/// An embedded storage engine that never forgets.
#[derive(Debug, Parser)]
#[command(
    name = "afterimage",
    version,
    max_term_width = 100,
    propagate_version = true,
    after_help = "A moment (REV) is an LSN (42), HEAD, HEAD~10, 42^ (just before), point:NAME, or \
                  a time: '2026-11-19 16:00', '2026-11-19T16:00:00Z', '2 hours ago'.\n\
                  A record is COLLECTION/KEY; a key that is not text is written 0x00ff….\n\n\
                  Begin with `afterimage demo`."
)]
pub(crate) struct Args {
    #[command(flatten)]
    pub globals: Globals,
    #[command(subcommand)]
    pub command: Command,
}

/// Under this heading, `--help` sets the flags of every command apart from the command's own.
const GLOBAL: &str = "Options of every command";

/// Flags that stand anywhere.
#[derive(Clone, Debug, ClapArgs)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
pub(crate) struct Globals {
    /// The store's directory
    #[arg(
        short,
        long,
        global = true,
        env = "AFTERIMAGE_STORE",
        value_name = "DIR",
        help_heading = GLOBAL
    )]
    pub store: Option<PathBuf>,
    /// Print JSON: one document, or one object a line
    #[arg(long, global = true, help_heading = GLOBAL)]
    pub json: bool,
    /// Say nothing but errors
    #[arg(short, long, global = true, help_heading = GLOBAL)]
    pub quiet: bool,
    /// Say what is opened, and show values whole
    #[arg(short, long, global = true, help_heading = GLOBAL)]
    pub verbose: bool,
    /// When to color
    #[arg(
        long,
        global = true,
        help_heading = GLOBAL,
        default_value = "auto",
        value_name = "WHEN"
    )]
    pub color: When,
    /// When to show progress
    #[arg(
        long,
        global = true,
        help_heading = GLOBAL,
        default_value = "auto",
        value_name = "WHEN"
    )]
    pub progress: When,
    /// Do not ask
    #[arg(long, global = true, help_heading = GLOBAL)]
    pub yes: bool,
}

/// When to do something that depends on a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum When {
    /// On a terminal
    Auto,
    /// In any case
    Always,
    /// In no case
    Never,
}

/// Who changes something, and why; for commands that do.
#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct Signed {
    /// Who does it; default: the system user
    #[arg(long, value_name = "NAME")]
    pub actor: Option<String>,
    /// Why
    #[arg(short, long, value_name = "TEXT")]
    pub message: Option<String>,
    /// Show what would be done and write nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// How to read.
#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct Reading {
    /// The moment to read at
    #[arg(long, value_name = "REV", env = "AFTERIMAGE_AS_OF")]
    pub as_of: Option<String>,
    /// Of a damaged store, serve what is sound
    #[arg(long)]
    pub salvage: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Create an empty store
    Init(InitArgs),
    /// Write a record
    #[command(after_help = "Examples:\n  afterimage put guests/g-17 '{\"name\":\"Ana\"}'\n  \
                            afterimage put rooms/204 - < room.json\n  \
                            afterimage put photos/204 --bytes < 204.jpg")]
    Put(PutArgs),
    /// Print a record's value
    #[command(after_help = "Examples:\n  afterimage get guests/g-17\n  \
                            afterimage get guests/g-17 --as-of '2 hours ago'")]
    Get(GetArgs),
    /// Delete a record
    Delete(DeleteArgs),
    /// Print the records of a collection in key order
    Scan(ScanArgs),
    /// List the collections
    Collections(CollectionsArgs),
    /// Show what was changed, newest first
    #[command(after_help = "Examples:\n  afterimage log -n 5 -p\n  \
                            afterimage log invoices --since '1 hour ago' --actor desk-2\n  \
                            afterimage log guests/g-17 -f")]
    Log(LogArgs),
    /// Show one transaction in full
    Show(ShowArgs),
    /// Compare two moments
    #[command(after_help = "Examples:\n  afterimage diff HEAD~1..HEAD\n  \
                            afterimage diff point:before-import..HEAD invoices --stat")]
    Diff(DiffArgs),
    /// Show which transaction made each field of a record what it is
    Blame(BlameArgs),
    /// Find the changes that took a field from one value to another
    #[command(
        after_help = "A value that is not JSON is a string: `--to paid` is `--to '\"paid\"'`. \
                            Without --field, the values are those of whole records.\n\n\
                            Examples:\n  \
                            afterimage search invoices --field status --from paid --to deleted\n  \
                            afterimage search invoices/17 --field guest.name --to absent\n  \
                            afterimage search stock --field beds --to 0 --since '1 day ago' -n 1"
    )]
    Search(SearchArgs),
    /// Find the transaction that broke something
    #[command(after_help = "CMD runs with AFTERIMAGE_STORE and AFTERIMAGE_AS_OF set, so that \
                            `afterimage get`, `scan`, `export`, `collections` and `blame` in it \
                            read that moment. It ends with 0 if the moment is good, 125 if that \
                            can't be told, 1 to 127 if it is bad; anything else ends the \
                            search.\n\n\
                            Examples:\n  \
                            afterimage bisect --good point:opening --bad HEAD -- ./check.sh\n  \
                            afterimage bisect --good 1 --bad HEAD --record stock/beds \
                            --expr '. >= 0'")]
    Bisect(BisectArgs),
    /// Name moments
    #[command(subcommand)]
    Point(PointCommand),
    /// Take transactions back, and keep what others wrote since
    #[command(
        after_help = "An undo is one new transaction, which can itself be undone. A record that \
                            was changed and changed back is no conflict.\n\n\
                            Examples:\n  afterimage undo 829 --dry-run\n  \
                            afterimage undo 829 --mode nonconflicting\n  \
                            afterimage undo '2 hours ago..HEAD' --where-actor night-batch"
    )]
    Undo(UndoArgs),
    /// Bring records back to what they were; or make a new store of an earlier moment
    #[command(
        after_help = "In place, a restore is one new transaction: nothing is cut off, and it can \
                            be undone. With --into this store is only read.\n\n\
                            Examples:\n  afterimage restore --to 829^ --dry-run\n  \
                            afterimage restore --to '1 hour ago' --collection invoices\n  \
                            afterimage restore --to 829^ --into /backup/before-the-outage"
    )]
    Restore(RestoreArgs),
    /// Read change events, or records from JSON or CSV
    #[command(after_help = "Each transaction is written as soon as it is complete. Unless told \
                            otherwise by --durability, writing waits for one sync at the end.\n\n\
                            Examples:\n  \
                            gunzip -c events.ndjson.gz | afterimage import - --keep-times\n  \
                            afterimage import state.ndjson --mode replace --dry-run\n  \
                            afterimage import rooms.csv --format csv --types auto --into rooms \
                            --key number\n  \
                            afterimage import guests.json --format json --into guests \
                            --mode merge\n\n\
                            Step by step:\n  \
                            afterimage import FILE --analyze\n  \
                            afterimage import FILE --dry-run\n  \
                            afterimage import FILE\n  \
                            afterimage import FILE --verify --check")]
    Import(ImportArgs),
    /// Write records, or all history
    #[command(after_help = "Examples:\n  \
                            afterimage export --history -o all.ndjson\n  \
                            afterimage export --as-of '2 hours ago' -o then.ndjson\n  \
                            afterimage export --format json --collection guests\n  \
                            afterimage export --format csv --collection rooms -o rooms.csv")]
    Export(ExportArgs),
    /// Show what the store is and holds
    Status(CareArgs),
    /// Check the store
    Verify(VerifyArgs),
    /// Make a damaged store anew from everything in it that is sound
    #[command(after_help = "The damaged store is kept beside it, as NAME.damaged-1. Transactions \
                            that are lost keep their numbers; what they made of records that were \
                            changed again later is put back.\n\n\
                            Example:\n  afterimage repair --dry-run")]
    Repair(RepairArgs),
    /// Give up the oldest history, and the bytes that it takes
    #[command(
        after_help = "Whole segments go, as far as no restore point names a moment in them. Every \
                      record stays, and every moment that is kept reads as before. Nobody else may \
                      have the store open for writing.\n\n\
                      Examples:\n  afterimage compact --keep-history 90d --dry-run\n  \
                      afterimage compact --keep-from point:audit-2026"
    )]
    Compact(CompactArgs),
    /// Find out why the store can't be used well; changes nothing
    #[command(after_help = "Exits 0 if nothing is a problem, 10 if there is no store, 13 if the \
                            journal is damaged, 14 if a later release wrote it, else 1.\n\n\
                            A bundle never holds keys, values, actors or messages. Look at it \
                            before you send it; it is text.\n\n\
                            Examples:\n  afterimage doctor\n  \
                            afterimage doctor --bundle support.json")]
    Doctor(DoctorArgs),
    /// Show numbers for each collection and segment
    Stats(CareArgs),
    /// Write a checkpoint, so that opening need not replay
    Checkpoint(CheckpointArgs),
    /// Look around in a store, command by command; changes nothing
    #[command(after_help = "At a terminal there are a history and completion by the tab key. \
                            Without one, commands are read from standard input, line by line, and \
                            the exit code is 1 if any of them failed. `help` lists them.\n\n\
                            Examples:\n  afterimage -s hotel.store shell\n  \
                            printf 'at HEAD~10\\nget guests/g-17\\n' | afterimage shell")]
    Shell(ShellArgs),
    /// See it work: a hotel, an accident, and the way back
    Demo(DemoArgs),
    /// Measure it on this machine: writing, reading, opening
    #[command(
        after_help = "The stores it measures are temporary: a directory `afterimage-bench-…` \
                            in DIR, removed at the end and after errors; one left by a run that \
                            was interrupted may be deleted. Percentiles are those of one \
                            operation.\n\n\
                            Examples:\n  afterimage bench --dir /var/lib/hotel\n  \
                            afterimage bench --records 1000000 --value-bytes 1000 --json"
    )]
    Bench(BenchArgs),
    /// Explain an error code
    Explain(ExplainArgs),
    /// Print completions for a shell
    Completions(CompletionsArgs),
    /// Write manual pages into a directory
    Man(ManArgs),
    /// Print the version, and the formats it reads
    Version,
}
