//! Reading an input into a store, transaction by transaction.

use std::io::BufRead;

use uuid::Uuid;

use super::event::Event;
use super::modes::fill;
use super::options::{ImportMode, ImportOptions, ImportReport};
use super::rehearsal::{Effect, Rehearsal};
use super::replace::{Replacement, deletion, net};
use super::source::{Feed, Line, at_line};
use crate::error::{Error, ErrorKind, Result, code};
use crate::format::frame::TRANSACTION_BYTES_MAX;
use crate::format::metadata::Metadata;
use crate::lsn::Lsn;
use crate::store::{Commit, KeyRange, PointKind, Progress, Store, Transaction};
use crate::time::Timestamp;

/// The lines of one transaction take at most this much memory: both images and what stands around
/// them. More could not be committed.
const GROUP_BYTES_MAX: u64 = 4 * TRANSACTION_BYTES_MAX;
/// How often a group is tried again because another thread wrote what it touches.
const ATTEMPTS_MAX: u32 = 64;

impl Store {
    /// Reads change events, or records, and writes them transaction by transaction: each as soon as
    /// the next line shows that it is complete. Memory is bounded by the largest transaction, and
    /// by the keys where [`ImportMode`] and [`ImportFormat`](super::ImportFormat) say so. The first
    /// transaction records the import in `$audit` and names the moment before it.
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
        let mut feed = Feed::new(input, options)?;
        let mut import = Import {
            store: self,
            options,
            rehearsal: options.dry_run.then(Rehearsal::default),
            replacement: (options.mode == ImportMode::Replace)
                .then(|| Replacement::of(self.snapshot())),
            group: Vec::new(),
            group_bytes: 0,
            group_lines: 0,
            report: ImportReport::default(),
        };
        import.run(&mut feed, progress).map_err(|error| import.explained(error))?;
        import.report.warnings = feed.warnings();
        Ok(import.report)
    }
}

struct Import<'s> {
    store: &'s Store,
    options: &'s ImportOptions,
    /// What a dry run has seen so far.
    rehearsal: Option<Rehearsal>,
    /// What a replacement has seen so far.
    replacement: Option<Replacement>,
    /// The lines of the transaction that is being read, with their numbers. The metadata stands in
    /// the first one only.
    group: Vec<(u64, Event)>,
    group_bytes: u64,
    /// How many lines of the input the transaction stands for.
    group_lines: u64,
    report: ImportReport,
}

