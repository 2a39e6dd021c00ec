//! Folding the journal into the state: on opening, and when following another process's writer.
//! What was promised when a transaction was written is checked when it is read again: number,
//! time, link and checksum by the journal; here that each change leads to the one before it, and
//! the state digest. Only `verify` also compares each before image with the image it replaced,
//! which stands anywhere in the journal.

use std::collections::VecDeque;
use std::sync::mpsc::sync_channel;

use super::background::Stretch;
use super::catalogue::{COLLECTIONS, Catalogue, CatalogueRecord};
use super::engine::{Engine, lock};
use super::past::{Source, TransactionView};
use super::projection::Projection;
use crate::error::{Error, Result, code};
use crate::format::change::Change;
use crate::format::digest::StateDigest;
use crate::format::frame::{Frame, FrameKind};
use crate::format::image::{Image, Op};
use crate::journal::Journal;
use crate::journal::reader::Frames;
use crate::journal::segment::{Segment, segment_start};
use crate::lsn::{Lsn, Position};
use crate::state::{Applied, Head, State, apply, carry_over};
use crate::sys::thread;

/// Applies the transactions after the state's LSN up to `to`; returns how much of the journal that
/// was. `digest` is that of the state. Stops at the first transaction that is not what it must be.
pub(crate) fn replay(
    journal: &Journal,
    catalogue: &Catalogue,
    state: &mut State,
    digest: StateDigest,
    to: Lsn,
) -> Result<Stretch> {
    state.apply_many(|state| {
        let mut digest = digest;
        if let Some(base) = journal.base().filter(|_| state.lsn == Lsn::ZERO) {
            digest = take_base(journal, catalogue, state, base)?;
        }
        fold(journal, catalogue, state, digest, to)
    })
}

/// Begins with the records of the base, which must be those of the moment that it stands for;
/// returns their digest.
fn take_base(
    journal: &Journal,
    catalogue: &Catalogue,
    state: &mut State,
    base: &Segment,
) -> Result<StateDigest> {
    let mut digest = StateDigest::default();
    let mut offset = segment_start(base.number()).offset();
    let mut tail = None;
    while let Some(frame) = base.frame(offset)? {
        tail = Some(frame);
        if frame.header.kind == FrameKind::Seal {
            break;
        }
        let mut carried = Vec::with_capacity(frame.header.changes as usize);
        for found in frame.changes() {
            let (position, change) = found.map_err(|wrong| journal.damaged(&frame, wrong))?;
            learn(catalogue, &frame, &change)?;
            digest = digest_after(catalogue, digest, &change)?;
            carried.push(applied_of(&change, position));
        }
        carry_over(state, frame.header.lsn, carried);
        offset = frame.end().offset();
    }
    let Some(seal) = tail else { return Ok(digest) };
    state.lsn = seal.header.lsn;
    if digest == seal.header.digest { Ok(digest) } else { Err(mismatch(journal, &seal, digest)) }
}

fn fold(
    journal: &Journal,
    catalogue: &Catalogue,
    state: &mut State,
    digest: StateDigest,
    to: Lsn,
) -> Result<Stretch> {
    let source = Source { journal, catalogue };
    let bases = state.bases_alone();
    let mut current = CurrentState {
        source,
        state,
        digest,
        passed: Stretch::default(),
        in_bases: VecDeque::new(),
    };
    let first = current.position().next();
    if is_worth_a_thread(journal, first, to) {
        let (sender, groups) = sync_channel(GROUPS_AHEAD);
        let ahead = Groups { frames: journal.frames(first, to), bases: &bases };
        thread::beside(
            "afterimage-ahead",
            move || {
                for group in ahead {
                    if sender.send(group).is_err() {
                        break;
                    }
                }
            },
            || groups.into_iter().try_for_each(|group| current.take(group)),
        )?;
    }
    // What no second thread has looked at: all of it, or nothing.
    let mut rest = Groups { frames: journal.frames(current.position().next(), to), bases: &bases };
    rest.try_for_each(|group| current.take(group))?;
    Ok(current.passed)
}

/// Whether there is so much to replay that a second thread saves more time than it takes to start.
fn is_worth_a_thread(journal: &Journal, first: Lsn, to: Lsn) -> bool {
    let bits = |lsn| journal.find(lsn).map_or(0, |frame| frame.position.bits());
    let transactions = to.get().saturating_sub(first.get());
    transactions >= AHEAD_MIN
        || (to >= first && bits(to).saturating_sub(bits(first)) >= AHEAD_BYTES_MIN)
}

