//! `restore --to REV`, in place, or with `--into DIR` into a new store.

use std::path::Path;

use afterimage::{Restore, RestoreMode, Result, Store};

use super::DONE;
use super::plan::carry_out;
use crate::args::{RestoreArgs, RestoreModeArg};
use crate::context::Context;
use crate::progress::Display;
use crate::render::count;

pub(super) fn run(context: &mut Context, args: &RestoreArgs) -> Result<u8> {
    match &args.into {
        Some(directory) => into(context, args, directory),
        None => in_place(context, args),
    }
}

fn in_place(context: &mut Context, args: &RestoreArgs) -> Result<u8> {
    let scope = args.scope.scope()?;
    let mode = match args.mode {
        RestoreModeArg::Replace => RestoreMode::Replace,
        RestoreModeArg::Merge => RestoreMode::Merge,
    };
    carry_out(context, &args.plan, |store: &Store, head| {
        let restore = Restore::to(store.resolve_at(&args.to, head)?);
        let restore = restore.of(scope.clone()).mode(mode).on_conflict(args.on_conflict.into());
        let by_actor = |restore: Restore, actor: &String| restore.by_actor(actor);
        let restore = args.scope.where_actor.iter().fold(restore, by_actor);
        store.plan_restore(&restore.as_of(head))
    })
}

fn into(context: &mut Context, args: &RestoreArgs, directory: &Path) -> Result<u8> {
    let (signed, store) = (&args.plan.signed, context.reader(false)?);
    let target = store.resolve(&args.to)?;
    if signed.dry_run {
        let plan = store.plan_restore_into(target, directory)?;
        if context.out.json {
            context.out.document(&plan)?;
        } else {
            context.out.line(&format!(
                "would restore LSN 1 to {} into {}: {}, {} of them whole, {} bytes; \
                 state digest {}",
                plan.target_lsn,
                plan.directory.display(),
                count(plan.segments, "segment"),
                plan.whole_segments,
                plan.bytes,
                plan.state_digest
            ))?;
        }
        return Ok(DONE);
    }
    let mut display = Display::new(&context.globals);
    let report = store.restore_into(target, directory, &signed.author(), &mut |progress| {
        display.show(progress);
    })?;
    let took = display.finish();
    if context.out.json {
        context.out.document(&report)?;
    } else {
        context.out.say(&format!(
            "restored {}, {}, into {} in {:.2} s\n\
             proved by the state digest {}",
            count(report.transactions, "transaction"),
            count(report.records, "live record"),
            report.directory.display(),
            took.as_secs_f64(),
            report.state_digest
        ));
    }
    Ok(DONE)
}
