//! Power cuts and failing calls on a simulated disk.
//!
//! Fault model: that of the disk in `src/sys/sim/`: what was not synced is there in units of 512 or
//! 4096 bytes, each as it was after any write since the last sync, names too; any changing call
//! failing, once or from then on. What this can't find: what depends on real memory maps, a disk
//! that lies about syncs, rotten bits.
//!
//! `AFTERIMAGE_SIM_SEEDS=10000 AFTERIMAGE_SIM_LENGTH=3 cargo test --release --test sim` tries more;
//! a failure names its seed.

#[path = "../kit/number.rs"]
mod number;
use afterimage::Durability;
use afterimage::testing::crash::{Bench, Failure, Operation, Tried};
use number::number;

const EIO: i32 = 5;
const ENOSPC: i32 = 28;

const FAILURES: [Failure; 5] = [
    Failure::Once(EIO),
    Failure::Once(ENOSPC),
    Failure::Forever(EIO),
    Failure::Forever(ENOSPC),
    Failure::Torn(EIO),
];

fn seeds(usual: u64) -> u64 {
    number("AFTERIMAGE_SIM_SEEDS", usual)
}

fn bench(seed: u64, durability: Durability) -> Bench {
    match Bench::new(seed, durability) {
        Ok(bench) => bench,
        Err(error) => panic!("seed {seed}: {error:?}"),
    }
}

/// A store that has something to lose in every kind of file.
fn with_history(seed: u64) -> Bench {
    let mut bench = bench(seed, Durability::Sync);
    for operation in [
        Operation::Put,
        Operation::Batch,
        Operation::Large,
        Operation::Whole,
        Operation::Update,
        Operation::Layer,
        Operation::Delete,
    ] {
        bench.operate(operation);
    }
    bench
}

/// Every series of so many operations.
fn histories(length: u64) -> Vec<Vec<Operation>> {
    (0..length).fold(vec![Vec::new()], |shorter, _| {
        let longer = |history: &Vec<Operation>| {
            let history = history.clone();
            Operation::ALL.map(|operation| [&history[..], &[operation]].concat())
        };
        shorter.iter().flat_map(longer).collect()
    })
}

#[test]
fn a_power_cut_leaves_a_prefix_with_everything_acknowledged() {
    let mut tried = Tried::default();
    for seed in 0..seeds(40) {
        let durability = if seed % 3 == 0 { Durability::Process } else { Durability::Sync };
        let mut bench = bench(seed, durability);
        for _ in 0..25 {
            bench.step();
            bench.cut(2, &mut tried);
        }
    }
    println!("{tried:?}");
    assert!(tried.states > tried.cuts);
}

#[test]
fn every_short_history_survives_a_cut_before_every_call() {
    let mut tried = Tried::default();
    let (length, most) = (number("AFTERIMAGE_SIM_LENGTH", 1), number("AFTERIMAGE_SIM_WAYS", 16));
    for history in (1..=length).flat_map(histories) {
        bench(1, Durability::Sync).exhaust(&history, most, &mut tried);
        with_history(1).exhaust(&history, most, &mut tried);
    }
    println!("{tried:?}");
    assert!(tried.exhausted > 0 && tried.states > tried.cuts);
}

#[test]
fn any_call_that_fails_loses_nothing_acknowledged() {
    let mut tried = Tried::default();
    let histories = [
        &Operation::ALL[..],
        &[Operation::Large, Operation::Large, Operation::Update, Operation::Whole],
        &[Operation::Layer, Operation::Batch, Operation::Reopen, Operation::Put],
    ];
    for failure in FAILURES {
        for history in histories {
            for after in 0.. {
                eprintln!("{failure:?} after {after} calls of {history:?}");
                if !with_history(after).fail(history, after, failure, &mut tried) {
                    break;
                }
            }
        }
    }
    println!("{tried:?}");
    assert!(tried.faults > 100, "{tried:?}");
}

#[test]
fn a_recovery_that_fails_or_is_cut_anywhere_loses_nothing() {
    let mut tried = Tried::default();
    for seed in 0..seeds(40) / 20 {
        for failure in FAILURES {
            let mut bench = with_history(seed);
            for _ in 0..seed % 5 {
                bench.step();
            }
            bench.fail_recovery(failure, &mut tried);
        }
    }
    println!("{tried:?}");
    assert!(tried.faults > 50, "{tried:?}");
}