/// So many transactions, or those that hold so many changes, are looked up together.
const GROUP: usize = 512;
const GROUP_CHANGES: u32 = 1024;
/// So many records are, at once.
const TOGETHER: usize = 128;
/// So many groups the second thread may be ahead.
const GROUPS_AHEAD: usize = 16;
/// So many transactions are worth a second thread, and so many bytes of them.
const AHEAD_MIN: u64 = 4096;
const AHEAD_BYTES_MIN: u64 = 1 << 20;

/// Transactions in their order, checked, with what the bases say of the records that they change.
/// Neither the journal nor the bases change, so that a second thread can prepare this ahead of the
/// one that applies it.
struct Groups<'a> {
    frames: Frames<'a>,
    bases: &'a State,
}

struct Group<'a> {
    frames: Vec<Result<Frame<'a>>>,
    /// For each change.
    in_bases: Result<VecDeque<Option<Head>>>,
}

impl<'a> Iterator for Groups<'a> {
    type Item = Group<'a>;

    fn next(&mut self) -> Option<Group<'a>> {
        let mut frames = Vec::new();
        let mut changes = 0_u32;
        while frames.len() < GROUP && changes < GROUP_CHANGES {
            let Some(frame) = self.frames.next() else { break };
            changes =
                changes.saturating_add(frame.as_ref().map_or(0, |frame| frame.header.changes));
            frames.push(frame);
        }
        if frames.is_empty() {
            return None;
        }
        let in_bases = self.look_up(&frames);
        Some(Group { frames, in_bases })
    }
}

impl Groups<'_> {
    fn look_up(&self, frames: &[Result<Frame<'_>>]) -> Result<VecDeque<Option<Head>>> {
        let mut found = VecDeque::new();
        let (mut keys, mut heads) = (Vec::with_capacity(TOGETHER), Vec::new());
        let mut collection = 0;
        for change in changes_of(frames) {
            if change.collection != collection || keys.len() == TOGETHER {
                self.bases.heads(collection, &keys, &mut heads)?;
                found.extend(heads.drain(..));
                keys.clear();
                collection = change.collection;
            }
            keys.push(change.key);
        }
        self.bases.heads(collection, &keys, &mut heads)?;
        found.extend(heads);
        Ok(found)
    }
}

/// The changes of these transactions. One that can't be read ends the replay when its turn comes.
fn changes_of<'a>(frames: &[Result<Frame<'a>>]) -> impl Iterator<Item = Change<'a>> + Clone {
    let frames = frames.iter().map_while(|frame| frame.as_ref().ok());
    let changes = frames.flat_map(Frame::changes);
    changes.map_while(|found| found.ok().map(|(_, change)| change))
}

/// The current state: the projection that every store has.
struct CurrentState<'a> {
    source: Source<'a>,
    state: &'a mut State,
    digest: StateDigest,
    passed: Stretch,
    /// What the bases say of the records that the changes to come are of.
    in_bases: VecDeque<Option<Head>>,
}

impl CurrentState<'_> {
    fn take(&mut self, group: Group<'_>) -> Result<()> {
        self.in_bases = group.in_bases?;
        self.state
            .prefetch(&changes_of(&group.frames).map(|change| (change.collection, change.key)));
        for frame in group.frames {
            self.apply(&TransactionView::new(self.source, frame?)?)?;
        }
        Ok(())
    }
}

impl Projection for CurrentState<'_> {
    fn name(&self) -> &'static str {
        "current-state"
    }

    fn position(&self) -> Lsn {
        self.state.lsn
    }

    fn apply(&mut self, transaction: &TransactionView<'_>) -> Result<()> {
        let Source { journal, catalogue } = self.source;
        let frame = transaction.frame();
        let mut applied = Vec::with_capacity(transaction.len());
        for found in transaction.changes() {
            let found = found?;
            let change = found.change;
            // Before the next change is read: it may be of the collection that this one creates.
            learn(catalogue, frame, &change)?;
            let in_bases = self.in_bases.pop_front().flatten();
            let head = self.state.head_since_base(change.collection, change.key).or(in_bases);
            check_link(journal, head, frame, &change)?;
            self.digest = digest_after(catalogue, self.digest, &change)?;
            applied.push(known_to(head, applied_of(&change, found.position)));
        }
        if self.digest != frame.header.digest {
            return Err(mismatch(journal, frame, self.digest));
        }
        self.passed.bytes += u64::from(frame.header.length);
        self.passed.changes += applied.len() as u64;
        apply(self.state, frame.header.lsn, applied);
        Ok(())
    }
}

