//! What the command line accepts.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};

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
    #[arg(long, value_name = "REV")]
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
    /// Name moments
    #[command(subcommand)]
    Point(PointCommand),
    /// Make a new store that is this one at an earlier moment
    #[command(after_help = "Example:\n  \
                            afterimage restore --to 829^ --into /backup/before-the-outage")]
    Restore(RestoreArgs),
    /// Read change events, one JSON object a line
    #[command(after_help = "Each transaction is written as soon as it is complete. Unless told \
                            otherwise by --durability, writing waits for one sync at the end.\n\n\
                            Example:\n  \
                            gunzip -c events.ndjson.gz | afterimage import - --keep-times")]
    Import(ImportArgs),
    /// Write records, or all history, as change events
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
    /// Only the newest N
    #[arg(short, value_name = "N")]
    pub n: Option<usize>,
    /// Oldest first
    #[arg(long)]
    pub reverse: bool,
    /// The store's own collections too
    #[arg(long)]
    pub system: bool,
    /// Go on with what is committed from now on, oldest first
    #[arg(short, long, conflicts_with = "until")]
    pub follow: bool,
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

#[derive(Debug, ClapArgs)]
pub(crate) struct CareArgs {
    /// Of a damaged store, serve what is sound
    #[arg(long)]
    pub salvage: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct VerifyArgs {
    /// Check every transaction from the first
    #[arg(long)]
    pub deep: bool,
    /// Leave out sealed segments that an earlier `--incremental` found sound, and keep in the
    /// store's file VERIFIED what was checked; an interrupted check is gone on with
    #[arg(long)]
    pub incremental: bool,
    /// With `--incremental`, check again what was checked so many days ago or longer
    #[arg(long, value_name = "DAYS", default_value_t = 30, requires = "incremental")]
    pub max_age: u32,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct RepairArgs {
    #[command(flatten)]
    pub signed: Signed,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct DoctorArgs {
    /// Write what helps others to help into this new file, as one JSON document
    #[arg(long, value_name = "FILE")]
    pub bundle: Option<PathBuf>,
    /// With the names of collections and restore points, and the store's path
    #[arg(long, requires = "bundle")]
    pub names: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct CheckpointArgs {
    #[command(flatten)]
    pub signed: Signed,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct DemoArgs {
    /// Where to build the demo's stores; default: a temporary directory, removed at the end
    pub directory: Option<PathBuf>,
    /// Take these change events instead of the hotel's
    #[arg(long, value_name = "FILE")]
    pub from: Option<PathBuf>,
    /// The seed of the hotel's history
    #[arg(long, default_value_t = 7)]
    pub seed: u64,
    /// How many changes the hotel makes
    #[arg(long, default_value_t = 20_000)]
    pub changes: u64,
    /// The child process that the demo kills
    #[arg(long, hide = true)]
    pub write_until_killed: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct BenchArgs {
    /// The directory whose disk is measured; default: the current one
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// How many records the store holds
    #[arg(
        long,
        value_name = "N",
        default_value_t = 100_000,
        value_parser = clap::value_parser!(u64).range(1..=100_000_000)
    )]
    pub records: u64,
    /// Bytes of a value
    #[arg(
        long,
        value_name = "N",
        default_value_t = 100,
        value_parser = clap::value_parser!(u32).range(1..=1_048_576)
    )]
    pub value_bytes: u32,
    /// How many threads commit at once, in the workload that has several
    #[arg(
        long,
        value_name = "N",
        default_value_t = 8,
        value_parser = clap::value_parser!(u16).range(1..=256)
    )]
    pub threads: u16,
    /// How long each workload runs, in seconds
    #[arg(long, value_name = "S", default_value = "1", value_parser = seconds)]
    pub seconds: Duration,
}

/// A number of seconds, which need not be whole.
fn seconds(text: &str) -> Result<Duration, String> {
    let number: f64 = text.parse().map_err(|_| "it is no number".to_owned())?;
    if (0.001..=3600.0).contains(&number) {
        Ok(Duration::from_secs_f64(number))
    } else {
        Err("it is not between 0.001 and 3600".to_owned())
    }
}

#[derive(Debug, ClapArgs)]
pub(crate) struct ExplainArgs {
    /// The code, AF0015; without one, all are listed
    pub code: Option<String>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct CompletionsArgs {
    /// The shell
    pub shell: clap_complete::Shell,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct ManArgs {
    /// The directory; created if need be
    pub directory: PathBuf,
}
