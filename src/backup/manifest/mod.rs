//! The manifest of a backup: what it is, what it holds, and which objects it needs. It is written
//! last, once, and never changed; what is said later stands in [`Mark`]s beside it.
//!
//! A repository is foreign: whatever is read is bounded and checked before it is believed.

mod label;
mod mark;
#[cfg(test)]
pub(super) mod tests;
mod wire;

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use label::Label;
pub use mark::{Mark, MarkKind, Standing};

use crate::backup::object::{BACKUP_LSN_MAX, BaseRef, ObjectName, SliceRef};
use crate::error::{Error, Result, code};
use crate::format::digest::StateDigest;
use crate::lsn::Lsn;
use crate::time::Timestamp;

/// The version of manifests and marks that this build writes.
pub const MANIFEST_VERSION: u32 = 1;
/// A manifest is at most this many bytes.
pub const MANIFEST_BYTES_MAX: usize = 64 << 20;
/// A mark is at most this many bytes.
pub const MARK_BYTES_MAX: usize = 1 << 20;
/// A backup names at most this many slices of its own.
pub const MANIFEST_SLICES_MAX: usize = 100_000;
/// A backup leaves out at most this many collections by name.
pub const NOT_COVERED_MAX: usize = 10_000;
/// A description is at most this many bytes.
pub const DESCRIPTION_BYTES_MAX: usize = 64 << 10;
/// A backup has at most this many annotations.
pub const BACKUP_ANNOTATIONS_MAX: usize = 64;

const NAME_BYTES_MAX: usize = 255;
const ANNOTATION_VALUE_BYTES_MAX: usize = 4096;

/// Who asked for a backup, which decides how long it is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BackupKind {
    /// A person; it is kept until it is deleted.
    #[default]
    Manual,
    /// The program, by itself.
    Auto,
    /// A schedule.
    Scheduled,
    /// A migration, before it changed anything.
    PreMigration,
}

impl BackupKind {
    /// All kinds.
    pub const ALL: [Self; 4] = [Self::Manual, Self::Auto, Self::Scheduled, Self::PreMigration];

    /// The kind as it is written: `manual`, `auto`, `scheduled`, `pre-migration`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Manual => "manual",
            Self::Auto => "auto",
            Self::Scheduled => "scheduled",
            Self::PreMigration => "pre-migration",
        }
    }

    /// The kind that is written so.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

impl fmt::Display for BackupKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a backup can be restored from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BackupType {
    /// Its own objects: it has a base, or begins with the first transaction.
    Full,
    /// Its own objects and a chain of others that leads to them.
    Incremental,
}

impl BackupType {
    /// The type as it is written: `full`, `incremental`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Incremental => "incremental",
        }
    }
}

/// How much a backup holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupCounts {
    /// Transactions in its slices.
    pub transactions: u64,
    /// Changes in its slices.
    pub changes: u64,
    /// Live records in its base.
    pub records: u64,
}

/// What a backup is. Whoever has one has one whose parts fit together: [`check`](Self::check) has
/// passed, be it before it was written or after it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// Its name.
    pub label: Label,
    /// Who asked for it.
    pub kind: BackupKind,
    /// What it can be restored from.
    pub backup_type: BackupType,
    /// The repository it was made in.
    pub repository: Uuid,
    /// The store it is of.
    pub store: Uuid,
    /// That store's timeline.
    pub timeline: u32,
    /// The first transaction of its slices; without slices the moment of its base.
    pub first_lsn: Lsn,
    /// The moment it is of: the newest transaction of it.
    pub last_lsn: Lsn,
    /// When it began: what committed until then is in it.
    pub started: Timestamp,
    /// When its objects were all there.
    pub finished: Timestamp,
    /// The digest of the state at `last_lsn`.
    pub state_digest: StateDigest,
    /// What it is good for.
    pub description: Option<String>,
    /// Anything else, by name.
    pub annotations: BTreeMap<String, String>,
    /// Who made it.
    pub actor: Option<String>,
    /// The pieces of the journal that it brought or found there, in order, without a gap.
    pub slices: Vec<SliceRef>,
    /// The state it stands on, if it brought one.
    pub base: Option<BaseRef>,
    /// Collections that are not in it.
    pub not_covered: Vec<String>,
    /// The size of its objects.
    pub bytes: u64,
    /// How much it holds.
    pub counts: BackupCounts,
}

