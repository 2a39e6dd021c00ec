//! Reading lines of change events into a store, transaction by transaction.

use std::io::{BufRead, Read as _};

use serde::Serialize;

use super::event::Event;
use super::rehearsal::{Effect, Rehearsal, Trace};
use crate::error::{Error, ErrorKind, Result, code};
use crate::format::frame::TRANSACTION_BYTES_MAX;
use crate::format::image::{CodecId, Image, Op, OwnedImage};
use crate::format::metadata::Metadata;
use crate::json::Tree;
use crate::lsn::Lsn;
use crate::store::{Author, Commit, Progress, Store, Transaction};
use crate::time::Timestamp;

/// A line is at most this long: two images of a gigabyte each, in base64.
pub const LINE_BYTES_MAX: u64 = 3 << 30;
/// Lines that name no transaction are grouped by this many, unless told otherwise.
const BATCH: usize = 1000;
/// The lines of one transaction take at most this much memory: both images and what stands around
/// them. More could not be committed.
const GROUP_BYTES_MAX: u64 = 4 * TRANSACTION_BYTES_MAX;
/// How often a group is tried again because another thread wrote what it touches.
const ATTEMPTS_MAX: u32 = 64;

/// How to import.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportOptions {
    /// Take the events' times as commit times; else they are kept as the attribute
    /// `original_ts_us`.
    pub keep_times: bool,
    /// Take after images as the truth, whatever the store holds.
    pub upsert: bool,
    /// How many lines that name no transaction become one.
    pub batch: usize,
    /// Check everything and write nothing. Keeps the key and a hash of each record in memory.
    pub dry_run: bool,
    /// Who imports, and why; for events that do not say themselves.
    pub author: Author,
}

impl Default for ImportOptions {
    fn default() -> Self {
        Self {
            keep_times: false,
            upsert: false,
            batch: BATCH,
            dry_run: false,
            author: Author::default(),
        }
    }
}

/// What an import has done, or with `dry_run` would do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ImportReport {
    /// Transactions written.
    pub transactions: u64,
    /// Change events taken in.
    pub changes: u64,
    /// Records created.
    pub created: u64,
    /// Records updated.
    pub updated: u64,
    /// Records deleted.
    pub deleted: u64,
    /// The first transaction written; zero if none was.
    pub first_lsn: Lsn,
    /// The last transaction written; zero if none was.
    pub last_lsn: Lsn,
}

impl Store {
    /// Reads change events, one a line, and writes them transaction by transaction: each as soon as
    /// the next line shows that it is complete. Memory is bounded by the largest transaction.
    ///
    /// # Errors
    /// `Invalid` for a line that is no event, `Conflict` for one that contradicts the store, with
    /// its number; nothing of its transaction is written, those before it are. `Io` from the input;
    /// as [`Transaction::commit`].
    pub fn import(
        &self,
        input: &mut dyn BufRead,
        options: &ImportOptions,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<ImportReport> {
        let mut import = Import {
            store: self,
            options,
            rehearsal: options.dry_run.then(Rehearsal::default),
            group: Vec::new(),
            group_bytes: 0,
            report: ImportReport::default(),
        };
        let (mut line, mut told) = (Vec::new(), 0);
        for number in 1_u64.. {
            if !read_line(input, &mut line, number)? {
                break;
            }
            if line.trim_ascii().is_empty() {
                continue;
            }
            let event = Event::parse(&line).map_err(|error| at_line(number, error))?;
            import.take(number, event)?;
            // After each transaction, not after each line: what is told is committed.
            if import.report.changes > told {
                told = import.report.changes;
                progress(Progress { phase: "import", done: told, total: 0, unit: "changes" });
            }
        }
        import.finish_group()?;
        Ok(import.report)
    }
}

/// Reads one line; `false` at the end of the input.
fn read_line(input: &mut dyn BufRead, line: &mut Vec<u8>, number: u64) -> Result<bool> {
    line.clear();
    let read = input.take(LINE_BYTES_MAX + 1).read_until(b'\n', line).map_err(|source| {
        Error::new(&code::IO, format!("could not read line {number}")).with_source(source)
    })?;
    if read as u64 > LINE_BYTES_MAX {
        let message = format!("line {number} is longer than {LINE_BYTES_MAX} bytes");
        return Err(Error::new(&code::INVALID_EVENT, message));
    }
    Ok(read > 0)
}

/// An error of one line names it; its kind stays.
fn at_line(number: u64, error: Error) -> Error {
    let code = match error.code().id {
        id if id == code::INVALID_JSON.id => &code::INVALID_EVENT,
        _ => error.code(),
    };
    let message = format!("line {number}: {}", error.message());
    error.reworded(code, message)
}

struct Import<'s> {
    store: &'s Store,
    options: &'s ImportOptions,
    /// What a dry run has seen so far.
    rehearsal: Option<Rehearsal>,
    /// The lines of the transaction that is being read, with their numbers. The metadata stands in
    /// the first one only.
    group: Vec<(u64, Event)>,
    group_bytes: u64,
    report: ImportReport,
}

