//! Says that a test is skipped, past the test harness, which keeps what passing tests print.

use std::io::Write as _;

pub(crate) fn skipped(why: &str) {
    drop(writeln!(std::io::stderr(), "skipped: {why}"));
}
