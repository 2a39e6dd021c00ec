//! The command line of this comparison.

use std::path::{Path, PathBuf};

use super::{SUBJECTS, Subject, find};
use crate::engine::Outcome;

/// What to try, and where to put what comes out.
pub(super) struct Args {
    pub(super) subjects: Vec<&'static Subject>,
    pub(super) flips: usize,
    pub(super) directory: PathBuf,
    pub(super) json: Option<PathBuf>,
}

const USAGE: &str = "\
what engines make of damaged files

  --engines a,b     which engines; default: afterimage,rocksdb,raft-engine,sqlite,sled,fjall,redb
  --flips N         bits flipped in each file, and blocks zeroed at most; N/4 lengths;
                    default 200 (about five minutes), 20 for a minute
  --dir DIR         where databases are made; default: /dev/shm, else beside the program
  --json FILE       all counts, settings, and each trial that was neither detected nor harmless";

/// Reads the arguments; `None` if they only ask for text, which is printed.
pub(super) fn parse(mut given: impl Iterator<Item = String>) -> Outcome<Option<Args>> {
    let program = std::env::current_exe()?;
    let beside = program.parent().ok_or("the program stands in no directory")?;
    // Nothing here waits for a device, so it need not, and disturbs nobody who does.
    let memory = Path::new("/dev/shm");
    let mut args = Args {
        subjects: SUBJECTS.iter().collect(),
        flips: 200,
        directory: if memory.is_dir() { memory } else { beside }.join("peers-data"),
        json: None,
    };
    while let Some(name) = given.next() {
        let mut value = || given.next().ok_or_else(|| format!("{name} needs a value"));
        match name.as_str() {
            "--engines" => {
                let names = value()?;
                args.subjects =
                    names.split(',').map(|id| find(id.trim())).collect::<Outcome<_>>()?;
            }
            "--flips" => args.flips = value()?.parse::<usize>()?.max(1),
            "--dir" => args.directory = PathBuf::from(value()?),
            "--json" => args.json = Some(PathBuf::from(value()?)),
            "--help" | "-h" => {
                println!("{USAGE}");
                return Ok(None);
            }
            _ => return Err(format!("unknown argument `{name}`\n\n{USAGE}").into()),
        }
    }
    Ok(Some(args))
}
