//! The check of a store that opens: seals, transactions, index.

use super::ledger::Ledger;
use super::{Finding, VerifyDepth, VerifyReport};
use crate::error::{Error, Result, code};
use crate::format::cursor::Malformed;
use crate::format::frame::{Frame, FrameKind};
use crate::format::seal::Seal;
use crate::format::segment::{Content, SEGMENT_HEADER_BYTES};
use crate::journal::beacon::Beacon;
use crate::journal::scan::continues;
use crate::journal::segment::{Segment, Tail, offset_u32};
use crate::lsn::Lsn;
use crate::state::State;
use crate::store::replay::Fold;
use crate::store::{Progress, Store};
use crate::sys::watch::{Vanished, watch};

/// A check under way.
pub(super) struct Checking<'a> {
    pub(super) store: &'a Store,
    pub(super) ledger: Ledger,
    pub(super) report: VerifyReport,
    pub(super) progress: &'a mut dyn FnMut(Progress),
}

impl Checking<'_> {
    pub(super) fn run(mut self, depth: VerifyDepth) -> Result<VerifyReport> {
        let store = self.store;
        let report = &mut self.report;
        report.first_lsn = store.first();
        report.head_lsn = store.head();
        report.state_digest = store.snapshot().digest()?;
        for notice in store.notices() {
            report.warnings.push(Finding::notice(&notice.to_string()));
        }
        let mould = &store.engine.journal.mould;
        if let Err(error) = Beacon::read(&*mould.disk, &mould.root, &mould.identity) {
            report.wrong(&error);
        }
        self.check_seals(depth)?;
        if depth == VerifyDepth::Deep {
            self.check_transactions();
        } else {
            let report = &mut self.report;
            report.transactions = (report.head_lsn.get() + 1) - report.first_lsn.get();
        }
        Ok(self.report)
    }

    /// The hash of each sealed segment, and its link to the one before.
    fn check_seals(&mut self, depth: VerifyDepth) -> Result<()> {
        let journal = &self.store.engine.journal;
        let total = journal.segments().map(|segment| segment.map.published() as u64).sum();
        let mut done = 0;
        let mut chain = [0; 32];
        // The newest first: segments are sealed in their order, also while this looks, so what
        // stands before a seal that was seen has one by then.
        let mut segments: Vec<_> = journal.segments().rev().map(|it| (it, it.seal())).collect();
        segments.reverse();
        for (segment, seal) in segments {
            (self.progress)(Progress { phase: "seals", done, total, unit: "bytes" });
            done += segment.map.published() as u64;
            let Some(seal) = seal else {
                self.report.changes += unsealed_changes(segment, &mut self.report);
                continue;
            };
            self.report.changes += seal.changes;
            let is_known = self.ledger.covers(segment, seal, VerifyDepth::Quick);
            self.report.skipped_segments +=
                u64::from(is_known && (depth == VerifyDepth::Quick || self.skips(segment)));
            let hash_differs = !is_known && hash_of(segment, seal)? != seal.segment_hash;
            let is_base = segment.header.content == Content::Base;
            if hash_differs || !is_base && seal.previous_chain != chain {
                let what = if hash_differs { "hash" } else { "link to the segment before" };
                let message = format!("the segment's {what} is wrong");
                let error = Error::new(&code::SEAL_MISMATCH, message);
                self.report.wrong(&error.at_path(segment.file.path()));
                self.ledger.strike(segment);
            } else if !is_known {
                self.ledger.enter(segment, seal, VerifyDepth::Quick);
                self.save();
            }
            // A base stands for all up to the segment of its number.
            chain = if is_base { seal.previous_chain } else { seal.chain() };
        }
        Ok(())
    }

    /// Whether a segment's transactions were found sound by an earlier check.
    fn skips(&self, segment: &Segment) -> bool {
        segment.seal().is_some_and(|seal| self.ledger.covers(segment, seal, VerifyDepth::Deep))
    }

    /// Keeps what was checked so far. A failure is told once; it costs nothing but time.
    fn save(&mut self) {
        if let Err(error) = self.ledger.save(&self.store.engine.journal) {
            self.report.warnings.push(Finding::new(&error));
            self.ledger = Ledger::default();
        }
    }

    /// Every transaction from the first, folded anew.
    fn check_transactions(&mut self) {
        let journal = &self.store.engine.journal;
        let mut fold = Fold::new(journal);
        let mut tail = Tail::EMPTY;
        (self.report.transactions, self.report.changes) = (0, 0);
        if let Some(base) = journal.base() {
            if let Err(error) = fold.take_base(base) {
                return self.report.wrong(&error);
            }
            match journal.tail_at(journal.first().previous()) {
                Ok(folded) => tail = folded,
                Err(error) => return self.report.wrong(&error),
            }
        }
        let is_base = |segment: &&Segment| segment.header.content == Content::Base;
        for segment in journal.segments().filter(|segment| !is_base(segment)) {
            let before = self.report.errors.len();
            let is_sound = self.skips(segment);
            if let Err(error) = self.check_segment(segment, is_sound, &mut tail, &mut fold) {
                self.ledger.strike(segment);
                return self.report.wrong(&error.at_lsn(tail.lsn.next()));
            }
            if self.report.errors.len() > before {
                self.ledger.strike(segment);
            } else if let (Some(seal), false) = (segment.seal(), is_sound) {
                self.ledger.enter(segment, seal, VerifyDepth::Deep);
                self.save();
            }
        }
        check_index(self.store, &fold.state, self.report.head_lsn, &mut self.report);
    }

    fn check_segment<'s>(
        &mut self,
        segment: &'s Segment,
        is_sound: bool,
        tail: &mut Tail,
        fold: &mut Fold<'s>,
    ) -> Result<()> {
        let head = self.report.head_lsn;
        let mut offset = offset_u32(SEGMENT_HEADER_BYTES);
        while let Some(frame) = segment.frame(offset)? {
            if frame.header.lsn > head {
                break;
            }
            if frame.header.lsn.get().is_multiple_of(1024) {
                let (done, total) = (frame.header.lsn.get(), head.get());
                let (phase, unit) = ("transactions", "transactions");
                (self.progress)(Progress { phase, done, total, unit });
            }
            if is_sound {
                pass_frame(&frame, fold, &mut self.report);
            } else {
                check_frame(segment, &frame, tail, fold, &mut self.report);
            }
            if frame.header.kind == FrameKind::Seal {
                break;
            }
            *tail = Tail::after(&frame);
            offset = frame.end().offset();
        }
        Ok(())
    }
}

/// The hash of a sealed segment's content as the disk has it: read through the file.
fn hash_of(segment: &Segment, seal: &Seal) -> Result<[u8; 32]> {
    let content = content_end(segment, seal.table.len());
    let bytes = crate::sys::read_range(&*segment.file, 0, content)?;
    Ok(*blake3::hash(&bytes).as_bytes())
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
    let seal = Seal::frame_bytes(entries);
    segment.map.published().saturating_sub(seal)
}

/// Takes in a transaction that was found sound before: those behind it are checked against it.
fn pass_frame(frame: &Frame<'_>, fold: &mut Fold<'_>, report: &mut VerifyReport) {
    if frame.header.kind != FrameKind::Seal {
        report.transactions += 1;
        report.changes += u64::from(frame.header.changes);
        if let Err(error) = fold.pass(frame) {
            report.wrong(&error);
        }
    }
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
