use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::date;
use jiff::tz::TimeZone;
use jiff::{ToSpan, Zoned};
use proptest::prelude::*;

use super::plan::{Circumstances, LastVerify, Lease, RetentionPlan, plan_deletion, plan_retention};
use super::policy::{Count, Period, Policy, Retention, Rule, Unit};
use super::rules::{Candidate, Reason, judge};
use crate::backup::catalogue::tests::listed;
use crate::backup::catalogue::{Backup, Catalogue, Line, Listed};
use crate::backup::manifest::tests::{STORE, at, base, manifest, slice};
use crate::backup::manifest::{BackupKind, Label, Manifest, Mark, MarkKind};
use crate::backup::object::ObjectName;
use crate::error::{ErrorKind, Result, code};
use crate::lsn::Lsn;
use crate::time::Timestamp;

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;

fn candidate(time: &Zoned, number: usize) -> Candidate {
    let time = Timestamp::from_micros(time.timestamp().as_microsecond());
    let number = Timestamp::from_micros(time.as_micros() + i64::try_from(number).unwrap());
    let label = Label::full(time, |_| false).unwrap();
    Candidate { label, time: number, annotations: BTreeMap::new() }
}

fn never() -> Timestamp {
    Timestamp::from_micros(i64::MAX)
}

/// The indices of those that are kept, of candidates from the oldest to the newest.
fn kept(policy: &Policy, candidates: &[Candidate]) -> Vec<usize> {
    let reasons = judge(policy, candidates, never(), &TimeZone::UTC);
    (0..candidates.len()).filter(|index| !reasons[*index].is_empty()).collect()
}

fn days(first: &Zoned, count: i32) -> Vec<Candidate> {
    (0..count).map(|day| candidate(&first.checked_add(day.days()).unwrap(), 0)).collect()
}

fn utc(year: i16, month: i8, day: i8, hour: i8) -> Zoned {
    date(year, month, day).at(hour, 0, 0, 0).to_zoned(TimeZone::UTC).unwrap()
}

#[test]
fn sundays_as_in_the_documentation_of_restic() {
    // One backup every Sunday for 12 weeks; the last four of them are the last four days.
    let first = utc(2019, 9, 1, 11);
    let sundays: Vec<Candidate> =
        (0..12).map(|week| candidate(&first.checked_add((week * 7).days()).unwrap(), 0)).collect();
    let policy = Policy { daily: Count::Newest(4), ..Policy::default() };
    assert_eq!(kept(&policy, &sundays), [8, 9, 10, 11]);
    let reasons = judge(&policy, &sundays, never(), &TimeZone::UTC);
    assert_eq!(reasons[8][0].to_string(), "daily backup");
}

#[test]
fn a_hundred_years_as_in_the_documentation_of_restic() {
    let hundred = days(&utc(1920, 1, 1, 12), 36_525);
    let policy = Policy {
        daily: Count::Newest(7),
        weekly: Count::Newest(5),
        monthly: Count::Newest(12),
        yearly: Count::Newest(75),
        ..Policy::default()
    };
    let reasons = judge(&policy, &hundred, never(), &TimeZone::UTC);
    let by = |unit| reasons.iter().filter(|r| r.contains(&Reason::Newest(unit))).count();
    assert_eq!(
        [by(Unit::Daily), by(Unit::Weekly), by(Unit::Monthly), by(Unit::Yearly)],
        [7, 5, 12, 75]
    );
    let only = |unit| reasons.iter().filter(|r| **r == [Reason::Newest(unit)]).count();
    // The last day, 2019-12-31, is a Tuesday: two of the five weeks are in the seven days.
    assert_eq!(only(Unit::Weekly), 3);
    assert!([11, 12].contains(&only(Unit::Monthly)) && [74, 75].contains(&only(Unit::Yearly)));
    // The same with durations.
    let policy = Policy {
        within_daily: "7d".parse().unwrap(),
        within_weekly: "1m".parse().unwrap(),
        within_monthly: "1y".parse().unwrap(),
        within_yearly: "75y".parse().unwrap(),
        ..Policy::default()
    };
    let reasons = judge(&policy, &hundred, never(), &TimeZone::UTC);
    let by = |unit| {
        let of =
            |reason: &Reason| matches!(reason, Reason::NewestWithin(found, _) if *found == unit);
        reasons.iter().filter(|reasons| reasons.iter().any(of)).count()
    };
    assert_eq!(by(Unit::Daily), 7);
    assert!(by(Unit::Yearly) >= 75 && (5..=6).contains(&by(Unit::Weekly)));
}