/// A fold from the empty store that goes on behind what is wrong, for `verify`.
#[derive(Debug)]
pub(crate) struct Fold<'a> {
    journal: &'a Journal,
    catalogue: Catalogue,
    pub(crate) state: State,
    digest: StateDigest,
}

impl<'a> Fold<'a> {
    pub(crate) fn new(journal: &'a Journal) -> Self {
        let (catalogue, state) = (Catalogue::new(), State::default());
        Self { journal, catalogue, state, digest: StateDigest::default() }
    }

    /// Begins with the records of the base.
    pub(crate) fn take_base(&mut self, base: &Segment) -> Result<()> {
        self.digest = take_base(self.journal, &self.catalogue, &mut self.state, base)?;
        Ok(())
    }

    /// Applies a transaction that was checked at another time.
    pub(crate) fn pass(&mut self, frame: &Frame<'_>) -> Result<()> {
        let mut applied = Vec::new();
        for found in frame.changes() {
            let (position, change) = found.map_err(|wrong| self.journal.damaged(frame, wrong))?;
            learn(&self.catalogue, frame, &change)?;
            let head = self.state.head(change.collection, change.key)?;
            applied.push(known_to(head, applied_of(&change, position)));
        }
        self.digest = frame.header.digest;
        apply(&mut self.state, frame.header.lsn, applied);
        Ok(())
    }

    /// Checks a transaction against all before it and applies it; returns what is wrong.
    pub(crate) fn check_and_apply(&mut self, frame: &Frame<'_>) -> Vec<Error> {
        let mut errors = Vec::new();
        let mut applied = Vec::new();
        for found in frame.changes() {
            match found {
                Ok((position, change)) => {
                    let checked = learn(&self.catalogue, frame, &change)
                        .and_then(|()| check_chain(self.journal, &self.state, frame, &change))
                        .and_then(|()| digest_after(&self.catalogue, self.digest, &change));
                    match checked {
                        Ok(digest) => self.digest = digest,
                        Err(error) => errors.push(error),
                    }
                    let head = self.state.head(change.collection, change.key).ok().flatten();
                    applied.push(known_to(head, applied_of(&change, position)));
                }
                Err(malformed) => errors.push(self.journal.damaged(frame, malformed)),
            }
        }
        if self.digest != frame.header.digest {
            errors.push(mismatch(self.journal, frame, self.digest));
            self.digest = frame.header.digest;
        }
        if frame.header.lsn == self.state.lsn.next() {
            apply(&mut self.state, frame.header.lsn, applied);
        }
        errors
    }
}

fn applied_of<'a>(change: &Change<'a>, position: Position) -> Applied<'a> {
    Applied {
        collection: change.collection,
        key: change.key,
        op: change.op,
        position,
        previous: change.previous,
    }
}

