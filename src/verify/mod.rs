//! Checking a store: what opening checks anyway, on demand everything there is, and what stands
//! around it.

mod doctor;
mod repair;
mod sound;

use std::path::Path;

use serde::Serialize;

use crate::error::{Error, ErrorKind, Result, code};
use crate::format::cursor::Malformed;
use crate::format::digest::StateDigest;
use crate::format::frame::{Frame, FrameKind};
use crate::format::segment::SEGMENT_HEADER_BYTES;
use crate::journal::beacon::Beacon;
use crate::journal::scan::continues;
use crate::journal::segment::{Segment, Tail, offset_u32};
use crate::lsn::Lsn;
use crate::state::State;
use crate::store::replay::Fold;
use crate::store::{Options, Progress, Store};
use crate::sys::watch::{Vanished, watch};
pub use doctor::{Check, Checkup, Outcome, SupportBundle, doctor, support_bundle};
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
    /// Whether every transaction was checked.
    pub deep: bool,
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
    let path = path.as_ref();
    match Options::default().read_only(true).open(path) {
        Ok(store) => store.verify(depth, progress),
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
        let engine = &*self.engine;
        let mut report = VerifyReport::empty(depth);
        report.first_lsn = self.first();
        report.head_lsn = self.head();
        report.state_digest = self.snapshot().digest()?;
        for notice in self.notices() {
            report.warnings.push(Finding::notice(&notice.to_string()));
        }
        let mould = &engine.journal.mould;
        if let Err(error) = Beacon::read(&*mould.disk, &mould.root, &mould.identity) {
            report.wrong(&error);
        }
        check_seals(self, &mut report, progress)?;
        if depth == VerifyDepth::Deep {
            check_transactions(self, &mut report, progress);
        } else {
            report.transactions = (report.head_lsn.get() + 1) - report.first_lsn.get();
        }
        Ok(report)
    }
}

/// The hash of each sealed segment, and its link to the one before.
fn check_seals(
    store: &Store,
    report: &mut VerifyReport,
    progress: &mut dyn FnMut(Progress),
) -> Result<()> {
    let journal = &store.engine.journal;
    let total = journal.segments().map(|segment| segment.map.published() as u64).sum();
    let mut done = 0;
    let mut chain = [0; 32];
    // The newest first: segments are sealed in their order, also while this looks, so what stands
    // before a seal that was seen has one by then.
    let mut segments: Vec<_> = journal.segments().rev().map(|it| (it, it.seal())).collect();
    segments.reverse();
    for (segment, seal) in segments {
        progress(Progress { phase: "seals", done, total, unit: "bytes" });
        done += segment.map.published() as u64;
        let Some(seal) = seal else {
            report.changes += unsealed_changes(segment, report);
            continue;
        };
        report.changes += seal.changes;
        let content = content_end(segment, seal.table.len());
        // Read through the file: what is checked is what the disk has.
        let bytes = crate::sys::read_range(&*segment.file, 0, content)?;
        let hash_differs = *blake3::hash(&bytes).as_bytes() != seal.segment_hash;
        if hash_differs || seal.previous_chain != chain {
            let what = if hash_differs { "hash" } else { "link to the segment before" };
            report.wrong(
                &Error::new(&code::SEAL_MISMATCH, format!("the segment's {what} is wrong"))
                    .at_path(segment.file.path()),
            );
        }
        chain = seal.chain();
    }
    Ok(())
}

/// How many changes stand in a segment that has no seal to say so.
fn unsealed_changes(segment: &Segment, report: &mut VerifyReport) -> u64 {
    let mut changes = 0;
    let mut offset = offset_u32(SEGMENT_HEADER_BYTES);
    loop {
        match segment.frame(offset) {
            Ok(Some(frame)) if frame.header.kind != FrameKind::Seal => {
                changes += u64::from(frame.header.changes);
                offset = frame.end().offset();
            }
            Ok(_) => return changes,
            Err(error) => {
                report.wrong(&error);
                return changes;
            }
        }
    }
}

/// Where the seal of a sealed segment begins.
fn content_end(segment: &Segment, entries: usize) -> usize {
    let seal = crate::format::seal::Seal::frame_bytes(entries);
    segment.map.published().saturating_sub(seal)
}

/// Every transaction from the first, folded anew.
fn check_transactions(
    store: &Store,
    report: &mut VerifyReport,
    progress: &mut dyn FnMut(Progress),
) {
    let journal = &store.engine.journal;
    let head = store.head();
    let mut fold = Fold::new(journal);
    let mut tail = Tail::EMPTY;
    (report.transactions, report.changes) = (0, 0);
    for segment in journal.segments() {
        let mut offset = offset_u32(SEGMENT_HEADER_BYTES);
        loop {
            let frame = match segment.frame(offset) {
                Ok(Some(frame)) if frame.header.lsn <= head => frame,
                Ok(_) => break,
                Err(error) => {
                    report.wrong(&error.at_lsn(tail.lsn.next()));
                    return;
                }
            };
            if frame.header.lsn.get().is_multiple_of(1024) {
                let (done, total) = (frame.header.lsn.get(), head.get());
                progress(Progress { phase: "transactions", done, total, unit: "transactions" });
            }
            check_frame(segment, &frame, &tail, &mut fold, report);
            if frame.header.kind == FrameKind::Seal {
                break;
            }
            tail = Tail::after(&frame);
            offset = frame.end().offset();
        }
    }
    check_index(store, &fold.state, head, report);
}

fn check_frame<'a>(
    segment: &'a Segment,
    frame: &Frame<'a>,
    tail: &Tail,
    fold: &mut Fold<'a>,
    report: &mut VerifyReport,
) {
    let place = |malformed: Malformed| {
        segment.damaged(frame.position.offset(), malformed).at_lsn(frame.header.lsn)
    };
    // The bits in memory are not asked: the checksum is computed again.
    let bytes = segment.map.load(frame.position.offset() as usize, frame.header.bytes());
    let again = watch(segment.map.span(), || {
        Frame::verified(bytes.unwrap_or_default(), segment.seed(), frame.position)
            .and_then(|frame| continues(&frame, tail))
    });
    match again {
        Ok(Ok(())) => {}
        Ok(Err(malformed)) => report.wrong(&place(malformed)),
        Err(Vanished) => {
            return report
                .wrong(&segment.vanished(frame.position.offset()).at_lsn(frame.header.lsn));
        }
    }
    if frame.header.kind == FrameKind::Seal {
        return;
    }
    report.transactions += 1;
    report.changes += u64::from(frame.header.changes);
    if let Err(malformed) = frame.metadata() {
        report.wrong(&place(malformed));
    }
    for error in fold.check_and_apply(frame) {
        report.wrong(&error);
    }
}

fn check_index(store: &Store, folded: &State, head: Lsn, report: &mut VerifyReport) {
    let state = store.engine.state();
    if state.lsn != head || folded.lsn != head {
        return;
    }
    match state.is_equal(folded) {
        Ok(true) => {}
        Err(error) => report.wrong(&error),
        Ok(false) => report.wrong(&Error::new(
            &code::CHECKPOINT_DAMAGED,
            "the index differs from the journal; remove the checkpoints to have it rebuilt",
        )),
    }
}
