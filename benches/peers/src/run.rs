//! Each measurement in a fresh process and a fresh directory, engines in turn.

use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::args::Args;
use crate::engine::{self, Engine, Outcome};
use crate::measure::{Figures, Task};
use crate::results::Results;
use crate::workloads::{self, Workload};

/// The hidden argument that makes this program a child.
pub(crate) const CHILD: &str = "--child";
const RESULT: &str = "RESULT ";
/// A child that takes longer hangs.
const CHILD_TIME_MAX: Duration = Duration::from_secs(900);

/// What a child is told.
#[derive(Debug, Serialize, Deserialize)]
struct Order {
    engine: String,
    workload: String,
    scale: f64,
    full: bool,
    directory: PathBuf,
    /// So many records are to be written before the child kills itself.
    die_after: Option<u64>,
}

/// Runs everything that was asked for; `save` is called after each workload, so that a run that is
/// broken off leaves what it had.
pub(crate) fn all(args: &Args, save: impl Fn(&Results) -> Outcome<()>) -> Outcome<Results> {
    std::fs::create_dir_all(&args.directory)?;
    let mut results = Results::new(args)?;
    let limits = workloads::find("limits")?;
    let others = args.workloads.iter().copied().filter(|workload| workload.id != limits.id);
    for workload in std::iter::once(limits).chain(others) {
        if args.scale < workload.scale_min {
            eprintln!("{:<7} left out: it needs --scale {}", workload.id, workload.scale_min);
            continue;
        }
        for repeat in 0..args.repeats.min(workload.repeats_max) {
            let mut engines: Vec<&Engine> =
                args.engines.iter().copied().filter(|engine| workload.includes(engine)).collect();
            if workload.id == limits.id {
                engines = vec![engine::find(engine::OWN)?];
            }
            // Each begins once, as far as there are enough repeats.
            let count = engines.len().max(1);
            engines.rotate_left(repeat % count);
            for engine in engines {
                one(args, workload, engine, &mut results)?;
            }
        }
        save(&results)?;
    }
    Ok(results)
}

fn one(args: &Args, workload: &Workload, engine: &Engine, results: &mut Results) -> Outcome<()> {
    // What was written before must not be written out now.
    rustix::fs::sync();
    let directory = tempfile::tempdir_in(&args.directory)?;
    let order = Order {
        engine: engine.id.to_owned(),
        workload: workload.id.to_owned(),
        scale: args.scale,
        full: args.full,
        directory: directory.path().join("data"),
        die_after: None,
    };
    std::fs::create_dir(&order.directory)?;
    let start = Instant::now();
    let figures = child(&order, directory.path());
    let seconds = start.elapsed().as_secs_f64();
    match &figures {
        Ok(figures) => {
            let shown: Vec<String> = figures
                .iter()
                .take(3)
                .map(|(name, value)| format!("{name} {}", crate::results::short(*value)))
                .collect();
            eprintln!("{:<7} {:<22} {seconds:6.1} s  {}", workload.id, engine.id, shown.join(", "));
        }
        Err(error) => eprintln!("{:<7} {:<22} FAILED: {error}", workload.id, engine.id),
    }
    results.add(workload, engine, figures);
    Ok(directory.close()?)
}

fn spawn(order: &Order, output: Stdio) -> Outcome<Child> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg(CHILD).arg(serde_json::to_string(order)?).stdout(output);
    Ok(command.spawn()?)
}

/// Waits for a child; one that hangs is killed.
fn wait(mut child: Child) -> Outcome<ExitStatus> {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if start.elapsed() > CHILD_TIME_MAX {
            child.kill()?;
            child.wait()?;
            return Err("it took too long".into());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn child(order: &Order, directory: &Path) -> Outcome<Figures> {
    let path = directory.join("result");
    let status = wait(spawn(order, std::fs::File::create(&path)?.into())?)?;
    let mut output = String::new();
    std::fs::File::open(&path)?.read_to_string(&mut output)?;
    let result = output.lines().find_map(|line| line.strip_prefix(RESULT));
    match result {
        Some(result) => {
            let result: Result<Figures, String> = serde_json::from_str(result)?;
            Ok(result?)
        }
        None => Err(format!("the process ended with {status}").into()),
    }
}

/// What a child does: one measurement, its result on standard output.
pub(crate) fn be_child(order: &str) -> Outcome<()> {
    let order: Order = serde_json::from_str(order)?;
    let task = Task {
        engine: engine::find(&order.engine)?,
        scale: order.scale,
        full: order.full,
        directory: order.directory,
    };
    if let Some(records) = order.die_after {
        return workloads::fill_and_die(&task, records);
    }
    let result = (workloads::find(&order.workload)?.run)(&task);
    let result = result.map_err(|error| error.to_string());
    println!("{RESULT}{}", serde_json::to_string(&result)?);
    Ok(())
}

/// Starts a process that fills the task's database and kills itself.
pub(crate) fn die(task: &Task, records: u64) -> Outcome<()> {
    let order = Order {
        engine: task.engine.id.to_owned(),
        workload: "w7".to_owned(),
        scale: task.scale,
        full: task.full,
        directory: task.directory.clone(),
        die_after: Some(records),
    };
    let status = wait(spawn(&order, Stdio::null())?)?;
    if status.signal() == Some(rustix::process::Signal::KILL.as_raw()) {
        return Ok(());
    }
    Err(format!("the process that fills ended with {status}").into())
}
