//! `import` and `export`.

use std::io::Write;
use std::time::Duration;

use afterimage::{
    Durability, EventSource, HistoryExport, ImportOptions, Lsn, Projection as _, Result, Snapshot,
    Store, export_state,
};

use super::DONE;
use crate::args::{DurabilityArg, ExportArgs, Format, ImportArgs};
use crate::context::Context;
use crate::files;
use crate::progress::Display;
use crate::render::count;

const INTERVAL: Duration = Duration::from_millis(100);

pub(super) fn import(context: &mut Context, args: &ImportArgs) -> Result<u8> {
    let Format::Changes = args.format;
    let mut input = files::input(&args.file)?;
    let durability = match args.durability {
        DurabilityArg::Sync => Durability::Sync,
        DurabilityArg::Interval => Durability::Interval(INTERVAL),
        DurabilityArg::Process => Durability::Process,
    };
    let dry_run = args.signed.dry_run;
    let store = if dry_run { context.reader(false)? } else { context.writer_with(durability)? };
    let options = ImportOptions {
        keep_times: args.keep_times,
        upsert: args.upsert,
        batch: args.batch.get(),
        dry_run,
        author: args.signed.author(),
    };
    let mut display = Display::new(&context.globals);
    let imported = store.import(&mut *input, &options, &mut |progress| display.show(progress));
    // What was committed before a bad line stays, so it is made durable in any case. The sync is
    // part of the work, so it is part of the time.
    let closed = store.close();
    let took = display.finish().as_secs_f64();
    let report = imported?;
    closed?;
    if context.out.json {
        let mut document = serde_json::json!(report);
        if let Some(fields) = document.as_object_mut() {
            fields.insert("seconds".into(), took.into());
            fields.insert("dry_run".into(), dry_run.into());
        }
        context.out.document(&document)?;
    } else {
        #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
        let rate = report.changes as f64 / took.max(1e-9);
        context.out.say(&format!(
            "{} {} in {} ({} created, {} updated, {} deleted) \
             in {took:.2} s, {rate:.0} changes/s",
            if dry_run { "would import" } else { "imported" },
            count(report.changes, "change"),
            count(report.transactions, "transaction"),
            report.created,
            report.updated,
            report.deleted,
        ));
    }
    Ok(DONE)
}

pub(super) fn export(context: &mut Context, args: &ExportArgs) -> Result<u8> {
    let (store, snapshot) = context.snapshot(&args.reading)?;
    let written = match &args.output {
        None => write(&store, &snapshot, args, context.out.stream())?,
        Some(path) if path.as_os_str() == "-" => {
            write(&store, &snapshot, args, context.out.stream())?
        }
        Some(path) => {
            let mut file = files::Destination::create(path)?;
            let written = write(&store, &snapshot, args, file.stream())?;
            file.finish()?;
            written
        }
    };
    context.out.flush()?;
    let written = count(written, if args.history { "change" } else { "record" });
    context.out.say(&format!("exported {written} as of LSN {}", snapshot.lsn()));
    Ok(DONE)
}

fn write(
    store: &Store,
    snapshot: &Snapshot,
    args: &ExportArgs,
    out: &mut dyn Write,
) -> Result<u64> {
    let source = EventSource { store: store.id() };
    for name in &args.collection {
        // Named before anything is written: a wrong name must not leave half an export.
        snapshot.scan(name, afterimage::KeyRange::all())?;
    }
    if !args.history {
        return export_state(snapshot, &args.collection, source, out);
    }
    let after = store.first().previous().max(Lsn::ZERO);
    let mut export = HistoryExport::new(out, source, args.collection.clone(), after);
    // Without the runner: it would take a full disk or a closed pipe for a fault of the projection.
    for transaction in store.transactions(after.next()..=snapshot.lsn())? {
        export.apply(&transaction?)?;
    }
    Ok(export.written())
}
