//! `compact`.

use afterimage::{Clock as _, FoldPlan, Keep, Result, SystemClock, Timestamp, fold};

use super::DONE;
use crate::args::CompactArgs;
use crate::context::Context;
use crate::progress::Display;
use crate::render::{count, safe};

pub(super) fn run(context: &mut Context, args: &CompactArgs) -> Result<u8> {
    let path = context.path()?;
    let store = context.reader(false)?;
    let keep = match (&args.keep_from, args.keep_history) {
        (Some(rev), _) => Keep::From(store.resolve(rev)?),
        (None, kept) => {
            let micros = kept.map_or(0, |kept| kept.as_micros());
            let micros = i64::try_from(micros).unwrap_or(i64::MAX);
            let now = SystemClock.now().as_micros();
            Keep::Since(Timestamp::from_micros(now.saturating_sub(micros)))
        }
    };
    let plan = store.plan_fold(keep)?;
    drop(store);
    if args.signed.dry_run || plan.segments == 0 {
        show(context, &plan)?;
        return Ok(DONE);
    }
    if !context.out.json && !context.globals.yes {
        show(context, &plan)?;
        context.out.flush()?;
    }
    if !context.confirm("give up this history for ever?")? {
        context.out.say("nothing was changed");
        return Ok(DONE);
    }
    let mut display = Display::new(&context.globals);
    let author = args.signed.author();
    let report = fold(&path, keep, &author, &mut |progress| display.show(progress))?;
    let took = display.finish().as_secs_f64();
    if context.out.json {
        context.out.document(&report)?;
    } else {
        show(context, &report.plan)?;
        let digest = report.state_digest;
        context.out.say(&format!("done in {took:.2} s; the state digest is still {digest}"));
    }
    Ok(DONE)
}

fn show(context: &mut Context, plan: &FoldPlan) -> Result<()> {
    if context.out.json {
        return context.out.document(plan);
    }
    if let Some(point) = &plan.held_by {
        context.out.say(&format!("the restore point `{}` holds back more", safe(point)));
    }
    if plan.segments == 0 {
        context.out.say("nothing to give up: no whole segment lies before that moment");
        return Ok(());
    }
    context.out.line(&format!(
        "history from LSN {} on is kept, until now from LSN {}: {} and {} go, {} bytes; \
         {} stay in a base of {} bytes",
        plan.window_from,
        plan.window_from_now,
        count(plan.transactions, "transaction"),
        count(plan.segments, "segment"),
        plan.bytes_removed,
        count(plan.records, "record"),
        plan.bytes_added
    ))
}
