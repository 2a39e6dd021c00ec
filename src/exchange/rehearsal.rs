//! What a dry run remembers of the records that its events changed: whether each exists then, and a
//! hash of its value. That is some 100 bytes and the key for each record, whatever the values take.

use std::collections::{BTreeMap, BTreeSet};

use xxhash_rust::xxh3::xxh3_128;

use super::event::Event;
use crate::format::image::{CodecId, Image};
use crate::json::Tree;

/// What applying one event did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    Created,
    Updated,
    Deleted,
    /// The record is already what it would become.
    Unchanged,
    /// The record exists, and so stays as it is.
    Skipped,
    /// What would be deleted does not exist.
    Nothing,
}

/// A value, as far as it takes to tell it from another.
#[derive(Clone, Copy, Debug)]
pub(super) struct Trace {
    codec: CodecId,
    schema: u32,
    hash: blake3::Hash,
    /// Of the bytes as they are.
    exact: u128,
}

impl Trace {
    pub(super) fn of(image: Image<'_>) -> Self {
        let tree = match image.codec() {
            CodecId::Json => Tree::parse(image.bytes()).ok(),
            CodecId::Raw | CodecId::Bincode | CodecId::Rkyv => None,
        };
        let hash = match tree {
            Some(tree) => blake3::hash(sorted(tree).to_string().as_bytes()),
            None => blake3::hash(image.bytes()),
        };
        let exact = xxh3_128(image.bytes());
        Self { codec: image.codec(), schema: image.schema(), hash, exact }
    }

    /// Whether this is the value: of JSON, the order of the fields does not count.
    pub(super) fn is_value(&self, image: Image<'_>) -> bool {
        let other = Self::of(image);
        self.codec == other.codec && self.hash == other.hash
    }

    /// Whether this is the image, byte for byte.
    pub(super) fn is_image(&self, image: Image<'_>) -> bool {
        (self.codec, self.schema) == (image.codec(), image.schema())
            && self.exact == xxh3_128(image.bytes())
    }
}

/// The value with the fields of each object in the order of their names.
fn sorted(tree: Tree) -> Tree {
    match tree {
        Tree::Object(fields) => {
            let fields = fields.into_iter().map(|(name, value)| (name, sorted(value)));
            Tree::Object(fields.collect::<BTreeMap<_, _>>().into_iter().collect())
        }
        Tree::Array(items) => Tree::Array(items.into_iter().map(sorted).collect()),
        Tree::Null | Tree::Bool(_) | Tree::Number(_) | Tree::String(_) => tree,
    }
}

/// By collection and key; no trace: the record is deleted.
#[derive(Debug, Default)]
pub(super) struct Rehearsal {
    records: BTreeMap<String, BTreeMap<Vec<u8>, Option<Trace>>>,
}

impl Rehearsal {
    /// The event's record as earlier events left it; `None` if none of them touched it.
    pub(super) fn record(&self, event: &Event) -> Option<&Option<Trace>> {
        self.records.get(&event.collection)?.get(&event.key)
    }

    /// Takes an event's after image as the truth.
    pub(super) fn note(&mut self, event: &Event) {
        let trace = event.after.as_ref().map(|after| Trace::of(after.as_image()));
        let records = self.records.entry(event.collection.clone()).or_default();
        records.insert(event.key.clone(), trace);
    }

    /// Whether a group whose events were all noted leaves anything to write: a record that was
    /// created and deleted again in it does not.
    pub(super) fn is_written(&self, group: &[(u64, Event)], effects: &[Effect]) -> bool {
        let mut seen = BTreeSet::new();
        let acts = |effect: &Effect| !matches!(effect, Effect::Unchanged | Effect::Skipped);
        group.iter().zip(effects).filter(|(_, effect)| acts(effect)).any(|((_, event), effect)| {
            let is_first = seen.insert((&event.collection, &event.key));
            let existed = is_first && matches!(effect, Effect::Updated | Effect::Deleted);
            existed || matches!(self.record(event), Some(Some(_)))
        })
    }
}
