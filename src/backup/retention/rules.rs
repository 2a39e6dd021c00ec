//! Judging backups by the rules of a policy, as `restic forget` does: units of the calendar in a
//! time zone, of which only those count that have a backup; the newest of each; any rule that keeps
//! is enough.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Zoned;
use jiff::tz::TimeZone;
use serde::Serialize;

use super::policy::{Count, Period, Policy, Unit};
use crate::backup::manifest::Label;
use crate::time::Timestamp;

/// A backup as the rules see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its name.
    pub label: Label,
    /// When it began.
    pub time: Timestamp,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
}

/// Why a backup stays or goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Nothing was said about what to keep.
    PolicyIsEmpty,
    /// It is among the newest.
    Last,
    /// It is the newest of a unit of the calendar.
    Newest(Unit),
    /// It is the oldest, and the rule has not found as many units as it keeps.
    Oldest(Unit),
    /// It is at most so much older than the newest.
    Within(Period),
    /// It is the newest of a unit, and at most so much older than the newest.
    NewestWithin(Unit, Period),
    /// It is the oldest that the rule could keep.
    OldestWithin(Unit, Period),
    /// It has these annotations.
    Tags(Vec<String>),
    /// Its time is yet to come.
    Future,
    /// Backups of its kind stay until they are deleted.
    Kind,
    /// It is among the newest of its kind, and young enough.
    Limit,
    /// It is the newest of its kind, of which one always stays.
    NewestOfKind,
    /// It is pinned.
    Pinned,
    /// It can't be restored; that is for people to look at.
    Unsound,
    /// It is the last full backup.
    LastFull,
    /// No rule keeps it.
    NoRule,
    /// It was named to be deleted.
    Asked,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PolicyIsEmpty => f.write_str("policy is empty"),
            Self::Last => f.write_str("last backup"),
            Self::Newest(unit) => write!(f, "{} backup", unit.as_str()),
            Self::Oldest(unit) => write!(f, "oldest {} backup", unit.as_str()),
            Self::Within(period) => write!(f, "within {period}"),
            Self::NewestWithin(unit, period) => write!(f, "{} within {period}", unit.as_str()),
            Self::OldestWithin(unit, period) => {
                write!(f, "oldest {} within {period}", unit.as_str())
            }
            Self::Tags(tags) if tags.is_empty() => f.write_str("has no tags"),
            Self::Tags(tags) => write!(f, "has tags {}", tags.join(",")),
            Self::Future => f.write_str("dated in the future"),
            Self::Kind => f.write_str("kept until deleted"),
            Self::Limit => f.write_str("within the limits of its kind"),
            Self::NewestOfKind => f.write_str("newest of its kind"),
            Self::Pinned => f.write_str("pinned"),
            Self::Unsound => f.write_str("can't be restored, run verify"),
            Self::LastFull => f.write_str("last full backup"),
            Self::NoRule => f.write_str("no rule keeps it"),
            Self::Asked => f.write_str("named to be deleted"),
        }
    }
}

impl Serialize for Reason {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// For each candidate, in the order given, why it is kept; nothing if it is not.
#[must_use]
pub fn judge(
    policy: &Policy,
    candidates: &[Candidate],
    now: Timestamp,
    zone: &TimeZone,
) -> Vec<Vec<Reason>> {
    let mut reasons = vec![Vec::new(); candidates.len()];
    if policy.is_empty() {
        reasons.fill(vec![Reason::PolicyIsEmpty]);
        return reasons;
    }
    let mut sorted: Vec<(usize, &Candidate, Option<Zoned>)> = candidates
        .iter()
        .enumerate()
        .map(|(index, candidate)| (index, candidate, zoned(candidate.time, zone)))
        .collect();
    sorted.sort_by_key(|(_, c, _)| std::cmp::Reverse((c.time, c.label.clone())));
    // What is dated in the future is no measure for the others. A time that no calendar has is
    // invented; it is not judged either.
    let (past, future): (Vec<_>, Vec<_>) =
        sorted.into_iter().partition(|(_, c, zoned)| c.time <= now && zoned.is_some());
    for (index, ..) in future {
        if let Some(reasons) = reasons.get_mut(index) {
            reasons.push(Reason::Future);
        }
    }
    let past: Vec<(usize, &Candidate, Zoned)> =
        past.into_iter().filter_map(|(index, c, zoned)| Some((index, c, zoned?))).collect();
    let Some(latest) = past.first().map(|(_, _, zoned)| zoned.clone()) else { return reasons };
    let mut rules = Rules::new(policy, &latest);
    let count = past.len();
    for (number, (index, candidate, zoned)) in (1..).zip(&past) {
        let found = rules.judge(candidate, zoned, number == count);
        if let Some(reasons) = reasons.get_mut(*index) {
            reasons.extend(found);
        }
    }
    reasons
}

fn zoned(time: Timestamp, zone: &TimeZone) -> Option<Zoned> {
    let time = jiff::Timestamp::from_microsecond(time.as_micros()).ok()?;
    Some(time.to_zoned(zone.clone()))
}

/// The rules of a policy while they walk from the newest backup to the oldest.
struct Rules<'a> {
    policy: &'a Policy,
    last: Count,
    units: Vec<UnitRule>,
    within: Option<Since>,
}

