//! What the part of a repository that belongs to one store holds: which backups are complete, what
//! is missing, what belongs to no backup, and which moments can be restored.
//!
//! It is folded from a listing of the objects, the manifests and the marks; nothing is asked of the
//! repository here. Only what backups that are kept need is counted on: what is deleted, or was
//! never finished, may go at any time and makes no promise.

mod line;
#[cfg(test)]
pub(super) mod tests;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use uuid::Uuid;

pub use line::{Line, TimeMoment};

use crate::backup::manifest::{BackupKind, BackupType, Label, Manifest, Mark, Standing};
use crate::backup::object::ObjectName;
use crate::error::{Error, Result, code};
use crate::lsn::Lsn;
use crate::time::Timestamp;

/// An object as a repository lists it, by its name within the store's part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its name.
    pub name: String,
    /// Its size.
    pub bytes: u64,
    /// When it was written, by the clock of the repository.
    pub modified: Timestamp,
}

/// A backup, with what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backup {
    /// What it is.
    pub manifest: Manifest,
    /// What was said about it since.
    pub standing: Standing,
    /// Whether it can be used.
    pub state: BackupState,
}

/// Whether a backup can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BackupState {
    /// Every moment that it promises can be restored.
    Complete,
    /// Objects of its own are missing, or have another size than they had: they were lost.
    Damaged(Vec<ObjectName>),
    /// Its own objects are there, but nothing leads to its first transaction.
    Unreachable,
    /// It is deleted, and can be taken back as long as its objects are there.
    Deleted {
        /// Since when.
        at: Timestamp,
        /// How many of its own objects are gone: as they should be, not lost.
        gone: usize,
    },
}

impl Backup {
    /// Whether it can be restored and is not deleted.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.state == BackupState::Complete
    }

    /// Whether it is deleted.
    #[must_use]
    pub fn is_deleted(&self) -> bool {
        self.standing.deleted.is_some()
    }

    /// The backup as one row of a list.
    #[must_use]
    pub fn row(&self) -> BackupRow {
        let manifest = &self.manifest;
        BackupRow {
            label: manifest.label.clone(),
            kind: manifest.kind,
            backup_type: manifest.backup_type,
            timeline: manifest.timeline,
            first_lsn: manifest.first_lsn,
            last_lsn: manifest.last_lsn,
            ts_us: manifest.started.as_micros(),
            bytes: manifest.bytes,
            description: self.standing.description.clone(),
            annotations: self.standing.annotations.clone(),
            pinned: self.standing.pinned,
            not_covered: manifest.not_covered.clone(),
        }
    }
}

/// One row of `backup list`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BackupRow {
    /// Its name.
    pub label: Label,
    /// Who asked for it.
    pub kind: BackupKind,
    /// What it can be restored from.
    #[serde(rename = "type")]
    pub backup_type: BackupType,
    /// The store's timeline.
    pub timeline: u32,
    /// The first transaction of its slices.
    pub first_lsn: Lsn,
    /// The moment it is of.
    pub last_lsn: Lsn,
    /// When it began.
    pub ts_us: i64,
    /// The size of its objects.
    pub bytes: u64,
    /// What it is good for.
    pub description: Option<String>,
    /// Anything else, by name.
    pub annotations: BTreeMap<String, String>,
    /// Whether it stays until it is unpinned.
    pub pinned: bool,
    /// Collections that are not in it.
    pub not_covered: Vec<String>,
}

/// What a repository holds of one store.
#[derive(Clone, Debug)]
pub struct Catalogue {
    store: Uuid,
    objects: BTreeMap<ObjectName, Listed>,
    backups: Vec<Backup>,
    lines: BTreeMap<u32, Line>,
    needed: BTreeSet<ObjectName>,
    unreferenced: Vec<ObjectName>,
    unreadable: Vec<ObjectName>,
    strange: Vec<Listed>,
}

