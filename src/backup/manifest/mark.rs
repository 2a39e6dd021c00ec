//! What is said about a backup after it was made. Marks are documents of their own, numbered and
//! never overwritten, so that two who speak at once do not undo each other.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    BACKUP_ANNOTATIONS_MAX, DESCRIPTION_BYTES_MAX, Label, MANIFEST_VERSION, MARK_BYTES_MAX,
    Manifest, is_annotation, is_name, wire,
};
use crate::backup::object::ObjectName;
use crate::error::{Error, Result, code};
use crate::time::Timestamp;

/// One later word on a backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The backup.
    pub label: Label,
    /// Its place among the marks of this backup, from 1.
    pub number: u32,
    /// When it was said.
    pub at: Timestamp,
    /// Who said it.
    pub actor: Option<String>,
    /// What was said.
    pub kind: MarkKind,
}

/// What a mark says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MarkKind {
    /// Another description, and annotations to set or, by `null`, to remove.
    Note {
        /// The new description; an empty one removes it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        description: Option<String>,
        /// Annotations by name.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        annotations: BTreeMap<String, Option<String>>,
    },
    /// It stays until it is unpinned.
    Pin,
    /// It stays no longer than others of its kind.
    Unpin,
    /// It is deleted; its objects go after a time of grace.
    Delete,
    /// It is not deleted after all.
    Undelete,
}

impl Mark {
    /// The name of its object.
    #[must_use]
    pub fn name(&self) -> ObjectName {
        ObjectName::Mark { label: self.label.clone(), number: self.number }
    }

    /// The mark as it is stored.
    ///
    /// # Errors
    /// `Corrupt` for texts over their limits.
    pub fn encode(&self) -> Result<Vec<u8>> {
        self.check()?;
        wire::encode(&wire::Mark {
            format: MANIFEST_VERSION,
            label: self.label.to_string(),
            number: self.number,
            ts_us: self.at.as_micros(),
            actor: self.actor.clone(),
            kind: self.kind.clone(),
        })
    }

    /// The mark that is stored as this one of this backup.
    ///
    /// # Errors
    /// `Corrupt` for what is no mark, or not this one; `Format` for one of a newer release.
    pub fn decode(label: &Label, number: u32, bytes: &[u8]) -> Result<Self> {
        let stored: wire::Mark = wire::decode(bytes, MARK_BYTES_MAX, "mark")?;
        if stored.label != label.as_str() || stored.number != number {
            return Err(damaged(label, number));
        }
        let mark = Self {
            label: label.clone(),
            number,
            at: Timestamp::from_micros(stored.ts_us),
            actor: stored.actor,
            kind: stored.kind,
        };
        mark.check()?;
        Ok(mark)
    }

    fn check(&self) -> Result<()> {
        let actor = self.actor.as_ref().is_none_or(|actor| is_name(actor));
        let texts = match &self.kind {
            MarkKind::Note { description, annotations } => {
                let value = |value: &Option<String>| value.clone().unwrap_or_default();
                description.as_ref().is_none_or(|text| text.len() <= DESCRIPTION_BYTES_MAX)
                    && annotations.len() <= BACKUP_ANNOTATIONS_MAX
                    && annotations.iter().all(|(name, text)| is_annotation(name, &value(text)))
            }
            MarkKind::Pin | MarkKind::Unpin | MarkKind::Delete | MarkKind::Undelete => true,
        };
        let good = actor && texts && self.number > 0;
        if good { Ok(()) } else { Err(damaged(&self.label, self.number)) }
    }
}

fn damaged(label: &Label, number: u32) -> Error {
    let message = format!("mark {number} of the backup {label} can't be used");
    Error::new(&code::BACKUP_DAMAGED, message)
}

/// What holds of a backup after all that was said about it; of what contradicts, the newest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// What it is good for.
    pub description: Option<String>,
    /// Anything else, by name.
    pub annotations: BTreeMap<String, String>,
    /// Whether it stays until it is unpinned.
    pub pinned: bool,
    /// Since when it is deleted.
    pub deleted: Option<Timestamp>,
    /// The number of the next mark.
    pub next_mark: u32,
}

impl Standing {
    /// What holds after these marks, given in any order.
    #[must_use]
    pub fn of<'a>(manifest: &Manifest, marks: impl IntoIterator<Item = &'a Mark>) -> Self {
        let mut standing = Self {
            description: manifest.description.clone(),
            annotations: manifest.annotations.clone(),
            next_mark: 1,
            ..Self::default()
        };
        let own = |mark: &&Mark| mark.label == manifest.label;
        let mut marks: Vec<&Mark> = marks.into_iter().filter(own).collect();
        marks.sort_by_key(|mark| mark.number);
        for mark in marks {
            standing.next_mark = mark.number.saturating_add(1);
            standing.hear(mark);
        }
        standing
    }

    fn hear(&mut self, mark: &Mark) {
        match &mark.kind {
            MarkKind::Note { description, annotations } => {
                if let Some(text) = description {
                    self.description = Some(text.clone()).filter(|text| !text.is_empty());
                }
                for (name, value) in annotations {
                    match value {
                        Some(value) => self.annotations.insert(name.clone(), value.clone()),
                        None => self.annotations.remove(name),
                    };
                }
            }
            MarkKind::Pin => self.pinned = true,
            MarkKind::Unpin => self.pinned = false,
            // Who deletes again does not begin the time of grace anew.
            MarkKind::Delete => self.deleted = self.deleted.or(Some(mark.at)),
            MarkKind::Undelete => self.deleted = None,
        }
    }
}
