//! Looking after a store.

use std::path::PathBuf;
use std::time::Duration;

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
pub(crate) struct CompactArgs {
    /// Keep the history of the last so many days, or hours: 90d, 36h
    #[arg(long, value_name = "TIME", value_parser = span, required_unless_present = "keep_from")]
    pub keep_history: Option<Duration>,
    /// Keep this moment, and what came after it
    #[arg(long, value_name = "REV", conflicts_with = "keep_history")]
    pub keep_from: Option<String>,
    #[command(flatten)]
    pub signed: Signed,
}

/// A number of days or hours.
fn span(text: &str) -> Result<Duration, String> {
    const HOUR: u64 = 3600;
    let unit = |suffix| text.strip_suffix(suffix).and_then(|number| number.parse::<u64>().ok());
    let hours = unit('d').map(|days| days.saturating_mul(24)).or_else(|| unit('h'));
    match hours {
        // Longer than any clock has run.
        Some(hours) if hours <= 24 * 365 * 1000 => Ok(Duration::from_secs(hours * HOUR)),
        Some(_) | None => Err("it is no number of days or hours, as 90d or 36h".to_owned()),
    }
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