#[test]
fn a_rule_that_is_not_filled_keeps_the_oldest_too_and_says_so() {
    let first = utc(2026, 5, 4, 1);
    let day: Vec<Candidate> =
        (0..3).map(|hour| candidate(&first.checked_add(hour.hours()).unwrap(), 0)).collect();
    let policy = Policy { daily: Count::Newest(7), ..Policy::default() };
    let reasons = judge(&policy, &day, never(), &TimeZone::UTC);
    assert_eq!(reasons[2], [Reason::Newest(Unit::Daily)]);
    assert_eq!(reasons[1], []);
    assert_eq!(reasons[0][0].to_string(), "oldest daily backup");
    let one = Policy { daily: Count::Newest(1), ..Policy::default() };
    assert_eq!(kept(&one, &day), [2]);
    let within = Policy { within_daily: "7d".parse().unwrap(), ..Policy::default() };
    let reasons = judge(&within, &day, never(), &TimeZone::UTC);
    assert_eq!(reasons[0][0].to_string(), "oldest daily within 7d");
}

#[test]
fn an_empty_policy_removes_nothing() {
    let week = days(&utc(2026, 5, 4, 1), 7);
    for policy in [Policy::default(), Policy { last: "0".parse().unwrap(), ..Policy::default() }] {
        assert_eq!(kept(&policy, &week).len(), 7);
        let reasons = judge(&policy, &week, never(), &TimeZone::UTC);
        assert_eq!(reasons[0], [Reason::PolicyIsEmpty]);
    }
}

#[test]
fn within_is_measured_from_the_newest_and_the_future_is_no_measure() {
    let mut backups = days(&utc(2026, 5, 1, 12), 10);
    let policy = Policy { within: "2d12h".parse().unwrap(), ..Policy::default() };
    assert_eq!(kept(&policy, &backups), [7, 8, 9]);
    backups.push(candidate(&utc(2030, 1, 1, 0), 0));
    let now = Timestamp::from_micros(utc(2026, 6, 1, 0).timestamp().as_microsecond());
    let reasons = judge(&policy, &backups, now, &TimeZone::UTC);
    assert_eq!(reasons[10], [Reason::Future]);
    assert_eq!((0..10).filter(|i| !reasons[*i].is_empty()).collect::<Vec<_>>(), [7, 8, 9]);
    // A boundary that falls on a backup leaves it out, as restic does.
    let two = Policy { within: "2d".parse().unwrap(), ..Policy::default() };
    assert_eq!(kept(&two, &backups[..10]), [8, 9]);
    // What reaches behind all calendars keeps all.
    let ages = Policy {
        within: "9999y9999y".parse().unwrap_or(Period { years: 9999, ..Period::default() }),
        ..Policy::default()
    };
    assert_eq!(kept(&ages, &backups[..10]).len(), 10);
}

#[test]
fn tags_are_annotations_with_commas_as_and_and_repeats_as_or() {
    let mut backups = days(&utc(2026, 5, 1, 12), 4);
    let tag = |candidate: &mut Candidate, name: &str, value: &str| {
        candidate.annotations.insert(name.into(), value.into());
    };
    tag(&mut backups[0], "release", "1.2");
    tag(&mut backups[1], "release", "1.3");
    tag(&mut backups[1], "audit", "");
    tag(&mut backups[2], "audit", "");
    let keep = |lists: &[&str]| {
        let mut policy = Policy::default();
        for list in lists {
            policy.keep_tag(list).unwrap();
        }
        kept(&policy, &backups)
    };
    assert_eq!(keep(&["release"]), [0, 1]);
    assert_eq!(keep(&["release, audit"]), [1]);
    assert_eq!(keep(&["release=1.2", "audit"]), [0, 1, 2]);
    assert_eq!(keep(&[""]), [3]);
    assert_eq!(keep(&["nothing"]), [] as [usize; 0]);
}

