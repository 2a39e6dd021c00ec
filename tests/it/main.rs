//! Behaviour, through the public API only. A new test goes into the module of its subject.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test that panics fails, which is what it is for"
)]

mod common;
#[path = "../kit/copy.rs"]
mod copy;
#[path = "../kit/number.rs"]
mod number;
#[path = "../kit/random.rs"]
mod random;
#[path = "../kit/skipped.rs"]
mod skipped;

/// Bad input, and the errors it gets.
mod bad_input;
/// The command `bench`, with little to measure.
mod bench;
/// Which transaction broke it.
mod bisect;
/// The command line as scripts see it.
mod cli;
/// Commits: isolation, expectations, groups, sizes.
mod commit;
/// The corpora of the fuzz targets, on stable.
mod corpus;
/// What `doctor` finds in stores that are broken, and that it changes nothing.
mod doctor;
/// Change events out and in, and the real history where its file is at hand.
mod exchange;
/// Filters in the language of jq.
mod filter;
/// History that was folded away.
mod folding;
/// Released formats.
mod golden;
/// Looking through the past, and restoring it elsewhere.
mod history;
/// Modes and formats of an import, other names, and the steps before and after.
mod import;
/// Whole histories against a brute-force model: the state after every LSN.
mod model;
/// Opening: recovery, other processes, damage, bad input.
mod opening;
/// Projections and their runner.
mod projection;
/// Undo and restore in place.
mod recovery;
/// Damaged stores made anew.
mod repair;
/// Where backups are kept: every byte and every request of it can go wrong.
#[cfg(feature = "backup")]
mod repository;
/// Which transaction took a field from one value to another.
mod search;
/// The command `shell`.
mod shell;
/// Slices of a journal, and stores built from them.
mod slices;
/// Async: commits, subscriptions.
mod subscribe;
/// Bytes that go away under an open store.
mod vanished;
/// Verifying again and again.
mod verify;
