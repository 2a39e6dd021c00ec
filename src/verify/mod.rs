//! Checking a store: what opening checks anyway, on demand everything there is, and what stands
//! around it.

mod check;
mod doctor;
mod ledger;
pub(crate) mod repair;
mod sound;

use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use crate::error::{Error, ErrorKind, Result, code};
use crate::format::digest::StateDigest;
use crate::lsn::Lsn;
use crate::store::{Options, Progress, Store};
use check::Checking;
pub use doctor::{Check, Checkup, Outcome, SupportBundle, doctor, support_bundle};
use ledger::Ledger;
pub use repair::{LostTransactions, RecordName, RepairReport, repair};
pub use sound::Hole;

/// How much is checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum VerifyDepth {
    /// Headers, seals and their chain, the hash of each sealed segment, CONTROL, checkpoints, and
    /// what opening replays.
    #[default]
    Quick,
    /// All of it, and every transaction from the first: checksum, number, time, link to the one
    /// before, image chain, state digest; and the index against the state folded anew.
    Deep,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The error code.
    pub code: &'static str,
    /// The transaction concerned, if known.
    pub lsn: Option<Lsn>,
    /// Where: file and offset, as far as known.
    pub position: Option<String>,
    /// What is wrong.
    pub message: String,
}

/// What was checked and found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct VerifyReport {
    /// Whether nothing is wrong.
    pub valid: bool,
    /// What is wrong with the journal.
    pub errors: Vec<Finding>,
    /// What a person should know and costs no data: a damaged checkpoint, a cut tail.
    pub warnings: Vec<Finding>,
    /// Transactions checked.
    pub transactions: u64,
    /// Changes in them, those of the store's own collections included.
    pub changes: u64,
    /// The oldest transaction kept.
    pub first_lsn: Lsn,
    /// The newest transaction that is sound.
    pub head_lsn: Lsn,
    /// The digest of the state there.
    pub state_digest: StateDigest,
    /// Whether every transaction was checked, but for those in segments that were skipped.
    pub deep: bool,
    /// How many sealed segments were not looked into, as an earlier check had found them sound.
    pub skipped_segments: u64,
}

/// At most this many findings are listed; what is wrong in a thousand places is wrong.
const FINDINGS_MAX: usize = 100;

/// Checks the store in this directory, damaged or not; changes nothing.
///
/// # Errors
/// What prevents looking at all: `NotFound`, `Denied`, `Format`, `Io`. Damage is in the report.
pub fn verify(
    path: impl AsRef<Path>,
    depth: VerifyDepth,
    progress: &mut dyn FnMut(Progress),
) -> Result<VerifyReport> {
    look(path.as_ref(), depth, None, progress)
}

/// As [`verify`], but leaves out sealed segments that an earlier call has found sound, if that was
/// not longer ago than `max_age`. What was checked when stands in the file VERIFIED in the store,
/// written after each segment: a call that is interrupted is gone on with by the next. It is the
/// one file that is written, and may be removed at any time.
///
/// Skipping rests on sealed segments never being written again; what rots in them since the last
/// look is found when that is too long ago, or by [`verify`].
///
/// ```
/// use std::time::Duration;
/// use afterimage::{Store, VerifyDepth, verify_incremental};
///
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("hotel.store");
/// Store::open(&path)?.close()?;
/// let month = Duration::from_secs(30 * 86_400);
/// let report = verify_incremental(&path, VerifyDepth::Deep, month, &mut |_| {})?;
/// assert!(report.valid);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// As [`verify`]. That VERIFIED can't be written is a warning in the report.
pub fn verify_incremental(
    path: impl AsRef<Path>,
    depth: VerifyDepth,
    max_age: Duration,
    progress: &mut dyn FnMut(Progress),
) -> Result<VerifyReport> {
    look(path.as_ref(), depth, Some(max_age), progress)
}

fn look(
    path: &Path,
    depth: VerifyDepth,
    max_age: Option<Duration>,
    progress: &mut dyn FnMut(Progress),
) -> Result<VerifyReport> {
    match Options::default().read_only(true).open(path) {
        Ok(store) => {
            let ledger = match max_age {
                Some(max_age) => Ledger::open(&store.engine.journal, max_age)?,
                None => Ledger::default(),
            };
            Checking { store: &store, ledger, report: VerifyReport::empty(depth), progress }
                .run(depth)
        }
        Err(error) if error.kind() == ErrorKind::Corrupt => damaged(path, depth, &error, progress),
        Err(error) => Err(error),
    }
}

/// The report on a store that does not open: what stands before the damage is still checked.
fn damaged(
    path: &Path,
    depth: VerifyDepth,
    error: &Error,
    progress: &mut dyn FnMut(Progress),
) -> Result<VerifyReport> {
    let mut report = match Options::default().read_only(true).salvage(true).open(path) {
        Ok(store) => store.verify(depth, progress)?,
        Err(_) => VerifyReport::empty(depth),
    };
    report.valid = false;
    report.errors.insert(0, Finding::new(error));
    Ok(report)
}

impl VerifyReport {
    fn empty(depth: VerifyDepth) -> Self {
        Self {
            valid: true,
            errors: Vec::new(),
            warnings: Vec::new(),
            transactions: 0,
            changes: 0,
            first_lsn: Lsn::new(1),
            head_lsn: Lsn::ZERO,
            state_digest: StateDigest::default(),
            deep: depth == VerifyDepth::Deep,
            skipped_segments: 0,
        }
    }

    fn wrong(&mut self, error: &Error) {
        self.valid = false;
        if self.errors.len() < FINDINGS_MAX {
            self.errors.push(Finding::new(error));
        }
    }
}

impl Finding {
    fn new(error: &Error) -> Self {
        let place = error.place();
        let position = place.path.as_ref().map(|path| match place.offset {
            Some(offset) => format!("{}:{offset}", path.display()),
            None => path.display().to_string(),
        });
        Self {
            code: error.code().id,
            lsn: place.lsn,
            position,
            message: error.message().to_owned(),
        }
    }

    fn notice(message: &str) -> Self {
        let known = message.strip_prefix('[').and_then(|rest| rest.split_once(']'));
        let code = known.and_then(|(id, _)| code::find(id)).map_or("", |code| code.id);
        Self { code, lsn: None, position: None, message: message.to_owned() }
    }
}

impl Store {
    /// Checks what this handle sees; changes nothing.
    ///
    /// # Errors
    /// `Io` and the like; damage is in the report.
    pub fn verify(
        &self,
        depth: VerifyDepth,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<VerifyReport> {
        let (ledger, report) = (Ledger::default(), VerifyReport::empty(depth));
        Checking { store: self, ledger, report, progress }.run(depth)
    }
}