#[test]
fn days_and_weeks_are_those_of_the_time_zone() {
    let berlin = TimeZone::get("Europe/Berlin").unwrap();
    // 23:30 UTC is half past midnight of the next day in Berlin.
    let backups = [utc(2026, 1, 10, 20), utc(2026, 1, 10, 22), utc(2026, 1, 10, 23)];
    let backups: Vec<Candidate> = backups.iter().map(|time| candidate(time, 0)).collect();
    let policy = Policy { daily: Count::Newest(2), ..Policy::default() };
    let keep = |zone: &TimeZone| {
        let reasons = judge(&policy, &backups, never(), zone);
        (0..3).filter(|index| !reasons[*index].is_empty()).collect::<Vec<_>>()
    };
    assert_eq!(keep(&TimeZone::UTC), [0, 2]);
    assert_eq!(keep(&berlin), [1, 2]);
    // Weeks begin on Monday and belong to the year of their Thursday.
    let policy = Policy { weekly: Count::Newest(2), ..Policy::default() };
    let turn = days(&utc(2026, 12, 26, 12), 10);
    // 2026-12-27 is a Sunday, 2027-01-03 the next one, 2027-01-04 the newest.
    assert_eq!(kept(&policy, &turn), [8, 9]);
}

#[test]
fn periods_and_counts_are_read_as_restic_reads_them() {
    let period: Period = "2y5m7d3h".parse().unwrap();
    assert_eq!(period, Period { years: 2, months: 5, days: 7, hours: 3 });
    assert_eq!(period.to_string(), "2y5m7d3h");
    assert!("0h".parse::<Period>().unwrap().is_zero());
    for wrong in
        ["", "1w", "d", "7", "-1d", "1d1d", "1.5d", "99999y", "7 d", "99999999999999999999d"]
    {
        assert_eq!(wrong.parse::<Period>().unwrap_err().kind(), ErrorKind::Invalid, "{wrong}");
    }
    assert_eq!("unlimited".parse::<Count>().unwrap(), Count::Unlimited);
    assert_eq!("3".parse::<Count>().unwrap(), Count::Newest(3));
    assert!("-1".parse::<Count>().is_err() && "all".parse::<Count>().is_err());
}

#[test]
fn presets_are_those_that_were_promised() {
    let last = |number| Rule::Policy(Policy::keep_last(number));
    let default = Retention::preset("default").unwrap();
    assert_eq!(default.auto, last(10));
    assert_eq!(default.manual, Rule::All);
    assert_eq!(default.pre_migration, Rule::Limit { newest: 5, days: 7 });
    assert_eq!(Retention::preset("every-5-minutes").unwrap().scheduled, last(50));
    for days in [30, 60, 90, 180] {
        let preset = Retention::preset(&format!("{days}-days")).unwrap();
        assert_eq!(preset.scheduled, Rule::Policy(Policy::keep_days(days)));
    }
    assert_eq!(Retention::preset("31-days").unwrap_err().kind(), ErrorKind::Invalid);
}