/// A rule that keeps the newest of each unit.
struct UnitRule {
    unit: Unit,
    /// The unit of the last backup that it kept.
    kept: Option<Bucket>,
    left: Count,
    /// Only what is younger than this counts.
    since: Option<Since>,
}

#[derive(Clone)]
struct Since {
    period: Period,
    /// Without it the period reaches further back than any calendar.
    after: Option<Zoned>,
}

impl Since {
    fn of(period: Period, latest: &Zoned) -> Option<Self> {
        (!period.is_zero()).then(|| Self { period, after: period.before(latest) })
    }

    fn covers(&self, time: &Zoned) -> bool {
        self.after.as_ref().is_none_or(|after| time > after)
    }
}

impl<'a> Rules<'a> {
    fn new(policy: &'a Policy, latest: &Zoned) -> Self {
        let counted = Unit::ALL.into_iter().map(|unit| UnitRule {
            unit,
            kept: None,
            left: policy.count(unit),
            since: None,
        });
        let within = Unit::ALL.into_iter().filter_map(|unit| {
            let since = Some(Since::of(policy.within_unit(unit), latest)?);
            Some(UnitRule { unit, kept: None, left: Count::Unlimited, since })
        });
        Self {
            policy,
            last: policy.last,
            units: counted.chain(within).collect(),
            within: Since::of(policy.within, latest),
        }
    }

    fn judge(&mut self, candidate: &Candidate, time: &Zoned, is_oldest: bool) -> Vec<Reason> {
        let mut reasons = Vec::new();
        for tags in &self.policy.tags {
            if has_tags(candidate, tags) {
                reasons.push(Reason::Tags(tags.clone()));
            }
        }
        if let Some(since) = self.within.as_ref().filter(|since| since.covers(time)) {
            reasons.push(Reason::Within(since.period));
        }
        if take(&mut self.last) {
            reasons.push(Reason::Last);
        }
        for rule in &mut self.units {
            reasons.extend(rule.judge(time, is_oldest));
        }
        reasons
    }
}

impl UnitRule {
    fn judge(&mut self, time: &Zoned, is_oldest: bool) -> Option<Reason> {
        if self.since.as_ref().is_some_and(|since| !since.covers(time)) {
            return None;
        }
        let bucket = Bucket::of(self.unit, time);
        let is_new = self.kept != Some(bucket);
        if !(is_new || is_oldest) || !take(&mut self.left) {
            return None;
        }
        self.kept = Some(bucket);
        Some(match (&self.since, is_new) {
            (None, true) => Reason::Newest(self.unit),
            (None, false) => Reason::Oldest(self.unit),
            (Some(since), true) => Reason::NewestWithin(self.unit, since.period),
            (Some(since), false) => Reason::OldestWithin(self.unit, since.period),
        })
    }
}

/// Takes one of what is left, if there is any.
fn take(left: &mut Count) -> bool {
    match left {
        Count::Unset | Count::Newest(0) => false,
        Count::Newest(number) => {
            *number -= 1;
            true
        }
        Count::Unlimited => true,
    }
}

fn has_tags(candidate: &Candidate, tags: &[String]) -> bool {
    if tags.is_empty() {
        return candidate.annotations.is_empty();
    }
    tags.iter().all(|tag| match tag.split_once('=') {
        Some((name, value)) => candidate.annotations.get(name).is_some_and(|v| v == value),
        None => candidate.annotations.contains_key(tag),
    })
}

/// What two times of the same unit have in common.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Bucket([i16; 4]);

impl Bucket {
    fn of(unit: Unit, time: &Zoned) -> Self {
        let (year, month, day) = (time.year(), i16::from(time.month()), i16::from(time.day()));
        Self(match unit {
            Unit::Hourly => [year, month, day, i16::from(time.hour())],
            Unit::Daily => [year, month, day, 0],
            Unit::Weekly => {
                let week = time.date().iso_week_date();
                [week.year(), i16::from(week.week()), 0, 0]
            }
            Unit::Monthly => [year, month, 0, 0],
            Unit::Yearly => [year, 0, 0, 0],
        })
    }
}
