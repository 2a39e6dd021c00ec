//! `log`, `show`, `diff`, `blame`.

use std::collections::BTreeMap;
use std::time::Duration;

use afterimage::{BlameLine, LogEntry, LogQuery, Lsn, Op, RecordDiff, Result, Store, Timestamp};
use serde_json::value::RawValue;

use super::telling::Telling;
use super::{DIFFERENT, DONE};
use crate::address::{Subject, parse_key, record, show_key};
use crate::args::{BlameArgs, Choice, DiffArgs, LogArgs, OpArg, ShowArgs};
use crate::context::Context;
use crate::failure::usage;
use crate::render::{self, FieldDocument, field_name, raw_key, raw_value, safe};

/// How often `log -f` looks for news.
const FOLLOW_PAUSE: Duration = Duration::from_millis(200);

pub(super) fn log(context: &mut Context, args: &LogArgs) -> Result<u8> {
    let store = context.reader(args.choice.salvage)?;
    let subject = args.subject.as_deref().map(Subject::parse).transpose()?;
    let query = LogQuery { system: args.system, ..query(&store, subject, &args.choice)? };
    {
        let entries = store.log(&query)?.take(args.choice.n.unwrap_or(usize::MAX));
        if args.choice.reverse || args.follow {
            let mut entries = entries.collect::<Result<Vec<_>>>()?;
            entries.reverse();
            for entry in &entries {
                show_entry(context, &store, entry, args)?;
            }
        } else {
            for entry in entries {
                show_entry(context, &store, &entry?, args)?;
            }
        }
    }
    if args.follow {
        follow(context, &store, query, args)?;
    }
    Ok(DONE)
}

/// Shows what is committed from now on, until interrupted.
fn follow(context: &mut Context, store: &Store, mut query: LogQuery, args: &LogArgs) -> Result<()> {
    loop {
        context.out.flush()?;
        std::thread::sleep(FOLLOW_PAUSE);
        let before = store.head();
        let now = store.refresh()?;
        if now == before {
            continue;
        }
        query.since = Some(before);
        query.until = Some(now);
        let mut entries = store.log(&query)?.collect::<Result<Vec<_>>>()?;
        entries.reverse();
        for entry in &entries {
            show_entry(context, store, entry, args)?;
        }
    }
}

/// The changes that are asked for.
pub(super) fn query(store: &Store, subject: Option<Subject>, choice: &Choice) -> Result<LogQuery> {
    let (collection, key) = match subject {
        Some(subject) => (Some(subject.collection), subject.key),
        None => (None, None),
    };
    let resolve = |rev: &Option<String>| rev.as_deref().map(|rev| store.resolve(rev)).transpose();
    let op = |op: &OpArg| match op {
        OpArg::C => Op::Create,
        OpArg::U => Op::Update,
        OpArg::D => Op::Delete,
        OpArg::R => Op::Read,
    };
    let attribute = |text: &String| match text.split_once('=') {
        Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
        None => Err(usage(format!("`{}` is no attribute; write NAME=VALUE", text.escape_debug()))),
    };
    Ok(LogQuery {
        collection,
        key,
        prefix: choice.prefix.as_deref().map(parse_key).transpose()?,
        since: resolve(&choice.since)?,
        until: resolve(&choice.until)?,
        ops: choice.op.iter().map(op).collect(),
        actor: choice.actor.clone(),
        grep: choice.grep.clone(),
        correlation: choice.where_correlation.clone(),
        attributes: choice.where_attribute.iter().map(attribute).collect::<Result<_>>()?,
        system: false,
    })
}

fn show_entry(
    context: &mut Context,
    store: &Store,
    entry: &LogEntry<'_>,
    args: &LogArgs,
) -> Result<()> {
    let LogEntry { transaction, changes } = entry;
    let out = &mut context.out;
    let telling = Telling { store, patch: args.patch, undoable: args.undoable };
    if out.json {
        return changes.iter().try_for_each(|change| telling.tell(out, transaction, change));
    }
    if args.oneline {
        return render::transaction_line(out, transaction, changes.len());
    }
    render::transaction_head(out, transaction)?;
    if args.stat {
        let mut counts: BTreeMap<(&str, &str), usize> = BTreeMap::new();
        for change in changes {
            *counts.entry((change.collection(), change.op().as_str())).or_default() += 1;
        }
        for ((collection, op), count) in counts {
            out.line(&format!("  {op} {count:>6}  {}", safe(collection)))?;
        }
    } else {
        for change in changes {
            telling.tell(out, transaction, change)?;
        }
    }
    out.line("")
}

pub(super) fn show(context: &mut Context, args: &ShowArgs) -> Result<u8> {
    let store = context.reader(args.salvage)?;
    let transaction = store.transaction(store.resolve(&args.rev)?)?;
    let telling = Telling { store: &store, patch: true, undoable: args.undoable };
    let out = &mut context.out;
    if !out.json {
        render::transaction_head(out, &transaction)?;
    }
    for change in transaction.changes() {
        telling.tell(out, &transaction, &change?)?;
    }
    if !out.json {
        out.line(&format!("\nstate digest {}", transaction.digest()))?;
    }
    Ok(DONE)
}

