//! What an input holds, before anything is done with it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::BufRead;

use serde::Serialize;

use super::event::Event;
use super::options::ImportOptions;
use super::source::{Feed, Line, shown};
use crate::error::{ErrorKind, Result};
use crate::format::image::{CodecId, Op, OwnedImage};
use crate::json::Tree;
use crate::store::{Progress, Snapshot, Store};
use crate::time::Timestamp;

/// So many problems are named one by one.
const PROBLEMS_MAX: usize = 100;
/// So many actors, and so many fields, are told of each collection.
const ACTORS_MAX: usize = 100;
const FIELDS_MAX: usize = 1000;
/// So many records that exist already are named of each collection.
const COLLISIONS_MAX: usize = 10;

/// What an input holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ImportAnalysis {
    /// Change events, or records.
    pub events: u64,
    /// Transactions that the events name; records, and events that name none, are not counted.
    pub transactions: u64,
    /// Each collection, by its new name.
    pub collections: BTreeMap<String, InputCollection>,
    /// How many places can't be read.
    pub problems_total: u64,
    /// The first hundred of them.
    pub problems: Vec<ImportProblem>,
    /// Names of the mapping that the input never has.
    pub warnings: Vec<String>,
}

/// A place of an input that can't be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ImportProblem {
    /// The line.
    pub line: u64,
    /// The stable code of the error.
    pub code: &'static str,
    /// What is wrong.
    pub message: String,
}

/// What an input holds of one collection.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct InputCollection {
    /// Different records.
    pub records: u64,
    /// Change events, or records.
    pub events: u64,
    /// Events that create.
    pub creates: u64,
    /// Events that update.
    pub updates: u64,
    /// Events that delete.
    pub deletes: u64,
    /// Events of an export of state.
    pub reads: u64,
    /// Events without an operation, and records of documents and tables.
    pub puts: u64,
    /// The earliest time, if any is given.
    pub first_time: Option<Timestamp>,
    /// The latest.
    pub last_time: Option<Timestamp>,
    /// Who did it, and how often; of many actors the first hundred.
    pub actors: BTreeMap<String, u64>,
    /// Codecs of the after images, and how many have each.
    pub codecs: BTreeMap<&'static str, u64>,
    /// How many after images are JSON objects.
    pub objects: u64,
    /// The fields at their top, the first thousand.
    pub fields: BTreeMap<String, FieldAnalysis>,
    /// The longest after image.
    pub value_bytes_max: u64,
    /// Records that the input creates, or only puts, and that exist in the store.
    pub existing: u64,
    /// The first ten of them, as in addresses.
    pub existing_keys: Vec<String>,
    #[serde(skip)]
    seen: BTreeSet<Vec<u8>>,
}

/// What a field of an input holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct FieldAnalysis {
    /// The types of its values, and how often each comes.
    pub types: BTreeMap<&'static str, u64>,
    /// In how many objects it is absent.
    pub absent: u64,
}

/// Reads a whole input and says what is in it; writes nothing. With a store, also which records
/// exist there. Keeps the key of each record in memory.
///
/// # Errors
/// `Io` from the input; `Invalid` for options that do not go together; `Corrupt`. What is wrong in
/// the input is no error, but listed.
pub fn analyze_import(
    input: &mut dyn BufRead,
    options: &ImportOptions,
    store: Option<&Store>,
    progress: &mut dyn FnMut(Progress),
) -> Result<ImportAnalysis> {
    const TELL_EVERY: u64 = 1000;
    let snapshot = store.map(Store::snapshot);
    let mut feed = Feed::new(input, options)?;
    let mut analysis = ImportAnalysis::default();
    let mut group = None;
    while let Some(Line { number, event }) = feed.next()? {
        match event {
            Ok(event) => {
                if event.group.is_some() && event.group != group {
                    analysis.transactions += 1;
                }
                analysis.take(&event, snapshot.as_ref())?;
                group = event.group;
            }
            Err(error) => {
                analysis.problems_total += 1;
                if analysis.problems.len() < PROBLEMS_MAX {
                    let (code, message) = (error.code().id, error.message().to_owned());
                    analysis.problems.push(ImportProblem { line: number, code, message });
                }
            }
        }
        let done = analysis.events + analysis.problems_total;
        if done % TELL_EVERY == 0 {
            progress(Progress { phase: "analyze", done, total: 0, unit: "changes" });
        }
    }
    for collection in analysis.collections.values_mut() {
        collection.records = collection.seen.len() as u64;
        collection.seen.clear();
        for field in collection.fields.values_mut() {
            let present: u64 = field.types.values().sum();
            field.absent = collection.objects - present;
        }
    }
    analysis.warnings = feed.warnings();
    Ok(analysis)
}

