//! `undo LSN|A..B`.

use afterimage::{Lsn, OnConflict, Plan, Result, Store, Undo, UndoMode};

use super::plan::carry_out;
use crate::args::{OnConflictArg, UndoArgs, UndoModeArg};
use crate::context::Context;
use crate::failure::usage;

pub(super) fn run(context: &mut Context, args: &UndoArgs) -> Result<u8> {
    let undo = request(args)?;
    carry_out(context, &args.plan, |store: &Store, head| plan(store, args, &undo, head))
}

/// Everything that does not need the store.
fn request(args: &UndoArgs) -> Result<Undo> {
    let on_conflict = args.on_conflict.into();
    let mode = match args.mode {
        UndoModeArg::Strict => UndoMode::Strict,
        UndoModeArg::Cascade => UndoMode::Cascade,
        UndoModeArg::Force => UndoMode::Force,
        UndoModeArg::Nonconflicting => UndoMode::Nonconflicting,
        UndoModeArg::Merge => UndoMode::Merge(on_conflict),
    };
    if args.mode != UndoModeArg::Merge && on_conflict != OnConflict::Fail {
        return Err(usage(
            "--on-conflict goes with --mode merge; --mode force takes everything back, \
             --mode nonconflicting what nobody changed",
        ));
    }
    let mut undo = Undo::everything().of(args.scope.scope()?).mode(mode);
    for actor in &args.scope.where_actor {
        undo = undo.by_actor(actor);
    }
    if let Some(id) = &args.where_correlation {
        undo = undo.with_correlation(id);
    }
    if let Some(attribute) = &args.where_attribute {
        let Some((name, value)) = attribute.split_once('=') else {
            return Err(usage("--where-attribute takes NAME=VALUE"));
        };
        let value: serde_json::Value = serde_json::from_str(value).unwrap_or_else(|_| value.into());
        undo = undo.with_attribute(name, value);
    }
    Ok(undo)
}

fn plan<'s>(store: &'s Store, args: &UndoArgs, undo: &Undo, head: Lsn) -> Result<Plan<'s>> {
    let undo = undo.clone().as_of(head);
    let undo = match args.transactions.as_deref() {
        None => undo,
        Some(range) if range.contains("..") => {
            let (after, until) = store.resolve_range_at(range, head)?;
            undo.between(after, until)
        }
        Some(rev) => {
            let lsn = store.resolve_at(rev, head)?;
            undo.between(lsn.previous(), lsn)
        }
    };
    store.plan_undo(&undo)
}

impl From<OnConflictArg> for OnConflict {
    fn from(arg: OnConflictArg) -> Self {
        match arg {
            OnConflictArg::Fail => Self::Fail,
            OnConflictArg::Ours => Self::Ours,
            OnConflictArg::Theirs => Self::Theirs,
        }
    }
}
