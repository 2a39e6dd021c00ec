//! `restore --to REV --into DIR`.

use afterimage::Result;

use super::DONE;
use crate::args::RestoreArgs;
use crate::context::Context;
use crate::progress::Display;
use crate::render::count;

pub(super) fn run(context: &mut Context, args: &RestoreArgs) -> Result<u8> {
    let store = context.reader(false)?;
    let target = store.resolve(&args.to)?;
    if args.signed.dry_run {
        let plan = store.plan_restore_into(target, &args.into)?;
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
    let report =
        store.restore_into(target, &args.into, &args.signed.author(), &mut |progress| {
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