pub(super) fn diff(context: &mut Context, args: &DiffArgs) -> Result<u8> {
    let store = context.reader(args.salvage)?;
    let subject = args.subject.as_deref().map(Subject::parse).transpose()?;
    if !args.range.contains("..") {
        return Err(usage("diff compares two moments; write A..B"));
    }
    let (from, to) = store.resolve_range(&args.range)?;
    if let Some(subject) = &subject {
        // A collection that never existed is worth an error, not an empty answer.
        store
            .snapshot_at(Lsn::ZERO.max(from))?
            .scan(&subject.collection, afterimage::KeyRange::prefix(b"\xff\xff\xff\xff"))?;
    }
    let wanted = |diff: &RecordDiff<'_>| {
        subject.as_ref().is_none_or(|subject| {
            subject.collection == diff.collection
                && subject.key.as_deref().is_none_or(|key| key == diff.key)
        })
    };
    let diffs: Vec<_> = store.diff(from, to)?.into_iter().filter(wanted).collect();
    if args.stat {
        show_stat(context, &diffs)?;
    } else {
        for diff in &diffs {
            show_diff(context, diff)?;
        }
    }
    Ok(if args.check && !diffs.is_empty() { DIFFERENT } else { DONE })
}

/// The object that `diff --json` prints for each record.
#[derive(serde::Serialize)]
struct DiffDocument<'a> {
    collection: &'a str,
    key: Box<RawValue>,
    op: &'a str,
    before: Box<RawValue>,
    after: Box<RawValue>,
    fields: Vec<FieldDocument>,
}

/// The object that `blame --json` prints for each field.
#[derive(serde::Serialize)]
struct BlameDocument<'a> {
    path: &'a str,
    value: Box<RawValue>,
    lsn: Lsn,
    ts: Timestamp,
    actor: Option<&'a str>,
    message: Option<&'a str>,
}

impl<'a> BlameDocument<'a> {
    fn new(line: &'a BlameLine) -> Self {
        Self {
            path: &line.path,
            value: render::json_or_text(&line.value),
            lsn: line.lsn,
            ts: line.time,
            actor: line.actor.as_deref(),
            message: line.message.as_deref(),
        }
    }
}

fn op_of(diff: &RecordDiff<'_>) -> Op {
    match (diff.before, diff.after) {
        (None, _) => Op::Create,
        (Some(_), Some(_)) => Op::Update,
        (Some(_), None) => Op::Delete,
    }
}

fn show_diff(context: &mut Context, diff: &RecordDiff<'_>) -> Result<()> {
    let op = op_of(diff);
    if context.out.json {
        return context.out.document(&DiffDocument {
            collection: diff.collection,
            key: raw_key(diff.key),
            op: op.as_str(),
            before: raw_value(diff.before),
            after: raw_value(diff.after),
            fields: diff.fields().into_iter().map(FieldDocument::new).collect(),
        });
    }
    let record = format!("{}/{}", safe(diff.collection), show_key(diff.key));
    render::record_change(&mut context.out, &record, op, (diff.before, diff.after), true)
}

fn show_stat(context: &mut Context, diffs: &[RecordDiff<'_>]) -> Result<()> {
    let mut counts: BTreeMap<&str, [usize; 3]> = BTreeMap::new();
    for diff in diffs {
        let [created, updated, deleted] = counts.entry(diff.collection).or_default();
        match op_of(diff) {
            Op::Create | Op::Read => *created += 1,
            Op::Update => *updated += 1,
            Op::Delete => *deleted += 1,
        }
    }
    let mut table = crate::output::table(&["collection", "created", "updated", "deleted"]);
    for (collection, [created, updated, deleted]) in &counts {
        if context.out.json {
            context.out.document(&serde_json::json!({
                "collection": collection, "created": created,
                "updated": updated, "deleted": deleted,
            }))?;
        }
        table.add_row([
            safe(collection),
            created.to_string(),
            updated.to_string(),
            deleted.to_string(),
        ]);
    }
    if !context.out.json {
        context.out.table(&table)?;
    }
    Ok(())
}

pub(super) fn blame(context: &mut Context, args: &BlameArgs) -> Result<u8> {
    let (collection, key) = record(&args.record)?;
    let (store, snapshot) = context.snapshot(&args.reading)?;
    let lines = store.blame(&collection, &key, snapshot.lsn())?;
    if context.out.json {
        for line in &lines {
            context.out.document(&BlameDocument::new(line))?;
        }
        return Ok(DONE);
    }
    let mut table = crate::output::table(&["LSN", "time", "actor", "field", "value"]);
    for line in &lines {
        table.add_row([
            line.lsn.to_string(),
            line.time.to_local_string(),
            safe(line.actor.as_deref().unwrap_or("-")),
            field_name(&line.path),
            safe(&line.value),
        ]);
    }
    context.out.table(&table)?;
    Ok(DONE)
}
