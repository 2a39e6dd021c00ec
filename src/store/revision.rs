//! The grammar of moments, `REV`: the one way to address a moment, wherever one is asked for.
//!
//! ```text
//! REV   := BASE SUFFIX*
//! BASE  := LSN | HEAD | point:NAME | TIME
//! SUFFIX:= ^ | ~N          just before; N transactions back
//! TIME  := RFC 3339, with or without zone | YYYY-MM-DD[ HH:MM[:SS]] | DURATION ago | now
//! RANGE := REV..REV        the transactions after the first up to and including the second
//! ```

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{Span, Zoned};

use super::Store;
use crate::error::{Error, Result, code};
use crate::lsn::Lsn;
use crate::time::Timestamp;

/// Moments are written in at most this many bytes.
const REVISION_BYTES_MAX: usize = 1024;

impl Store {
    /// The moment that `rev` names; zero is the empty store before the first transaction. A time
    /// names the last transaction committed at or before it.
    ///
    /// # Errors
    /// `Invalid` if it is not understood; `NotFound` for an unknown restore point; `OutsideWindow`
    /// if the journal does not hold it.
    ///
    /// ```
    /// # let directory = tempfile::tempdir()?;
    /// # let path = directory.path().join("hotel.store");
    /// use afterimage::{Collection, Lsn, Raw, Store};
    ///
    /// const ROOMS: Collection<[u8], Raw> = Collection::new("rooms");
    /// let store = Store::open(&path)?;
    /// for state in ["open", "closed", "open"] {
    ///     store.write(|tx| tx.put(&ROOMS, "204", state.as_bytes()))?;
    /// }
    /// assert_eq!(store.resolve("HEAD~1")?, Lsn::new(2));
    /// assert_eq!(store.resolve("2^")?, Lsn::new(1));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn resolve(&self, rev: &str) -> Result<Lsn> {
        self.resolve_at(rev, self.head())
    }

    /// [`resolve`](Self::resolve), as if `head` were the newest transaction.
    ///
    /// # Errors
    /// As [`resolve`](Self::resolve).
    pub fn resolve_at(&self, rev: &str, head: Lsn) -> Result<Lsn> {
        let rev = rev.trim();
        if rev.is_empty() || rev.len() > REVISION_BYTES_MAX {
            return Err(not_understood(rev));
        }
        let (base, back) = split_suffixes(rev)?;
        let lsn = self.resolve_base(base, head)?;
        let Some(lsn) = lsn.get().checked_sub(back).map(Lsn::new) else {
            let message = format!("`{rev}` lies before the first transaction");
            return Err(Error::new(&code::OUTSIDE_WINDOW, format!("{message}; {}", self.window())));
        };
        self.engine.check_window(lsn)?;
        Ok(lsn)
    }

    /// The two ends of `A..B`; a missing end is the empty store, or the newest transaction.
    ///
    /// # Errors
    /// As [`resolve`](Self::resolve).
    pub fn resolve_range(&self, range: &str) -> Result<(Lsn, Lsn)> {
        self.resolve_range_at(range, self.head())
    }

    /// [`resolve_range`](Self::resolve_range), as if `head` were the newest transaction.
    ///
    /// # Errors
    /// As [`resolve`](Self::resolve).
    pub fn resolve_range_at(&self, range: &str, head: Lsn) -> Result<(Lsn, Lsn)> {
        let (from, to) = range.split_once("..").ok_or_else(|| {
            Error::new(
                &code::INVALID_REVISION,
                format!("`{}` is no range; write A..B", shown(range)),
            )
        })?;
        let from = match from.trim() {
            "" => self.first().previous(),
            from => self.resolve_at(from, head)?,
        };
        let to = match to.trim() {
            "" => head,
            to => self.resolve_at(to, head)?,
        };
        Ok((from, to))
    }

    /// The last transaction committed at or before `time`; zero if there is none.
    ///
    /// # Errors
    /// `OutsideWindow` if that transaction is not kept any more; `Corrupt`.
    pub fn lsn_at(&self, time: Timestamp) -> Result<Lsn> {
        let lsn = self.engine.journal.find_time(time)?.min(self.engine.visible());
        self.engine.check_window(lsn)?;
        Ok(lsn)
    }

    fn resolve_base(&self, base: &str, head: Lsn) -> Result<Lsn> {
        if base == "HEAD" {
            return Ok(head);
        }
        if let Some(name) = base.strip_prefix("point:") {
            return Ok(self.point(name)?.lsn);
        }
        if base.bytes().all(|byte| byte.is_ascii_digit()) && !base.is_empty() {
            let number = base.parse().map_err(|_| not_understood(base))?;
            // Checked before the suffixes apply: `99^` of a store with 98 transactions names a
            // moment that is there, by way of a transaction that is not.
            self.engine.check_window(Lsn::new(number))?;
            return Ok(Lsn::new(number));
        }
        let now = self.engine.journal.clock.now();
        match parse_time(base, now) {
            Some(time) => Ok(self.lsn_at(time)?.min(head)),
            None => Err(not_understood(base)),
        }
    }

    fn window(&self) -> String {
        format!("kept are LSN {} to {}", self.first(), self.head())
    }
}

/// Takes `^` and `~N` off the end; returns how many transactions they go back.
fn split_suffixes(rev: &str) -> Result<(&str, u64)> {
    let mut base = rev;
    let mut back = 0_u64;
    loop {
        if let Some(rest) = base.strip_suffix('^') {
            base = rest;
            back = back.saturating_add(1);
        } else if let Some((rest, count)) = base.rsplit_once('~') {
            let count = if count.is_empty() { Ok(1) } else { count.parse::<u64>() };
            base = rest;
            back = back.saturating_add(count.map_err(|_| not_understood(rev))?);
        } else {
            return Ok((base.trim_end(), back));
        }
    }
}

fn parse_time(text: &str, now: Timestamp) -> Option<Timestamp> {
    let zone = TimeZone::system();
    let now = jiff::Timestamp::from_microsecond(now.as_micros()).ok()?.to_zoned(zone.clone());
    if text == "now" {
        return Some(timestamp(now.timestamp()));
    }
    if let Some(span) = text.strip_suffix("ago") {
        let span: Span = span.trim().parse().ok()?;
        return Some(timestamp(now.checked_sub(span).ok()?.timestamp()));
    }
    if let Ok(zoned) = text.parse::<Zoned>() {
        return Some(timestamp(zoned.timestamp()));
    }
    if let Ok(instant) = text.parse::<jiff::Timestamp>() {
        return Some(timestamp(instant));
    }
    let local: DateTime = text.parse().ok()?;
    Some(timestamp(local.to_zoned(zone).ok()?.timestamp()))
}

/// Commit times have microseconds; a moment between two of them includes the earlier one.
fn timestamp(instant: jiff::Timestamp) -> Timestamp {
    Timestamp::from_micros(instant.as_microsecond())
}

fn not_understood(rev: &str) -> Error {
    Error::new(&code::INVALID_REVISION, format!("`{}` is no moment", shown(rev)))
}

fn shown(text: &str) -> String {
    text.chars().take(80).flat_map(char::escape_debug).collect()
}
