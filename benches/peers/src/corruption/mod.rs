//! What engines make of damaged files: one damage a trial, on copies of a small database.

mod args;
mod damage;
mod image;
mod make;
mod results;
mod supervise;
mod table;
mod trial;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::engine::{self, Engine, Opening, Outcome};
use crate::engines::{afterimage, fjall, raft_engine, redb, rocksdb, sled, sqlite};
use crate::rows::Row;
use args::Args;
use image::Image;
use results::{Findings, Results};

/// The first argument that asks for this comparison.
pub(crate) const COMMAND: &str = "corruption";
/// The hidden argument that makes this program a child of it.
pub(crate) const CHILD: &str = "--corruption-child";

/// Durable commits of each database.
const COMMITS: u64 = 40;
/// Bytes of each value; with its key a record has 204.
const VALUE_BYTES: usize = 188;

/// An engine, and how it treats what it finds when it is opened.
struct Subject {
    engine: Engine,
    recovery: &'static str,
    /// The version of the package of this name, and of what it wraps.
    version: fn(&str) -> String,
}

fn plain(package: &str) -> String {
    engine::version(package).to_owned()
}

fn with_rocksdb(package: &str) -> String {
    format!("{} (librocksdb-sys {})", plain(package), plain("librocksdb-sys"))
}

fn with_sqlite(package: &str) -> String {
    format!("{} (SQLite {})", plain(package), rusqlite::version())
}

/// All that are compared. LMDB is not: it has no checksums, and maps more than a trial may.
static SUBJECTS: [Subject; 7] = [
    Subject { engine: afterimage::ENGINE, recovery: "default `Options`", version: plain },
    Subject {
        engine: rocksdb::ENGINE,
        recovery: "kPointInTimeRecovery (default)",
        version: with_rocksdb,
    },
    Subject {
        engine: raft_engine::ENGINE,
        recovery: "TolerateTailCorruption (default)",
        version: plain,
    },
    Subject {
        engine: sqlite::ENGINE,
        recovery: "no setting; `PRAGMA integrity_check`",
        version: with_sqlite,
    },
    Subject { engine: sled::ENGINE, recovery: "no setting", version: plain },
    Subject { engine: fjall::ENGINE, recovery: "default", version: plain },
    Subject { engine: redb::ENGINE, recovery: "default; `check_integrity`", version: plain },
];

/// When the files were copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Moment {
    /// After the last acknowledgement, the process still running: what a crash leaves.
    Crash,
    /// After the database was closed.
    Closed,
}

const MOMENTS: [Moment; 2] = [Moment::Crash, Moment::Closed];

impl Moment {
    fn directory(self) -> &'static str {
        match self {
            Self::Crash => "crash",
            Self::Closed => "closed",
        }
    }
}

/// What a child is told.
#[derive(Debug, Serialize, Deserialize)]
enum Order {
    /// Make both images of a database in this directory.
    Make { engine: String, directory: PathBuf },
    /// Try some of the damages.
    Try(Batch),
}

/// Damages from one number up to another, of all that are planned for an image.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Batch {
    engine: String,
    image: PathBuf,
    work: PathBuf,
    flips: usize,
    from: usize,
    to: usize,
}

/// Compares as the arguments say, and prints the tables.
pub(crate) fn run(given: impl Iterator<Item = String>) -> Outcome<()> {
    let Some(args) = args::parse(given)? else { return Ok(()) };
    std::fs::create_dir_all(&args.directory)?;
    let mut results = Results::new(&args)?;
    for subject in &args.subjects {
        if let Err(error) = compare(&args, subject, &mut results) {
            eprintln!("{}: FAILED: {error}", subject.engine.id);
            results.failures.push(format!("{}: {error}", subject.engine.id));
        }
        if let Some(path) = &args.json {
            std::fs::write(path, serde_json::to_string_pretty(&results)?)?;
        }
    }
    println!("{}", table::markdown(&results));
    Ok(())
}

/// Makes the images of an engine and tries every damage on both.
fn compare(args: &Args, subject: &Subject, results: &mut Results) -> Outcome<()> {
    let engine = subject.engine.id.to_owned();
    let directory = tempfile::tempdir_in(&args.directory)?;
    let make = Order::Make { engine: engine.clone(), directory: directory.path().to_owned() };
    supervise::obey(&make)?;
    for moment in MOMENTS {
        let start = std::time::Instant::now();
        let path = directory.path().join(moment.directory());
        let image = Image::read(&path)?;
        let damages = damage::plan(&image, args.flips);
        let batch = Batch {
            engine: engine.clone(),
            image: path,
            work: directory.path().join("work"),
            flips: args.flips,
            from: 0,
            to: damages.len(),
        };
        let verdicts = supervise::verdicts(&batch)?;
        let findings = Findings::new(subject, moment, &image, &damages, &verdicts);
        let seconds = start.elapsed().as_secs_f64();
        eprintln!("{engine:<12} {:<7} {seconds:6.1} s  {}", moment.directory(), findings.all);
        results.findings.push(findings);
    }
    Ok(directory.close()?)
}

/// What a child does.
pub(crate) fn be_child(order: &str) -> Outcome<()> {
    match serde_json::from_str(order)? {
        Order::Make { engine, directory } => make::images(find(&engine)?, &directory),
        Order::Try(batch) => trial::run(find(&batch.engine)?, &batch),
    }
}

fn find(id: &str) -> Outcome<&'static Subject> {
    let known = SUBJECTS.iter().find(|subject| subject.engine.id == id);
    known.ok_or_else(|| format!("`{id}` is not among the engines of this comparison").into())
}

/// The records of each database.
fn rows() -> Vec<Row> {
    (0..COMMITS).map(|number| Row::new(number, 0, VALUE_BYTES)).collect()
}

/// Durable, without history, as an application opens what is there or not there yet.
fn opening(path: &std::path::Path, exists: bool) -> Opening<'_> {
    Opening { path, durable: true, history: false, exists }
}
