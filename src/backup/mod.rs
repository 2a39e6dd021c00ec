//! Backups: parts of a journal outside of its store, what a repository holds of them, what can be
//! restored from it, and how long it is kept.
//!
//! Reading order: [`Slice`] (a part of a journal as bytes), [`rebuild()`] (a store made of slices).
//! With the feature `backup`: `repository` (objects, their envelope, keys), `object` and `manifest`
//! (what stands in a repository), `catalogue` (what it has of a store), `route` (how to get to a
//! moment), `retention` (what goes), `schedule` (when the next is due).

#[cfg(feature = "backup")]
pub mod catalogue;
#[cfg(feature = "backup")]
pub mod manifest;
#[cfg(feature = "backup")]
pub mod object;
mod rebuild;
#[cfg(feature = "backup")]
pub(crate) mod repository;
#[cfg(feature = "backup")]
pub mod retention;
#[cfg(feature = "backup")]
pub mod route;
#[cfg(feature = "backup")]
pub mod schedule;
mod slice;

pub use rebuild::{RebuildReport, rebuild};
#[cfg(any(test, feature = "testing"))]
pub(crate) use rebuild::{Target, rebuild_on};
pub use slice::{SLICE_BYTES, Slice};