impl Catalogue {
    /// What these objects, manifests and marks say. Manifests and marks that are listed and
    /// not given are taken as unreadable.
    ///
    /// # Errors
    /// `Corrupt` if a manifest is of another store or one label has two.
    pub fn new(
        store: Uuid,
        listed: Vec<Listed>,
        manifests: Vec<Manifest>,
        marks: &[Mark],
    ) -> Result<Self> {
        let mut objects = BTreeMap::new();
        let mut strange = Vec::new();
        for object in listed {
            match ObjectName::parse(&object.name) {
                Some(name) => drop(objects.insert(name, object)),
                None => strange.push(object),
            }
        }
        let backups = gather(store, &objects, manifests, marks)?;
        let unreadable = unreadable(&objects, &backups, marks);
        let mut catalogue = Self {
            store,
            objects,
            backups,
            lines: BTreeMap::new(),
            needed: BTreeSet::new(),
            unreferenced: Vec::new(),
            unreadable,
            strange,
        };
        catalogue.draw_lines();
        catalogue.find_unreferenced();
        Ok(catalogue)
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> Uuid {
        self.store
    }

    /// All backups, the oldest first, the deleted among them.
    #[must_use]
    pub fn backups(&self) -> &[Backup] {
        &self.backups
    }

    /// The backups that can be restored, the oldest first, as rows.
    pub fn rows(&self) -> impl Iterator<Item = BackupRow> + '_ {
        self.backups.iter().filter(|backup| backup.is_complete()).map(Backup::row)
    }

    /// The backup of this label.
    ///
    /// # Errors
    /// `NotFound` if there is none.
    pub fn backup(&self, label: &Label) -> Result<&Backup> {
        let found = self.backups.iter().find(|backup| backup.manifest.label == *label);
        found
            .ok_or_else(|| Error::new(&code::NO_SUCH_BACKUP, format!("there is no backup {label}")))
    }

    /// Whether a backup may not have this label, because one has it, or had it and has left marks.
    #[must_use]
    pub fn has_label(&self, label: &Label) -> bool {
        self.backups.iter().any(|backup| backup.manifest.label == *label)
            || self.objects.keys().any(|name| match name {
                ObjectName::Manifest(other) | ObjectName::Mark { label: other, .. } => {
                    other == label
                }
                ObjectName::Slice { .. } | ObjectName::Base { .. } | ObjectName::Lease(_) => false,
            })
    }

    /// The newest backup that can be restored.
    #[must_use]
    pub fn latest(&self) -> Option<&Backup> {
        self.backups.iter().rev().find(|backup| backup.is_complete())
    }

    /// The timelines of which there are backups.
    pub fn timelines(&self) -> impl Iterator<Item = u32> + '_ {
        self.lines.keys().copied()
    }

    /// What can be restored of one timeline.
    #[must_use]
    pub fn line(&self, timeline: u32) -> Option<&Line> {
        self.lines.get(&timeline)
    }

    /// The objects by name.
    #[must_use]
    pub fn objects(&self) -> &BTreeMap<ObjectName, Listed> {
        &self.objects
    }

    /// The slices and bases that the backups that are kept need: their own, and those that lead to
    /// them.
    #[must_use]
    pub fn needed(&self) -> &BTreeSet<ObjectName> {
        &self.needed
    }

    /// Slices and bases that no manifest names: a backup is being made, or was never finished.
    #[must_use]
    pub fn unreferenced(&self) -> &[ObjectName] {
        &self.unreferenced
    }

    /// Manifests, and marks of backups, that are there but were not given, since they could not be
    /// read.
    #[must_use]
    pub fn unreadable(&self) -> &[ObjectName] {
        &self.unreadable
    }

    /// Objects that are none of a repository.
    #[must_use]
    pub fn strange(&self) -> &[Listed] {
        &self.strange
    }

    /// The same repository without these objects, its backups deleted since then, or not at all.
    pub(super) fn after(
        &self,
        deleted: impl Fn(&Backup) -> Option<Timestamp>,
        gone: &BTreeSet<ObjectName>,
    ) -> Self {
        let mut objects = self.objects.clone();
        objects.retain(|name, _| !gone.contains(name));
        let mut backups = self.backups.clone();
        backups.retain(|backup| !gone.contains(&manifest_name(backup)));
        for backup in &mut backups {
            backup.standing.deleted = deleted(backup);
            backup.state = own_state(&backup.manifest, &backup.standing, &objects);
        }
        let mut after = Self {
            store: self.store,
            objects,
            backups,
            lines: BTreeMap::new(),
            needed: BTreeSet::new(),
            unreferenced: Vec::new(),
            unreadable: self.unreadable.clone(),
            strange: self.strange.clone(),
        };
        after.draw_lines();
        after.find_unreferenced();
        after
    }

    /// Works out for each timeline what the backups that are kept need, what that leads to, and
    /// with it which of them nothing leads to.
    fn draw_lines(&mut self) {
        let timelines: BTreeSet<u32> =
            self.backups.iter().map(|backup| backup.manifest.timeline).collect();
        for timeline in timelines {
            let backups = self.backups.iter().filter(|b| b.manifest.timeline == timeline);
            let (line, needed) = line::draw(&backups.collect::<Vec<_>>(), &self.objects);
            for backup in self.backups.iter_mut().filter(|b| b.manifest.timeline == timeline) {
                let (from, to) = backup.manifest.promised();
                if backup.is_complete() && !line.windows().covers(from, to) {
                    backup.state = BackupState::Unreachable;
                }
            }
            self.needed.extend(needed);
            self.lines.insert(timeline, line);
        }
    }

    fn find_unreferenced(&mut self) {
        let named: BTreeSet<ObjectName> =
            self.backups.iter().flat_map(|b| b.manifest.objects()).map(|(name, _)| name).collect();
        let content = self.objects.keys().filter(|name| name.is_content());
        self.unreferenced = content.filter(|name| !named.contains(name)).cloned().collect();
    }
}

