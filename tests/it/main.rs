//! Behaviour, through the public API only. A new test goes into the module of its subject.

mod common;

/// Commits: isolation, expectations, groups, sizes.
mod commit;
/// Whole histories against a brute-force model: the state after every LSN.
mod model;
/// Opening: recovery, other processes, damage, bad input.
mod opening;
