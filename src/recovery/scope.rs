//! Which records a restore or an undo is about.

use std::fmt;
use std::sync::Arc;

use crate::error::{Error, Result, code};
use crate::format::image::Image;
use crate::store::Store;

/// Which records a restore or an undo may touch: all of the user collections, or those that are
/// named, and of these the ones whose value fits.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    /// Records of these collections.
    pub collections: Vec<String>,
    /// These records.
    pub records: Vec<(String, Vec<u8>)>,
    /// Records of a collection whose key begins so.
    pub prefixes: Vec<(String, Vec<u8>)>,
    /// Of those, only records whose value fits, as it is or as it would become.
    pub condition: Option<Condition>,
}

/// So many records and prefixes are noted by name.
const NAMED_MAX: usize = 100;

type Test = dyn Fn(Image<'_>) -> Result<bool> + Send + Sync;

/// What a record's value must be like.
#[derive(Clone)]
pub struct Condition(Arc<Test>);

impl Condition {
    /// A condition that this function decides.
    pub fn new(test: impl Fn(Image<'_>) -> Result<bool> + Send + Sync + 'static) -> Self {
        Self(Arc::new(test))
    }
}

impl fmt::Debug for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Condition")
    }
}

impl Scope {
    /// Refuses names that a restore or an undo can't be about.
    pub(super) fn check(&self, store: &Store) -> Result<()> {
        let named = self.records.iter().chain(&self.prefixes).map(|(collection, _)| collection);
        for collection in self.collections.iter().chain(named) {
            if store.engine.catalogue.existing(collection)?.is_system() {
                let message = format!("`{collection}` is the store's own and stays as it is");
                return Err(Error::new(&code::SYSTEM_COLLECTION, message));
            }
        }
        Ok(())
    }

    /// Whether the record is among those that are named.
    pub(super) fn names(&self, collection: &str, key: &[u8]) -> bool {
        let is_it = |(c, k): &(String, Vec<u8>)| c == collection && *k == *key;
        let begins = |(c, p): &(String, Vec<u8>)| c == collection && key.starts_with(p);
        self.names_everything()
            || self.collections.iter().any(|name| name == collection)
            || self.records.iter().any(is_it)
            || self.prefixes.iter().any(begins)
    }

    /// Whether one of the values fits the condition.
    pub(super) fn fits(&self, values: [Option<Image<'_>>; 2]) -> Result<bool> {
        let Some(Condition(test)) = &self.condition else { return Ok(true) };
        for value in values.into_iter().flatten() {
            if test(value)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The records that are named one by one, if nothing else is.
    pub(super) fn only_records(&self) -> Option<&[(String, Vec<u8>)]> {
        let only = self.collections.is_empty() && self.prefixes.is_empty();
        (only && !self.records.is_empty()).then_some(&self.records)
    }

    /// What it names, as it stands in `$audit`; nothing if it is about everything.
    pub(super) fn describe(&self) -> serde_json::Value {
        if self.names_everything() && self.condition.is_none() {
            return serde_json::Value::Null;
        }
        let named = |records: &[(String, Vec<u8>)]| -> Vec<_> {
            let first = records.iter().take(NAMED_MAX);
            first.map(|(c, key)| format!("{c}/{}", String::from_utf8_lossy(key))).collect()
        };
        serde_json::json!({
            "collections": self.collections,
            "records": named(&self.records),
            "prefixes": named(&self.prefixes),
            "condition": self.condition.is_some(),
        })
    }

    fn names_everything(&self) -> bool {
        self.collections.is_empty() && self.records.is_empty() && self.prefixes.is_empty()
    }
}
