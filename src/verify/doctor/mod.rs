//! Why a store can't be used well. Looks at it and around it, changes nothing and takes no lock.
//!
//! Each check is a function with one job; [`CHECKS`] is the table of them. None ends the others:
//! what can't be looked at is said to be skipped, and why.

mod bundle;
mod checkpoints;
mod clock;
mod inventory;
mod leftovers;
mod limits;
mod lock;
mod opening;
mod permissions;
mod place;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::error::{Error, Result, code};
use crate::format::names;
use crate::format::store_header::StoreHeader;
use crate::store::{Options, Store, read_identity};
use crate::sys::facts::Usage;
use crate::sys::{Disk, Entry};
pub use bundle::{SupportBundle, support_bundle};
use inventory::Inventory;

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// As it should be.
    Ok,
    /// The store can be used; a person should know.
    Warning,
    /// The store can't be used, or not safely.
    Problem,
    /// Not looked at; the reason is in [`Check::found`].
    Skipped,
}

/// What one check has found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// The check's name, which stays.
    pub name: &'static str,
    /// How it came out.
    pub outcome: Outcome,
    /// What was found.
    pub found: String,
    /// What to do about it; nothing where there is nothing to do.
    pub help: Option<String>,
    /// What was found, told without what people named or wrote; if that differs.
    #[serde(skip)]
    bare: Option<String>,
}

/// What all checks have found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Checkup {
    /// Whether nothing is a problem.
    pub healthy: bool,
    /// The checks, always the same ones in the same order.
    pub checks: Vec<Check>,
    #[serde(skip)]
    exit_code: u8,
}

type Examine = fn(&Patient<'_>) -> Check;

/// Every check by its name.
const CHECKS: [(&str, Examine); 19] = [
    ("store", opening::store),
    ("notices", opening::notices),
    ("modes", permissions::modes),
    ("owners", permissions::owners),
    ("access", permissions::access),
    ("links", permissions::links),
    ("space", place::space),
    ("inodes", place::inodes),
    ("file-system", place::file_system),
    ("allocation", place::allocation),
    ("clock", clock::clock),
    ("lock", lock::lock),
    ("interrupted", leftovers::interrupted),
    ("quarantine", leftovers::quarantine),
    ("foreign-files", leftovers::foreign),
    ("backups", leftovers::backups),
    ("checkpoints", checkpoints::checkpoints),
    ("file-size-limit", limits::file_size),
    ("open-files-limit", limits::open_files),
];

/// Looks for what is wrong with the store in this directory, or keeps it from being used, and says
/// what to do about it. Changes nothing and takes no lock, so it works beside a writer, on a
/// read-only mount, on a damaged store, and where there is no store at all.
///
/// The options say how the store would be opened, and what time it is. Opening reads what stands
/// behind the newest checkpoint; [`verify()`](super::verify) checks the rest.
///
/// ```
/// use afterimage::{Outcome, Store, doctor};
///
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("hotel.store");
/// Store::open(&path)?.close()?;
/// let checkup = doctor(&path, &Store::options());
/// for check in checkup.checks.iter().filter(|check| check.outcome == Outcome::Problem) {
///     println!("{}: {} ({:?})", check.name, check.found, check.help);
/// }
/// # assert!(checkup.healthy, "{checkup:?}");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub fn doctor(path: impl AsRef<Path>, options: &Options) -> Checkup {
    examine(&Patient::admit(path.as_ref(), options))
}

fn examine(patient: &Patient<'_>) -> Checkup {
    let checks: Vec<_> =
        CHECKS.iter().map(|(name, check)| Check { name, ..check(patient) }).collect();
    let healthy = checks.iter().all(|check| check.outcome != Outcome::Problem);
    Checkup { healthy, checks, exit_code: opening::exit_code(patient, healthy) }
}

impl Checkup {
    /// The exit code of the command line: 0 if nothing is a problem, 10 if there is no store, 13 if
    /// its journal is damaged, 14 if a later release wrote it, else 1.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        self.exit_code
    }
}

impl Check {
    fn new(outcome: Outcome, found: impl Into<String>, help: Option<String>) -> Self {
        Self { name: "", outcome, found: found.into(), help, bare: None }
    }

    fn ok(found: impl Into<String>) -> Self {
        Self::new(Outcome::Ok, found, None)
    }

    fn warning(found: impl Into<String>, help: impl Into<String>) -> Self {
        Self::new(Outcome::Warning, found, Some(help.into()))
    }

    fn problem(found: impl Into<String>, help: impl Into<String>) -> Self {
        Self::new(Outcome::Problem, found, Some(help.into()))
    }

    fn skipped(why: impl Into<String>) -> Self {
        Self::new(Outcome::Skipped, why, None)
    }

