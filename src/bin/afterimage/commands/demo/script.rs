//! What happens in the demo, in its order.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use afterimage::json::Tree;
use afterimage::{
    Author, CodecId, Error, Image, ImportOptions, KeyRange, LogQuery, Lsn, Result, SearchQuery,
    Store, VerifyDepth, code,
};

use super::Stage;
use super::hotel::Hotel;
use super::take_back;
use super::writer::{self, kill_a_writer, write_rest};
use crate::args::DemoArgs;
use crate::context::Context;
use crate::progress::now;
use crate::render::safe;

/// After the accident, the day goes on for this many transactions.
const LATER: u64 = 10;
const CULPRIT: &str = "night-batch";

/// What the accident was.
struct Accident {
    collection: String,
    lsn: Lsn,
    records: u64,
}

/// What happened, for programs.
#[derive(serde::Serialize)]
pub(super) struct Summary {
    store: PathBuf,
    restored: PathBuf,
    transactions: Lsn,
    accident_lsn: Lsn,
    undone_lsn: Lsn,
    restored_lsn: Lsn,
    state_digest: String,
    restored_digest: String,
    seconds: f64,
}

pub(super) fn play(
    context: &Context,
    stage: &Stage,
    directory: &Path,
    args: &DemoArgs,
) -> Result<Summary> {
    let began = now();
    let title = |text: &str| context.out.say(&format!("\n\x1b[1m{text}\x1b[0m"));
    for store in [&stage.store, &stage.killed, &stage.restored] {
        if store.exists() {
            let message = "the demo has been here; choose another directory";
            return Err(Error::new(&code::DIRECTORY_NOT_EMPTY, message).at_path(store));
        }
    }
    title("1. A writer is killed");
    kill(context, stage, directory, args)?;

    title("2. The history goes on");
    let store = writer::open(&stage.store)?;
    let mut hotel = grow(context, &store, args)?;

    title("3. An accident");
    let accident = accident(&store, hotel.is_some())?;
    if let Some(hotel) = &mut hotel {
        for _ in 0..LATER {
            writer::write(&store, &hotel.next())?;
        }
    }
    context.out.say(&format!(
        "   a job went wrong: {} records of `{}` {}; nobody noticed, and work went on to LSN {}",
        accident.records,
        safe(&accident.collection),
        if hotel.is_some() { "have a total of 0 now" } else { "are gone" },
        store.head()
    ));

    title("4. Finding the moment");
    find_again(context, &store, &accident, hotel.is_some())?;

    title("5. Reading the past");
    past(context, &store, &accident, hotel.is_some())?;

    title("6. Taking it back, and nothing else");
    let undone_lsn = take_back::undo(context, &store, accident.lsn)?;
    past(context, &store, &accident, hotel.is_some())?;

    title("7. There and back: everything as it was just before, and that undone");
    take_back::there_and_back(context, &store, accident.lsn.previous())?;

    title("8. Restoring to just before it, into a new store");
    let restored_lsn = accident.lsn.previous();
    let restored_digest = restore(context, &store, stage, restored_lsn)?;
    let summary = Summary {
        store: stage.store.clone(),
        restored: stage.restored.clone(),
        transactions: store.head(),
        accident_lsn: accident.lsn,
        undone_lsn,
        restored_lsn,
        state_digest: store.snapshot_at(restored_lsn)?.digest()?.to_string(),
        restored_digest,
        seconds: began.elapsed().as_secs_f64(),
    };
    store.close()?;
    Ok(summary)
}

/// Writes the history up to its end; gives back the hotel, if it is the hotel's.
fn grow(context: &Context, store: &Store, args: &DemoArgs) -> Result<Option<Hotel>> {
    let started = now();
    let (transactions, changes, hotel) = if let Some(file) = &args.from {
        let mut input = crate::files::input(&file.display().to_string())?;
        let options = ImportOptions { keep_times: true, ..ImportOptions::default() };
        let report = store.import(&mut *input, &options, &mut |_| {})?;
        store.sync()?;
        (report.transactions, report.changes, None)
    } else {
        let (transactions, changes, hotel) = write_rest(store, args)?;
        (transactions, changes, Some(hotel))
    };
    context.out.say(&format!(
        "   {changes} changes in {transactions} transactions, both images kept, in {}",
        shown(started.elapsed())
    ));
    let status = store.status()?;
    context.out.say(&format!(
        "   {} live records, {} of journal, state digest {}",
        status.records,
        bytes(status.journal_bytes),
        status.state_digest
    ));
    Ok(hotel)
}