/// The name of the manifest of a backup.
pub(super) fn manifest_name(backup: &Backup) -> ObjectName {
    ObjectName::Manifest(backup.manifest.label.clone())
}

fn gather(
    store: Uuid,
    objects: &BTreeMap<ObjectName, Listed>,
    manifests: Vec<Manifest>,
    marks: &[Mark],
) -> Result<Vec<Backup>> {
    let mut said: BTreeMap<&Label, Vec<&Mark>> = BTreeMap::new();
    for mark in marks {
        said.entry(&mark.label).or_default().push(mark);
    }
    let mut backups = Vec::with_capacity(manifests.len());
    let mut labels = BTreeSet::new();
    for manifest in manifests {
        manifest.check()?;
        let label = &manifest.label;
        if manifest.store != store {
            let message = format!("the backup {label} is of the store {}", manifest.store);
            return Err(Error::new(&code::WRONG_STORE, message));
        }
        if !labels.insert(label.clone()) {
            let message = format!("the backup {label} has two manifests");
            return Err(Error::new(&code::BACKUP_DAMAGED, message));
        }
        let marks = said.get(label).map(Vec::as_slice).unwrap_or_default();
        let standing = Standing::of(&manifest, marks.iter().copied());
        let state = own_state(&manifest, &standing, objects);
        backups.push(Backup { manifest, standing, state });
    }
    backups.sort_by(|a, b| order(&a.manifest).cmp(&order(&b.manifest)));
    Ok(backups)
}

fn order(manifest: &Manifest) -> (Timestamp, &Label) {
    (manifest.started, &manifest.label)
}

/// The state of a backup by its own objects alone.
fn own_state(
    manifest: &Manifest,
    standing: &Standing,
    objects: &BTreeMap<ObjectName, Listed>,
) -> BackupState {
    let mut missing: Vec<ObjectName> = manifest
        .objects()
        .filter(|(name, bytes)| objects.get(name).is_none_or(|object| object.bytes != *bytes))
        .map(|(name, _)| name)
        .collect();
    missing.dedup();
    match standing.deleted {
        Some(at) => BackupState::Deleted { at, gone: missing.len() },
        None if missing.is_empty() => BackupState::Complete,
        None => BackupState::Damaged(missing),
    }
}

fn unreadable(
    objects: &BTreeMap<ObjectName, Listed>,
    backups: &[Backup],
    marks: &[Mark],
) -> Vec<ObjectName> {
    let mut read: BTreeSet<ObjectName> = backups.iter().map(manifest_name).collect();
    read.extend(marks.iter().map(Mark::name));
    let words = objects.keys().filter(|name| match name {
        ObjectName::Manifest(_) => true,
        // What is left of a backup that is gone says nothing any more.
        ObjectName::Mark { label, .. } => {
            objects.contains_key(&ObjectName::Manifest(label.clone()))
        }
        ObjectName::Slice { .. } | ObjectName::Base { .. } | ObjectName::Lease(_) => false,
    });
    words.filter(|name| !read.contains(*name)).cloned().collect()
}
