//! Restore points: names for moments.
//!
//! A person names a moment with [`Store::create_point`]. What changes much at once names the moment
//! before itself, inside its own transaction, with [`Transaction::mark_before`].

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::catalogue::POINTS;
use super::commit::Commit;
use super::engine::Engine;
use super::transaction::Transaction;
use super::{Author, KeyRange, Scan, Store, past, record};
use crate::error::{Error, Result, code};
use crate::lsn::Lsn;
use crate::time::Timestamp;

/// Names of restore points are at most this many bytes.
pub(super) const POINT_NAME_BYTES_MAX: usize = 255;
/// A restore point has at most this many annotations.
const ANNOTATIONS_MAX: usize = 64;
/// Names of annotations are at most this many bytes.
const ANNOTATION_NAME_BYTES_MAX: usize = 255;
/// Values of annotations are at most this many bytes.
const ANNOTATION_VALUE_BYTES_MAX: usize = 4096;
/// How many names are tried for an automatic restore point.
const NAMES_MAX: u32 = 1000;

/// So many automatic restore points are kept, the newest; those that are protected do not count.
pub const AUTOMATIC_POINTS_KEPT: usize = 10;
/// So many restore points before migrations are kept, the newest; those that are protected do not
/// count.
pub const PRE_MIGRATION_POINTS_KEPT: usize = 5;
/// A restore point before a migration is kept for so many days, but the newest for longer.
pub const PRE_MIGRATION_DAYS_KEPT: u32 = 7;

const MICROS_OF_A_DAY: i64 = 86_400_000_000;

/// A name for a moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RestorePoint {
    /// The name.
    pub name: String,
    /// The moment: the state after this transaction.
    pub lsn: Lsn,
    /// Who made it, which decides how long it is kept.
    pub kind: PointKind,
    /// Whether it is kept until it is unprotected, whatever its kind.
    pub protected: bool,
    /// What it is good for.
    pub note: Option<String>,
    /// Anything else, by name.
    pub annotations: BTreeMap<String, String>,
    /// When the name was given.
    pub created: Timestamp,
    /// Who gave it.
    pub actor: Option<String>,
}

/// Who made a restore point, which decides how long it is kept. A name that is forgotten costs
/// nothing of the history: the moment stays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum PointKind {
    /// A person; it is kept until it is deleted.
    #[default]
    #[serde(rename = "manual")]
    Manual,
    /// An undo, a restore or an import, before it changed anything; the newest
    /// [`AUTOMATIC_POINTS_KEPT`] are kept.
    #[serde(rename = "auto")]
    Automatic,
    /// A migration, before it changed anything; the newest [`PRE_MIGRATION_POINTS_KEPT`] of the
    /// last [`PRE_MIGRATION_DAYS_KEPT`] days are kept.
    #[serde(rename = "pre-migration")]
    PreMigration,
}

impl PointKind {
    /// The kind as it is written: `manual`, `auto`, `pre-migration`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Manual => "manual",
            Self::Automatic => "auto",
            Self::PreMigration => "pre-migration",
        }
    }
}

/// What a restore point is told when it is made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PointOptions {
    /// What it is good for.
    pub note: Option<String>,
    /// Whether it is protected from the start.
    pub protected: bool,
    /// Anything else, by name.
    pub annotations: BTreeMap<String, String>,
}

/// The record of a restore point in `$points`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct PointRecord {
    /// Without it, the moment is the one just before the transaction that wrote this: a transaction
    /// can name the moment before itself, but does not know its own number yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lsn: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    note: Option<String>,
    #[serde(default, skip_serializing_if = "PointRecord::is_manual")]
    kind: PointKind,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    protected: bool,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<String, String>,
}

impl PointRecord {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
    fn is_manual(kind: &PointKind) -> bool {
        *kind == PointKind::Manual
    }

    /// The record as it was written, its moment a number.
    fn read(record: &record::Record<'_>) -> Result<(Self, Lsn)> {
        let mut stored: Self =
            serde_json::from_slice(record.image().bytes()).map_err(|source| {
                Error::new(&code::DECODE, "the record of a restore point can't be read")
                    .at_lsn(record.lsn())
                    .with_source(source)
            })?;
        let lsn = stored.lsn.map_or_else(|| record.lsn().previous(), Lsn::new);
        stored.lsn = Some(lsn.get());
        Ok((stored, lsn))
    }

    fn check(&self) -> Result<()> {
        let bad = |(name, value): (&String, &String)| {
            name.is_empty()
                || name.len() > ANNOTATION_NAME_BYTES_MAX
                || value.len() > ANNOTATION_VALUE_BYTES_MAX
                || name.chars().any(|c| c.is_control() || c == '=')
        };
        if self.annotations.len() > ANNOTATIONS_MAX || self.annotations.iter().any(bad) {
            return Err(Error::new(
                &code::INVALID_OPTION,
                format!(
                    "annotations of a restore point: at most {ANNOTATIONS_MAX}, names of 1 to \
                     {ANNOTATION_NAME_BYTES_MAX} bytes without `=` and control characters, values \
                     of at most {ANNOTATION_VALUE_BYTES_MAX} bytes"
                ),
            ));
        }
        Ok(())
    }
}

