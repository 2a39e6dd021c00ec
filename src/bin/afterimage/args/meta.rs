//! About the program itself.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args as ClapArgs;

#[derive(Debug, ClapArgs)]
pub(crate) struct ShellArgs {
    /// Of a damaged store, serve what is sound
    #[arg(long)]
    pub salvage: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct DemoArgs {
    /// Where to build the demo's stores; default: a temporary directory, removed at the end
    pub directory: Option<PathBuf>,
    /// Take these change events instead of the hotel's
    #[arg(long, value_name = "FILE")]
    pub from: Option<PathBuf>,
    /// The seed of the hotel's history
    #[arg(long, default_value_t = 7)]
    pub seed: u64,
    /// How many changes the hotel makes
    #[arg(long, default_value_t = 20_000)]
    pub changes: u64,
    /// The child process that the demo kills
    #[arg(long, hide = true)]
    pub write_until_killed: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct BenchArgs {
    /// The directory whose disk is measured; default: the current one
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// How many records the store holds
    #[arg(
        long,
        value_name = "N",
        default_value_t = 100_000,
        value_parser = clap::value_parser!(u64).range(1..=100_000_000)
    )]
    pub records: u64,
    /// Bytes of a value
    #[arg(
        long,
        value_name = "N",
        default_value_t = 100,
        value_parser = clap::value_parser!(u32).range(1..=1_048_576)
    )]
    pub value_bytes: u32,
    /// How many threads commit at once, in the workload that has several
    #[arg(
        long,
        value_name = "N",
        default_value_t = 8,
        value_parser = clap::value_parser!(u16).range(1..=256)
    )]
    pub threads: u16,
    /// How long each workload runs, in seconds
    #[arg(long, value_name = "S", default_value = "1", value_parser = seconds)]
    pub seconds: Duration,
}

/// A number of seconds, which need not be whole.
fn seconds(text: &str) -> Result<Duration, String> {
    let number: f64 = text.parse().map_err(|_| "it is no number".to_owned())?;
    if (0.001..=3600.0).contains(&number) {
        Ok(Duration::from_secs_f64(number))
    } else {
        Err("it is not between 0.001 and 3600".to_owned())
    }
}

#[derive(Debug, ClapArgs)]
pub(crate) struct ExplainArgs {
    /// The code, AF0015; without one, all are listed
    pub code: Option<String>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct CompletionsArgs {
    /// The shell
    pub shell: clap_complete::Shell,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct ManArgs {
    /// The directory; created if need be
    pub directory: PathBuf,
}
