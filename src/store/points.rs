//! Restore points: names for moments.

use serde::{Deserialize, Serialize};

use super::catalogue::POINTS;
use super::commit::Commit;
use super::{Author, KeyRange, Scan, Store, past};
use crate::error::{Error, Result, code};
use crate::lsn::Lsn;
use crate::time::Timestamp;

/// Names of restore points are at most this many bytes.
pub(super) const POINT_NAME_BYTES_MAX: usize = 255;

/// A name for a moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RestorePoint {
    /// The name.
    pub name: String,
    /// The moment: the state after this transaction.
    pub lsn: Lsn,
    /// What it is good for.
    pub note: Option<String>,
    /// When the name was given.
    pub created: Timestamp,
    /// Who gave it.
    pub actor: Option<String>,
}

/// The record of a restore point in `$points`.
#[derive(Debug, Serialize, Deserialize)]
struct PointRecord {
    lsn: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    note: Option<String>,
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
        check_name(name)?;
        self.engine.check_window(at)?;
        let record = PointRecord { lsn: at.get(), note: note.map(str::to_owned) };
        let bytes = serde_json::to_vec(&record).map_err(|source| {
            Error::new(&code::ENCODE, "the restore point can't be written").with_source(source)
        })?;
        let mut tx = self.begin()?;
        tx.sign(by);
        tx.expect_system(POINTS, name.as_bytes(), Lsn::ZERO);
        tx.put_system(POINTS, name.as_bytes(), &bytes)?;
        tx.commit().map_err(|error| match error {
            error if error.code().id == code::EXPECTATION_FAILED.id => {
                Error::new(&code::POINT_EXISTS, format!("the restore point `{name}` exists"))
            }
            error => error,
        })
    }

    /// Forgets a name; the moment stays.
    ///
    /// # Errors
    /// `NotFound` if there is none; as [`write`](Store::write).
    pub fn delete_point(&self, name: &str, by: &Author) -> Result<Commit<()>> {
        let point = self.point(name)?;
        let mut tx = self.begin()?;
        tx.sign(by);
        tx.delete_system(POINTS, point.name.as_bytes())?;
        tx.commit()
    }

    /// The restore point of this name.
    ///
    /// # Errors
    /// `NotFound` if there is none; `Corrupt`.
    pub fn point(&self, name: &str) -> Result<RestorePoint> {
        let none = || {
            let shown: String = name.chars().take(80).flat_map(char::escape_debug).collect();
            Error::new(&code::NO_SUCH_POINT, format!("there is no restore point `{shown}`"))
        };
        if name.is_empty() {
            return Err(none());
        }
        self.read_point(name.as_bytes())?.ok_or_else(none)
    }

    /// All restore points by name.
    ///
    /// # Errors
    /// `Corrupt` if one can't be read.
    pub fn points(&self) -> Result<Vec<RestorePoint>> {
        let visible = self.engine.visible();
        let mut points = Vec::new();
        for record in Scan::new(&self.engine, POINTS, KeyRange::all(), visible) {
            points.extend(self.read_point(record?.key())?);
        }
        Ok(points)
    }

    fn read_point(&self, key: &[u8]) -> Result<Option<RestorePoint>> {
        let Some((record, metadata)) = past::newest(&self.engine, POINTS, key)? else {
            return Ok(None);
        };
        let stored: PointRecord =
            serde_json::from_slice(record.image().bytes()).map_err(|source| {
                Error::new(&code::DECODE, "the record of a restore point can't be read")
                    .at_lsn(record.lsn())
                    .with_source(source)
            })?;
        Ok(Some(RestorePoint {
            name: String::from_utf8_lossy(key).into_owned(),
            lsn: Lsn::new(stored.lsn),
            note: stored.note,
            created: record.time(),
            actor: metadata.actor,
        }))
    }
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
        let shown: String = name.chars().take(40).flat_map(char::escape_debug).collect();
        return Err(Error::new(
            &code::INVALID_POINT_NAME,
            format!("`{shown}` is no name for a restore point"),
        ));
    }
    Ok(())
}