impl Store {
    /// Names a moment. Costs one small transaction, whatever the store holds.
    ///
    /// # Errors
    /// `Conflict` if the name is taken; `Invalid` for a bad name; `OutsideWindow`; as
    /// [`write`](Store::write).
    pub fn create_point(
        &self,
        name: &str,
        at: Lsn,
        note: Option<&str>,
        by: &Author,
    ) -> Result<Commit<()>> {
        let options = PointOptions { note: note.map(str::to_owned), ..PointOptions::default() };
        self.create_point_with(name, at, &options, by)
    }

    /// [`create_point`](Self::create_point), with all that can be said about it.
    ///
    /// # Errors
    /// As [`create_point`](Self::create_point); `Invalid` for annotations over their limits.
    pub fn create_point_with(
        &self,
        name: &str,
        at: Lsn,
        options: &PointOptions,
        by: &Author,
    ) -> Result<Commit<()>> {
        check_name(name)?;
        self.engine.check_window(at)?;
        let record = PointRecord {
            lsn: Some(at.get()),
            note: options.note.clone(),
            kind: PointKind::Manual,
            protected: options.protected,
            annotations: options.annotations.clone(),
        };
        let mut tx = self.begin()?;
        tx.sign(by);
        tx.expect_system(POINTS, name.as_bytes(), Lsn::ZERO);
        tx.put_point(name, &record)?;
        tx.commit().map_err(|error| match error {
            error if error.code().id == code::EXPECTATION_FAILED.id => {
                Error::new(&code::POINT_EXISTS, format!("the restore point `{name}` exists"))
            }
            error => error,
        })
    }

    /// Changes what is said about a restore point: its note, if one is given (an empty one removes
    /// it), and the annotations of `set`, where `None` removes one. Where nothing differs, nothing
    /// is written.
    ///
    /// # Errors
    /// `NotFound` if there is none; `Invalid` for annotations over their limits; as
    /// [`write`](Store::write).
    pub fn annotate_point(
        &self,
        name: &str,
        note: Option<&str>,
        set: &[(String, Option<String>)],
        by: &Author,
    ) -> Result<Commit<()>> {
        self.change_point(name, by, |record| {
            if let Some(note) = note {
                record.note = Some(note.to_owned()).filter(|note| !note.is_empty());
            }
            for (name, value) in set {
                match value {
                    Some(value) => record.annotations.insert(name.clone(), value.clone()),
                    None => record.annotations.remove(name),
                };
            }
            record.check()
        })
    }

    /// Protects a restore point, so that it is neither deleted nor forgotten in time, or ends that.
    /// If it is so already, nothing is written.
    ///
    /// # Errors
    /// `NotFound` if there is none; as [`write`](Store::write).
    pub fn protect_point(&self, name: &str, protected: bool, by: &Author) -> Result<Commit<()>> {
        self.change_point(name, by, |record| {
            record.protected = protected;
            Ok(())
        })
    }

    fn change_point(
        &self,
        name: &str,
        by: &Author,
        mut change: impl FnMut(&mut PointRecord) -> Result<()>,
    ) -> Result<Commit<()>> {
        self.write(|tx| {
            tx.sign(by);
            let (before, _) = tx.stored_point(name)?;
            let mut after = before.clone();
            change(&mut after)?;
            if after == before { Ok(()) } else { tx.put_point(name, &after) }
        })
    }

    /// Forgets a name; the moment stays.
    ///
    /// # Errors
    /// `NotFound` if there is none; `Conflict` if it is protected; as [`write`](Store::write).
    pub fn delete_point(&self, name: &str, by: &Author) -> Result<Commit<()>> {
        self.delete_points(&[name], by)
    }

    /// Forgets several names in one transaction, or none of them.
    ///
    /// # Errors
    /// As [`delete_point`](Self::delete_point), for the first that can't be deleted.
    pub fn delete_points(&self, names: &[impl AsRef<str>], by: &Author) -> Result<Commit<()>> {
        self.write(|tx| {
            tx.sign(by);
            for name in names.iter().map(AsRef::as_ref) {
                if tx.stored_point(name)?.0.protected {
                    let message = format!("the restore point `{}` is protected", shown(name));
                    return Err(Error::new(&code::POINT_PROTECTED, message));
                }
            }
            for name in names {
                tx.delete_system(POINTS, name.as_ref().as_bytes())?;
            }
            Ok(())
        })
    }

    /// The restore point of this name.
    ///
    /// # Errors
    /// `NotFound` if there is none; `Corrupt`.
    pub fn point(&self, name: &str) -> Result<RestorePoint> {
        if name.is_empty() {
            return Err(no_such_point(name));
        }
        let found = point_at(&self.engine, name.as_bytes(), self.engine.visible())?;
        found.ok_or_else(|| no_such_point(name))
    }

    /// All restore points by name.
    ///
    /// # Errors
    /// `Corrupt` if one can't be read.
    pub fn points(&self) -> Result<Vec<RestorePoint>> {
        points_at(&self.engine, self.engine.visible())
    }
}

