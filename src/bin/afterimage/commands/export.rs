//! `export`.

use std::io::Write;

use afterimage::{
    EventSource, HistoryExport, Lsn, Projection as _, Result, Snapshot, Store, export_csv,
    export_json, export_state,
};

use super::DONE;
use crate::args::{ExportArgs, Format};
use crate::context::Context;
use crate::failure::usage;
use crate::files;
use crate::render::count;

pub(super) fn run(context: &mut Context, args: &ExportArgs) -> Result<u8> {
    if args.history && args.format != Format::Changes {
        return Err(usage("a history is exported as changes; --format does not go with --history"));
    }
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
    match args.format {
        Format::Json => return export_json(snapshot, &only(snapshot, args)?, out),
        Format::Csv => return export_csv(snapshot, &only(snapshot, args)?, out),
        Format::Changes if !args.history => {
            return export_state(snapshot, &args.collection, source, out);
        }
        Format::Changes => {}
    }
    let after = store.first().previous().max(Lsn::ZERO);
    let mut export = HistoryExport::new(out, source, args.collection.clone(), after);
    // Without the runner: it would take a full disk or a closed pipe for a fault of the projection.
    for transaction in store.transactions(after.next()..=snapshot.lsn())? {
        export.apply(&transaction?)?;
    }
    Ok(export.written())
}

/// The one collection of a document or a table.
fn only(snapshot: &Snapshot, args: &ExportArgs) -> Result<String> {
    let mut names = args.collection.clone();
    if names.is_empty() {
        let all = snapshot.collections()?;
        names.extend(all.into_iter().filter(|info| !info.is_system()).map(|info| info.name));
    }
    names.dedup();
    match &names[..] {
        [name] => Ok(name.clone()),
        [] => Err(usage("there is no collection to export")),
        _ => Err(usage("json and csv hold one collection; name it with --collection")),
    }
}
