//! Behaviour, through the public API only. A new test goes into the module of its subject.

mod common;

/// Whole histories against a brute-force model: the state after every LSN.
mod model;
/// Commits: isolation, expectations, groups, sizes.
mod commit;
/// Opening: recovery, other processes, damage, bad input.
mod opening;
