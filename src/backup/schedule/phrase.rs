//! Schedules in words.

const MINUTES_OF_A_DAY: i64 = 1440;
const MINUTES_MAX: i64 = 366 * MINUTES_OF_A_DAY;
const WEEKDAYS: [&str; 7] =
    ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"];

/// What the words mean.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Phrase {
    Changes,
    /// So many minutes apart.
    Minutes(i64),
    /// By the clock, as a cron expression.
    Cron(String),
}

/// What these words mean; what is not in words is taken as a cron expression.
pub(super) fn read(text: &str) -> Result<Phrase, &'static str> {
    let lower = text.to_lowercase();
    let words: Vec<&str> = lower.split_whitespace().collect();
    match words.as_slice() {
        [] => Err("it is empty"),
        ["every", "change" | "commit"] => Ok(Phrase::Changes),
        ["hourly"] => Ok(Phrase::Minutes(60)),
        ["every", "day"] => clock("* * *", &[]),
        ["every", "week"] => clock("* * 0", &[]),
        ["every", "month"] => clock("1 * *", &[]),
        ["every", unit] => minutes("1", unit),
        ["every", number, unit] => minutes(number, unit),
        ["daily", rest @ ..] => clock("* * *", rest),
        ["monthly", rest @ ..] => clock("1 * *", rest),
        ["weekly", "on", day, rest @ ..] => clock(&format!("* * {}", weekday(day)?), rest),
        ["weekly", rest @ ..] => clock("* * 0", rest),
        [first, ..] if is_cron(first) => Ok(Phrase::Cron(words.join(" "))),
        _ => Err("these words are not known"),
    }
}

/// Fields begin with a digit, `*` or `@`; no word does.
fn is_cron(first: &str) -> bool {
    first.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '*' | '@'))
}

fn minutes(number: &str, unit: &str) -> Result<Phrase, &'static str> {
    let number: i64 = number.parse().map_err(|_| "the number is none")?;
    let unit = match unit.strip_suffix('s').unwrap_or(unit) {
        "minute" => 1,
        "hour" => 60,
        "day" => MINUTES_OF_A_DAY,
        "week" => 7 * MINUTES_OF_A_DAY,
        _ => return Err("the unit is not minutes, hours, days or weeks"),
    };
    let minutes = number.checked_mul(unit).filter(|minutes| (1..=MINUTES_MAX).contains(minutes));
    minutes.map(Phrase::Minutes).ok_or("it is less than a minute or more than a year apart")
}

/// A time of the day, midnight if none is named, on the days of these fields.
fn clock(days: &str, rest: &[&str]) -> Result<Phrase, &'static str> {
    let (hour, minute) = match rest {
        [] => (0, 0),
        ["at", time] => time_of_day(time).ok_or("the time is not one from 00:00 to 23:59")?,
        _ => return Err("a time is written as in `at 03:00`"),
    };
    Ok(Phrase::Cron(format!("{minute} {hour} {days}")))
}

fn time_of_day(text: &str) -> Option<(u8, u8)> {
    let (hour, minute) = text.split_once(':')?;
    let number = |text: &str| {
        let digits = text.len() <= 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse::<u8>().ok()).flatten()
    };
    let (hour, minute) = (number(hour)?, number(minute).filter(|_| minute.len() == 2)?);
    (hour < 24 && minute < 60).then_some((hour, minute))
}

fn weekday(day: &str) -> Result<usize, &'static str> {
    let found = WEEKDAYS.iter().position(|name| *name == day || name.get(..3) == Some(day));
    found.ok_or("the day is none of the week")
}
