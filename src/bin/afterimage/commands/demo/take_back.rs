//! The way back, in the store itself: the plan, the undo, a restore, and that undone.

use afterimage::{
    Author, Error, Lsn, OnConflict, Plan, Restore, Result, Store, Undo, UndoMode, code,
};

use super::script::{bytes, shown};
use crate::context::Context;
use crate::progress::now;
use crate::render::count;

/// Takes the accident back; where work has gone on since, field by field.
pub(super) fn undo(context: &Context, store: &Store, accident: Lsn) -> Result<Lsn> {
    let started = now();
    let mode = UndoMode::Merge(OnConflict::Ours);
    let plan = store.plan_undo(&Undo::transaction(accident).mode(mode))?;
    tell(context, &plan, &shown(started.elapsed()));
    let (before, started) = (store.head(), now());
    let undone = store.execute(&plan, &author("take the accident back"))?;
    context.out.say(&format!(
        "   done as LSN {} in {}; what was written in between stays",
        undone.lsn(),
        shown(started.elapsed())
    ));
    let changed = store.diff(before, undone.lsn())?.len() as u64;
    if changed != plan.counts().changes() {
        return Err(Error::new(&code::DIGEST_MISMATCH, "the undo did another thing than its plan"));
    }
    Ok(undone.lsn())
}

/// Restores everything in place, and undoes the restore: each state is proved by its digest.
pub(super) fn there_and_back(context: &Context, store: &Store, to: Lsn) -> Result<()> {
    let now_digest = store.snapshot().digest()?;
    let started = now();
    let plan = store.plan_restore(&Restore::to(to))?;
    tell(context, &plan, &shown(started.elapsed()));
    let restored = store.execute(&plan, &author("everything as it was"))?;
    let there = store.snapshot().digest()?;
    if restored.is_empty() {
        context.out.say("   nothing to do: taking the accident back has led there already");
        return Ok(());
    }
    let undo = Undo::transaction(restored.lsn());
    let undone = store.undo(&undo, &author("and back"))?;
    let back = store.snapshot().digest()?;
    let (there_lsn, back_lsn) = (restored.lsn(), undone.lsn());
    context.out.say(&format!("   LSN {there_lsn}: digest {there}, as at LSN {to}"));
    context.out.say(&format!("   LSN {back_lsn}: digest {back}, as before the restore"));
    if there == store.snapshot_at(to)?.digest()? && back == now_digest {
        return Ok(());
    }
    Err(Error::new(&code::DIGEST_MISMATCH, "a restore in place led to another state"))
}

fn tell(context: &Context, plan: &Plan<'_>, took: &str) {
    let counts = plan.counts();
    context.out.say(&format!(
        "   plan {}: {} to create, {} to update, {} to delete, {}, {}   (made in {took})",
        plan.id(),
        counts.create,
        counts.update,
        counts.delete,
        count(counts.conflict, "conflict"),
        bytes(plan.bytes()),
    ));
}

fn author(message: &str) -> Author {
    Author { actor: Some("demo".into()), message: Some(message.into()) }
}
