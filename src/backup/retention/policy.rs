//! What is to be kept: the options of `restic forget`, and what is kept of each kind of backup.

use std::fmt;
use std::str::FromStr;

use jiff::{Span, Zoned};

use crate::backup::manifest::BackupKind;
use crate::error::{Error, Result, code};

/// So many automatic backups are kept, the newest.
pub const AUTO_BACKUPS_KEPT: u32 = 10;
/// So many backups before migrations are kept, the newest.
pub const PRE_MIGRATION_BACKUPS_KEPT: u32 = 5;
/// A backup before a migration is kept for so many days, but the newest for longer.
pub const PRE_MIGRATION_BACKUP_DAYS: u32 = 7;
/// So many backups are kept of a schedule of every five minutes, the newest.
pub const EVERY_5_MINUTES_KEPT: u32 = 50;
/// Backups of schedules are kept for so many days, unless another number is chosen.
pub const SCHEDULED_DAYS_KEPT: u32 = 90;
/// The numbers of days that have a preset.
pub const DAYS_PRESETS: [u32; 4] = [30, 60, 90, 180];

/// A policy has at most this many lists of tags.
const TAG_LISTS_MAX: usize = 100;
/// A part of a period is at most this.
const PERIOD_PART_MAX: u32 = 9_999;

/// How many backups a rule keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Count {
    /// It is not a rule at all.
    #[default]
    Unset,
    /// So many, at least one.
    Newest(u32),
    /// All.
    Unlimited,
}

impl FromStr for Count {
    type Err = Error;

    /// A number or `unlimited`; 0 is as if the rule was not given.
    fn from_str(text: &str) -> Result<Self> {
        match text {
            "unlimited" => Ok(Self::Unlimited),
            _ => match text.parse() {
                Ok(0) => Ok(Self::Unset),
                Ok(number) => Ok(Self::Newest(number)),
                Err(_) => {
                    Err(invalid(format!("`{}` is no number and not `unlimited`", shown(text))))
                }
            },
        }
    }
}

/// A length of time in calendar units: `2y5m7d3h`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Period {
    /// Years.
    pub years: u32,
    /// Months.
    pub months: u32,
    /// Days.
    pub days: u32,
    /// Hours.
    pub hours: u32,
}

impl Period {
    /// So many days.
    #[must_use]
    pub const fn days(days: u32) -> Self {
        Self { years: 0, months: 0, days, hours: 0 }
    }

    /// Whether it has no length, which stands for a rule that was not given.
    #[must_use]
    pub fn is_zero(self) -> bool {
        self == Self::default()
    }

    /// The moment this long before another; `None` if no calendar reaches there.
    pub(super) fn before(self, moment: &Zoned) -> Option<Zoned> {
        let span = Span::new()
            .try_years(self.years)
            .and_then(|span| span.try_months(self.months))
            .and_then(|span| span.try_days(self.days))
            .and_then(|span| span.try_hours(self.hours));
        moment.checked_sub(span.ok()?).ok()
    }
}

impl FromStr for Period {
    type Err = Error;

    /// Numbers with `y`, `m`, `d` or `h` behind them, each at most once.
    fn from_str(text: &str) -> Result<Self> {
        let wrong = || {
            invalid(format!(
                "`{}` is no period; write years, months, days, hours as in 2y5m7d3h, a week as 7d",
                shown(text)
            ))
        };
        let mut period = Self::default();
        let mut seen = [false; 4];
        let mut rest = text;
        while !rest.is_empty() {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let (number, behind) = rest.split_at(digits);
            let number: u32 = number.parse().map_err(|_| wrong())?;
            let mut characters = behind.chars();
            let (part, slot) = match characters.next() {
                Some('y') => (&mut period.years, 0),
                Some('m') => (&mut period.months, 1),
                Some('d') => (&mut period.days, 2),
                Some('h') => (&mut period.hours, 3),
                _ => return Err(wrong()),
            };
            let twice = seen.get_mut(slot).is_none_or(|seen| std::mem::replace(seen, true));
            if twice || number > PERIOD_PART_MAX {
                return Err(wrong());
            }
            *part = number;
            rest = characters.as_str();
        }
        if text.is_empty() { Err(wrong()) } else { Ok(period) }
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [(self.years, 'y'), (self.months, 'm'), (self.days, 'd'), (self.hours, 'h')];
        if self.is_zero() {
            return f.write_str("0h");
        }
        parts.iter().filter(|(n, _)| *n > 0).try_for_each(|(n, unit)| write!(f, "{n}{unit}"))
    }
}

