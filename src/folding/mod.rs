//! Giving up the oldest history, and the bytes that it takes: the segments in front are replaced by
//! a base that holds what was live at their end. `docs/decisions/0007-folding.md` says why so.

mod base;

use std::path::Path;

use serde::Serialize;

use crate::error::{Error, Result, code};
use crate::format::digest::StateDigest;
use crate::format::names;
use crate::lsn::Lsn;
use crate::store::{Author, Options, PointKind, Progress, RestorePoint, Store};
use crate::sys::Disk;
use crate::sys::atomic::Staged;
use crate::time::Timestamp;
use base::{Size, Stand};

/// From where on history is to be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// This moment, and what came after it.
    From(Lsn),
    /// What was written at this time or later.
    Since(Timestamp),
}

/// What folding would do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FoldPlan {
    /// The oldest moment that could be read then. Equal to the present one: there is nothing to
    /// fold.
    pub window_from: Lsn,
    /// The oldest moment that can be read now.
    pub window_from_now: Lsn,
    /// How many transactions would go.
    pub transactions: u64,
    /// How many segments would go.
    pub segments: u64,
    /// Bytes of theirs.
    pub bytes_removed: u64,
    /// Bytes of the base that takes their place.
    pub bytes_added: u64,
    /// How many live records it would hold.
    pub records: u64,
    /// The restore point because of which less is folded away than was asked for.
    pub held_by: Option<String>,
    /// Automatic restore points that go with the moments they name.
    pub points: Vec<String>,
}

/// What folding has done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FoldReport {
    /// What was planned, and done.
    #[serde(flatten)]
    pub plan: FoldPlan,
    /// The digest of the newest state, equal before and after.
    pub state_digest: StateDigest,
}

impl Store {
    /// What [`fold`] would do; writes nothing.
    ///
    /// # Errors
    /// `OutsideWindow`; `Invalid` if the live records take too much; `Corrupt`.
    pub fn plan_fold(&self, keep: Keep) -> Result<FoldPlan> {
        let (wanted, held_by) = wanted(self, keep)?;
        let now = self.first().previous();
        let mut plan = FoldPlan {
            window_from: now,
            window_from_now: now,
            transactions: 0,
            segments: 0,
            bytes_removed: 0,
            bytes_added: 0,
            records: 0,
            held_by,
            points: Vec::new(),
        };
        let Some(stand) = stand(self, wanted)? else { return Ok(plan) };
        let Size { bytes, records } = base::build(self, &stand, &mut |_, _| Ok(()))?;
        let gone = self.engine.journal.segments();
        for segment in gone.take_while(|segment| segment.number() <= stand.header.number) {
            plan.segments += 1;
            plan.bytes_removed += segment.map.published() as u64;
        }
        let names_one_of_them = |point: &RestorePoint| point.lsn < stand.tail.lsn;
        let points = self.points()?.into_iter().filter(names_one_of_them);
        plan.points = points.map(|point| point.name).collect();
        plan.window_from = stand.tail.lsn;
        plan.transactions = stand.tail.lsn.get() - now.get();
        plan.bytes_added = bytes;
        plan.records = records;
        Ok(plan)
    }
}

/// Gives up the history before a moment: whole segments, as far as restore points do not name
/// moments in them. Every moment that is kept reads as before. Nobody may have the store open for
/// writing; who has it open for reading goes on with what is there now.
///
/// # Errors
/// As [`Options::open`] and [`Store::plan_fold`]; `Full`, `Io`. Interrupted at any place, the store
/// is as it was or as it is to be.
pub fn fold(
    path: &Path,
    keep: Keep,
    by: &Author,
    progress: &mut dyn FnMut(Progress),
) -> Result<FoldReport> {
    let options = Options::default().create(false);
    let store = options.open(path)?;
    let plan = store.plan_fold(keep)?;
    let state_digest = store.snapshot().digest()?;
    if plan.segments == 0 {
        store.close()?;
        return Ok(FoldReport { plan, state_digest });
    }
    if !plan.points.is_empty() {
        store.delete_points(&plan.points, by)?;
    }
    record(&store, &plan, by)?;
    let Some(stand) = stand(&store, plan.window_from)? else {
        return Err(Error::new(&code::DIGEST_MISMATCH, "the journal has changed meanwhile"));
    };
    let number = stand.header.number;
    let target = names::base(path, number);
    let disk = options.disk.clone();
    let staged = Staged::create(&*disk, &target, plan.bytes_added)?;
    let total = plan.bytes_added;
    base::build(&store, &stand, &mut |offset, bytes| {
        progress(Progress { phase: "base", done: offset, total, unit: "bytes" });
        staged.write_at(offset, bytes)
    })?;
    store.close()?;
    replace(&*disk, path, staged, number)?;
    let folded = options.open(path)?;
    let found = folded.snapshot().digest()?;
    if found != state_digest || folded.first() != plan.window_from.next() {
        let message = format!("folding led to the state digest {found}, it was {state_digest}");
        return Err(Error::new(&code::DIGEST_MISMATCH, message).at_path(path));
    }
    folded.checkpoint()?;
    folded.close()?;
    Ok(FoldReport { plan, state_digest })
}

