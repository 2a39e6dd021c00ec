//! What the operating system allows this process. A service may have other limits than a shell.

use super::place::segment_bytes;
use super::{Check, Patient, amount};
use crate::sys::process;

/// Files that are open beside segments and checkpoints: CONTROL, LOCK, standard streams, what a
/// program opens itself.
const OTHER_FILES: u64 = 64;
/// With room for less than so many times the files there are, a person should know.
const GROWTH_FACTOR: u64 = 2;

pub(super) fn file_size(patient: &Patient<'_>) -> Check {
    let segment = segment_bytes(patient);
    match process::limits().file_bytes {
        None => Check::ok("this process may write files of any size"),
        Some(limit) if limit < segment => Check::problem(
            format!(
                "this process may write files of {}, and a segment has {}",
                amount(limit),
                amount(segment)
            ),
            "raise it with `ulimit -f unlimited`, or LimitFSIZE= of a service",
        ),
        Some(limit) => Check::ok(format!(
            "this process may write files of {}, and a segment has {}; checkpoints grow",
            amount(limit),
            amount(segment)
        )),
    }
}

pub(super) fn open_files(patient: &Patient<'_>) -> Check {
    let there = patient.inventory.own().count() as u64;
    let needed = there.saturating_add(OTHER_FILES);
    let Some(limit) = process::limits().open_files else {
        return Check::ok("this process may have any number of files open");
    };
    let found = format!("this process may have {limit} files open, and the store has {there}");
    let help = "raise it with `ulimit -n 65536`, or LimitNOFILE= of a service: each segment stays \
                open";
    match limit {
        _ if limit < needed => Check::problem(found, help),
        _ if limit / GROWTH_FACTOR < needed => Check::warning(found, help),
        _ => Check::ok(found),
    }
}
