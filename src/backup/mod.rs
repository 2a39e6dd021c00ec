//! Backups: where they are kept.
//!
//! Reading order: `repository` (objects, their envelope, keys).

pub(crate) mod repository;
