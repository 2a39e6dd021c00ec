//! Comparing moments by record and by field. Computed from the transactions between the two, not
//! from two scans: the cost is that of what happened in between.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::error::Result;
use crate::format::image::{CodecId, Image};
use crate::json::{FieldPath, Tree, fields};
use crate::lsn::Lsn;
use crate::store::Store;

/// A record that differs between two moments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordDiff<'a> {
    /// Its collection.
    pub collection: &'a str,
    /// Its key.
    pub key: &'a [u8],
    /// Its value at the first moment.
    pub before: Option<Image<'a>>,
    /// Its value at the second moment.
    pub after: Option<Image<'a>>,
}

/// A field that differs between two values.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FieldChange {
    /// The field, as [`FieldPath`] writes it; empty: the whole value.
    pub path: String,
    /// What it was, as JSON text; none if it was absent.
    pub before: Option<String>,
    /// What it is, as JSON text; none if it is absent.
    pub after: Option<String>,
}

impl Store {
    /// The records of the user collections that differ between the moments `from` and `to`, by
    /// collection and key; `to` may be the earlier one. A record that was changed and changed back
    /// is not among them.
    ///
    /// # Errors
    /// `OutsideWindow`; `Corrupt`.
    pub fn diff(&self, from: Lsn, to: Lsn) -> Result<Vec<RecordDiff<'_>>> {
        self.snapshot_at(from)?;
        self.snapshot_at(to)?;
        let (low, high) = (from.min(to), from.max(to));
        let mut net: BTreeMap<_, (Option<Image<'_>>, Option<Image<'_>>)> = BTreeMap::new();
        for transaction in self.transactions(low.next()..=high)? {
            for change in transaction?.changes() {
                let change = change?;
                if change.is_system() {
                    continue;
                }
                net.entry((change.collection(), change.key()))
                    .and_modify(|(_, after)| *after = change.after())
                    .or_insert((change.before(), change.after()));
            }
        }
        let record = |((collection, key), (before, after))| {
            let (before, after) = if from <= to { (before, after) } else { (after, before) };
            RecordDiff { collection, key, before, after }
        };
        Ok(net.into_iter().map(record).filter(|diff| diff.before != diff.after).collect())
    }
}

impl RecordDiff<'_> {
    /// The fields that differ.
    #[must_use]
    pub fn fields(&self) -> Vec<FieldChange> {
        field_changes(self.before, self.after)
    }
}

/// The fields that differ between two values. Values that are not JSON differ as a whole.
#[must_use]
pub fn field_changes(before: Option<Image<'_>>, after: Option<Image<'_>>) -> Vec<FieldChange> {
    let mut changes = Vec::new();
    if let (Some(Some(before)), Some(Some(after))) = (before.map(tree), after.map(tree)) {
        compare(&mut Vec::new(), Some(&before), Some(&after), &mut changes);
    } else {
        let (before, after) = (before.map(shown), after.map(shown));
        changes.push(FieldChange { path: String::new(), before, after });
    }
    changes
}

/// The value as JSON, if it is JSON.
pub(crate) fn tree(image: Image<'_>) -> Option<Tree> {
    match (image.codec(), Tree::parse(image.bytes())) {
        (CodecId::Json, Ok(tree)) => Some(tree),
        _ => None,
    }
}

/// JSON as it is, anything else by its codec and size.
pub(crate) fn shown(image: Image<'_>) -> String {
    if let Some(tree) = tree(image) {
        return tree.to_string();
    }
    let hash = blake3::hash(image.bytes()).to_hex();
    let start = hash.get(..12).unwrap_or_default();
    format!("<{} {} bytes, blake3 {start}>", image.codec(), image.bytes().len())
}

fn compare(
    path: &mut Vec<String>,
    before: Option<&Tree>,
    after: Option<&Tree>,
    changes: &mut Vec<FieldChange>,
) {
    if before == after {
        return;
    }
    match (before, after) {
        (Some(Tree::Object(old)), Some(Tree::Object(new))) => {
            let (before, after) = (fields(old), fields(new));
            let added = new.iter().filter(|(name, _)| !before.contains_key(name.as_str()));
            for (name, _) in old.iter().chain(added) {
                let name = name.as_str();
                path.push(name.to_owned());
                compare(path, before.get(name).copied(), after.get(name).copied(), changes);
                path.pop();
            }
        }
        (Some(Tree::Array(old)), Some(Tree::Array(new))) => {
            for index in 0..old.len().max(new.len()) {
                path.push(index.to_string());
                compare(path, old.get(index), new.get(index), changes);
                path.pop();
            }
        }
        _ => changes.push(FieldChange {
            path: FieldPath::new(path.clone()).to_string(),
            before: before.map(Tree::to_string),
            after: after.map(Tree::to_string),
        }),
    }
}
