//! Whether lines are as a page shows them.

use regex_lite::Regex;

/// Within a line, anything.
const ANYTHING: &str = "[..]";
/// A line of its own: any lines, or none.
const ANY_LINES: &str = "...";

/// What is another at each run, so that a page can show a real value: compared by its form.
const FORMS: [&str; 8] = [
    // An id.
    r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b",
    // The name of a plan, which is that of one store.
    r"\bplan [0-9a-f]{32}\b",
    r#""plan":"[0-9a-f]{32}""#,
    // A time, as people read it, and as programs do.
    r"\b\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6} [+-]\d\d:\d\d",
    r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z",
    r#"ts_us":\d+"#,
    // How long it took, and how much of it that was in a second.
    r"\b\d+\.\d+ s\b",
    r"\b\d+ changes/s\b",
];

/// Knows whether lines are alike.
pub(crate) struct Lines {
    forms: Vec<Regex>,
}

impl Lines {
    pub(crate) fn new() -> Self {
        let forms = FORMS.iter().map(|form| Regex::new(form).expect("a form"));
        Self { forms: forms.collect() }
    }

    fn without_forms(&self, line: &str) -> String {
        let mut line = line.trim_end().to_owned();
        for (number, form) in self.forms.iter().enumerate() {
            line = form.replace_all(&line, format!("\u{1}{number}")).into_owned();
        }
        line
    }

    /// Whether a line is as the page shows it.
    fn is_line(&self, shown: &str, real: &str) -> bool {
        let (shown, real) = (self.without_forms(shown), self.without_forms(real));
        let mut parts = shown.split(ANYTHING);
        let first = parts.next().unwrap_or_default();
        let Some(mut rest) = real.strip_prefix(first) else { return false };
        let mut parts: Vec<&str> = parts.collect();
        let Some(last) = parts.pop() else { return rest.is_empty() };
        for part in parts {
            let Some(at) = rest.find(part) else { return false };
            rest = &rest[at + part.len()..];
        }
        rest.ends_with(last)
    }

    /// Whether the output of a command is as the page shows it. Empty lines at the end don't count.
    pub(crate) fn are_alike(&self, shown: &[String], real: &[String]) -> bool {
        self.is_tail(trimmed(shown), trimmed(real))
    }

    fn is_tail(&self, shown: &[String], real: &[String]) -> bool {
        match (shown, real) {
            ([], []) => true,
            ([any, shown @ ..], real) if any == ANY_LINES => {
                (0..=real.len()).any(|skipped| self.is_tail(shown, &real[skipped..]))
            }
            ([first, shown @ ..], [line, real @ ..]) => {
                self.is_line(first, line) && self.is_tail(shown, real)
            }
            _ => false,
        }
    }

    /// What a page shall show: the real lines, and where a line is as it was shown, that one.
    pub(crate) fn merged(&self, shown: &[String], real: &[String]) -> Vec<String> {
        if self.are_alike(shown, real) {
            return shown.to_vec();
        }
        let mut rest = shown;
        let mut merged = Vec::new();
        for line in trimmed(real) {
            match rest.iter().position(|shown| self.is_line(shown, line)) {
                Some(at) => {
                    merged.push(rest[at].clone());
                    rest = &rest[at + 1..];
                }
                None => merged.push(line.trim_end().to_owned()),
            }
        }
        merged
    }
}

fn trimmed(lines: &[String]) -> &[String] {
    let end = lines.iter().rposition(|line| !line.trim().is_empty()).map_or(0, |last| last + 1);
    &lines[..end]
}

fn own(lines: &[&str]) -> Vec<String> {
    lines.iter().map(|line| (*line).to_owned()).collect()
}

#[test]
fn lines_are_alike_by_their_text_by_wildcards_and_by_form() {
    let lines = Lines::new();
    for (shown, real, alike) in [
        (&["a"][..], &["a", ""][..], true),
        (&["a"], &["b"], false),
        (&["a[..]c"], &["abbc"], true),
        (&["a[..]c[..]"], &["abbd"], false),
        (&["[..]b", "x"], &["aab", "x"], true),
        (&["..."], &[], true),
        (&["a", "...", "z"], &["a", "b", "c", "z"], true),
        (&["a", "...", "z"], &["a", "b"], false),
        (&["a", "..."], &["b"], false),
        (
            &["  at 2026-11-19 16:00:00.000000 +00:00, 1"],
            &["  at 2027-01-01 00:00:00.123456 +00:00, 1"],
            true,
        ),
        (
            &["at 2026-11-19 16:00:00.000000 +00:00, 1"],
            &["at 2027-01-01 00:00:00.123456 +00:00, 2"],
            false,
        ),
        (&["took 1.02 s"], &["took 0.00 s"], true),
    ] {
        assert_eq!(lines.are_alike(&own(shown), &own(real)), alike, "{shown:?} {real:?}");
    }
}

#[test]
fn what_is_written_back_keeps_the_lines_that_still_hold() {
    let lines = Lines::new();
    let shown = own(&["id [..]", "gone", "took 1.02 s", "same"]);
    let merged = lines.merged(&shown, &own(&["id 17", "new", "took 0.00 s", "same", ""]));
    assert_eq!(merged, own(&["id [..]", "new", "took 1.02 s", "same"]));
    assert_eq!(lines.merged(&own(&["..."]), &own(&["a", "b"])), own(&["..."]));
}
