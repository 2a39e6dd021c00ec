//! `bisect`.

use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};

use afterimage::json::Tree;
use afterimage::{
    Bisection, Error, EventSource, Filter, KeyRange, Lsn, Probe, Result, Snapshot, Store,
    Timestamp, TransactionView, Verdict, code, write_event,
};
use serde_json::value::RawValue;

use super::DONE;
use crate::address::{record, show_key};
use crate::args::BisectArgs;
use crate::context::Context;
use crate::failure::usage;
use crate::render;

/// What a command ends with if it can't tell.
const SKIP: i32 = 125;
/// The last exit code that says something about the moment; those of signals are higher.
const BAD_MAX: i32 = 127;

pub(super) fn run(context: &mut Context, args: &BisectArgs) -> Result<u8> {
    let judge = Judge::of(args)?;
    let store = context.reader(args.salvage)?;
    let (good, bad) = (store.resolve(&args.good)?, store.resolve(&args.bad)?);
    let directory = context.path()?;
    let mut number = 0;
    let found = store.bisect(good, bad, &mut |snapshot| {
        let verdict = judge.verdict(&directory, snapshot)?;
        number += 1;
        context.out.say(&format!("{number:>3}. LSN {} is {}", snapshot.lsn(), verdict.as_str()));
        Ok(verdict)
    })?;
    let what = match (&args.record, &args.collection) {
        (Some(record), _) => vec!["--key", record],
        (None, Some(collection)) => vec!["--collection", collection],
        (None, None) => Vec::new(),
    };
    let first = found.candidates.first().copied().unwrap_or(bad);
    let restore = context.restore_command(first, &what);
    if context.out.json {
        document(context, &store, &found, &restore)?;
    } else {
        show(context, &store, &found, &restore)?;
    }
    Ok(DONE)
}

/// What tells good from bad.
enum Judge<'a> {
    Command(&'a [OsString]),
    Record { filter: Filter, collection: String, key: Vec<u8> },
    Collection { filter: Filter, collection: &'a str },
}

impl<'a> Judge<'a> {
    fn of(args: &'a BisectArgs) -> Result<Self> {
        let Some(expr) = &args.expr else { return Ok(Self::Command(&args.command)) };
        let filter = Filter::compile(expr)?;
        match (&args.record, &args.collection) {
            (Some(text), _) => {
                let (collection, key) = record(text)?;
                Ok(Self::Record { filter, collection, key })
            }
            (None, Some(collection)) => Ok(Self::Collection { filter, collection }),
            (None, None) => Err(usage("--expr needs --record or --collection")),
        }
    }

    fn verdict(&self, store: &Path, snapshot: &Snapshot) -> Result<Verdict> {
        let (filter, value) = match self {
            Self::Command(command) => return ask(command, store, snapshot.lsn()),
            Self::Record { filter, collection, key } => {
                let record = snapshot.record(collection, key)?;
                (filter, Filter::input(record.map(|record| record.image())))
            }
            Self::Collection { filter, collection } => {
                let mut fields = Vec::new();
                for record in snapshot.scan(collection, KeyRange::all())? {
                    let record = record?;
                    fields.push((show_key(record.key()), Filter::input(Some(record.image()))));
                }
                (filter, Tree::Object(fields))
            }
        };
        let holds = filter.is_true_of(&value).map_err(|error| error.at_lsn(snapshot.lsn()))?;
        Ok(if holds { Verdict::Good } else { Verdict::Bad })
    }
}

/// Runs the command on a moment. What it prints is talk: standard output is for the result.
fn ask(words: &[OsString], store: &Path, lsn: Lsn) -> Result<Verdict> {
    let Some((program, args)) = words.split_first() else { return Err(usage("no command")) };
    let failed = |error| Error::from_io(error, "run the command", Path::new(program));
    let status = Command::new(program)
        .args(args)
        .env("AFTERIMAGE_STORE", std::path::absolute(store).map_err(failed)?)
        .env("AFTERIMAGE_AS_OF", lsn.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::from(std::io::stderr()))
        .status()
        .map_err(failed)?;
    match status.code() {
        Some(0) => Ok(Verdict::Good),
        Some(SKIP) => Ok(Verdict::Skip),
        Some(1..=BAD_MAX) => Ok(Verdict::Bad),
        _ => Err(neither(program, status, lsn)),
    }
}

fn neither(program: &OsString, status: ExitStatus, lsn: Lsn) -> Error {
    let program = program.to_string_lossy().escape_debug().to_string();
    let message = format!("`{program}` ended with {status}, which is no verdict");
    Error::new(&code::INVALID_OPTION, message).at_lsn(lsn)
}

fn show(context: &mut Context, store: &Store, found: &Bisection, restore: &str) -> Result<()> {
    let probes = render::count(found.probes.len() as u64, "moment");
    let out = &mut context.out;
    if let Some(lsn) = found.first_bad {
        out.line(&format!("first bad: LSN {lsn} ({probes} looked at)\n"))?;
        let transaction = store.transaction(lsn)?;
        render::transaction_head(out, &transaction)?;
        for change in transaction.changes() {
            render::change(out, &change?, true)?;
        }
    } else {
        out.line(&format!("one of these is the first bad ({probes} looked at)\n"))?;
        for lsn in &found.candidates {
            let transaction = store.transaction(*lsn)?;
            render::transaction_line(out, &transaction, render::user_changes(&transaction)?)?;
        }
    }
    out.line(&format!("\nto go back to just before it:\n  {restore}"))
}

/// The document that `bisect --json` prints.
#[derive(serde::Serialize)]
struct Document<'a> {
    first_bad: Option<Lsn>,
    ts: Option<Timestamp>,
    actor: Option<&'a str>,
    message: Option<&'a str>,
    changes: Vec<Box<RawValue>>,
    candidates: &'a [Lsn],
    probes: &'a [Probe],
    restore: &'a str,
}

fn document(context: &mut Context, store: &Store, found: &Bisection, restore: &str) -> Result<()> {
    let transaction = found.first_bad.map(|lsn| store.transaction(lsn)).transpose()?;
    let source = EventSource { store: store.id() };
    let mut changes = Vec::new();
    if let Some(transaction) = &transaction {
        for change in transaction.changes() {
            let change = change?;
            let mut line = Vec::new();
            write_event(&mut line, transaction, &change, source)?;
            changes.push(render::raw(|out| std::io::Write::write_all(out, line.trim_ascii())));
        }
    }
    let metadata = transaction.as_ref().map(TransactionView::metadata);
    context.out.document(&Document {
        first_bad: found.first_bad,
        ts: transaction.as_ref().map(TransactionView::time),
        actor: metadata.and_then(|metadata| metadata.actor.as_deref()),
        message: metadata.and_then(|metadata| metadata.message.as_deref()),
        changes,
        candidates: &found.candidates,
        probes: &found.probes,
        restore,
    })
}