/// The policy by its definition: for each rule the units that have a backup, newest first.
fn brute_force(policy: &Policy, candidates: &[Candidate]) -> BTreeSet<usize> {
    let mut newest_first: Vec<usize> = (0..candidates.len()).collect();
    newest_first
        .sort_by_key(|i| std::cmp::Reverse((candidates[*i].time, candidates[*i].label.clone())));
    let zoned = |i: usize| {
        let time = jiff::Timestamp::from_microsecond(candidates[i].time.as_micros()).unwrap();
        time.to_zoned(TimeZone::UTC)
    };
    let mut keep = BTreeSet::new();
    let Some(latest) = newest_first.first().map(|i| zoned(*i)) else { return keep };
    let since = |period: Period| {
        let span = i64::from(period.years)
            .years()
            .months(period.months)
            .days(period.days)
            .hours(period.hours);
        latest.checked_sub(span).unwrap()
    };
    let formats = ["%Y%m%d%H", "%Y%m%d", "%G%V", "%Y%m", "%Y"];
    let last = match policy.last {
        Count::Unset => 0,
        Count::Newest(number) => number as usize,
        Count::Unlimited => usize::MAX,
    };
    keep.extend(newest_first.iter().take(last));
    keep.extend(
        newest_first
            .iter()
            .filter(|i| !policy.within.is_zero() && zoned(**i) > since(policy.within)),
    );
    for (unit, format) in Unit::ALL.into_iter().zip(formats) {
        let mut newest: BTreeMap<String, usize> = BTreeMap::new();
        for i in newest_first.iter().rev() {
            newest.insert(zoned(*i).strftime(format).to_string(), *i);
        }
        let number = match policy.count(unit) {
            Count::Unset => 0,
            Count::Newest(number) => number as usize,
            Count::Unlimited => usize::MAX,
        };
        keep.extend(newest.values().rev().take(number));
        if number > newest.len() {
            keep.extend(newest_first.last());
        }
        let period = policy.within_unit(unit);
        if !period.is_zero() {
            let inside = |i: &&usize| zoned(**i) > since(period);
            keep.extend(newest.values().filter(inside));
            keep.extend(newest_first.last().filter(inside));
        }
    }
    keep
}

fn policies() -> impl Strategy<Value = Policy> {
    let count = prop_oneof![
        6 => Just(Count::Unset), 3 => (1u32..6).prop_map(Count::Newest), 1 => Just(Count::Unlimited)
    ];
    let period = prop_oneof![
        3 => Just(Period::default()),
        1 => (0u32..2, 0u32..3, 0u32..20, 0u32..30)
            .prop_map(|(years, months, days, hours)| Period { years, months, days, hours }),
    ];
    (prop::collection::vec(count, 6), prop::collection::vec(period, 6)).prop_map(|(c, p)| Policy {
        last: c[0],
        hourly: c[1],
        daily: c[2],
        weekly: c[3],
        monthly: c[4],
        yearly: c[5],
        within: p[0],
        within_hourly: p[1],
        within_daily: p[2],
        within_weekly: p[3],
        within_monthly: p[4],
        within_yearly: p[5],
        tags: Vec::new(),
    })
}

/// A repository as it changes: backups are made, marked, pinned, passes are carried out.
struct Repository {
    manifests: Vec<Manifest>,
    marks: Vec<Mark>,
    objects: Vec<Listed>,
    head: u64,
}

impl Repository {
    fn catalogue(&self) -> Catalogue {
        Catalogue::new(STORE, self.objects.clone(), self.manifests.clone(), &self.marks).unwrap()
    }

    fn backup(&mut self, seconds: i64, more: u64, has_base: bool, kind: BackupKind) {
        // An incremental backup follows what can be restored.
        let catalogue = self.catalogue();
        let newest = catalogue.line(1).and_then(Line::newest).map_or(0, Lsn::get);
        let (first, last) = (newest + 1, self.head + more);
        let base = has_base.then(|| base(last, last * 2));
        let mut manifest = manifest(seconds, vec![slice(first, last)], base);
        manifest.kind = kind;
        for object in listed(std::slice::from_ref(&manifest), &[]) {
            self.objects.retain(|other| other.name != object.name);
            self.objects.push(object);
        }
        self.manifests.push(manifest);
        self.head = last;
    }

    fn say(&mut self, label: &Label, seconds: i64, kind: MarkKind) {
        let number =
            1 + u32::try_from(self.marks.iter().filter(|m| m.label == *label).count()).unwrap();
        let mark = Mark { label: label.clone(), number, at: at(seconds), actor: None, kind };
        self.objects.push(Listed {
            name: mark.name().to_string(),
            bytes: 50,
            modified: at(seconds),
        });
        self.marks.push(mark);
    }