/// Looks for the accident as somebody would who knows only that something is missing.
fn find_again(context: &Context, store: &Store, accident: &Accident, hotel: bool) -> Result<()> {
    let started = now();
    let found = find(store, &accident.collection, hotel)?;
    context.out.say(&format!(
        "   search {} {}: most of all, {} records, by LSN {} of {}: {}   (found in {})",
        safe(&accident.collection),
        if hotel { "--field total --to 0" } else { "--to absent" },
        found.records,
        found.lsn,
        safe(&found.actor),
        safe(&found.message),
        shown(started.elapsed())
    ));
    if found.lsn == accident.lsn {
        return Ok(());
    }
    Err(Error::new(&code::DIGEST_MISMATCH, "the search found another transaction"))
}

fn kill(context: &Context, stage: &Stage, directory: &Path, args: &DemoArgs) -> Result<()> {
    // About a third of the way; a transaction of the hotel has about two changes.
    let after = if args.from.is_some() { 300 } else { (args.changes / 6).max(1) };
    let started = now();
    let killed = kill_a_writer(directory, args, after)?;
    let took = started.elapsed();
    let path = if args.from.is_some() { &stage.killed } else { &stage.store };
    let started = now();
    let store = Store::open(path)?;
    let reopened = started.elapsed();
    if store.head() < killed.acknowledged {
        return Err(Error::new(&code::JOURNAL_INCOMPLETE, "acknowledged transactions are missing")
            .at_lsn(killed.acknowledged));
    }
    let how = if killed.in_the_middle { "killed with SIGKILL" } else { "done before the kill" };
    context.out.say(&format!(
        "   process {} committed to LSN {} durably, one sync each, for {}, and was {how}",
        killed.pid,
        killed.acknowledged,
        shown(took)
    ));
    context.out.say(&format!(
        "   opened again in {}: LSN {} is there, nothing acknowledged is lost",
        shown(reopened),
        store.head()
    ));
    for notice in store.notices() {
        context.out.say(&format!("   {notice}"));
    }
    store.close()
}

/// One transaction ruins a whole collection: the totals of all invoices, or of another history the
/// records of its largest collection.
fn accident(store: &Store, hotel: bool) -> Result<Accident> {
    let collection = if hotel {
        "invoices".to_owned()
    } else {
        let collections = store.collections();
        let largest = collections.iter().filter(|info| !info.is_system()).max_by_key(|c| c.records);
        largest.filter(|info| info.records > 0).map(|info| info.name.clone()).ok_or_else(|| {
            Error::new(&code::NO_SUCH_RECORD, "the history ends with no record to lose")
        })?
    };
    let commit = store.write(|tx| {
        tx.actor(CULPRIT).message("nightly clean-up");
        let mut count = 0;
        let snapshot = store.snapshot();
        for record in snapshot.scan(&collection, KeyRange::all())? {
            let record = record?;
            if hotel {
                let text = without_total(record.image())?;
                let image = Image::new(text.as_bytes(), CodecId::Json);
                tx.put_image(&collection, record.key(), image)?;
            } else {
                tx.delete_record(&collection, record.key())?;
            }
            count += 1;
        }
        Ok(count)
    })?;
    Ok(Accident { collection, lsn: commit.lsn(), records: *commit.value() })
}

fn without_total(image: Image<'_>) -> Result<String> {
    let mut tree = Tree::parse(image.bytes())?;
    if let Tree::Object(fields) = &mut tree {
        for (name, value) in fields {
            if name == "total" {
                *value = Tree::Number("0".to_owned());
            }
        }
    }
    Ok(tree.to_string())
}