/// The rules of calendar units, from the hour to the year.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// From one full hour to the next.
    Hourly,
    /// From midnight to midnight.
    Daily,
    /// From Monday to Sunday.
    Weekly,
    /// A month of the calendar.
    Monthly,
    /// A year of the calendar.
    Yearly,
}

impl Unit {
    /// All units, the shortest first.
    pub const ALL: [Self; 5] =
        [Self::Hourly, Self::Daily, Self::Weekly, Self::Monthly, Self::Yearly];

    /// The unit as it is written, `hourly`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hourly => "hourly",
            Self::Daily => "daily",
            Self::Weekly => "weekly",
            Self::Monthly => "monthly",
            Self::Yearly => "yearly",
        }
    }
}

/// Which backups are kept. A backup stays if any of the rules keeps it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// `--keep-last`: the newest.
    pub last: Count,
    /// `--keep-hourly`: the newest of each hour that has one.
    pub hourly: Count,
    /// `--keep-daily`: the newest of each day that has one.
    pub daily: Count,
    /// `--keep-weekly`: the newest of each week that has one.
    pub weekly: Count,
    /// `--keep-monthly`: the newest of each month that has one.
    pub monthly: Count,
    /// `--keep-yearly`: the newest of each year that has one.
    pub yearly: Count,
    /// `--keep-within`: all that are at most so much older than the newest.
    pub within: Period,
    /// `--keep-within-hourly`: of these, the newest of each hour.
    pub within_hourly: Period,
    /// `--keep-within-daily`: of these, the newest of each day.
    pub within_daily: Period,
    /// `--keep-within-weekly`: of these, the newest of each week.
    pub within_weekly: Period,
    /// `--keep-within-monthly`: of these, the newest of each month.
    pub within_monthly: Period,
    /// `--keep-within-yearly`: of these, the newest of each year.
    pub within_yearly: Period,
    /// `--keep-tag`: lists of annotations, `NAME` or `NAME=VALUE`; all of one list must be there.
    /// The empty list is that of backups without annotations.
    pub tags: Vec<Vec<String>>,
}

impl Policy {
    /// Keeps the newest so many.
    #[must_use]
    pub fn keep_last(number: u32) -> Self {
        Self { last: Count::Newest(number), ..Self::default() }
    }

    /// Keeps what is at most so many days older than the newest.
    #[must_use]
    pub fn keep_days(days: u32) -> Self {
        Self { within: Period::days(days), ..Self::default() }
    }

    /// Adds a list of tags as `--keep-tag` takes it: with commas between them.
    ///
    /// # Errors
    /// `Invalid` if there are too many.
    pub fn keep_tag(&mut self, list: &str) -> Result<()> {
        if self.tags.len() >= TAG_LISTS_MAX {
            return Err(invalid(format!("there are more than {TAG_LISTS_MAX} lists of tags")));
        }
        let tags = list.split(',').map(str::trim).filter(|tag| !tag.is_empty());
        self.tags.push(tags.map(str::to_owned).collect());
        Ok(())
    }

