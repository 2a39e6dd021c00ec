//! What came out: all values of all runs, and their medians.

use serde::Serialize;

use crate::args::Args;
use crate::engine::{ENGINES, Engine, Outcome, version};
use crate::measure::Figures;
use crate::workloads::Workload;

/// Everything a report is made of.
#[derive(Debug, Serialize)]
pub(crate) struct Results {
    pub(crate) machine: Machine,
    pub(crate) scale: f64,
    pub(crate) repeats: usize,
    pub(crate) versions: Vec<(String, String)>,
    pub(crate) cells: Vec<Cell>,
}

/// Where it ran.
#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    pub(crate) processor: String,
    pub(crate) cores: usize,
    pub(crate) memory_gib: u64,
    pub(crate) kernel: String,
}

/// One engine on one workload.
#[derive(Debug, Serialize)]
pub(crate) struct Cell {
    pub(crate) workload: &'static str,
    pub(crate) engine: &'static str,
    pub(crate) columns: Vec<Column>,
    pub(crate) errors: Vec<String>,
}

/// One number, as often as it was measured.
#[derive(Debug, Serialize)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) values: Vec<f64>,
    pub(crate) median: f64,
}

/// Set in memory: nothing there is ever written to a device.
const TMPFS: u64 = 0x0102_1994;

impl Results {
    /// Nothing yet.
    pub(crate) fn new(args: &Args) -> Outcome<Self> {
        if rustix::fs::statfs(&args.directory)?.f_type as u64 == TMPFS {
            let place = args.directory.display();
            return Err(format!("{place} is no real file system; name another with --dir").into());
        }
        let mut versions: Vec<_> = ENGINES
            .iter()
            .map(|engine| (engine.package.to_owned(), version(engine.package).to_owned()))
            .collect();
        versions.dedup();
        Ok(Self {
            machine: Machine::this()?,
            scale: args.scale,
            repeats: args.repeats,
            versions,
            cells: Vec::new(),
        })
    }

    /// Takes in one run.
    pub(crate) fn add(&mut self, workload: &Workload, engine: &Engine, run: Outcome<Figures>) {
        let index = self.cells.iter().position(|c| c.is_of(workload.id, engine.id));
        let index = index.unwrap_or_else(|| {
            let ids = ENGINES.iter().find(|known| known.id == engine.id);
            let workloads = crate::workloads::WORKLOADS.iter();
            let known = workloads.map(|known| known.id).find(|id| *id == workload.id);
            self.cells.push(Cell {
                workload: known.unwrap_or_default(),
                engine: ids.map_or("", |known| known.id),
                columns: Vec::new(),
                errors: Vec::new(),
            });
            self.cells.len() - 1
        });
        match run {
            Ok(figures) => self.cells[index].take_in(figures),
            Err(error) => self.cells[index].errors.push(error.to_string()),
        }
    }

    /// The cells of a workload, in the order of the engines.
    pub(crate) fn of(&self, workload: &Workload) -> Vec<&Cell> {
        let cells = |engine: &Engine| {
            let id = engine.id;
            self.cells.iter().find(move |cell| cell.is_of(workload.id, id))
        };
        ENGINES.iter().filter_map(cells).collect()
    }

    /// A physical limit.
    pub(crate) fn limit(&self, name: &str) -> Option<f64> {
        self.cells.iter().find(|cell| cell.workload == "limits")?.median(name)
    }
}

impl Cell {
    fn is_of(&self, workload: &str, engine: &str) -> bool {
        self.workload == workload && self.engine == engine
    }

    fn take_in(&mut self, figures: Figures) {
        for (name, value) in figures {
            let index = self.columns.iter().position(|column| column.name == name);
            let index = index.unwrap_or_else(|| {
                self.columns.push(Column { name, values: Vec::new(), median: 0.0 });
                self.columns.len() - 1
            });
            let column = &mut self.columns[index];
            column.values.push(value);
            column.median = median(&column.values);
        }
    }

    /// The median of a column.
    pub(crate) fn median(&self, name: &str) -> Option<f64> {
        self.columns.iter().find(|column| column.name == name).map(|column| column.median)
    }
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 {
        sorted[middle]
    } else {
        f64::midpoint(sorted[middle - 1], sorted[middle])
    }
}

impl Machine {
    /// This one.
    pub(crate) fn this() -> Outcome<Self> {
        let read = |path: &str| std::fs::read_to_string(path);
        let cpuinfo = read("/proc/cpuinfo")?;
        let processor = cpuinfo.lines().find_map(|line| line.strip_prefix("model name\t: "));
        let meminfo = read("/proc/meminfo")?;
        let kib = meminfo.split_whitespace().nth(1).ok_or("no MemTotal")?.parse::<u64>()?;
        Ok(Self {
            processor: processor.unwrap_or("?").to_owned(),
            cores: std::thread::available_parallelism()?.get(),
            memory_gib: kib.div_ceil(1 << 20),
            kernel: read("/proc/sys/kernel/osrelease")?.trim().to_owned(),
        })
    }
}

/// A number as people like to read it.
pub(crate) fn short(value: f64) -> String {
    match value {
        v if v >= 1e6 => format!("{:.2}M", v / 1e6),
        v if v >= 1e4 => format!("{:.0}k", v / 1e3),
        v if v >= 100.0 => format!("{v:.0}"),
        v => format!("{v:.2}"),
    }
}
