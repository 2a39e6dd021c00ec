//! A bar for work that takes longer than a second.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use afterimage::Progress;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::args::{Globals, When};

const PATIENCE: Duration = Duration::from_secs(1);
const DRAWS_PER_SECOND: u8 = 10;

/// Shows progress, from the second second on.
pub(crate) struct Display {
    wanted: bool,
    started: Instant,
    bar: Option<ProgressBar>,
}

/// The time now, for measuring how long something takes.
#[expect(clippy::disallowed_methods, reason = "the one place that measures durations")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

impl Display {
    pub(crate) fn new(globals: &Globals) -> Self {
        let wanted = match globals.progress {
            When::Always => true,
            When::Never => false,
            When::Auto => std::io::stderr().is_terminal() && !globals.quiet,
        };
        Self { wanted, started: now(), bar: None }
    }

    pub(crate) fn show(&mut self, progress: Progress) {
        if !self.wanted || self.started.elapsed() < PATIENCE {
            return;
        }
        let bar = self.bar.get_or_insert_with(|| {
            let bar = ProgressBar::with_draw_target(
                None,
                ProgressDrawTarget::stderr_with_hz(DRAWS_PER_SECOND),
            );
            bar.set_style(ProgressStyle::default_bar());
            bar
        });
        if progress.total > 0 {
            bar.set_length(progress.total);
        }
        bar.set_message(progress.phase);
        bar.set_position(progress.done);
    }

    pub(crate) fn finish(&self) -> Duration {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        self.started.elapsed()
    }
}
