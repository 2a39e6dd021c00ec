//! `repair`.

use afterimage::{LostTransactions, RepairReport, Result, Timestamp};

use super::{DAMAGED, DONE};
use crate::args::RepairArgs;
use crate::context::Context;
use crate::progress::Display;
use crate::render::count;

pub(super) fn run(context: &mut Context, args: &RepairArgs) -> Result<u8> {
    let (path, author) = (context.path()?.clone(), args.signed.author());
    let plan = afterimage::repair(&path, &author, true, &mut |_| {})?;
    let sound = plan.holes.is_empty() && plan.lost.is_empty();
    if args.signed.dry_run || sound {
        if context.out.json {
            context.out.document(&plan)?;
        } else if sound {
            context.out.say("nothing to repair: every transaction is sound");
        } else {
            show(context, &plan)?;
        }
        return Ok(if sound { DONE } else { DAMAGED });
    }
    if !context.globals.json && !context.globals.yes {
        show(context, &plan)?;
    }
    if !context.confirm("make the store anew from what is sound, and keep the damaged one?")? {
        context.out.say("nothing was changed");
        return Ok(DONE);
    }
    let mut display = Display::new(&context.globals);
    let report = afterimage::repair(&path, &author, false, &mut |progress| display.show(progress))?;
    let took = display.finish();
    if context.out.json {
        context.out.document(&report)?;
        return Ok(DONE);
    }
    show(context, &report)?;
    let proved = match report.state_proved {
        Some(true) => "the state is proved to be what it was, by its digest",
        Some(false) | None => "the state is not proved: the newest value of a record may be lost",
    };
    let kept = report.kept.as_deref().unwrap_or(&path).display();
    let seconds = took.as_secs_f64();
    context.out.say(&format!("repaired in {seconds:.2} s; {proved}\nthe damaged store: {kept}"));
    Ok(DONE)
}

fn show(context: &mut Context, report: &RepairReport) -> Result<()> {
    let sound = count(report.transactions, "transaction");
    context.out.line(&format!("{sound} of {} are sound", report.head_lsn))?;
    for hole in &report.holes {
        context.out.line(&format!(
            "can't be read: {}, {} bytes at offset {}: {}",
            hole.path.display(),
            hole.bytes,
            hole.offset,
            hole.what
        ))?;
    }
    for lost in &report.lost {
        context.out.line(&describe(lost))?;
        for record in &lost.recovered {
            context.out.line(&format!("  put back: {}/{}", record.collection, record.key))?;
        }
    }
    Ok(())
}

fn describe(lost: &LostTransactions) -> String {
    let time = |us: Option<i64>| {
        us.map_or_else(|| "-".to_owned(), |us| Timestamp::from_micros(us).to_local_string())
    };
    let lsns = if lost.first_lsn == lost.last_lsn {
        format!("LSN {}", lost.first_lsn)
    } else {
        format!("LSN {} to {}", lost.first_lsn, lost.last_lsn)
    };
    format!("lost: {lsns}, {} to {}", time(lost.not_before_us), time(lost.not_after_us))
}