impl Import<'_> {
    fn run(&mut self, feed: &mut Feed<'_>, progress: &mut dyn FnMut(Progress)) -> Result<()> {
        let mut told = 0;
        while let Some(Line { number, event }) = feed.next()? {
            let taken = event.map_err(|error| at_line(number, error));
            self.take(number, taken?)?;
            // After each transaction, not after each line: what is told is committed.
            if self.report.changes > told {
                told = self.report.changes;
                progress(Progress { phase: "import", done: told, total: 0, unit: "changes" });
            }
        }
        self.delete_the_rest(feed.named())?;
        self.finish_group()
    }

    /// Who is left with a part of an import should hear how to get rid of it.
    fn explained(&self, error: Error) -> Error {
        let Some(point) = &self.report.point else { return error };
        let message = format!(
            "{}; LSN {} to {} are imported, point:{point} is the moment before",
            error.message(),
            self.report.first_lsn,
            self.report.last_lsn
        );
        let code = error.code();
        error.reworded(code, message)
    }

    fn take(&mut self, number: u64, mut event: Event) -> Result<()> {
        if self.options.keep_times {
            check_time(&event).map_err(|error| at_line(number, error))?;
        }
        let mut bytes = event.bytes();
        if let Some(replacement) = &mut self.replacement {
            if number > 0 {
                replacement.note(&event).map_err(|error| at_line(number, error))?;
            }
            let replaced = replacement.replaced_bytes(&event);
            bytes += replaced.map_err(|error| at_line(number, error))?;
            // It is one act by whoever imports, now.
            event.metadata = Metadata::default();
            event.ts_us = None;
            event.group = None;
        }
        if self.group.first().is_some_and(|(_, first)| self.is_complete(first, &event, bytes)) {
            self.finish_group()?;
        }
        if !self.group.is_empty() {
            event.metadata = Metadata::default();
        }
        self.group_bytes = self.group_bytes.saturating_add(bytes);
        if self.group_bytes > GROUP_BYTES_MAX {
            let message = format!("the transaction takes more than {GROUP_BYTES_MAX} bytes");
            return Err(at_line(number, Error::new(&code::TRANSACTION_TOO_LARGE, message)));
        }
        self.group_lines += u64::from(number > 0);
        self.group.push((number, event));
        Ok(())
    }

    /// Whether the event begins another transaction. Lines that name none are put together, but not
    /// those of two authors, nor of two times that are kept: what one did must not stand under the
    /// other's name, nor seem to have been there before its time.
    fn is_complete(&self, first: &Event, event: &Event, bytes: u64) -> bool {
        if self.replacement.is_some() {
            return self.group_bytes.saturating_add(bytes) > self.options.replace_bytes;
        }
        let is_batch = first.group.is_none();
        first.group != event.group
            || is_batch && self.group.len() >= self.options.batch.max(1)
            || is_batch && first.metadata != event.metadata
            || is_batch && self.options.keep_times && first.ts_us != event.ts_us
    }

    /// What a replacement did not find in its input goes, after everything else.
    fn delete_the_rest(&mut self, named: Vec<String>) -> Result<()> {
        let Some(replacement) = &mut self.replacement else { return Ok(()) };
        for name in named {
            replacement.name(name);
        }
        let snapshot = replacement.before();
        for collection in replacement.collections() {
            let scan = match snapshot.scan(&collection, KeyRange::all()) {
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                scan => scan?,
            };
            for record in scan {
                let key = record?.key();
                let holds = |replacement: &Replacement| replacement.holds(&collection, key);
                if !self.replacement.as_ref().is_some_and(holds) {
                    self.take(0, deletion(&collection, key))?;
                }
            }
        }
        Ok(())
    }

    fn finish_group(&mut self) -> Result<()> {
        if self.group.is_empty() {
            return Ok(());
        }
        if self.replacement.is_some() {
            self.group = net(std::mem::take(&mut self.group));
        }
        if let Some(rehearsal) = &mut self.rehearsal {
            let mut tx = self.store.rehearse();
            let effects = fill(&mut tx, &self.group, self.options, Some(rehearsal))?;
            let is_written = rehearsal.is_written(&self.group, &effects);
            self.note(&effects);
            self.report.transactions += u64::from(is_written);
            return Ok(());
        }
        let is_first = self.report.transactions == 0;
        for attempt in 1.. {
            let mut tx = self.store.begin()?;
            let mut point = None;
            if is_first {
                let source = self.group.first().and_then(|(_, first)| first.store);
                point = Some(record(&mut tx, self.options, source)?);
            }
            let effects = fill(&mut tx, &self.group, self.options, None)?;
            sign(&mut tx, &self.group, self.options);
            match commit(tx, is_first) {
                Ok(commit) => {
                    self.note(&effects);
                    self.note_commit(commit.as_ref(), point);
                    break;
                }
                Err(error) if attempt < ATTEMPTS_MAX && is_overtaken(&error) => {}
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
        report.changes += std::mem::take(&mut self.group_lines);
        self.group.clear();
        self.group_bytes = 0;
        for effect in effects {
            match effect {
                Effect::Created => report.created += 1,
                Effect::Updated => report.updated += 1,
                Effect::Deleted => report.deleted += 1,
                Effect::Unchanged => report.unchanged += 1,
                Effect::Skipped => report.skipped += 1,
                Effect::Nothing => {}
            }
        }
    }

    fn note_commit(&mut self, commit: Option<&Commit<()>>, point: Option<String>) {
        let Some(commit) = commit.filter(|commit| !commit.is_empty()) else { return };
        let report = &mut self.report;
        report.transactions += 1;
        report.last_lsn = commit.lsn();
        if report.first_lsn == Lsn::ZERO {
            report.first_lsn = commit.lsn();
            report.point = point;
        }
    }
}

/// Leaves the import in `$audit`, and names the moment before it.
fn record(
    tx: &mut Transaction<'_>,
    options: &ImportOptions,
    source: Option<Uuid>,
) -> Result<String> {
    let mut entry = serde_json::json!({
        "action": "import",
        "mode": options.mode,
        "format": options.format.as_str(),
    });
    if let Some(fields) = entry.as_object_mut() {
        if let Some(file) = &options.file {
            fields.insert("file".into(), file.as_str().into());
        }
        if let Some(source) = source {
            fields.insert("source".into(), source.to_string().into());
        }
        for (name, is_set) in [("upsert", options.upsert), ("keep_times", options.keep_times)] {
            if is_set {
                fields.insert(name.into(), true.into());
            }
        }
    }
    tx.note_in_audit("import", &entry)?;
    tx.mark_before("import", PointKind::Automatic, options.file.as_deref())
}

/// Commits, but not a first transaction of which nothing but its record is left.
fn commit(tx: Transaction<'_>, is_first: bool) -> Result<Option<Commit<()>>> {
    let is_own = |collection: &str| collection.starts_with('$');
    if is_first && tx.preview()?.iter().all(|change| is_own(&change.collection)) {
        return Ok(None);
    }
    tx.commit().map(Some)
}

/// Whether another thread wrote what was read, or recorded another import in its place.
fn is_overtaken(error: &Error) -> bool {
    [code::CONFLICT.id, code::EXPECTATION_FAILED.id].contains(&error.code().id)
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
