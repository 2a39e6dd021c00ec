//! What a replacement has seen of its input, and so what is to go.

use std::collections::{BTreeMap, BTreeSet};

use super::event::Event;
use super::modes::named;
use crate::error::{Error, ErrorKind, Result, code};
use crate::format::image::Op;
use crate::format::metadata::Metadata;
use crate::store::Snapshot;

/// A replacement of what was there when it began. It looks back to that moment also when it is
/// several transactions, so that a dry run, which writes none of them, counts the same.
#[derive(Debug)]
pub(super) struct Replacement {
    before: Snapshot,
    /// By collection and key: whether the input, as far as it was read, leaves the record there.
    /// That is the key and some 50 bytes for each record.
    seen: BTreeMap<String, BTreeMap<Vec<u8>, bool>>,
}

impl Replacement {
    pub(super) fn of(before: Snapshot) -> Self {
        Self { before, seen: BTreeMap::new() }
    }

    /// How long the value is that an event replaces.
    pub(super) fn replaced_bytes(&self, event: &Event) -> Result<u64> {
        match self.before.record(&event.collection, &event.key) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(0),
            record => Ok(record?.map_or(0, |record| record.image().bytes().len() as u64)),
        }
    }

    /// What was there.
    pub(super) fn before(&self) -> Snapshot {
        self.before.clone()
    }

    /// A collection that is replaced, whether or not there is a record of it in the input.
    pub(super) fn name(&mut self, collection: String) {
        self.seen.entry(collection).or_default();
    }

    pub(super) fn collections(&self) -> Vec<String> {
        self.seen.keys().cloned().collect()
    }

    /// Whether the input holds this record.
    pub(super) fn holds(&self, collection: &str, key: &[u8]) -> bool {
        let found = self.seen.get(collection).and_then(|records| records.get(key));
        found.copied().unwrap_or(false)
    }

    /// Takes an event in. It need not fit what the store holds, but the events before it.
    pub(super) fn note(&mut self, event: &Event) -> Result<()> {
        let records = match self.seen.get_mut(&event.collection) {
            Some(records) => records,
            None => self.seen.entry(event.collection.clone()).or_default(),
        };
        let what = match (event.op, records.get(&event.key)) {
            (Some(Op::Create | Op::Read), Some(true)) => "the input has the record twice",
            (Some(Op::Update | Op::Delete), Some(false)) => "the input has deleted the record",
            _ => {
                records.insert(event.key.clone(), event.after.is_some());
                return Ok(());
            }
        };
        Err(Error::new(&code::IMPORT_CONTRADICTION, format!("{}: {what}", named(event))))
    }
}

/// The last event about each record: a replacement writes what comes of its input.
pub(super) fn net(group: Vec<(u64, Event)>) -> Vec<(u64, Event)> {
    let mut seen = BTreeSet::new();
    let from_behind = group.iter().rev();
    let mut is_last: Vec<bool> =
        from_behind.map(|(_, event)| seen.insert((&event.collection, &event.key))).collect();
    is_last.reverse();
    let kept = group.into_iter().zip(is_last).filter(|(_, is_last)| *is_last);
    kept.map(|(event, _)| event).collect()
}

/// The deletion of a record that the input does not hold.
pub(super) fn deletion(collection: &str, key: &[u8]) -> Event {
    Event {
        op: Some(Op::Delete),
        collection: collection.to_owned(),
        key: key.to_vec(),
        before: None,
        after: None,
        ts_us: None,
        group: None,
        metadata: Metadata::default(),
        store: None,
    }
}