/// A change may lead to one that was folded away, of a record that the state does not know.
fn known_to(head: Option<Head>, applied: Applied<'_>) -> Applied<'_> {
    let previous = if head.is_some() { applied.previous } else { Position::NONE };
    Applied { previous, ..applied }
}

fn digest_after(
    catalogue: &Catalogue,
    digest: StateDigest,
    change: &Change<'_>,
) -> Result<StateDigest> {
    let entry = catalogue.by_id(change.collection)?;
    if entry.is_system() {
        return Ok(digest);
    }
    Ok(digest.replaced(entry.seed.record(change.key), change.before, change.after))
}

/// Takes in a collection that this transaction creates.
fn learn(catalogue: &Catalogue, frame: &Frame<'_>, change: &Change<'_>) -> Result<()> {
    match (change.collection, change.after) {
        (COLLECTIONS, Some(image)) => learn_record(catalogue, change.key, image, frame.header.lsn),
        _ => Ok(()),
    }
}

/// Takes in a collection from its record in `$collections`.
pub(crate) fn learn_record(
    catalogue: &Catalogue,
    key: &[u8],
    image: Image<'_>,
    lsn: Lsn,
) -> Result<()> {
    let wrong =
        || Error::new(&code::FRAME_DAMAGED, "a record of $collections is wrong").at_lsn(lsn);
    let record: CatalogueRecord =
        serde_json::from_slice(image.bytes()).map_err(|source| wrong().with_source(source))?;
    let name = std::str::from_utf8(key).map_err(|source| wrong().with_source(source))?;
    if catalogue.by_name(name).is_some() {
        // A follower may see it both in the checkpoint and in the transaction.
        return Ok(());
    }
    if catalogue.insert(record.id, name, lsn) { Ok(()) } else { Err(wrong()) }
}

/// A change must continue the record's newest change: lead to it, and start from what it left.
/// Reads that change, wherever in the journal it stands.
pub(crate) fn check_chain(
    journal: &Journal,
    state: &State,
    frame: &Frame<'_>,
    change: &Change<'_>,
) -> Result<()> {
    let head = state.head(change.collection, change.key)?;
    check_link(journal, head, frame, change)?;
    let before = match head {
        Some(head) if !head.is_deleted() => journal.change(head.position)?.1.after,
        Some(_) | None => None,
    };
    if change.op == Op::Read || before == change.before {
        return Ok(());
    }
    Err(broken(journal, frame, change))
}

/// A change must lead to the record's newest change, and fit what that left: whether it is live.
fn check_link(
    journal: &Journal,
    head: Option<Head>,
    frame: &Frame<'_>,
    change: &Change<'_>,
) -> Result<()> {
    let live = head.is_some_and(|head| !head.is_deleted());
    let follows = match head {
        Some(head) if !journal.is_folded(head.position) => head.position == change.previous,
        // Where it stood then is not known any more; what it left is, and is compared.
        Some(_) => journal.is_folded(change.previous),
        // It was deleted before the moment of the base, which does not hold it.
        None => change.previous.is_none() || journal.is_folded(change.previous),
    };
    if change.op == Op::Read || (follows && live == change.before.is_some()) {
        return Ok(());
    }
    Err(broken(journal, frame, change))
}

fn broken(journal: &Journal, frame: &Frame<'_>, change: &Change<'_>) -> Error {
    let key = String::from_utf8_lossy(change.key);
    let error = Error::new(
        &code::IMAGE_CHAIN_BROKEN,
        format!(
            "the before image of {:?} in collection {} is not what the change before it left",
            key, change.collection
        ),
    )
    .at_offset(u64::from(frame.position.offset()))
    .at_lsn(frame.header.lsn);
    match journal.segment(frame.position.segment()) {
        Ok(segment) => error.at_path(segment.file.path()),
        Err(_) => error,
    }
}

fn mismatch(journal: &Journal, frame: &Frame<'_>, digest: StateDigest) -> Error {
    let recorded = frame.header.digest;
    let error = Error::new(
        &code::DIGEST_MISMATCH,
        format!("replaying gives the state digest {digest}, recorded is {recorded}"),
    )
    .at_lsn(frame.header.lsn);
    match journal.segment(frame.position.segment()) {
        Ok(segment) => error.at_path(segment.file.path()),
        Err(_) => error,
    }
}

/// Takes in what another process has appended since.
pub(crate) fn refresh(engine: &Engine) -> Result<Lsn> {
    if engine.is_writer() {
        return Ok(engine.visible());
    }
    let mut tail = lock(&engine.following);
    let before = *tail;
    let after = engine.journal.follow(before)?;
    if after.lsn > before.lsn {
        match follow(engine, before.digest, after.lsn) {
            Err(error) if error.code().id == code::CHECKPOINT_DAMAGED.id => {
                // Part of it may have been applied.
                engine.rebuild_state(&error)?;
                let reached = engine.state().lsn;
                follow(engine, engine.journal.find(reached)?.header.digest, after.lsn)?;
            }
            followed => followed?,
        }
        engine.set_applied(after.lsn);
    }
    *tail = after;
    drop(tail);
    Ok(after.lsn)
}

fn follow(engine: &Engine, digest: StateDigest, to: Lsn) -> Result<()> {
    let mut state = engine.state_mut();
    replay(&engine.journal, &engine.catalogue, &mut state, digest, to).map(|_| ())
}
