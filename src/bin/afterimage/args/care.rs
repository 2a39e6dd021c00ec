//! Looking after a store.

use std::path::PathBuf;

use clap::Args as ClapArgs;

use super::Signed;

#[derive(Debug, ClapArgs)]
pub(crate) struct CareArgs {
    /// Of a damaged store, serve what is sound
    #[arg(long)]
    pub salvage: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct VerifyArgs {
    /// Check every transaction from the first
    #[arg(long)]
    pub deep: bool,
    /// Leave out sealed segments that an earlier `--incremental` found sound, and keep in the
    /// store's file VERIFIED what was checked; an interrupted check is gone on with
    #[arg(long)]
    pub incremental: bool,
    /// With `--incremental`, check again what was checked so many days ago or longer
    #[arg(long, value_name = "DAYS", default_value_t = 30, requires = "incremental")]
    pub max_age: u32,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct RepairArgs {
    #[command(flatten)]
    pub signed: Signed,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct DoctorArgs {
    /// Write what helps others to help into this new file, as one JSON document
    #[arg(long, value_name = "FILE")]
    pub bundle: Option<PathBuf>,
    /// With the names of collections and restore points, and the store's path
    #[arg(long, requires = "bundle")]
    pub names: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct CheckpointArgs {
    #[command(flatten)]
    pub signed: Signed,
}
