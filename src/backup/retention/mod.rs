//! How long backups are kept. [`policy`] says it, [`rules`] judges each backup by it, with reasons,
//! and [`plan`] works out what that means for the objects of a repository.

pub mod plan;
pub mod policy;
pub mod rules;
#[cfg(test)]
mod tests;