    /// Carries a plan out, at most this many deletions of it.
    fn carry_out(&mut self, plan: &RetentionPlan, seconds: i64, deletions_max: usize) {
        for label in &plan.delete {
            self.say(label, seconds, MarkKind::Delete);
        }
        for name in plan.sweep.iter().take(deletions_max) {
            self.objects.retain(|object| object.name != name.to_string());
            self.manifests.retain(|m| ObjectName::Manifest(m.label.clone()) != *name);
            self.marks.retain(|m| m.name() != *name);
        }
    }
}

fn facts(seconds: i64) -> Circumstances<'static> {
    Circumstances {
        now: at(seconds),
        zone: TimeZone::UTC,
        grace_hours: super::plan::GRACE_HOURS,
        leases: &[],
        last_verify: &LastVerify::Never,
    }
}

fn auto(policy: Policy) -> Retention {
    Retention { auto: Rule::Policy(policy), ..Retention::default() }
}

/// Six backups, one a day: of which the first and the fourth have a base.
fn week() -> Repository {
    let mut repository = Repository { manifests: vec![], marks: vec![], objects: vec![], head: 0 };
    for day in 0..6 {
        repository.backup(day * DAY, 10, day % 3 == 0, BackupKind::Auto);
    }
    repository
}

#[test]
fn a_mark_comes_first_and_objects_go_after_the_time_of_grace() {
    let mut repository = week();
    let keep = auto(Policy::keep_last(3));
    let plan = plan_retention(&repository.catalogue(), &keep, &facts(6 * DAY)).unwrap();
    assert_eq!(plan.delete.len(), 3);
    assert!(plan.sweep.is_empty() && plan.bytes_freed == 0);
    assert_eq!(plan.bytes_freed_later, 3 * 100 + 20);
    assert_eq!(plan.lost[&1].to_string(), "0 to 39");
    assert_eq!(plan.windows[&1].to_string(), "40 to 60");
    repository.carry_out(&plan, 6 * DAY, 99);
    let early = plan_retention(&repository.catalogue(), &keep, &facts(7 * DAY - 1)).unwrap();
    assert!(early.is_empty());
    let due = plan_retention(&repository.catalogue(), &keep, &facts(7 * DAY)).unwrap();
    // Manifests and marks are objects too.
    assert_eq!(due.bytes_freed, 320 + 3 * (100 + 50));
    assert_eq!(due.bytes_freed_later, 0);
    assert!(due.delete.is_empty() && due.lost.is_empty());
    // Contents, then manifests, then marks.
    let order = due.sweep.iter().map(|name| match name {
        ObjectName::Slice { .. } | ObjectName::Base { .. } => 0,
        ObjectName::Manifest(_) => 1,
        ObjectName::Mark { .. } => 2,
        ObjectName::Lease(_) => 3,
    });
    assert!(order.is_sorted() && due.sweep.len() == 4 + 3 + 3);
    repository.carry_out(&due, 7 * DAY, 99);
    assert_eq!(repository.catalogue().backups().len(), 3);
    due.check(&repository.catalogue()).unwrap();
    let done = plan_retention(&repository.catalogue(), &keep, &facts(9 * DAY)).unwrap();
    assert!(done.is_empty());
}

#[test]
fn what_a_kept_backup_needs_stays_when_the_manifest_goes() {
    let repository = week();
    // The fifth is incremental: the fourth goes, what leads to it does not.
    let labels: BTreeSet<Label> = [repository.manifests[3].label.clone()].into();
    let mut facts = facts(9 * DAY);
    facts.grace_hours = 0;
    let plan = plan_deletion(&repository.catalogue(), &labels, &facts).unwrap();
    assert_eq!(plan.delete.len(), 1);
    // What is needed is the base; the moments before it go with the backup.
    assert_eq!(plan.sweep, [slice(31, 40).name()]);
    assert_eq!(plan.lost[&1].to_string(), "31 to 39");
}

