//! Backups: what a repository holds, what can be restored from it, and how long it is kept.

pub mod catalogue;
pub mod manifest;
pub mod object;
pub mod retention;
pub mod route;
pub mod schedule;
