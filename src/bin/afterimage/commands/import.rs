//! `import`, and the steps before and after it.

use std::time::Duration;

use afterimage::{
    CsvTypes, Durability, ErrorKind, ImportAnalysis, ImportComparison, ImportFormat, ImportMapping,
    ImportMode, ImportOptions, ImportReport, InputCollection, RecordShape, Result, Store,
    analyze_import,
};

use super::{DIFFERENT, DONE};
use crate::address::show_key;
use crate::args::{DurabilityArg, Format, ImportArgs, ModeArg, TypesArg};
use crate::context::Context;
use crate::failure::usage;
use crate::files;
use crate::output::Output;
use crate::progress::Display;
use crate::render::{count, safe};

const INTERVAL: Duration = Duration::from_millis(100);

pub(super) fn run(context: &mut Context, args: &ImportArgs) -> Result<u8> {
    let options = options(args)?;
    if args.step.analyze {
        return analyze(context, args, &options);
    }
    if args.step.verify {
        return verify(context, args, &options);
    }
    if args.step.check {
        return Err(usage("--check goes with --verify or --analyze"));
    }
    let mut input = files::input(&args.file)?;
    let durability = match args.durability {
        DurabilityArg::Sync => Durability::Sync,
        DurabilityArg::Interval => Durability::Interval(INTERVAL),
        DurabilityArg::Process => Durability::Process,
    };
    let dry_run = options.dry_run;
    let store = if dry_run { context.reader(false)? } else { context.writer_with(durability)? };
    let mut display = Display::new(&context.globals);
    let imported = store.import(&mut *input, &options, &mut |progress| display.show(progress));
    // What was committed before a bad line stays, so it is made durable in any case. The sync is
    // part of the work, so it is part of the time.
    let closed = store.close();
    let took = display.finish().as_secs_f64();
    let report = imported?;
    closed?;
    warn(context, &report.warnings);
    if context.out.json {
        let mut document = serde_json::json!(report);
        if let Some(fields) = document.as_object_mut() {
            fields.insert("seconds".into(), took.into());
            fields.insert("dry_run".into(), dry_run.into());
        }
        context.out.document(&document)?;
    } else {
        context.out.say(&told(&report, dry_run, took));
        if let Some(point) = &report.point {
            context.out.say(&format!("the moment before is point:{point}"));
        }
    }
    Ok(DONE)
}

fn told(report: &ImportReport, dry_run: bool, took: f64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    let rate = report.changes as f64 / took.max(1e-9);
    let mut counts = vec![
        format!("{} created", report.created),
        format!("{} updated", report.updated),
        format!("{} deleted", report.deleted),
    ];
    for (number, what) in [(report.unchanged, "unchanged"), (report.skipped, "skipped")] {
        if number > 0 {
            counts.push(format!("{number} {what}"));
        }
    }
    format!(
        "{} {} in {} ({}) in {took:.2} s, {rate:.0} changes/s",
        if dry_run { "would import" } else { "imported" },
        count(report.changes, "change"),
        count(report.transactions, "transaction"),
        counts.join(", "),
    )
}

fn options(args: &ImportArgs) -> Result<ImportOptions> {
    let shape = || match &args.shape.into {
        Some(collection) => Ok(RecordShape {
            collection: collection.clone(),
            key: args.shape.key.clone(),
            drop_key: args.shape.drop_key,
        }),
        None => Err(usage("json and csv name no collection; give --into COLLECTION")),
    };
    let types = match args.shape.types {
        TypesArg::Strings => CsvTypes::Strings,
        TypesArg::Auto => CsvTypes::Auto,
    };
    let format = match args.format {
        Format::Changes if args.shape.into.is_some() => {
            return Err(usage(
                "change events name their collections; rename with --map-collection",
            ));
        }
        Format::Changes => ImportFormat::Changes,
        Format::Json => ImportFormat::Json(shape()?),
        Format::Csv => ImportFormat::Csv(shape()?, types),
    };
    let mode = match args.mode {
        ModeArg::Append => ImportMode::Append,
        ModeArg::Replace => ImportMode::Replace,
        ModeArg::Merge => ImportMode::Merge,
        ModeArg::SkipExisting => ImportMode::SkipExisting,
    };
    let mapping = ImportMapping {
        collections: args.mapping.map_collection.clone(),
        fields: args.mapping.map_field.clone(),
        drop_fields: args.mapping.drop_field.clone(),
    };
    Ok(ImportOptions {
        format,
        mode,
        mapping,
        collections: args.mapping.collection.clone(),
        keep_times: args.keep_times,
        upsert: args.upsert,
        batch: args.batch.get(),
        replace_bytes: args.replace_bytes,
        dry_run: args.signed.dry_run,
        author: args.signed.author(),
        file: (args.file != "-").then(|| args.file.clone()),
    })
}

fn warn(context: &Context, warnings: &[String]) {
    for warning in warnings {
        context.out.warn(&safe(warning));
    }
}

