//! Power cuts and failing calls on a simulated disk.
//!
//! Fault model: that of the disk in `src/sys/sim.rs`: unsynced sectors of 512 bytes kept or lost
//! one by one, unsynced names too, any changing call failing once. What this can't find: what
//! depends on real memory maps, a disk that lies about syncs, rotten bits.
//!
//! `AFTERIMAGE_SIM_SEEDS=10000 cargo test --release --test sim` tries more; a failure names its
//! seed.

use afterimage::Durability;
use afterimage::testing::crash::{Bench, Tried};

/// EIO and ENOSPC.
const ERRNOS: [i32; 2] = [5, 28];

fn seeds(usual: u64) -> u64 {
    std::env::var("AFTERIMAGE_SIM_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

fn bench(seed: u64, durability: Durability) -> Bench {
    match Bench::new(seed, durability) {
        Ok(bench) => bench,
        Err(error) => panic!("seed {seed}: {error:?}"),
    }
}

#[test]
fn a_power_cut_leaves_a_prefix_with_everything_acknowledged() {
    let mut tried = Tried::default();
    for seed in 0..seeds(40) {
        let durability = if seed % 3 == 0 { Durability::Process } else { Durability::Sync };
        let mut bench = bench(seed, durability);
        for _ in 0..25 {
            bench.step();
            bench.cut(2, durability, &mut tried);
        }
    }
    println!("{tried:?}");
    assert!(tried.states > tried.cuts);
}

#[test]
fn a_failing_call_loses_nothing_acknowledged() {
    let mut tried = Tried::default();
    for seed in 0..seeds(40) {
        for errno in ERRNOS {
            let mut bench = bench(seed, Durability::Sync);
            for _ in 0..5 {
                bench.step();
            }
            bench.fail(1 + seed, errno);
            tried.faults += 1;
            for _ in 0..10 {
                bench.step();
            }
            bench.cut(2, Durability::Sync, &mut tried);
        }
    }
    println!("{tried:?}");
    assert!(tried.faults > 0 && tried.states > tried.faults);
}
