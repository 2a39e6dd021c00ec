//! Whether what many threads were answered is what one after the other would have been answered, in
//! the order of the LSNs.
//!
//! The journal is the serial order that the store claims, so the check is exact and needs no
//! search: it is replayed into a model, and each read must be what the model has at its moment. A
//! transaction reads at its snapshot, and its reads must still hold right before its own LSN, which
//! is what makes it serializable; a snapshot reads at its LSN. The numbers must agree with what
//! happened before what, by a clock that only counts; a conflict must have a reason; and what
//! failed, or was given up, must have left nothing.
//!
//! What can't be found here: an order of steps that this machine never takes. More of it:
//! `AFTERIMAGE_SERIAL=1000 cargo test --release --test serial -- --nocapture`.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a broken promise fails the test"
)]

mod check;
mod followers;
mod history;
#[path = "../kit/number.rs"]
mod number;
#[path = "../kit/random.rs"]
mod random;

use std::time::Duration;

use afterimage::{Durability, Lsn, Options, Store, VerifyDepth};
use check::{Counts, Serial};
use history::{COLLECTIONS, History, Moments, Worker};
use number::number;
use random::Random;

const THREADS: u64 = 8;
/// What each thread does in a round.
const STEPS: u64 = 60;
/// So many rounds one store is used for; it is closed and opened between them.
const ROUNDS_OF_A_STORE: u64 = 4;

/// Small segments, so that a short run has many.
fn options() -> Options {
    Store::options().segment_bytes(16 << 10).checkpoint_every(64 << 10)
}

fn round(store: &Store, seed: u64, values: u64) -> Vec<History> {
    let moments = Moments::default();
    std::thread::scope(|scope| {
        let start = |thread: u64| {
            let seed = seed.wrapping_mul(1_000_003).wrapping_add(thread);
            let worker = Worker::new(store, &moments, seed, values + (thread << 32));
            scope.spawn(move || worker.run(STEPS))
        };
        let threads: Vec<_> = (0..THREADS).map(start).collect();
        threads.into_iter().map(|thread| thread.join().expect("no thread panics")).collect()
    })
}

/// Makes both collections, so that each can be read from the beginning.
fn create(store: &Store) {
    let created = store.write(|tx| {
        COLLECTIONS.iter().try_for_each(|name| {
            let image = afterimage::Image::new(&[0; 8], afterimage::CodecId::Raw);
            tx.put_image(name, &history::key(0), image)
        })
    });
    created.expect("created");
}

#[test]
fn every_answer_is_that_of_the_serial_history_in_the_journal() {
    let rounds = number("AFTERIMAGE_SERIAL", 4);
    let seed = number("AFTERIMAGE_SERIAL_SEED", u64::from(std::process::id()));
    println!("AFTERIMAGE_SERIAL_SEED={seed}");
    let mut counts = Counts::default();
    let mut place = tempfile::tempdir().expect("a directory");
    for number in 0..rounds {
        if number % ROUNDS_OF_A_STORE == 0 {
            place = tempfile::tempdir().expect("a directory");
        }
        let durability = match number % 4 {
            0 | 1 => Durability::Sync,
            2 => Durability::Process,
            _ => Durability::Interval(Duration::from_millis(1)),
        };
        let path = place.path().join("serial.store");
        let store = options().durability(durability).open(path).expect("opened");
        if store.head() == Lsn::ZERO {
            create(&store);
        }
        let first = store.head();
        let histories = round(&store, seed.wrapping_add(number), (number + 1) << 40);
        check::check(&Serial::replay(&store), &histories, first, &mut counts);
        let report = store.verify(VerifyDepth::Deep, &mut |_| {}).expect("looked");
        assert!(report.valid, "{report:?}");
        store.close().expect("closed");
    }
    assert!(counts.conflicts > 0 && counts.expectations > 0, "they get in each other's way");
    println!("{rounds} rounds of {THREADS} threads: {counts:?}");
}