fn verify(context: &mut Context, args: &ImportArgs, options: &ImportOptions) -> Result<u8> {
    let mut input = files::input(&args.file)?;
    let store = context.reader(false)?;
    let mut display = Display::new(&context.globals);
    let compared =
        store.compare_import(&mut *input, options, &mut |progress| display.show(progress));
    display.finish();
    let report = compared?;
    warn(context, &report.warnings);
    if context.out.json {
        context.out.document(&report)?;
    } else {
        show_comparison(&mut context.out, &report)?;
    }
    Ok(if args.step.check && !report.equal { DIFFERENT } else { DONE })
}

fn show_comparison(out: &mut Output, report: &ImportComparison) -> Result<()> {
    for difference in &report.differences {
        let line = match difference.line {
            0 => String::new(),
            line => format!("  (line {line})"),
        };
        let key = safe(&show_key(&difference.key));
        let collection = safe(&difference.collection);
        out.line(&format!("{:<10} {collection}/{key}{line}", difference.what))?;
    }
    let told = report.differences.len() as u64;
    let all = report.different + report.missing + report.unexpected;
    if all > told {
        out.line(&format!("and {} more", all - told))?;
    }
    out.line(&format!(
        "{}: {} as the input says, {} different, {} missing, {} unexpected, at LSN {}",
        if report.equal { "equal" } else { "NOT EQUAL" },
        count(report.same, "record"),
        report.different,
        report.missing,
        report.unexpected,
        report.lsn,
    ))
}

/// A store helps to tell what exists already, but none is needed.
fn store_beside(context: &Context) -> Result<Option<Store>> {
    if context.globals.store.is_none() {
        return Ok(None);
    }
    match context.reader(false) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            context.out.say("there is no store; what exists already is not known");
            Ok(None)
        }
        store => store.map(Some),
    }
}

fn analyze(context: &mut Context, args: &ImportArgs, options: &ImportOptions) -> Result<u8> {
    let mut input = files::input(&args.file)?;
    let store = store_beside(context)?;
    let mut display = Display::new(&context.globals);
    let told = &mut |progress| display.show(progress);
    let analyzed = analyze_import(&mut *input, options, store.as_ref(), told);
    display.finish();
    let analysis = analyzed?;
    warn(context, &analysis.warnings);
    if context.out.json {
        context.out.document(&analysis)?;
    } else {
        show_analysis(&mut context.out, &analysis, store.is_some())?;
    }
    let is_different = args.step.check && analysis.problems_total > 0;
    Ok(if is_different { DIFFERENT } else { DONE })
}

fn show_analysis(out: &mut Output, analysis: &ImportAnalysis, has_store: bool) -> Result<()> {
    for (name, collection) in &analysis.collections {
        show_collection(out, name, collection, has_store)?;
    }
    for problem in &analysis.problems {
        let message = safe(&problem.message);
        out.line(&format!("line {}: {message} [{}]", problem.line, problem.code))?;
    }
    let told = analysis.problems.len() as u64;
    if analysis.problems_total > told {
        out.line(&format!("and {} more", analysis.problems_total - told))?;
    }
    out.line(&format!(
        "{} in {}, {} named, {}",
        count(analysis.events, "change"),
        count(analysis.collections.len() as u64, "collection"),
        count(analysis.transactions, "transaction"),
        count(analysis.problems_total, "problem"),
    ))
}

fn show_collection(
    out: &mut Output,
    name: &str,
    collection: &InputCollection,
    has_store: bool,
) -> Result<()> {
    let kinds = [
        (collection.creates, "create"),
        (collection.updates, "update"),
        (collection.deletes, "delete"),
        (collection.reads, "read"),
        (collection.puts, "put"),
    ];
    let kinds = kinds.into_iter().filter(|(number, _)| *number > 0);
    let kinds: Vec<_> = kinds.map(|(number, kind)| count(number, kind)).collect();
    let records = count(collection.records, "record");
    out.line(&format!("{}: {records}, {}", safe(name), kinds.join(", ")))?;
    if let (Some(first), Some(last)) = (collection.first_time, collection.last_time) {
        let (first, last) = (first.to_local_string(), last.to_local_string());
        out.line(&format!("  times   {first} to {last}"))?;
    }
    let counted = |(name, number): (&str, &u64)| format!("{} {number}", safe(name));
    if !collection.actors.is_empty() {
        let actors = collection.actors.iter().map(|(name, number)| counted((name, number)));
        out.line(&format!("  actors  {}", actors.collect::<Vec<_>>().join(", ")))?;
    }
    let codecs = collection.codecs.iter().map(|(name, number)| counted((name, number)));
    let codecs = codecs.collect::<Vec<_>>().join(", ");
    out.line(&format!("  values  {codecs}; at most {} bytes", collection.value_bytes_max))?;
    if has_store && collection.existing > 0 {
        let keys = safe(&collection.existing_keys.join(", "));
        let more =
            if collection.existing > collection.existing_keys.len() as u64 { ", …" } else { "" };
        out.line(&format!("  exist   {} in the store: {keys}{more}", collection.existing))?;
    }
    for (field, analysis) in &collection.fields {
        let types = analysis.types.iter().map(|(name, number)| counted((name, number)));
        let types = types.collect::<Vec<_>>().join(", ");
        let absent = match analysis.absent {
            0 => String::new(),
            absent => format!(", absent {absent}"),
        };
        out.line(&format!("  field   {}: {types}{absent}", safe(field)))?;
    }
    Ok(())
}
