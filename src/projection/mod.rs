//! The runner that feeds a [`Projection`](crate::store::Projection).

mod runner;

pub use runner::{Runner, RunnerState};
