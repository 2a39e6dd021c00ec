//! The command line.

use std::path::PathBuf;

use crate::engine::{self, ENGINES, Engine, Outcome};
use crate::workloads::{self, WORKLOADS, Workload};

/// What to run, and where to put what comes out.
#[derive(Debug)]
pub(crate) struct Args {
    pub(crate) workloads: Vec<&'static Workload>,
    pub(crate) engines: Vec<&'static Engine>,
    pub(crate) repeats: usize,
    pub(crate) scale: f64,
    pub(crate) full: bool,
    pub(crate) directory: PathBuf,
    pub(crate) json: Option<PathBuf>,
    pub(crate) html: Option<PathBuf>,
}

/// How it is called.
pub(crate) const USAGE: &str = "\
afterimage beside other embedded engines

  --workloads a,b   which workloads; default: all but those that must be named
  --engines a,b     which engines; default: all
  --repeats N       runs of each, of which the median is reported; default 3
  --scale X         counts and times are multiplied by this; default 1.0, 0.05 for a smoke run
  --full            growth up to 10M records
  --dir DIR         where databases are made, on a real file system; default: beside the program
  --json FILE       all numbers of all runs
  --html FILE       a page with tables and charts
  --list            names of workloads and engines

  corruption        as the first argument: what engines make of damaged files; see its own --help";

/// Reads the arguments; `None` if they only ask for text, which is printed.
pub(crate) fn parse(mut given: impl Iterator<Item = String>) -> Outcome<Option<Args>> {
    let mut args = defaults()?;
    while let Some(name) = given.next() {
        let mut value = || given.next().ok_or_else(|| format!("{name} needs a value"));
        match name.as_str() {
            "--workloads" => args.workloads = each(&value()?, workloads::find)?,
            "--engines" => args.engines = each(&value()?, engine::find)?,
            "--repeats" => args.repeats = value()?.parse::<usize>()?.max(1),
            "--scale" => args.scale = value()?.parse()?,
            "--full" => args.full = true,
            "--dir" => args.directory = PathBuf::from(value()?),
            "--json" => args.json = Some(PathBuf::from(value()?)),
            "--html" => args.html = Some(PathBuf::from(value()?)),
            "--list" => {
                list();
                return Ok(None);
            }
            "--help" | "-h" => {
                println!("{USAGE}");
                return Ok(None);
            }
            _ => return Err(format!("unknown argument `{name}`\n\n{USAGE}").into()),
        }
    }
    Ok(Some(args))
}

fn defaults() -> Outcome<Args> {
    let program = std::env::current_exe()?;
    let beside = program.parent().ok_or("the program stands in no directory")?;
    Ok(Args {
        workloads: WORKLOADS.iter().filter(|workload| !workload.on_demand).collect(),
        engines: ENGINES.iter().collect(),
        repeats: 3,
        scale: 1.0,
        full: false,
        directory: beside.join("peers-data"),
        json: None,
        html: None,
    })
}

fn each<T>(names: &str, find: impl Fn(&str) -> Outcome<T>) -> Outcome<Vec<T>> {
    names.split(',').map(|name| find(name.trim())).collect()
}

fn list() {
    println!("workloads:");
    for workload in &WORKLOADS {
        let on_demand = if workload.on_demand { " (only when named)" } else { "" };
        println!("  {:<8} {}{on_demand}", workload.id, workload.title);
    }
    println!("engines:");
    for engine in &ENGINES {
        println!("  {:<24} {}", engine.id, engine::version(engine.package));
    }
}