/// The oldest moment that is to be kept, and the restore point because of which it is that one.
fn wanted(store: &Store, keep: Keep) -> Result<(Lsn, Option<String>)> {
    let asked = match keep {
        Keep::From(lsn) => lsn,
        Keep::Since(time) => match store.lsn_at(time) {
            // All that is kept is newer than that.
            Err(error) if error.code().id == code::OUTSIDE_WINDOW.id => store.first().previous(),
            found => found?,
        },
    };
    store.snapshot_at(asked)?;
    let points = store.points()?.into_iter().filter(|point| !is_dispensable(point));
    let oldest = points.min_by_key(|point| point.lsn);
    Ok(match oldest.filter(|point| point.lsn < asked) {
        Some(point) => (point.lsn, Some(point.name)),
        None => (asked, None),
    })
}

/// Names that were given by themselves, and that nobody protects, go with the moments they name.
fn is_dispensable(point: &RestorePoint) -> bool {
    point.kind == PointKind::Automatic && !point.protected
}

/// What can be folded away so that `wanted` can still be read: as many sealed segments as end
/// before it.
fn stand(store: &Store, wanted: Lsn) -> Result<Option<Stand>> {
    let journal = &store.engine.journal;
    let folded = journal.base().map_or(0, crate::journal::segment::Segment::number);
    let mut last = None;
    for segment in journal.segments().filter(|segment| segment.number() > folded) {
        match segment.seal() {
            Some(seal) if seal.last_lsn <= wanted => last = Some((segment.number(), seal)),
            Some(_) | None => break,
        }
    }
    let Some((number, seal)) = last.filter(|(_, seal)| seal.last_lsn >= store.first()) else {
        return Ok(None);
    };
    let tail = journal.tail_at(seal.last_lsn)?;
    Ok(Some(Stand { header: base::header(store, number), tail, chain: seal.chain() }))
}

/// Leaves the folding in `$audit`.
fn record(store: &Store, plan: &FoldPlan, by: &Author) -> Result<()> {
    let entry = serde_json::json!({
        "action": "fold",
        "window_from": plan.window_from,
        "window_from_before": plan.window_from_now,
        "transactions": plan.transactions,
    });
    let mut tx = store.begin()?;
    tx.sign(by);
    tx.note_in_audit("fold", &entry)?;
    tx.commit().map(drop)
}

/// Puts the base in the place of the segments up to its number. Checkpoints hold places in them,
/// and go first; then the base gets its name, which decides.
fn replace(disk: &dyn Disk, root: &Path, staged: Staged<'_>, number: u32) -> Result<()> {
    let lock = disk.lock(&root.join(names::LOCK))?;
    let (state, journal) = (root.join(names::STATE), root.join(names::JOURNAL));
    for name in disk.list(&state)? {
        if names::parse_checkpoint(&name).is_some() {
            disk.remove(&state.join(name))?;
        }
    }
    disk.sync_dir(&state)?;
    staged.publish()?;
    for name in disk.list(&journal)? {
        let is_gone = names::parse_segment(&name).is_some_and(|gone| gone <= number)
            || names::parse_base(&name).is_some_and(|gone| gone < number);
        if is_gone {
            disk.remove(&journal.join(name))?;
        }
    }
    disk.sync_dir(&journal)?;
    drop(lock);
    Ok(())
}
