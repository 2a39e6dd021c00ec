use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use proptest::prelude::*;

use super::phrase::{Phrase, read};
use super::{DAILY_FULL, EVERY_5_MINUTES, Hook, Hooks, MISSED_RUNS_COUNTED_MAX, Missed, Schedule};
use crate::error::{ErrorKind, code};
use crate::time::Timestamp;

fn schedule(text: &str) -> Schedule {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error:?}"))
}

/// A time of the clock in this zone; of two equal ones the first.
fn clock(time: &str, zone: &TimeZone) -> Timestamp {
    let time: DateTime = time.parse().unwrap();
    let time = zone.to_ambiguous_timestamp(time).earlier().unwrap();
    Timestamp::from_micros(time.as_microsecond())
}

fn shown(time: Timestamp, zone: &TimeZone) -> String {
    let time = jiff::Timestamp::from_microsecond(time.as_micros()).unwrap();
    time.to_zoned(zone.clone()).strftime("%Y-%m-%dT%H:%M%:z").to_string()
}

/// The next few times after this one.
fn times(text: &str, after: &str, zone: &TimeZone, count: usize) -> Vec<String> {
    let (schedule, mut at) = (schedule(text), clock(after, zone));
    let mut found = Vec::new();
    for _ in 0..count {
        at = schedule.next_after(at, zone).unwrap().unwrap();
        found.push(shown(at, zone));
    }
    found
}

fn berlin() -> TimeZone {
    TimeZone::get("Europe/Berlin").unwrap()
}

#[test]
fn words_mean_what_they_say() {
    let utc = TimeZone::UTC;
    let next = |text| times(text, "2026-11-21T15:02:30", &utc, 2).join(" ").replace("+00:00", "");
    assert_eq!(next(EVERY_5_MINUTES), "2026-11-21T15:05 2026-11-21T15:10");
    assert_eq!(next("Every  Hour"), "2026-11-21T16:00 2026-11-21T17:00");
    assert_eq!(next("every 90 minutes"), "2026-11-21T16:30 2026-11-21T18:00");
    assert_eq!(next("every 6 hours"), "2026-11-21T18:00 2026-11-22T00:00");
    assert_eq!(next("daily"), "2026-11-22T00:00 2026-11-23T00:00");
    assert_eq!(next(DAILY_FULL), "2026-11-22T03:00 2026-11-23T03:00");
    assert_eq!(next("daily at 16:30"), "2026-11-21T16:30 2026-11-22T16:30");
    // 2026-11-21 is a Saturday.
    assert_eq!(next("weekly"), "2026-11-22T00:00 2026-11-29T00:00");
    assert_eq!(next("weekly on mon at 04:30"), "2026-11-23T04:30 2026-11-30T04:30");
    assert_eq!(next("monthly at 1:00"), "2026-12-01T01:00 2027-01-01T01:00");
    assert_eq!(next("0 3 * * 1-5"), "2026-11-23T03:00 2026-11-24T03:00");
    assert_eq!(next("*/20 15 * * *"), "2026-11-21T15:20 2026-11-21T15:40");
    assert_eq!(next("@weekly"), "2026-11-22T00:00 2026-11-29T00:00");
}

#[test]
fn after_each_change_is_no_time() {
    let each = schedule("every change");
    assert!(each.is_after_each_change());
    assert_eq!(each.next_after(Timestamp::from_micros(0), &TimeZone::UTC).unwrap(), None);
    let missed = each.missed(Timestamp::from_micros(0), Timestamp::from_micros(9), &TimeZone::UTC);
    assert_eq!(missed.unwrap(), None);
}

#[test]
fn what_is_no_schedule_is_refused() {
    let wrong = [
        "",
        "   ",
        "sometimes",
        "every",
        "every 0 minutes",
        "every -5 minutes",
        "every 5 parsecs",
        "every 99999999999999999999 minutes",
        "every 400 days",
        "daily at",
        "daily at 24:00",
        "daily at 03:60",
        "daily at 3:5",
        "daily at +3:00",
        "daily at noon",
        "weekly on someday",
        "weekly on",
        "* * * *",
        "* * * * * *",
        "61 * * * *",
        "0 0 30 2 *",
        "* * * * 9",
        "@reboot",
        "0 0 * * * ; rm -rf /",
    ];
    for text in wrong {
        let error = text.parse::<Schedule>().expect_err(text);
        assert_eq!(error.code().id, code::INVALID_SCHEDULE.id, "{text}");
    }
    assert_eq!("*".repeat(300).parse::<Schedule>().unwrap_err().kind(), ErrorKind::Invalid);
}

#[test]
fn a_time_that_clocks_skip_is_due_when_the_gap_is_over() {
    // 2026-03-29 in Berlin has no 02:30.
    let found = times("daily at 02:30", "2026-03-28T12:00:00", &berlin(), 3);
    assert_eq!(
        found,
        ["2026-03-29T03:00+02:00", "2026-03-30T02:30+02:00", "2026-03-31T02:30+02:00"]
    );
    let hourly = times("0 * * * *", "2026-03-29T00:30:00", &berlin(), 3);
    assert_eq!(
        hourly,
        ["2026-03-29T01:00+01:00", "2026-03-29T03:00+02:00", "2026-03-29T04:00+02:00"]
    );
}

