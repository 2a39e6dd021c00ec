//! When a backup is due: at times of a clock, at a fixed distance, or after each change. Times are
//! worked out, nothing is started here.
//!
//! Times of a clock are those of a time zone. One that is skipped when clocks go forward is due
//! when the gap is over; one that comes twice when they go back is due the first time. A schedule
//! that names no hour, such as `0 * * * *`, is due in both of two equal hours.

mod hooks;
mod phrase;
#[cfg(test)]
mod tests;

use std::fmt;
use std::str::FromStr;

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::Zoned;
use jiff::tz::TimeZone;

pub use hooks::{HOOKS_MAX, Hook, Hooks};

use crate::error::{Error, Result, code};
use crate::time::Timestamp;

/// The schedule of the preset `every-5-minutes`.
pub const EVERY_5_MINUTES: &str = "every 5 minutes";
/// The schedule of the preset of daily full backups.
pub const DAILY_FULL: &str = "daily at 03:00";
/// A schedule is at most this many bytes.
pub const SCHEDULE_BYTES_MAX: usize = 256;
/// Runs that were missed are counted up to this many.
pub const MISSED_RUNS_COUNTED_MAX: u32 = 1000;

const MICROS_OF_A_MINUTE: i64 = 60_000_000;

/// When backups are due.
///
/// ```
/// # #[cfg(feature = "backup")] {
/// use afterimage::backup::schedule::Schedule;
/// let schedule: Schedule = "daily at 03:00".parse()?;
/// assert_eq!(schedule.to_string(), "daily at 03:00");
/// # }
/// # Ok::<(), afterimage::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Schedule {
    text: String,
    times: Times,
}

#[derive(Clone, Debug)]
enum Times {
    /// After each change: no times at all.
    Changes,
    /// So many microseconds apart, counted from 1970: no change of clocks brings two runs together
    /// or apart.
    Every(i64),
    Clock(Box<Cron>),
}

/// Runs that were due while nobody was there to make them. However many they are, one backup
/// makes up for all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missed {
    /// When the first of them was due.
    pub first: Timestamp,
    /// When the last of them was due.
    pub last: Timestamp,
    /// How many there were; [`MISSED_RUNS_COUNTED_MAX`] stands for that many or more.
    pub count: u32,
}

impl Schedule {
    /// Whether a backup is due after each change, rather than at times.
    #[must_use]
    pub fn is_after_each_change(&self) -> bool {
        matches!(self.times, Times::Changes)
    }

    /// The first time after this one when a backup is due; `None` if there is none, as after each
    /// change.
    ///
    /// # Errors
    /// `Invalid` if the schedule names no time that any calendar has.
    pub fn next_after(&self, after: Timestamp, zone: &TimeZone) -> Result<Option<Timestamp>> {
        match &self.times {
            Times::Changes => Ok(None),
            Times::Every(micros) => {
                let now = after.as_micros();
                let next = now.checked_sub(now.rem_euclid(*micros));
                let next = next.and_then(|last| last.checked_add(*micros));
                Ok(next.map(Timestamp::from_micros))
            }
            Times::Clock(cron) => {
                let found = cron.find_next_occurrence(&self.zoned(after, zone)?, false);
                self.read(found).map(Some)
            }
        }
    }

    /// The last time at or before this one when a backup was due.
    ///
    /// # Errors
    /// As [`next_after`](Self::next_after).
    pub fn last_until(&self, until: Timestamp, zone: &TimeZone) -> Result<Option<Timestamp>> {
        match &self.times {
            Times::Changes => Ok(None),
            Times::Every(micros) => {
                let now = until.as_micros();
                Ok(now.checked_sub(now.rem_euclid(*micros)).map(Timestamp::from_micros))
            }
            Times::Clock(cron) => {
                let found = cron.find_previous_occurrence(&self.zoned(until, zone)?, true);
                self.read(found).map(Some)
            }
        }
    }

    /// The runs that were due after the last one was made, up to and including now: one backup is
    /// to be made if there is any.
    ///
    /// # Errors
    /// As [`next_after`](Self::next_after).
    pub fn missed(
        &self,
        last_run: Timestamp,
        now: Timestamp,
        zone: &TimeZone,
    ) -> Result<Option<Missed>> {
        let Some(first) = self.next_after(last_run, zone)?.filter(|first| *first <= now) else {
            return Ok(None);
        };
        let mut missed = Missed { first, last: first, count: 1 };
        while missed.count < MISSED_RUNS_COUNTED_MAX {
            match self.next_after(missed.last, zone)?.filter(|next| *next <= now) {
                Some(next) => missed.last = next,
                None => return Ok(Some(missed)),
            }
            missed.count += 1;
        }
        if let Some(last) = self.last_until(now, zone)? {
            missed.last = missed.last.max(last);
        }
        Ok(Some(missed))
    }

    fn zoned(&self, time: Timestamp, zone: &TimeZone) -> Result<Zoned> {
        let time = jiff::Timestamp::from_microsecond(time.as_micros())
            .map_err(|source| self.never().with_source(source))?;
        Ok(time.to_zoned(zone.clone()))
    }

    fn read(&self, found: Result<Zoned, croner::errors::CronError>) -> Result<Timestamp> {
        let time = found.map_err(|source| self.never().with_source(source))?;
        Ok(Timestamp::from_micros(time.timestamp().as_microsecond()))
    }

    fn never(&self) -> Error {
        let message = format!("the schedule `{}` names no time there", self.text);
        Error::new(&code::INVALID_SCHEDULE, message)
    }
}

impl FromStr for Schedule {
    type Err = Error;

    /// A cron expression of five fields, or words: `every change`, `every 5 minutes`, `every hour`,
    /// `daily`, `daily at 03:00`, `weekly`, `weekly on sunday at 04:30`, `monthly`.
    fn from_str(text: &str) -> Result<Self> {
        let wrong = |why: &str| {
            let shown: String = text.chars().take(60).flat_map(char::escape_debug).collect();
            Error::new(&code::INVALID_SCHEDULE, format!("`{shown}` is no schedule: {why}"))
        };
        if text.len() > SCHEDULE_BYTES_MAX {
            return Err(wrong("it is too long"));
        }
        let times = match phrase::read(text).map_err(wrong)? {
            phrase::Phrase::Changes => Times::Changes,
            phrase::Phrase::Minutes(minutes) => Times::Every(minutes * MICROS_OF_A_MINUTE),
            phrase::Phrase::Cron(pattern) => {
                let parser =
                    CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed);
                let cron = parser.build().parse(&pattern).map_err(|source| {
                    wrong("it is no cron expression of five fields").with_source(source)
                })?;
                Times::Clock(Box::new(cron))
            }
        };
        let schedule = Self { text: text.trim().to_owned(), times };
        // A day that no calendar has, such as February 30, is better refused now than waited for.
        schedule.next_after(Timestamp::from_micros(0), &TimeZone::UTC)?;
        Ok(schedule)
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
