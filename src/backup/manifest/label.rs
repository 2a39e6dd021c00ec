//! Labels of backups, in the form that pgBackRest uses.

use std::fmt;

use jiff::ToSpan;
use jiff::civil::DateTime;

use crate::error::{Error, Result, code};
use crate::time::Timestamp;

/// How many seconds after its beginning a backup may be labelled, because others have the labels
/// before it.
const SECONDS_TRIED_MAX: u32 = 86_400;

/// The label of a backup: `20261121-151500F` of a full one, and
/// `20261121-151500F_20261121-161500I` of an incremental one that follows it. Times are UTC.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Label(String);

impl Label {
    /// The label that is written so, if it is one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let valid = match text.split_once('_') {
            None => is_part(text, 'F'),
            Some((full, own)) => is_part(full, 'F') && is_part(own, 'I'),
        };
        valid.then(|| Self(text.to_owned()))
    }

    /// The label of a full backup that began then, or of the next second for which none exists.
    ///
    /// # Errors
    /// `Invalid` if the time can't be written or no second of a whole day is left.
    pub fn full(started: Timestamp, exists: impl Fn(&Self) -> bool) -> Result<Self> {
        free(started, |time| Self(format!("{time}F")), exists)
    }

    /// The label of an incremental backup that began then and follows `before`, be that a full
    /// backup or one that itself follows a full one.
    ///
    /// # Errors
    /// As [`full`](Self::full).
    pub fn incremental(
        before: &Self,
        started: Timestamp,
        exists: impl Fn(&Self) -> bool,
    ) -> Result<Self> {
        let full = before.full_part();
        free(started, |time| Self(format!("{full}_{time}I")), exists)
    }

    /// The label as it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is the label of a full backup.
    #[must_use]
    pub fn is_full(&self) -> bool {
        !self.0.contains('_')
    }

    /// The label of the full backup that it follows; of a full one, itself.
    #[must_use]
    pub fn full_part(&self) -> &str {
        self.0.split('_').next().unwrap_or(&self.0)
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl serde::Serialize for Label {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

fn free(
    started: Timestamp,
    label: impl Fn(String) -> Label,
    exists: impl Fn(&Label) -> bool,
) -> Result<Label> {
    let unusable =
        || Error::new(&code::INVALID_OPTION, "no label is left for a backup of this time");
    let time = jiff::Timestamp::from_microsecond(started.as_micros())
        .map_err(|source| unusable().with_source(source))?;
    for second in 0..SECONDS_TRIED_MAX {
        let time = time
            .checked_add(i64::from(second).seconds())
            .map_err(|source| unusable().with_source(source))?;
        let label = label(time.strftime("%Y%m%d-%H%M%S").to_string());
        // A year of more or fewer than four digits makes no label.
        if !exists(&label) {
            return Label::parse(label.as_str()).ok_or_else(unusable);
        }
    }
    Err(unusable())
}

/// `YYYYMMDD-HHMMSS` and the letter, naming a second that a calendar has.
fn is_part(text: &str, letter: char) -> bool {
    let Some((date, time)) = text.strip_suffix(letter).and_then(|text| text.split_once('-')) else {
        return false;
    };
    let digits =
        |text: &str, length| text.len() == length && text.bytes().all(|byte| byte.is_ascii_digit());
    digits(date, 8)
        && digits(time, 6)
        && DateTime::strptime("%Y%m%d-%H%M%S", format!("{date}-{time}")).is_ok_and(|parsed| {
            parsed.strftime("%Y%m%d-%H%M%S").to_string() == format!("{date}-{time}")
        })
}