struct Found {
    lsn: Lsn,
    records: u64,
    actor: String,
    message: String,
}

/// The transaction that took the total of most records to 0, or deleted most.
fn find(store: &Store, collection: &str, hotel: bool) -> Result<Found> {
    let field = if hotel { Some("total".parse()?) } else { None };
    let to = if hotel { "0" } else { "absent" }.parse()?;
    let changes = LogQuery { collection: Some(collection.to_owned()), ..LogQuery::default() };
    let query = SearchQuery { changes, field, from: None, to: Some(to) };
    let mut counts: BTreeMap<Lsn, u64> = BTreeMap::new();
    for hit in store.search(&query)? {
        *counts.entry(hit?.transaction.lsn()).or_default() += 1;
    }
    let most = counts.into_iter().max_by_key(|(_, count)| *count);
    let Some((lsn, records)) = most else {
        return Err(Error::new(&code::NO_SUCH_RECORD, "no such transaction was found"));
    };
    let transaction = store.transaction(lsn)?;
    let metadata = transaction.metadata();
    Ok(Found {
        lsn,
        records,
        actor: metadata.actor.clone().unwrap_or_default(),
        message: metadata.message.clone().unwrap_or_default(),
    })
}

fn total(image: Option<Image<'_>>) -> u64 {
    let tree = image.and_then(|image| Tree::parse(image.bytes()).ok());
    match tree.as_ref().and_then(|tree| tree.get("total")) {
        Some(Tree::Number(text)) => text.parse().unwrap_or(0),
        _ => 0,
    }
}

fn past(context: &Context, store: &Store, accident: &Accident, hotel: bool) -> Result<()> {
    for (when, lsn) in [("before", accident.lsn.previous()), ("now", store.head())] {
        let snapshot = store.snapshot_at(lsn)?;
        let started = now();
        let (mut records, mut sum) = (0_u64, 0);
        for record in snapshot.scan(&accident.collection, KeyRange::all())? {
            records += 1;
            sum += if hotel {
                total(Some(record?.image()))
            } else {
                record?.image().bytes().len() as u64
            };
        }
        let what = if hotel {
            format!("worth {}.{:02} EUR", sum / 100, sum % 100)
        } else {
            format!("of {sum} bytes")
        };
        context.out.say(&format!(
            "   {when:<6} (LSN {lsn}): {records} records {what}   (read in {})",
            shown(started.elapsed())
        ));
    }
    Ok(())
}

fn restore(context: &Context, store: &Store, stage: &Stage, to: Lsn) -> Result<String> {
    let by = Author { actor: Some("demo".into()), message: Some("undo the accident".into()) };
    let started = now();
    let report = store.restore_into(to, &stage.restored, &by, &mut |_| {})?;
    context.out.say(&format!(
        "   {} transactions, {} live records, in {}",
        report.transactions,
        report.records,
        shown(started.elapsed())
    ));
    let original = store.snapshot_at(to)?.digest()?;
    context.out.say(&format!("   digest of the original at LSN {to}: {original}"));
    context.out.say(&format!("   digest of the restored store:    {}", report.state_digest));
    if original != report.state_digest {
        return Err(Error::new(&code::DIGEST_MISMATCH, "the restored store differs"));
    }
    let started = now();
    let verified = afterimage::verify(&stage.restored, VerifyDepth::Deep, &mut |_| {})?;
    let verdict = if verified.valid { "sound" } else { "DAMAGED" };
    context.out.say(&format!(
        "   verify --deep: {verdict}, {} transactions and {} changes checked in {}",
        verified.transactions,
        verified.changes,
        shown(started.elapsed())
    ));
    Ok(report.state_digest.to_string())
}

pub(super) fn shown(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    if seconds >= 1.0 {
        format!("{seconds:.2} s")
    } else if seconds >= 0.001 {
        format!("{:.1} ms", seconds * 1e3)
    } else {
        format!("{:.0} µs", seconds * 1e6)
    }
}

pub(super) fn bytes(count: u64) -> String {
    format!("{}.{} MB", count / 1_000_000, count / 100_000 % 10)
}
