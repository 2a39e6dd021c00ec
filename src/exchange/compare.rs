//! Whether a store holds what an input says. Reads both and writes nothing.

use std::collections::BTreeMap;
use std::io::BufRead;

use serde::{Serialize, Serializer};

use super::event::Event;
use super::modes::{combined, is_same, record_of};
use super::options::{ImportMode, ImportOptions};
use super::source::{Feed, Line, at_line};
use crate::error::{ErrorKind, Result};
use crate::format::image::Image;
use crate::lsn::Lsn;
use crate::store::{KeyRange, Progress, Snapshot, Store};

/// So many differences are named one by one.
const DIFFERENCES_MAX: usize = 100;

/// How a store differs from what an input says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ImportComparison {
    /// Whether it does not differ.
    pub equal: bool,
    /// The moment of the store that was compared.
    pub lsn: Lsn,
    /// Records that the input names.
    pub records: u64,
    /// Those of them that are as it says.
    pub same: u64,
    /// Those that have another value.
    pub different: u64,
    /// Those that do not exist.
    pub missing: u64,
    /// Records that exist and should not: deleted by the input, or, after a replacement, not in it.
    pub unexpected: u64,
    /// The first hundred records that differ.
    pub differences: Vec<ImportDifference>,
    /// Names of the mapping that the input never has.
    pub warnings: Vec<String>,
}

/// A record that is not what an input says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ImportDifference {
    /// The line that says it last; zero if none names the record.
    pub line: u64,
    /// The record's collection.
    pub collection: String,
    /// The record's key.
    #[serde(serialize_with = "key")]
    pub key: Vec<u8>,
    /// In what way: `different`, `missing`, `unexpected`.
    pub what: &'static str,
}

/// As in change events.
fn key<S: Serializer>(key: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    use base64::Engine as _;
    if let Ok(text) = std::str::from_utf8(key) {
        return serializer.serialize_str(text);
    }
    let bytes = base64::engine::general_purpose::STANDARD.encode(key);
    serializer.collect_map([("$bytes", bytes)])
}

/// How a record stands to the last event about it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    Same,
    Different,
    Missing,
    Unexpected,
}

impl Standing {
    const fn what(self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::Different => "different",
            Self::Missing => "missing",
            Self::Unexpected => "unexpected",
        }
    }
}

/// By collection and key, with the line.
type Standings = BTreeMap<String, BTreeMap<Vec<u8>, (Standing, u64)>>;

impl Store {
    /// Compares the store with what an input says it should hold after an import with these
    /// options: of several events about a record, the last one counts. Keeps the key of each record
    /// in memory; works beside a writer and on a store that is open for reading.
    ///
    /// # Errors
    /// `Invalid` for a line that is no event, with its number; `Io` from the input; `Corrupt`.
    pub fn compare_import(
        &self,
        input: &mut dyn BufRead,
        options: &ImportOptions,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<ImportComparison> {
        const TELL_EVERY: u64 = 1000;
        let snapshot = self.snapshot();
        let mut feed = Feed::new(input, options)?;
        let mut standings = Standings::new();
        let mut done = 0;
        while let Some(Line { number, event }) = feed.next()? {
            let event = event.map_err(|error| at_line(number, error))?;
            let standing = standing(&snapshot, &event, options.mode);
            let standing = standing.map_err(|error| at_line(number, error))?;
            let records = match standings.get_mut(&event.collection) {
                Some(records) => records,
                None => standings.entry(event.collection).or_default(),
            };
            records.insert(event.key, (standing, number));
            done += 1;
            if done % TELL_EVERY == 0 {
                progress(Progress { phase: "compare", done, total: 0, unit: "changes" });
            }
        }
        let mut report = report(&standings, snapshot.lsn());
        if options.mode == ImportMode::Replace {
            for name in feed.named() {
                standings.entry(name).or_default();
            }
            extra(&snapshot, &standings, &mut report)?;
        }
        report.warnings = feed.warnings();
        report.equal = report.different + report.missing + report.unexpected == 0;
        Ok(report)
    }
}

fn standing(snapshot: &Snapshot, event: &Event, mode: ImportMode) -> Result<Standing> {
    let current = match snapshot.record(&event.collection, &event.key) {
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        record => record?.map(|record| record.image()),
    };
    let takes_records = matches!(mode, ImportMode::Merge | ImportMode::SkipExisting);
    if takes_records {
        record_of(event, mode)?;
    }
    Ok(match (&event.after, current) {
        (None, None) => Standing::Same,
        (None, Some(_)) => Standing::Unexpected,
        (Some(_), None) => Standing::Missing,
        (Some(after), Some(current)) => {
            let is_met = match mode {
                ImportMode::SkipExisting => true,
                ImportMode::Merge => is_equal(&combined(current, after), current),
                ImportMode::Append | ImportMode::Replace => is_equal(after, current),
            };
            if is_met { Standing::Same } else { Standing::Different }
        }
    })
}

fn is_equal(image: &crate::format::image::OwnedImage, current: Image<'_>) -> bool {
    image.schema == current.schema() && is_same(image, current)
}

fn report(standings: &Standings, lsn: Lsn) -> ImportComparison {
    let mut report = ImportComparison { lsn, ..ImportComparison::default() };
    for (collection, records) in standings {
        for (key, (standing, line)) in records {
            report.records += 1;
            report.note(*standing, (*line, collection, key));
        }
    }
    report
}

/// What exists in a collection that was replaced, and the input does not name.
fn extra(snapshot: &Snapshot, standings: &Standings, report: &mut ImportComparison) -> Result<()> {
    for (collection, records) in standings {
        let scan = match snapshot.scan(collection, KeyRange::all()) {
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            scan => scan?,
        };
        for record in scan {
            let key = record?.key();
            if !records.contains_key(key) {
                report.note(Standing::Unexpected, (0, collection, key));
            }
        }
    }
    Ok(())
}

impl ImportComparison {
    fn note(&mut self, standing: Standing, (line, collection, key): (u64, &str, &[u8])) {
        match standing {
            Standing::Same => self.same += 1,
            Standing::Different => self.different += 1,
            Standing::Missing => self.missing += 1,
            Standing::Unexpected => self.unexpected += 1,
        }
        if standing != Standing::Same && self.differences.len() < DIFFERENCES_MAX {
            self.differences.push(ImportDifference {
                line,
                collection: collection.to_owned(),
                key: key.to_vec(),
                what: standing.what(),
            });
        }
    }
}