    /// Whether it has no rule.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let unset = |count: Count| matches!(count, Count::Unset | Count::Newest(0));
        unset(self.last)
            && Unit::ALL.into_iter().all(|unit| unset(self.count(unit)))
            && Unit::ALL.into_iter().all(|unit| self.within_unit(unit).is_zero())
            && self.within.is_zero()
            && self.tags.is_empty()
    }

    /// How many units of this kind it keeps one of.
    #[must_use]
    pub const fn count(&self, unit: Unit) -> Count {
        match unit {
            Unit::Hourly => self.hourly,
            Unit::Daily => self.daily,
            Unit::Weekly => self.weekly,
            Unit::Monthly => self.monthly,
            Unit::Yearly => self.yearly,
        }
    }

    /// For how long it keeps one of each unit of this kind.
    #[must_use]
    pub const fn within_unit(&self, unit: Unit) -> Period {
        match unit {
            Unit::Hourly => self.within_hourly,
            Unit::Daily => self.within_daily,
            Unit::Weekly => self.within_weekly,
            Unit::Monthly => self.within_monthly,
            Unit::Yearly => self.within_yearly,
        }
    }
}

/// What is kept of one kind of backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rule {
    /// All of them, until somebody deletes one.
    All,
    /// What a policy keeps.
    Policy(Policy),
    /// Those that are both among the newest and young enough, by the time now; the newest always.
    Limit {
        /// So many of them.
        newest: u32,
        /// So many days.
        days: u32,
    },
}

/// What is kept, by kind of backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Of backups that a person asked for.
    pub manual: Rule,
    /// Of automatic ones.
    pub auto: Rule,
    /// Of those of a schedule.
    pub scheduled: Rule,
    /// Of those before migrations.
    pub pre_migration: Rule,
}

impl Default for Retention {
    /// Manual ones for ever, the newest 10 automatic ones, scheduled ones for 90 days, of those
    /// before migrations at most 5 and for 7 days.
    fn default() -> Self {
        Self {
            manual: Rule::All,
            auto: Rule::Policy(Policy::keep_last(AUTO_BACKUPS_KEPT)),
            scheduled: Rule::Policy(Policy::keep_days(SCHEDULED_DAYS_KEPT)),
            pre_migration: Rule::Limit {
                newest: PRE_MIGRATION_BACKUPS_KEPT,
                days: PRE_MIGRATION_BACKUP_DAYS,
            },
        }
    }
}

impl Retention {
    /// The default, with this policy for automatic and scheduled backups.
    #[must_use]
    pub fn with_policy(policy: Policy) -> Self {
        Self {
            auto: Rule::Policy(policy.clone()),
            scheduled: Rule::Policy(policy),
            ..Self::default()
        }
    }

    /// The preset of this name: `default`, `every-5-minutes`, `30-days`, `60-days`, `90-days`,
    /// `180-days`.
    ///
    /// # Errors
    /// `Invalid` if there is none.
    pub fn preset(name: &str) -> Result<Self> {
        let default = Self::default();
        if name == "default" {
            return Ok(default);
        }
        if name == "every-5-minutes" {
            let scheduled = Rule::Policy(Policy::keep_last(EVERY_5_MINUTES_KEPT));
            return Ok(Self { scheduled, ..default });
        }
        let days = name.strip_suffix("-days").and_then(|days| days.parse().ok());
        match days.filter(|days| DAYS_PRESETS.contains(days)) {
            Some(days) => {
                let scheduled = Rule::Policy(Policy::keep_days(days));
                Ok(Self { scheduled, ..default })
            }
            None => Err(invalid(format!(
                "there is no preset `{}`; there are default, every-5-minutes, 30-days, 60-days, \
                 90-days and 180-days",
                shown(name)
            ))),
        }
    }

    /// What is kept of this kind.
    #[must_use]
    pub const fn rule(&self, kind: BackupKind) -> &Rule {
        match kind {
            BackupKind::Manual => &self.manual,
            BackupKind::Auto => &self.auto,
            BackupKind::Scheduled => &self.scheduled,
            BackupKind::PreMigration => &self.pre_migration,
        }
    }
}

fn invalid(message: String) -> Error {
    Error::new(&code::INVALID_OPTION, message)
}

fn shown(text: &str) -> String {
    text.chars().take(40).flat_map(char::escape_debug).collect()
}
