//! Backups. Reading order: [`slice`] (a part of a journal as bytes), [`rebuild`](mod@rebuild) (a
//! store made of slices).

mod rebuild;
mod slice;
#[cfg(test)]
mod tests;

pub use rebuild::{RebuildReport, rebuild};
#[cfg(any(test, feature = "testing"))]
pub(crate) use rebuild::{Target, rebuild_on};
pub use slice::{SLICE_BYTES, Slice};