#[test]
fn nothing_goes_that_somebody_at_work_needs() {
    let mut repository = week();
    let keep = auto(Policy::keep_last(3));
    let plan = plan_retention(&repository.catalogue(), &keep, &facts(6 * DAY)).unwrap();
    repository.carry_out(&plan, 6 * DAY, 99);
    let needed = Some([slice(1, 10).name()].into());
    let lease = |objects: &Option<BTreeSet<ObjectName>>, expires| {
        vec![Lease { name: "restore-1".into(), expires: at(expires), objects: objects.clone() }]
    };
    let with = |leases: &[Lease]| {
        let mut facts = facts(8 * DAY);
        facts.leases = leases;
        plan_retention(&repository.catalogue(), &keep, &facts).unwrap()
    };
    let restoring = with(&lease(&needed, 9 * DAY));
    assert_eq!(restoring.leased, 1);
    assert_eq!(restoring.bytes_freed, 220 + 2 * (100 + 50));
    // The manifest stays, since it tells what the slice is.
    assert!(
        !restoring.sweep.contains(&ObjectName::Manifest(repository.manifests[0].label.clone()))
    );
    let all = with(&lease(&None, 9 * DAY));
    assert!(all.sweep.is_empty());
    assert_eq!(with(&lease(&None, 8 * DAY)).bytes_freed, 320 + 3 * (100 + 50));
}

#[test]
fn a_backup_that_is_being_made_is_not_swept() {
    let mut repository = week();
    let name = slice(61, 70).name();
    let modified = at(8 * DAY);
    repository.objects.push(Listed { name: name.to_string(), bytes: 100, modified });
    let keep = auto(Policy::keep_last(6));
    let plan = |now| plan_retention(&repository.catalogue(), &keep, &facts(now)).unwrap();
    assert!(plan(9 * DAY - 1).is_empty());
    // Nobody has finished it within the time of grace.
    assert_eq!(plan(9 * DAY).sweep, [name]);
}

#[test]
fn pinned_backups_stay_and_do_not_count() {
    let mut repository = week();
    let first = repository.manifests[0].label.clone();
    let newest = repository.manifests[5].label.clone();
    repository.say(&first, DAY, MarkKind::Pin);
    repository.say(&newest, DAY, MarkKind::Pin);
    let keep = auto(Policy::keep_last(1));
    let plan = plan_retention(&repository.catalogue(), &keep, &facts(6 * DAY)).unwrap();
    let reasons: Vec<String> = plan.backups.iter().map(|b| b.reasons[0].to_string()).collect();
    let no = "no rule keeps it";
    assert_eq!(reasons, ["pinned", no, no, no, "last backup", "pinned"]);
    let error =
        plan_deletion(&repository.catalogue(), &[first].into(), &facts(6 * DAY)).unwrap_err();
    assert_eq!(error.code().id, code::RETENTION_REFUSED.id);
}