impl Manifest {
    /// The manifest as it is stored.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    pub fn encode(&self) -> Result<Vec<u8>> {
        self.check()?;
        let bytes = wire::encode(&wire::Manifest::from(self))?;
        if bytes.len() > MANIFEST_BYTES_MAX {
            return Err(damaged(&format!("it is over the limit of {MANIFEST_BYTES_MAX} bytes")));
        }
        Ok(bytes)
    }

    /// The manifest that is stored under this label.
    ///
    /// # Errors
    /// `Corrupt` for what is no manifest, or not the one of this label, or whose parts do not fit
    /// together; `Format` for one of a newer release.
    pub fn decode(label: &Label, bytes: &[u8]) -> Result<Self> {
        let wire: wire::Manifest = wire::decode(bytes, MANIFEST_BYTES_MAX, "manifest")?;
        let manifest = wire.read().map_err(|what| damaged(&format!("{label}: {what}")))?;
        if manifest.label != *label {
            return Err(damaged(&format!("{label} holds the one of {}", manifest.label)));
        }
        manifest.check()?;
        Ok(manifest)
    }

    /// Whether its parts fit together.
    ///
    /// # Errors
    /// `Corrupt`, naming what does not.
    pub fn check(&self) -> Result<()> {
        let wrong = self
            .wrong_texts()
            .or_else(|| self.wrong_window())
            .or_else(|| self.wrong_slices())
            .or_else(|| self.wrong_sums());
        wrong.map_or(Ok(()), |what| Err(damaged(&format!("{}: {what}", self.label))))
    }

    /// The moments that its keeping promises: each of them can be restored as long as it is kept.
    /// Of one with a base those from the base on, since what leads to the base may go; of an
    /// incremental one all those of its slices, whose way back is kept with it.
    #[must_use]
    pub fn promised(&self) -> (Lsn, Lsn) {
        let reaches_back = self.first_lsn == Lsn::new(1) && !self.slices.is_empty();
        let from = match self.base {
            _ if reaches_back => Lsn::ZERO,
            Some(base) => base.lsn,
            None => self.first_lsn,
        };
        (from, self.last_lsn)
    }

    /// The names and sizes of its own objects.
    pub fn objects(&self) -> impl Iterator<Item = (ObjectName, u64)> + '_ {
        let slices = self.slices.iter().map(|slice| (slice.name(), slice.bytes));
        slices.chain(self.base.iter().map(|base| (base.name(), base.bytes)))
    }

    fn wrong_texts(&self) -> Option<&'static str> {
        if self.description.as_ref().is_some_and(|text| text.len() > DESCRIPTION_BYTES_MAX) {
            return Some("the description is too long");
        }
        if self.actor.as_ref().is_some_and(|actor| !is_name(actor)) {
            return Some("the actor is no name");
        }
        if !annotations_are_bounded(&self.annotations) {
            return Some("the annotations are over their limits");
        }
        if self.not_covered.len() > NOT_COVERED_MAX
            || self.not_covered.iter().any(|name| !is_name(name))
        {
            return Some("what is not covered is no list of collections");
        }
        None
    }

    fn wrong_window(&self) -> Option<&'static str> {
        let whole = self.base.is_some() || self.first_lsn == Lsn::new(1);
        if self.label.is_full() != (self.backup_type == BackupType::Full) {
            return Some("the label is not one of its type");
        }
        if whole != (self.backup_type == BackupType::Full) {
            return Some("its objects are not those of its type");
        }
        if self.last_lsn.get() > BACKUP_LSN_MAX
            || self.first_lsn > self.last_lsn
            || self.first_lsn == Lsn::ZERO
        {
            return Some("the window is none");
        }
        if self.finished < self.started {
            return Some("it ended before it began");
        }
        None
    }

    /// Slices may overlap, but lead from the first to the last transaction without a gap.
    fn wrong_slices(&self) -> Option<&'static str> {
        if self.slices.len() > MANIFEST_SLICES_MAX {
            return Some("it has too many slices");
        }
        let mut end = self.first_lsn.previous();
        for slice in &self.slices {
            if slice.first == Lsn::ZERO || slice.first > slice.last {
                return Some("a slice is none");
            }
            if slice.first_time > slice.last_time {
                return Some("the times of a slice go backwards");
            }
            if slice.first < self.first_lsn || slice.first > end.next() || slice.last <= end {
                return Some("the slices do not follow each other");
            }
            end = slice.last;
        }
        let Some(base) = self.base else {
            return (end != self.last_lsn).then_some("the slices do not cover the window");
        };
        if self.slices.is_empty() {
            let alone = base.lsn == self.last_lsn && base.lsn == self.first_lsn;
            return (!alone).then_some("the base is not of the window");
        }
        if end != self.last_lsn
            || base.lsn == Lsn::ZERO
            || base.lsn > end
            || base.lsn < self.first_lsn.previous()
        {
            return Some("the base and the slices do not cover the window");
        }
        None
    }

    fn wrong_sums(&self) -> Option<&'static str> {
        let sum = self.objects().try_fold(0u64, |sum, (_, bytes)| sum.checked_add(bytes));
        if sum != Some(self.bytes) {
            return Some("its size is not that of its objects");
        }
        None
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.len() <= NAME_BYTES_MAX && !text.chars().any(char::is_control)
}

fn annotations_are_bounded(annotations: &BTreeMap<String, String>) -> bool {
    annotations.len() <= BACKUP_ANNOTATIONS_MAX
        && annotations.iter().all(|(name, value)| is_annotation(name, value))
}

fn is_annotation(name: &str, value: &str) -> bool {
    is_name(name) && !name.contains('=') && value.len() <= ANNOTATION_VALUE_BYTES_MAX
}

fn damaged(what: &str) -> Error {
    Error::new(&code::BACKUP_DAMAGED, format!("the manifest of a backup can't be used: {what}"))
}