impl ImportAnalysis {
    fn take(&mut self, event: &Event, snapshot: Option<&Snapshot>) -> Result<()> {
        self.events += 1;
        let collection = match self.collections.get_mut(&event.collection) {
            Some(collection) => collection,
            None => self.collections.entry(event.collection.clone()).or_default(),
        };
        collection.take(event);
        if collection.seen.insert(event.key.clone())
            && !matches!(event.op, Some(Op::Update | Op::Delete))
            && let Some(snapshot) = snapshot
            && exists(snapshot, event)?
        {
            collection.existing += 1;
            if collection.existing_keys.len() < COLLISIONS_MAX {
                collection.existing_keys.push(super::records::write_address(&event.key));
            }
        }
        Ok(())
    }
}

fn exists(snapshot: &Snapshot, event: &Event) -> Result<bool> {
    match snapshot.record(&event.collection, &event.key) {
        Ok(record) => Ok(record.is_some()),
        // A key that no record can have is told by the dry run, at its line.
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Invalid) => Ok(false),
        Err(error) => Err(error),
    }
}

impl InputCollection {
    fn take(&mut self, event: &Event) {
        self.events += 1;
        match event.op {
            Some(Op::Create) => self.creates += 1,
            Some(Op::Update) => self.updates += 1,
            Some(Op::Delete) => self.deletes += 1,
            Some(Op::Read) => self.reads += 1,
            None => self.puts += 1,
        }
        if let Some(time) = event.ts_us.map(Timestamp::from_micros) {
            self.first_time = Some(self.first_time.map_or(time, |first| first.min(time)));
            self.last_time = Some(self.last_time.map_or(time, |last| last.max(time)));
        }
        if let Some(actor) = &event.metadata.actor {
            let is_known = self.actors.contains_key(actor);
            if is_known || self.actors.len() < ACTORS_MAX {
                *self.actors.entry(actor.clone()).or_default() += 1;
            }
        }
        if let Some(after) = &event.after {
            self.value(after);
        }
    }

    fn value(&mut self, after: &OwnedImage) {
        *self.codecs.entry(after.codec.as_str()).or_default() += 1;
        self.value_bytes_max = self.value_bytes_max.max(after.bytes.len() as u64);
        if after.codec != CodecId::Json {
            return;
        }
        let Ok(Tree::Object(fields)) = Tree::parse(&after.bytes) else { return };
        self.objects += 1;
        for (name, value) in fields {
            // Names of fields may be as long as values, and nobody reads such ones.
            let name = shown(name.as_bytes());
            if self.fields.contains_key(&name) || self.fields.len() < FIELDS_MAX {
                let types = &mut self.fields.entry(name).or_default().types;
                *types.entry(type_of(&value)).or_default() += 1;
            }
        }
    }
}

const fn type_of(value: &Tree) -> &'static str {
    match value {
        Tree::Null => "null",
        Tree::Bool(_) => "boolean",
        Tree::Number(_) => "number",
        Tree::String(_) => "string",
        Tree::Array(_) => "array",
        Tree::Object(_) => "object",
    }
}