impl Import<'_> {
    fn take(&mut self, number: u64, mut event: Event) -> Result<()> {
        if self.options.keep_times {
            check_time(&event).map_err(|error| at_line(number, error))?;
        }
        if self.group.first().is_some_and(|(_, first)| self.is_complete(first, &event)) {
            self.finish_group()?;
        }
        if !self.group.is_empty() {
            event.metadata = Metadata::default();
        }
        self.group_bytes = self.group_bytes.saturating_add(event.bytes());
        if self.group_bytes > GROUP_BYTES_MAX {
            let message = format!("the transaction takes more than {GROUP_BYTES_MAX} bytes");
            return Err(at_line(number, Error::new(&code::TRANSACTION_TOO_LARGE, message)));
        }
        self.group.push((number, event));
        Ok(())
    }

    /// Whether the event begins another transaction. Lines that name none are put together, but not
    /// those of two authors, nor of two times that are kept: what one did must not stand under the
    /// other's name, nor seem to have been there before its time.
    fn is_complete(&self, first: &Event, event: &Event) -> bool {
        let is_batch = first.group.is_none();
        first.group != event.group
            || is_batch && self.group.len() >= self.options.batch.max(1)
            || is_batch && first.metadata != event.metadata
            || is_batch && self.options.keep_times && first.ts_us != event.ts_us
    }

    fn finish_group(&mut self) -> Result<()> {
        if self.group.is_empty() {
            return Ok(());
        }
        if let Some(rehearsal) = &mut self.rehearsal {
            let mut tx = self.store.rehearse();
            let effects = fill(&mut tx, &self.group, self.options, Some(rehearsal))?;
            let is_written = rehearsal.is_written(&self.group, &effects);
            self.note(&effects);
            self.report.transactions += u64::from(is_written);
            return Ok(());
        }
        for attempt in 1.. {
            let mut tx = self.store.begin()?;
            let effects = fill(&mut tx, &self.group, self.options, None)?;
            sign(&mut tx, &self.group, self.options);
            match tx.commit() {
                Ok(commit) => {
                    self.note(&effects);
                    self.note_commit(&commit);
                    break;
                }
                Err(error) if attempt < ATTEMPTS_MAX && error.code().id == code::CONFLICT.id => {}
                Err(error) if error.kind() == ErrorKind::Invalid => {
                    let number = self.group.first().map_or(0, |(number, _)| *number);
                    return Err(at_line(number, error));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn note(&mut self, effects: &[Effect]) {
        let report = &mut self.report;
        report.changes += self.group.len() as u64;
        self.group.clear();
        self.group_bytes = 0;
        for effect in effects {
            match effect {
                Effect::Created => report.created += 1,
                Effect::Updated => report.updated += 1,
                Effect::Deleted => report.deleted += 1,
                Effect::Nothing => {}
            }
        }
    }

    fn note_commit(&mut self, commit: &Commit<()>) {
        if commit.is_empty() {
            return;
        }
        let report = &mut self.report;
        report.transactions += 1;
        report.last_lsn = commit.lsn();
        if report.first_lsn == Lsn::ZERO {
            report.first_lsn = commit.lsn();
        }
    }
}

/// A time outside the calendar can't be shown, and one far ahead would hold all commits after it at
/// that time for ever.
fn check_time(event: &Event) -> Result<()> {
    match event.ts_us.map(jiff::Timestamp::from_microsecond) {
        Some(Err(source)) => {
            let message = "`ts_us` is not a time of the years -9999 to 9999";
            Err(Error::new(&code::INVALID_EVENT, message).with_source(source))
        }
        Some(Ok(_)) | None => Ok(()),
    }
}

/// Puts the events of a group into a transaction; checks each against what it sees, which in a dry
/// run is first of all what was rehearsed.
fn fill(
    tx: &mut Transaction<'_>,
    group: &[(u64, Event)],
    options: &ImportOptions,
    mut rehearsal: Option<&mut Rehearsal>,
) -> Result<Vec<Effect>> {
    let mut effects = Vec::with_capacity(group.len());
    for (number, event) in group {
        let applied = exists(tx, event, options, rehearsal.as_deref())
            .and_then(|exists| apply(tx, event, exists));
        effects.push(applied.map_err(|error| at_line(*number, error))?);
        if let Some(rehearsal) = &mut rehearsal {
            rehearsal.note(event);
        }
    }
    Ok(effects)
}

/// A record that an event meets.
#[derive(Clone, Copy)]
enum Current<'a> {
    Stored(Image<'a>),
    Rehearsed(Trace),
}

/// Whether the event's record exists; checked, unless the event is the truth.
fn exists(
    tx: &Transaction<'_>,
    event: &Event,
    options: &ImportOptions,
    rehearsal: Option<&Rehearsal>,
) -> Result<bool> {
    let current = match rehearsal.and_then(|rehearsal| rehearsal.record(event)) {
        Some(rehearsed) => (*rehearsed).map(Current::Rehearsed),
        None => {
            tx.record(&event.collection, &event.key)?.map(|record| Current::Stored(record.image()))
        }
    };
    if !options.upsert {
        check(event, current)?;
    }
    Ok(current.is_some())
}

fn apply(tx: &mut Transaction<'_>, event: &Event, exists: bool) -> Result<Effect> {
    match (&event.after, exists) {
        (Some(after), _) => {
            tx.put_image(&event.collection, &event.key, after.as_image())?;
            Ok(if exists { Effect::Updated } else { Effect::Created })
        }
        (None, true) => {
            tx.delete_record(&event.collection, &event.key)?;
            Ok(Effect::Deleted)
        }
        (None, false) => Ok(Effect::Nothing),
    }
}

/// Whether the event fits what the store holds.
fn check(event: &Event, current: Option<Current<'_>>) -> Result<()> {
    let what = match (event.op, current) {
        (Some(Op::Create | Op::Read), Some(_)) => "it creates a record that exists",
        (Some(Op::Update), None) => "it updates a record that does not exist",
        (Some(Op::Delete), None) => "it deletes a record that does not exist",
        (_, current) => match (&event.before, current) {
            (Some(before), Some(current)) if !is_same(before, current) => {
                "its before image is not what the store holds"
            }
            (Some(_), None) => "it has a before image and the record does not exist",
            _ => return Ok(()),
        },
    };
    let key = String::from_utf8_lossy(&event.key);
    let key: String = key.chars().take(80).flat_map(char::escape_debug).collect();
    let collection: String =
        event.collection.chars().take(80).flat_map(char::escape_debug).collect();
    Err(Error::new(&code::IMPORT_CONTRADICTION, format!("{collection}/{key}: {what}")))
}

/// Whether two images are the same value; JSON is compared by value and not by text.
fn is_same(before: &OwnedImage, current: Current<'_>) -> bool {
    let current = match current {
        Current::Stored(image) => image,
        Current::Rehearsed(trace) => return Trace::of(before.as_image()) == trace,
    };
    if before.codec != current.codec() {
        return false;
    }
    before.bytes == current.bytes()
        || (before.codec == CodecId::Json
            && match (Tree::parse(&before.bytes), Tree::parse(current.bytes())) {
                (Ok(before), Ok(current)) => before == current,
                _ => false,
            })
}

/// Notes who, why and when.
fn sign(tx: &mut Transaction<'_>, group: &[(u64, Event)], options: &ImportOptions) {
    if let Some((_, first)) = group.first() {
        tx.metadata.clone_from(&first.metadata);
    }
    if tx.metadata.actor.is_none() {
        tx.metadata.actor.clone_from(&options.author.actor);
    }
    if tx.metadata.message.is_none() {
        tx.metadata.message.clone_from(&options.author.message);
    }
    if let Some(ts_us) = group.iter().find_map(|(_, event)| event.ts_us) {
        if options.keep_times {
            tx.at_time(Timestamp::from_micros(ts_us));
        } else {
            tx.attribute("original_ts_us", ts_us);
        }
    }
}
