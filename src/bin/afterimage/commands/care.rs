//! `status`, `verify`, `stats`, `checkpoint`.

use std::time::Duration;

use afterimage::{Finding, Result, VerifyDepth, VerifyReport};

use super::{DAMAGED, DONE};
use crate::args::{CareArgs, CheckpointArgs, VerifyArgs};
use crate::context::Context;
use crate::progress::Display;
use crate::render::count;

const SECONDS_OF_A_DAY: u64 = 86_400;

pub(super) fn status(context: &mut Context, args: &CareArgs) -> Result<u8> {
    let store = context.reader(args.salvage)?;
    let status = store.status()?;
    if context.out.json {
        context.out.document(&status)?;
        return Ok(DONE);
    }
    let time = status.head_ts_us.map_or_else(
        || "-".to_owned(),
        |us| afterimage::Timestamp::from_micros(us).to_local_string(),
    );
    let writer = status.writer.map_or_else(|| "-".to_owned(), |pid| format!("process {pid}"));
    let segments = count(status.segments, "segment");
    let rows = [
        ("store", format!("{} in {}", status.store, status.path)),
        ("timeline", status.timeline.to_string()),
        ("format", status.format.to_string()),
        ("history", format!("LSN {} to {}", status.first_lsn, status.head_lsn)),
        ("newest", time),
        ("durable", format!("LSN {}", status.durable_lsn)),
        ("checkpoint", format!("LSN {}", status.checkpoint_lsn)),
        ("records", format!("{} in {}", status.records, count(status.collections, "collection"))),
        ("journal", format!("{} bytes in {segments}", status.journal_bytes)),
        ("digest", status.state_digest.to_string()),
        ("writer", writer),
    ];
    for (name, value) in rows {
        context.out.line(&format!("{name:<11} {value}"))?;
    }
    Ok(DONE)
}

pub(super) fn verify(context: &mut Context, args: &VerifyArgs) -> Result<u8> {
    let depth = if args.deep { VerifyDepth::Deep } else { VerifyDepth::Quick };
    let mut display = Display::new(&context.globals);
    let path = context.path()?;
    let mut show_progress = |progress| display.show(progress);
    let report = if args.incremental {
        let max_age = Duration::from_secs(u64::from(args.max_age) * SECONDS_OF_A_DAY);
        afterimage::verify_incremental(path, depth, max_age, &mut show_progress)?
    } else {
        afterimage::verify(path, depth, &mut show_progress)?
    };
    let took = display.finish();
    if context.out.json {
        context.out.document(&report)?;
    } else {
        show(context, &report)?;
        context.out.say(&format!("checked in {:.2} s", took.as_secs_f64()));
    }
    Ok(if report.valid { DONE } else { DAMAGED })
}

fn show(context: &mut Context, report: &VerifyReport) -> Result<()> {
    let out = &mut context.out;
    let finding = |finding: &Finding| {
        let lsn = finding.lsn.map(|lsn| format!(", lsn={lsn}")).unwrap_or_default();
        let position = finding.position.as_deref().unwrap_or("-");
        format!("[{}] {} ({position}{lsn})", finding.code, finding.message)
    };
    for warning in &report.warnings {
        out.line(&format!("warning: {}", warning.message))?;
    }
    for error in &report.errors {
        let line = out.paint("31", &format!("damaged: {}", finding(error)));
        out.line(&line)?;
    }
    let how = if report.deep { "every transaction checked" } else { "seals and tail checked" };
    let skipped = match report.skipped_segments {
        0 => String::new(),
        skipped => format!(", {} checked before", count(skipped, "segment")),
    };
    let verdict = if report.valid { "sound" } else { "DAMAGED" };
    out.line(&format!(
        "{verdict}: LSN {} to {}, {}, {how}{skipped}; state digest {}",
        report.first_lsn,
        report.head_lsn,
        count(report.transactions, "transaction"),
        report.state_digest
    ))
}

pub(super) fn stats(context: &mut Context, args: &CareArgs) -> Result<u8> {
    let store = context.reader(args.salvage)?;
    let stats = store.stats();
    if context.out.json {
        context.out.document(&stats)?;
        return Ok(DONE);
    }
    let mut table = crate::output::table(&["collection", "records"]);
    for info in &stats.collections {
        table.add_row([crate::render::safe(&info.name), info.records.to_string()]);
    }
    context.out.table(&table)?;
    let mut table = crate::output::table(&["segment", "first LSN", "bytes", "sealed"]);
    for segment in &stats.segments {
        table.add_row([
            segment.number.to_string(),
            segment.first_lsn.map_or_else(|| "-".to_owned(), |lsn| lsn.to_string()),
            segment.bytes.to_string(),
            if segment.sealed { "yes" } else { "no" }.to_owned(),
        ]);
    }
    context.out.line("")?;
    context.out.table(&table)?;
    let records = count(stats.index_records, "record");
    context.out.line(&format!("\n{records} in the index, deleted ones included"))?;
    Ok(DONE)
}

pub(super) fn checkpoint(context: &mut Context, args: &CheckpointArgs) -> Result<u8> {
    if args.signed.dry_run {
        let head = context.reader(false)?.head();
        if context.out.json {
            context.out.document(&serde_json::json!({"dry_run": true, "lsn": head}))?;
        } else {
            context.out.line(&format!("would write a checkpoint at LSN {head}"))?;
        }
        return Ok(DONE);
    }
    let store = context.writer()?;
    let info = store.checkpoint()?;
    store.close()?;
    if context.out.json {
        context.out.document(&info)?;
    } else {
        let done = if info.written { "wrote" } else { "there is" };
        context.out.say(&format!(
            "{done} a checkpoint at LSN {}: {}, {} bytes",
            info.lsn,
            count(info.records, "record"),
            info.bytes
        ));
    }
    Ok(DONE)
}
