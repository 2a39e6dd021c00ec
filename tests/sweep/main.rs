//! Every bit of a small store flipped, every byte zeroed, every length, every block lost, doubled
//! or misplaced, files missing, older or from another store: nothing damaged is ever believed, and
//! nothing panics, takes long, or asks for much memory.
//!
//! `cargo test` tries a part of it; all of it:
//! `AFTERIMAGE_SWEEP=all cargo test --release --test sweep -- --nocapture`.

#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "what was tried is told, and nothing may take for ever"
)]

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;
use std::time::{Duration, Instant};

use afterimage::testing::sweep::{Damage, Outcome, Sweep};

/// How many of the bits, and of the other damages, are tried: one of so many.
const USUAL_STRIDES: (usize, usize) = (211, 101);
/// Every so many damages the store is opened for writing, too.
const WRITING_STRIDE: usize = 16;
/// Longer than this nothing of it may take.
const LIMIT: Duration = Duration::from_secs(10);

fn sweep(closed: bool) {
    let all = std::env::var("AFTERIMAGE_SWEEP").is_ok_and(|wanted| wanted == "all");
    let (bit_stride, stride) = if all { (1, 1) } else { USUAL_STRIDES };
    let sweep = Sweep::new(closed);
    let mut outcomes: BTreeMap<(&str, Outcome), usize> = BTreeMap::new();
    let mut unchanged = 0;
    for (number, damage) in sweep.damages().enumerate() {
        let kind = match &damage {
            Damage::Bit(..) => "bits",
            Damage::Byte(..) => "bytes",
            Damage::Cut(..) => "lengths",
            Damage::Appended(..) => "appended",
            Damage::Zeroed(..) | Damage::Misplaced(..) | Damage::Lost(..) => "blocks",
            Damage::Older(_) | Damage::Missing(_) | Damage::Swapped(..) | Damage::Foreign(_) => {
                "files"
            }
        };
        let stride = match kind {
            "bits" => bit_stride,
            "files" | "appended" => 1,
            "blocks" => stride.min(7),
            _ => stride,
        };
        if number % stride != 0 {
            continue;
        }
        let begin = Instant::now();
        let writing = all || number % WRITING_STRIDE == 0 || stride == 1;
        let outcome = catch_unwind(AssertUnwindSafe(|| sweep.outcome(&damage, writing)));
        let outcome = outcome.unwrap_or_else(|_| panic!("{damage:?} (closed: {closed})"));
        assert!(begin.elapsed() < LIMIT, "{damage:?} took {:?}", begin.elapsed());
        match outcome {
            Some(outcome) => *outcomes.entry((kind, outcome)).or_default() += 1,
            None => unchanged += 1,
        }
    }
    println!("{} bytes, closed: {closed}; changed nothing: {unchanged}", sweep.bytes());
    for ((kind, outcome), count) in &outcomes {
        println!("{kind:9} {outcome:?}: {count}");
    }
    assert!(outcomes.contains_key(&("bits", Outcome::Detected)));
    if closed {
        assert!(outcomes.keys().all(|(_, outcome)| *outcome < Outcome::CutOff), "{outcomes:?}");
    }
}

/// Set in the process that is limited.
const LIMITED: &str = "AFTERIMAGE_SWEEP_LIMITED";
/// More memory than this no damage may make anybody ask for; in KiB, with code and stacks.
const MEMORY_KIB: u64 = 1 << 20;

/// Runs a test of this program again where memory is limited: who asks for more is ended, and the
/// test fails.
fn with_little_memory(test: &str, sweep: impl Fn()) {
    if std::env::var_os(LIMITED).is_some() {
        return sweep();
    }
    let program = std::env::current_exe().expect("the test runs");
    let script = format!("ulimit -v {MEMORY_KIB} && exec \"$0\" {test} --exact --nocapture");
    let child = Command::new("sh").args(["-c", &script]).arg(program).env(LIMITED, "1").output();
    let child = child.expect("a shell");
    print!("{}", String::from_utf8_lossy(&child.stdout));
    assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stderr));
}

#[test]
fn damage_of_a_closed_store_is_never_believed() {
    with_little_memory("damage_of_a_closed_store_is_never_believed", || sweep(true));
}

#[test]
fn damage_of_a_store_whose_process_was_killed_is_never_believed() {
    let name = "damage_of_a_store_whose_process_was_killed_is_never_believed";
    with_little_memory(name, || sweep(false));
}