#[test]
fn a_time_that_comes_twice_is_due_once() {
    // 2026-10-25 in Berlin has 02:30 twice.
    let found = times("daily at 02:30", "2026-10-24T12:00:00", &berlin(), 2);
    assert_eq!(found, ["2026-10-25T02:30+02:00", "2026-10-26T02:30+01:00"]);
    let hourly = times("0 * * * *", "2026-10-25T01:30:00", &berlin(), 3);
    assert_eq!(
        hourly,
        ["2026-10-25T02:00+02:00", "2026-10-25T02:00+01:00", "2026-10-25T03:00+01:00"]
    );
}

#[test]
fn runs_that_stay_the_same_distance_apart_do_so_when_clocks_change() {
    let found = times(EVERY_5_MINUTES, "2026-10-25T02:52:00", &berlin(), 3);
    assert_eq!(
        found,
        ["2026-10-25T02:55+02:00", "2026-10-25T02:00+01:00", "2026-10-25T02:05+01:00"]
    );
}

#[test]
fn however_many_runs_were_missed_one_makes_up_for_them() {
    let utc = TimeZone::UTC;
    let at = |time: &str| clock(time, &utc);
    let missed =
        |text: &str, last: &str, now: &str| schedule(text).missed(at(last), at(now), &utc).unwrap();
    assert_eq!(missed("daily at 03:00", "2026-11-20T03:00:00", "2026-11-21T02:59:59"), None);
    assert_eq!(
        missed("daily at 03:00", "2026-11-17T03:00:01", "2026-11-21T03:00:00"),
        Some(Missed {
            first: at("2026-11-18T03:00:00"),
            last: at("2026-11-21T03:00:00"),
            count: 4
        })
    );
    let many = missed(EVERY_5_MINUTES, "2026-01-01T00:00:00", "2026-11-21T15:12:00").unwrap();
    assert_eq!(many.count, MISSED_RUNS_COUNTED_MAX);
    assert_eq!(many.last, at("2026-11-21T15:10:00"));
    let many = missed("*/5 * * * *", "2026-01-01T00:00:00", "2026-11-21T15:12:00").unwrap();
    assert_eq!((many.count, many.last), (MISSED_RUNS_COUNTED_MAX, at("2026-11-21T15:10:00")));
    // A clock that was put back has missed nothing.
    assert_eq!(missed(EVERY_5_MINUTES, "2026-11-21T15:12:00", "2026-11-20T15:12:00"), None);
}

#[test]
fn hooks_are_bounded_and_keep_their_secrets() {
    let url = |url: &str| Hook::Url(url.into());
    let command = |words: &[&str]| Hook::Command(words.iter().map(|w| (*w).to_owned()).collect());
    let with = |hook: Hook| Hooks { failed: vec![hook], ..Hooks::default() }.check();
    with(url("https://hc-ping.example/secret-token")).unwrap();
    with(command(&["mail", "-s", "backup failed", "ops@example.org"])).unwrap();
    for wrong in [
        url("file:///etc/passwd"),
        url("https:///x"),
        url("https://a b"),
        command(&[]),
        command(&[""]),
        command(&["a\0"]),
    ] {
        assert_eq!(with(wrong).unwrap_err().kind(), ErrorKind::Invalid);
    }
    let many = Hooks { before: vec![url("http://x"); 17], ..Hooks::default() };
    assert!(many.check().is_err());
    let secret = [url("https://me:secret@host.example/secret"), command(&["curl", "secret"])];
    let text = format!("{secret:?}");
    assert!(
        text.contains("host.example") && text.contains("curl") && !text.contains("secret"),
        "{text}"
    );
    let json = r#"{"succeeded":[{"url":"https://x.example/1"}],"failed":[{"command":["mail"]}]}"#;
    serde_json::from_str::<Hooks>(json).unwrap().check().unwrap();
}

proptest! {
    #[test]
    fn any_text_is_a_schedule_or_a_typed_error(text in "[0-9*/,@a-z# LW?-]{0,24}") {
        if let Ok(schedule) = text.parse::<Schedule>() {
            schedule.next_after(Timestamp::from_micros(0), &TimeZone::UTC).unwrap();
        }
    }

    #[test]
    fn next_times_ascend_and_nothing_lies_between(
        start in 1_700_000_000i64..1_900_000_000, minute in 0u8..60, hour in 0u8..24, daily: bool,
    ) {
        let zone = berlin();
        let hourly = format!("{minute} * * * *");
        let text = if daily { format!("daily at {hour}:{minute:02}") } else { hourly };
        let schedule = schedule(&text);
        let start = Timestamp::from_micros(start * 1_000_000);
        let next = schedule.next_after(start, &zone).unwrap().unwrap();
        prop_assert!(next > start);
        prop_assert_eq!(schedule.last_until(next, &zone).unwrap(), Some(next), "{}", text);
        let before = Timestamp::from_micros(next.as_micros() - 1);
        prop_assert_eq!(schedule.next_after(before, &zone).unwrap(), Some(next), "{}", text);
        let hours = (next.as_micros() - start.as_micros()) / 3_600_000_000;
        prop_assert!(hours <= if daily { 25 } else { 1 }, "{} {}", text, hours);
    }
}

#[test]
fn a_phrase_is_no_cron_expression() {
    assert_eq!(read("daily at 03:07"), Ok(Phrase::Cron("7 3 * * *".into())));
    assert_eq!(read("every 2 days"), Ok(Phrase::Minutes(2880)));
}
