//! A bar for work that takes longer than a second.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use afterimage::Progress;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::args::{Globals, When};

const PATIENCE: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(100);

/// Shows progress, from the second second on.
pub(crate) struct Display {
    wanted: bool,
    started: Instant,
    /// When to draw next, counted from the start.
    due: Duration,
    bar: Option<ProgressBar>,
}

/// The time now, for measuring how long something takes.
#[expect(clippy::disallowed_methods, reason = "the one place that measures durations")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// A bar where the end is known, else a count; with the unit either way.
fn style(progress: Progress) -> ProgressStyle {
    let (done, total, unit) = match progress.unit {
        "bytes" => ("{bytes}", "{total_bytes}", ""),
        unit if unit == progress.phase => ("{human_pos}", "{human_len}", ""),
        unit => ("{human_pos}", "{human_len}", unit),
    };
    let template = if progress.total > 0 {
        format!("{{msg}} [{{bar:30}}] {done}/{total} {unit} {{eta}} left")
    } else {
        format!("{{msg}}: {done} {unit} in {{elapsed}}")
    };
    // The templates are ours; if one were wrong, a plain bar would do.
    ProgressStyle::with_template(&template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

fn line(progress: Progress) -> String {
    let Progress { phase, done, total, unit } = progress;
    if total > 0 {
        format!("{phase}: {done} of {total} {unit}")
    } else {
        format!("{phase}: {done} {unit}")
    }
}

impl Display {
    pub(crate) fn new(globals: &Globals) -> Self {
        let wanted = match globals.progress {
            When::Always => true,
            When::Never => false,
            When::Auto => std::io::stderr().is_terminal() && !globals.quiet,
        };
        Self { wanted, started: now(), due: PATIENCE, bar: None }
    }

    pub(crate) fn show(&mut self, progress: Progress) {
        if !self.wanted || self.started.elapsed() < self.due {
            return;
        }
        if !std::io::stderr().is_terminal() {
            // A log file takes lines, and not ten a second.
            self.due = self.started.elapsed() + PATIENCE;
            crate::output::tell(&line(progress));
            return;
        }
        self.due = self.started.elapsed() + PAUSE;
        let started = self.started;
        let bar = self.bar.get_or_insert_with(|| {
            // Hidden until it is complete, so that no half of it is drawn.
            ProgressBar::hidden().with_elapsed(started.elapsed())
        });
        if progress.total > 0 {
            bar.set_length(progress.total);
        }
        if bar.message() != progress.phase {
            bar.set_style(style(progress));
            bar.set_message(progress.phase);
        }
        bar.set_position(progress.done);
        if bar.is_hidden() {
            bar.set_draw_target(ProgressDrawTarget::stderr());
        }
        bar.tick();
    }

    pub(crate) fn finish(&self) -> Duration {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        self.started.elapsed()
    }
}
