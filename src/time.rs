//! Moments in wall-clock time, and the only place that reads the wall clock.

use std::fmt;
use std::time::{Duration, SystemTime};

use jiff::tz::TimeZone;

/// A moment in microseconds since 1970-01-01T00:00:00Z.
///
/// ```
/// use afterimage::Timestamp;
/// assert_eq!(Timestamp::from_micros(1_500_000).to_string(), "1970-01-01T00:00:01.500000Z");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The moment this many microseconds after the epoch, or before it if negative.
    #[must_use]
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds since the epoch.
    #[must_use]
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// The moment in the system's time zone with its offset, `2026-11-19 17:00:00.123456 +01:00`.
    #[must_use]
    pub fn to_local_string(self) -> String {
        match jiff::Timestamp::from_microsecond(self.0) {
            Ok(time) => {
                time.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S%.6f %:z").to_string()
            }
            Err(_) => self.to_string(),
        }
    }
}

/// RFC 3339 in UTC with six decimals; a moment outside the years -9999 to 9999, which only
/// damaged or invented data has, as its number of microseconds.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_microsecond(self.0) {
            Ok(time) => write!(f, "{time:.6}"),
            Err(_) => write!(f, "{}us", self.0),
        }
    }
}

impl serde::Serialize for Timestamp {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Where the engine takes the time from. Tests script it; nothing else in the crate may look at
/// the wall clock.
pub trait Clock: Send + Sync + fmt::Debug {
    /// The time now. It may jump; the engine keeps commit times from going backwards.
    fn now(&self) -> Timestamp;
}

/// The operating system's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the place the lint points to")]
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        // A clock that stands before the epoch or beyond the year 290,000 is taken as its end.
        let micros = |duration: Duration| i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
        Timestamp(since.map_or_else(|before| -micros(before.duration()), micros))
    }
}