#[test]
fn the_last_full_backup_stays_whatever_the_rules_say() {
    let repository = week();
    let plan =
        plan_retention(&repository.catalogue(), &auto(Policy::keep_last(2)), &facts(6 * DAY))
            .unwrap();
    let kept: Vec<_> = plan.backups.iter().filter(|b| b.keep).map(|b| &b.reasons[0]).collect();
    assert_eq!(kept, [&Reason::LastFull, &Reason::Last, &Reason::Last]);
    let full: BTreeSet<Label> =
        [0, 3].map(|index: usize| repository.manifests[index].label.clone()).into();
    let refused = |labels: &BTreeSet<Label>| {
        let error = plan_deletion(&repository.catalogue(), labels, &facts(6 * DAY)).unwrap_err();
        error.message().to_owned()
    };
    assert_eq!(refused(&full), "no full backup would be left");
    let all = repository.manifests.iter().map(|manifest| manifest.label.clone()).collect();
    assert_eq!(refused(&all), "no backup would be left");
    let unknown = [Label::parse("20300101-000000F").unwrap()].into();
    let error = plan_deletion(&repository.catalogue(), &unknown, &facts(6 * DAY)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[test]
fn what_is_not_known_to_be_sound_is_not_pruned() {
    let repository = week();
    let keep = auto(Policy::keep_last(3));
    let failed = LastVerify::Failed { at: at(DAY), what: "a slice is damaged".into() };
    let unsound = Circumstances { last_verify: &failed, ..facts(6 * DAY) };
    let refused = |result: Result<RetentionPlan>| {
        assert_eq!(result.unwrap_err().code().id, code::RETENTION_REFUSED.id);
    };
    refused(plan_retention(&repository.catalogue(), &keep, &unsound));
    let unread = repository.manifests[..5].to_vec();
    let catalogue = Catalogue::new(STORE, repository.objects.clone(), unread, &[]).unwrap();
    refused(plan_retention(&catalogue, &keep, &facts(6 * DAY)));
    // Of what the rules name, nothing is there.
    let mut tags = Policy::default();
    tags.keep_tag("nothing").unwrap();
    refused(plan_retention(&repository.catalogue(), &auto(tags), &facts(6 * DAY)));
}

#[test]
fn a_backup_that_cannot_be_restored_neither_counts_nor_goes() {
    let mut repository = week();
    let lost = slice(51, 60).name().to_string();
    repository.objects.retain(|object| object.name != lost);
    let keep = auto(Policy::keep_last(2));
    let plan = plan_retention(&repository.catalogue(), &keep, &facts(6 * DAY)).unwrap();
    let kept: Vec<_> = plan.backups.iter().filter(|b| b.keep).map(|b| &b.reasons[0]).collect();
    assert_eq!(kept, [&Reason::Last, &Reason::Last, &Reason::Unsound]);
}

#[test]
fn of_backups_before_migrations_five_stay_for_a_week_and_the_newest_for_longer() {
    let mut repository = Repository { manifests: vec![], marks: vec![], objects: vec![], head: 0 };
    repository.backup(0, 10, true, BackupKind::Manual);
    for hour in 1..=7 {
        repository.backup(hour * HOUR, 1, false, BackupKind::PreMigration);
    }
    let kept = |now| {
        let plan = plan_retention(&repository.catalogue(), &Retention::default(), &facts(now));
        let kept = plan.unwrap().backups.into_iter().filter(|judged| judged.keep);
        kept.map(|judged| judged.reasons[0].to_string()).collect::<Vec<_>>()
    };
    let (manual, limit) = ("kept until deleted", "within the limits of its kind");
    assert_eq!(kept(DAY), [manual, limit, limit, limit, limit, limit]);
    assert_eq!(kept(7 * DAY + 6 * HOUR), [manual, limit, limit]);
    assert_eq!(kept(70 * DAY), [manual, "newest of its kind"]);
}

#[test]
fn a_backup_can_be_taken_back_with_all_that_leads_to_it() {
    let mut repository = week();
    let label = |index: usize| repository.manifests[index].label.clone();
    let (full, incremental, both) = (label(0), label(1), label(2));
    // The full one was deleted long ago and stays for the sake of the others.
    repository.say(&full, DAY, MarkKind::Delete);
    repository.say(&both, 8 * DAY, MarkKind::Delete);
    let labels = [incremental.clone()].into();
    let plan = plan_deletion(&repository.catalogue(), &labels, &facts(8 * DAY)).unwrap();
    assert!(!plan.sweep.contains(&base(10, 20).name()), "{:?}", plan.sweep);
    repository.carry_out(&plan, 8 * DAY, 99);
    repository.say(&incremental, 8 * DAY + HOUR, MarkKind::Undelete);
    assert!(repository.catalogue().backup(&incremental).unwrap().is_complete());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(
        std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(400)
    ))]

    #[test]
    fn policies_keep_what_their_definition_says(
        policy in policies(), hours in prop::collection::vec(0i64..20_000, 1..60),
    ) {
        let start = utc(2024, 12, 20, 5);
        let candidates: Vec<Candidate> = hours.iter().enumerate()
            .map(|(n, hour)| candidate(&start.checked_add(hour.hours()).unwrap(), n))
            .collect();
        let found: BTreeSet<usize> = kept(&policy, &candidates).into_iter().collect();
        let expected = if policy.is_empty() {
            (0..candidates.len()).collect()
        } else {
            brute_force(&policy, &candidates)
        };
        prop_assert_eq!(found, expected);
    }

    /// Backups, passes that are cut short, deletions, pins, in any order: after each of them every
    /// kept backup can be restored, what was promised is there, and in the end nothing is left.
    #[test]
    fn passes_never_take_what_a_kept_backup_needs(
        steps in prop::collection::vec((0u8..10, 1u64..6, 0usize..12, 1i64..40), 1..30),
        policy in policies(),
    ) {
        let keep = auto(policy);
        let mut now = 0;
        let mut repository =
            Repository { manifests: vec![], marks: vec![], objects: vec![], head: 0 };
        for (what, more, which, hours) in steps {
            now += hours * HOUR;
            let before = repository.catalogue();
            let labels: Vec<Label> =
                repository.manifests.iter().map(|manifest| manifest.label.clone()).collect();
            let label = labels.get(which % labels.len().max(1));
            let plan = match (what, label) {
                (0..=3, _) | (_, None) => {
                    // Whoever follows a gap makes a full one.
                    repository.backup(now, more, what == 0, BackupKind::Auto);
                    continue;
                }
                (4, Some(label)) => {
                    let kind = if more == 1 { MarkKind::Pin } else { MarkKind::Unpin };
                    repository.say(label, now, kind);
                    continue;
                }
                (5, Some(label)) => plan_deletion(&before, &[label.clone()].into(), &facts(now)),
                _ => plan_retention(&before, &keep, &facts(now)),
            };
            let Ok(plan) = plan else { continue };
            let deletions_max = if what == 6 { which } else { usize::MAX };
            repository.carry_out(&plan, now, deletions_max);
            let after = repository.catalogue();
            prop_assert!(plan.check(&after).is_ok());
            for backup in after.backups().iter().filter(|backup| !backup.is_deleted()) {
                prop_assert!(backup.is_complete(), "{}", backup.manifest.label);
                let (from, to) = backup.manifest.promised();
                for lsn in from.get()..=to.get() {
                    let line = after.line(backup.manifest.timeline).unwrap();
                    prop_assert!(line.route(Lsn::new(lsn)).is_ok(), "{lsn}");
                }
            }
            if plan.delete.is_empty() {
                let windows = |catalogue: &Catalogue| {
                    catalogue.line(1).map(|line| line.windows().clone()).unwrap_or_default()
                };
                prop_assert_eq!(windows(&before), windows(&after), "a pass narrowed the window");
            }
        }
        // Long after, two passes leave nothing but what is needed.
        for later in [1000, 2000, 3000] {
            let then = now + later * HOUR;
            let keep = Retention::default();
            if let Ok(plan) = plan_retention(&repository.catalogue(), &keep, &facts(then)) {
                repository.carry_out(&plan, then, usize::MAX);
            }
        }
        let end = repository.catalogue();
        for name in end.objects().keys().filter(|name| name.is_content()) {
            prop_assert!(end.needed().contains(name), "{name} is left over");
        }
        prop_assert!(end.backups().iter().any(Backup::is_complete));
    }
}

#[test]
fn many_backups_are_planned_in_a_moment() {
    let mut repository = Repository { manifests: vec![], marks: vec![], objects: vec![], head: 0 };
    let count = std::env::var("AFTERIMAGE_BACKUPS").ok().and_then(|n| n.parse().ok());
    let count: i64 = count.unwrap_or(3000);
    for number in 0..count {
        let first = u64::try_from(number).unwrap() * 3 + 1;
        let base = (number % 2000 == 0).then(|| base(first + 2, 10));
        repository.manifests.push(manifest(number * 300, vec![slice(first, first + 2)], base));
    }
    repository.objects = listed(&repository.manifests, &[]);
    let policy = Policy { daily: Count::Newest(365), last: Count::Newest(50), ..Policy::default() };
    let plan = plan_retention(&repository.catalogue(), &auto(policy), &facts(count * 300)).unwrap();
    assert!(plan.delete.len() * 100 > repository.manifests.len() * 95);
}
