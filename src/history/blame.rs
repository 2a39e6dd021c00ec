//! Which transaction made each field of a record what it is.

use serde::Serialize;

use super::diff::{shown, tree};
use crate::error::{Error, Result, code};
use crate::json::{FieldPath, Tree};
use crate::lsn::Lsn;
use crate::store::{Store, Version};
use crate::time::Timestamp;

/// One field with the transaction that last changed it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BlameLine {
    /// The field, as [`FieldPath`] writes it; empty: the whole value.
    pub path: String,
    /// The field's value as JSON text.
    pub value: String,
    /// The transaction that gave it this value.
    pub lsn: Lsn,
    /// When that was.
    #[serde(rename = "ts")]
    pub time: Timestamp,
    /// Who it was.
    pub actor: Option<String>,
    /// Why.
    pub message: Option<String>,
}

impl Store {
    /// For each field of a record as it was at `at`, the transaction that last changed it. Costs
    /// what the record's versions cost, however long the journal.
    ///
    /// # Errors
    /// `NotFound` if there is no such record at that moment; `OutsideWindow`; `Corrupt`.
    pub fn blame(&self, collection: &str, key: &[u8], at: Lsn) -> Result<Vec<BlameLine>> {
        self.snapshot_at(at)?;
        let mut versions = Vec::new();
        for version in self.record_history(collection, key)? {
            let version = version?;
            if version.lsn() <= at {
                versions.push(version);
            }
        }
        let current = versions.first().and_then(|version: &Version<'_>| version.after());
        let Some(current) = current else {
            let key: String = String::from_utf8_lossy(key).escape_debug().collect();
            let message = format!("there is no record {collection}/{key}");
            return Err(Error::new(&code::NO_SUCH_RECORD, message));
        };
        let Some(current_tree) = tree(current) else {
            let newest = versions.iter().take(1);
            return Ok(newest
                .map(|version| line(String::new(), shown(current), version))
                .collect());
        };
        let mut leaves = Vec::new();
        collect_leaves(&mut Vec::new(), &current_tree, &mut leaves);
        Ok(attribute(leaves, &versions))
    }
}

type Path = Vec<String>;

/// Goes back through the versions; a field belongs to the newest one before which it was different.
fn attribute(leaves: Vec<(Path, &Tree)>, versions: &[Version<'_>]) -> Vec<BlameLine> {
    let open = leaves.into_iter().map(|(path, value)| (FieldPath::new(path), value, None));
    let mut open: Vec<_> = open.collect();
    for version in versions {
        let before = version.before().and_then(tree);
        for (path, value, found) in open.iter_mut().filter(|(_, _, found)| found.is_none()) {
            if before.as_ref().and_then(|tree| path.find(tree)) != Some(*value) {
                *found = Some(version);
            }
        }
        if open.iter().all(|(_, _, found)| found.is_some()) {
            break;
        }
    }
    open.into_iter()
        .filter_map(|(path, value, found)| Some(line(path.to_string(), value.to_string(), found?)))
        .collect()
}

fn line(path: String, value: String, version: &Version<'_>) -> BlameLine {
    BlameLine {
        path,
        value,
        lsn: version.lsn(),
        time: version.time(),
        actor: version.actor().map(str::to_owned),
        message: version.message().map(str::to_owned),
    }
}

fn collect_leaves<'a>(path: &mut Path, tree: &'a Tree, leaves: &mut Vec<(Path, &'a Tree)>) {
    match tree {
        Tree::Object(fields) if !fields.is_empty() => {
            for (name, value) in fields {
                path.push(name.clone());
                collect_leaves(path, value, leaves);
                path.pop();
            }
        }
        Tree::Array(items) if !items.is_empty() => {
            for (index, value) in items.iter().enumerate() {
                path.push(index.to_string());
                collect_leaves(path, value, leaves);
                path.pop();
            }
        }
        Tree::Object(_)
        | Tree::Array(_)
        | Tree::Null
        | Tree::Bool(_)
        | Tree::Number(_)
        | Tree::String(_) => leaves.push((path.clone(), tree)),
    }
}