    /// The same for who may not see what people named or wrote.
    fn told_as(self, bare: impl Into<String>) -> Self {
        Self { bare: Some(bare.into()), ..self }
    }
}

/// What is examined, with what several checks need to know of it.
struct Patient<'a> {
    root: PathBuf,
    disk: &'a dyn Disk,
    options: &'a Options,
    /// What stands at the path, if that can be told.
    standing: Option<Entry>,
    identity: Result<StoreHeader>,
    opened: Result<Store>,
    inventory: Inventory,
    usage: Result<Usage>,
}

impl<'a> Patient<'a> {
    fn admit(path: &Path, options: &'a Options) -> Self {
        let root = whole(path);
        let disk = &*options.disk;
        // Where not even this can be told, opening says why.
        let standing = disk.entry(&root).ok();
        Self {
            identity: read_identity(disk, &root),
            opened: reading(options).open(&root),
            inventory: Inventory::of(disk, &root),
            usage: disk.usage(&root),
            root,
            disk,
            options,
            standing,
        }
    }

    /// Whether a store, or part of one, stands there.
    fn is_store(&self) -> bool {
        self.inventory.holds(names::STORE) || self.lost_its_identity()
    }

    /// Whether the STORE file is missing and segments are there. An interrupted creation leaves
    /// none.
    fn lost_its_identity(&self) -> bool {
        !self.inventory.holds(names::STORE) && self.inventory.segments().next().is_some()
    }

    /// The check does not apply where there is no store.
    fn without_store(&self) -> Option<Check> {
        let seen = self.inventory.failed.is_empty() && self.standing.is_some();
        let why = if seen { "there is no store" } else { "the directory can't be looked at" };
        (!self.is_store()).then(|| Check::skipped(why))
    }

    /// The check does not apply where there is no directory either.
    fn place(&self) -> std::result::Result<&Usage, Check> {
        match &self.usage {
            Ok(usage) => Ok(usage),
            Err(_) if self.standing == Some(Entry::Nothing) => {
                Err(Check::skipped("the directory does not exist"))
            }
            Err(error) => Err(unlooked(error)),
        }
    }
}

/// The same options, for opening what is there without changing it.
fn reading(options: &Options) -> Options {
    options.clone().create(false).create_new(false).read_only(true).salvage(false)
}

/// The path from the root of the file system, so that it is told whole and has siblings.
fn whole(path: &Path) -> PathBuf {
    // Without a current directory the path is taken as it is.
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    absolute.components().collect()
}

/// What happened and why, on one line.
fn told(error: &Error) -> String {
    let cause = system_cause(error).map(|cause| format!(": {cause}")).unwrap_or_default();
    format!("[{}] {error}{cause}", error.code().id)
}

/// The same without its words, which may quote a key: title and place.
fn told_bare(error: &Error) -> String {
    let mut bare = Error::new(error.code(), error.code().title);
    let place = error.place();
    if let Some(path) = &place.path {
        bare = bare.at_path(path);
    }
    if let Some(offset) = place.offset {
        bare = bare.at_offset(offset);
    }
    if let Some(lsn) = place.lsn {
        bare = bare.at_lsn(lsn);
    }
    let cause = system_cause(error).map(|cause| format!(": {cause}")).unwrap_or_default();
    format!("[{}] {bare}{cause}", error.code().id)
}

/// What the operating system said, if it was asked. Other causes may quote stored bytes.
fn system_cause(error: &Error) -> Option<&std::io::Error> {
    std::error::Error::source(error)?.downcast_ref()
}

/// A problem of not being able to look.
fn unlooked(error: &Error) -> Check {
    Check::problem(told(error), error.code().help).told_as(told_bare(error))
}

/// So many are listed; the rest is counted.
const LISTED_MAX: usize = 5;

/// The first few, and how many more there are.
fn listing(all: &[String]) -> String {
    let shown = all.get(..LISTED_MAX).unwrap_or(all);
    let more = all.len() - shown.len();
    let rest = if more > 0 { format!("; and {more} more") } else { String::new() };
    shown.join("; ") + &rest
}

/// A number of bytes, for people.
fn amount(bytes: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match UNITS.iter().find(|(unit, _)| bytes >= *unit) {
        Some((unit, name)) => {
            let tenths = u128::from(bytes) * 10 / u128::from(*unit);
            format!("{}.{} {name}", tenths / 10, tenths % 10)
        }
        None => count(bytes, "byte"),
    }
}

/// A number of things: `1 file`, `2 files`.
fn count(number: u64, thing: &str) -> String {
    format!("{number} {thing}{}", if number == 1 { "" } else { "s" })
}

/// The error of a path that names no directory, which has no store in it either.
fn is_absent(error: &Error) -> bool {
    let id = error.code().id;
    id == code::NOT_A_STORE.id || id == code::NOT_A_DIRECTORY.id
}
