//! Going back: a copy of the store at a moment.

mod copy;

pub use copy::{RestorePlan, RestoreReport};