impl Transaction<'_> {
    /// Names the moment just before this transaction `before-WHAT-N`, N being the newest
    /// transaction by now, and returns the name. In exchange, names that are over what is kept of
    /// this kind are forgotten. All of it commits with the transaction, or not at all.
    ///
    /// Whoever takes one of these names before the commit, or changes one of these points, makes
    /// the commit fail with a `Conflict`, after which [`Store::write`] tries again.
    ///
    /// # Errors
    /// `Conflict` if no name is left; `Corrupt` if the points can't be read.
    pub(crate) fn mark_before(
        &mut self,
        what: &'static str,
        kind: PointKind,
        note: Option<&str>,
    ) -> Result<String> {
        let name = self.free_name(&format!("before-{what}-{}", self.engine.applied()))?;
        let note = note.map(str::to_owned);
        self.put_point(&name, &PointRecord { note, kind, ..PointRecord::default() })?;
        self.forget_points(kind)?;
        Ok(name)
    }

    fn free_name(&self, base: &str) -> Result<String> {
        for number in 1..=NAMES_MAX {
            let name = if number == 1 { base.to_owned() } else { format!("{base}-{number}") };
            if self.system_record(POINTS, name.as_bytes())?.is_none() {
                return Ok(name);
            }
        }
        Err(Error::new(&code::POINT_EXISTS, format!("the restore points `{base}`-N all exist")))
    }

    /// Forgets what is over the preset of this kind; the transaction has just put one of them.
    fn forget_points(&mut self, kind: PointKind) -> Result<()> {
        let now = self.engine.journal.clock.now().as_micros();
        let (kept, days) = match kind {
            PointKind::Manual => return Ok(()),
            PointKind::Automatic => (AUTOMATIC_POINTS_KEPT, None),
            PointKind::PreMigration => (PRE_MIGRATION_POINTS_KEPT, Some(PRE_MIGRATION_DAYS_KEPT)),
        };
        let oldest = days.map(|days| now.saturating_sub(i64::from(days) * MICROS_OF_A_DAY));
        let mut points = points_at(self.engine, self.snapshot)?;
        points.retain(|point| point.kind == kind && !point.protected);
        points.sort_by_key(|point| std::cmp::Reverse((point.lsn, point.created)));
        for (index, point) in (1..).zip(&points) {
            let expired = oldest.is_some_and(|oldest| point.created.as_micros() < oldest);
            if index >= kept || expired {
                // Read by the transaction, so that who protects it meanwhile wins.
                self.system_record(POINTS, point.name.as_bytes())?;
                self.delete_system(POINTS, point.name.as_bytes())?;
            }
        }
        Ok(())
    }

    fn stored_point(&self, name: &str) -> Result<(PointRecord, Lsn)> {
        if name.is_empty() {
            return Err(no_such_point(name));
        }
        let record = self.system_record(POINTS, name.as_bytes())?;
        PointRecord::read(&record.ok_or_else(|| no_such_point(name))?)
    }

    fn put_point(&mut self, name: &str, record: &PointRecord) -> Result<()> {
        record.check()?;
        let bytes = serde_json::to_vec(record).map_err(|source| {
            Error::new(&code::ENCODE, "the restore point can't be written").with_source(source)
        })?;
        self.put_system(POINTS, name.as_bytes(), &bytes)
    }
}

/// The restore points as they were at this moment, by name.
fn points_at(engine: &Engine, lsn: Lsn) -> Result<Vec<RestorePoint>> {
    let mut points = Vec::new();
    for record in Scan::new(engine, POINTS, KeyRange::all(), lsn) {
        points.extend(point_at(engine, record?.key(), lsn)?);
    }
    Ok(points)
}

fn point_at(engine: &Engine, key: &[u8], lsn: Lsn) -> Result<Option<RestorePoint>> {
    let Some(record) = record::read(engine, POINTS, key, lsn)? else { return Ok(None) };
    let (stored, at) = PointRecord::read(&record)?;
    // Who annotates or protects it did not give it its name.
    let (created, metadata) = past::creation(engine, POINTS, key, lsn)?;
    Ok(Some(RestorePoint {
        name: String::from_utf8_lossy(key).into_owned(),
        lsn: at,
        kind: stored.kind,
        protected: stored.protected,
        note: stored.note,
        annotations: stored.annotations,
        created,
        actor: metadata.actor,
    }))
}

fn no_such_point(name: &str) -> Error {
    Error::new(&code::NO_SUCH_POINT, format!("there is no restore point `{}`", shown(name)))
}

fn shown(name: &str) -> String {
    name.chars().take(80).flat_map(char::escape_debug).collect()
}

/// Names must stay one word of a `REV`.
fn check_name(name: &str) -> Result<()> {
    let bad = |c: char| c.is_whitespace() || c.is_control();
    if name.is_empty()
        || name.len() > POINT_NAME_BYTES_MAX
        || name.contains("..")
        || name.ends_with('^')
        || name.contains('~')
        || name.chars().any(bad)
    {
        return Err(Error::new(
            &code::INVALID_POINT_NAME,
            format!("`{}` is no name for a restore point", shown(name)),
        ));
    }
    Ok(())
}
