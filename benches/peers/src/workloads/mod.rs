//! What is measured: the list of workloads, each a function that a child process runs.

mod batches;
mod device;
mod durable;
mod growth;
mod kill;
mod large;
mod memory;
mod mixed;
mod past;
mod puts;
mod reads;
mod scans;

pub(crate) use kill::fill_and_die;

use crate::engine::Outcome;
use crate::engine::{Engine, OWN, OWN_CHECKPOINTED};
use crate::measure::{Figures, Task};

/// Which settings of the engines a workload uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Settings {
    Buffered,
    Durable,
    Both,
    /// It only reads, so what survives does not matter.
    Reading,
}

/// Who takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    /// All engines.
    All,
    /// All engines, and afterimage once more right after a checkpoint.
    AllAndCheckpointed,
    /// afterimage alone: no peer has it.
    Own,
}

/// A column that is compared and drawn.
#[derive(Debug)]
pub(crate) struct Headline {
    pub(crate) column: &'static str,
    /// The physical limit it is held against; empty if there is none.
    pub(crate) limit: &'static str,
    /// Whether less is better.
    pub(crate) less: bool,
}

const fn more(column: &'static str, limit: &'static str) -> Headline {
    Headline { column, limit, less: false }
}

const fn less(column: &'static str) -> Headline {
    Headline { column, limit: "", less: true }
}

/// One workload.
#[derive(Debug)]
pub(crate) struct Workload {
    pub(crate) id: &'static str,
    pub(crate) title: &'static str,
    pub(crate) settings: Settings,
    pub(crate) who: Who,
    /// Whether it runs only when it is named.
    pub(crate) on_demand: bool,
    /// How often it runs at most, for what takes minutes.
    pub(crate) repeats_max: usize,
    /// It is left out at a smaller scale.
    pub(crate) scale_min: f64,
    pub(crate) headlines: &'static [Headline],
    pub(crate) run: fn(&Task) -> Outcome<Figures>,
}

impl Workload {
    /// Whether this engine takes part.
    pub(crate) fn includes(&self, engine: &Engine) -> bool {
        match self.who {
            Who::All => engine.id != OWN_CHECKPOINTED,
            Who::AllAndCheckpointed => true,
            Who::Own => engine.id == OWN,
        }
    }
}

/// What most workloads have in common.
const USUAL: Workload = Workload {
    id: "",
    title: "",
    settings: Settings::Buffered,
    who: Who::All,
    on_demand: false,
    repeats_max: usize::MAX,
    scale_min: 0.0,
    headlines: &[],
    run: |_| Ok(Figures::new()),
};

/// All workloads, in the order in which they run.
pub(crate) static WORKLOADS: [Workload; 16] = [
    Workload {
        id: "limits",
        title: "Physical limits of this machine, in this run",
        who: Who::Own,
        run: crate::limits::measure,
        ..USUAL
    },
    Workload {
        id: "w1",
        title: "W1 buffered puts of new keys (peers plain, afterimage with its history)",
        headlines: &[more("ops/s", "frames/s")],
        run: puts::insert,
        ..USUAL
    },
    Workload {
        id: "w1u",
        title: "W1u buffered puts of existing keys, with history",
        headlines: &[more("ops/s", "frames/s")],
        run: puts::update,
        ..USUAL
    },
    Workload {
        id: "w2",
        title: "W2 durable puts, with history, by threads",
        settings: Settings::Durable,
        headlines: &[more("1 thr ops/s", "syncs/s"), more("64 thr ops/s", "hand-overs/s")],
        run: durable::threads,
        ..USUAL
    },
    Workload {
        id: "w2p",
        title: "W2p durable puts of 10,000 async tasks on one thread",
        settings: Settings::Durable,
        who: Who::Own,
        headlines: &[more("ops/s", "frames/s")],
        run: durable::pipelined,
        ..USUAL
    },
    Workload {
        id: "w3",
        title: "W3 1000 puts of existing keys a transaction, with history",
        settings: Settings::Both,
        headlines: &[
            more("buffered rows/s", "frames/s"),
            more("durable rows/s", "synced frames/s"),
        ],
        run: batches::batches,
        ..USUAL
    },
    Workload {
        id: "w4",
        title: "W4 gets of 1M records, warm, one thread",
        settings: Settings::Reading,
        headlines: &[more("get/s", "dependent reads/s"), more("snapshot get/s", "random reads/s")],
        run: reads::gets,
        ..USUAL
    },
    Workload {
        id: "w5",
        title: "W5 scans of 1M records",
        settings: Settings::Reading,
        headlines: &[
            more("full rows/s", "sequential reads/s"),
            more("100-row rows/s", "sequential reads/s"),
        ],
        run: scans::scans,
        ..USUAL
    },
    Workload {
        id: "w6",
        title: "W6 YCSB A and B: zipfian, 2 threads, buffered puts with history",
        headlines: &[more("A ops/s", ""), more("B ops/s", "")],
        run: mixed::ycsb,
        ..USUAL
    },
    Workload {
        id: "w7",
        title: "W7 opening after SIGKILL, 1M records written buffered",
        who: Who::AllAndCheckpointed,
        headlines: &[less("first get ms")],
        run: kill::open_1m,
        ..USUAL
    },
    Workload {
        id: "w7-5m",
        title: "W7 opening after SIGKILL, 5M records (one run)",
        who: Who::AllAndCheckpointed,
        repeats_max: 1,
        scale_min: 1.0,
        headlines: &[less("first get ms")],
        run: kill::open_5m,
        ..USUAL
    },
    Workload {
        id: "w8",
        title: "W8 bytes written for a logical byte: puts of existing keys, with history",
        headlines: &[less("device")],
        run: device::amplification,
        ..USUAL
    },
    Workload {
        id: "w9",
        title: "W9 values of 64 KiB (peers plain, afterimage with its history)",
        settings: Settings::Both,
        headlines: &[more("buffered MB/s", "copied MB/s"), more("durable MB/s", "synced MB/s")],
        run: large::values,
        ..USUAL
    },
    Workload {
        id: "w11",
        title: "W11 get as of many versions back",
        settings: Settings::Reading,
        who: Who::Own,
        headlines: &[less("1000 back p50 us")],
        run: past::gets,
        ..USUAL
    },
    Workload {
        id: "growth",
        title: "Growth: how each operation depends on the number of records",
        who: Who::Own,
        run: growth::curve,
        ..USUAL
    },
    Workload {
        id: "memory",
        title: "W10 memory of 20M records",
        who: Who::Own,
        on_demand: true,
        repeats_max: 1,
        scale_min: 1.0,
        headlines: &[less("anon bytes a record")],
        run: memory::records_20m,
        ..USUAL
    },
];

/// The workload of this id.
pub(crate) fn find(id: &str) -> Outcome<&'static Workload> {
    let known = WORKLOADS.iter().find(|workload| workload.id == id);
    known.ok_or_else(|| format!("there is no workload `{id}`").into())
}
