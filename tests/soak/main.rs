//! Everything at once and for long: nothing that the process holds of the machine may grow.
//!
//! A store is written, read, looked back into, subscribed to, checkpointed, closed and opened in
//! turns; now and then another process writes to it and is killed. At marks in each turn memory,
//! open handles and threads are noted: with the store open, and with nothing open at all. The keys
//! are few and a store is exchanged for a new one when its journal is long, so that nothing has a
//! reason to grow; handles of segments, which stay open with the store, are not counted.
//!
//! An hour of it: `AFTERIMAGE_SOAK_SECONDS=3600 cargo test --release --test soak -- --nocapture`.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a broken promise fails the test; it runs for a time that is asked for"
)]

mod gauge;
#[path = "../kit/number.rs"]
mod number;
#[path = "../kit/random.rs"]
mod random;
#[path = "../kit/skipped.rs"]
mod skipped;
mod work;

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use afterimage::{CodecId, Durability, ErrorKind, Image, Lsn, Options, Store, VerifyDepth};
use gauge::{Held, Marks};
use number::number;
use random::Random;
use skipped::skipped;
use work::{Counts, Model, Work, model_of};

/// Where the worker writes, and with which numbers; only set in the worker.
const WORKER: &str = "AFTERIMAGE_SOAK_STORE";
const SEED: &str = "AFTERIMAGE_SOAK_SEED";

const STEPS: u64 = 80;
/// A store whose journal is longer is exchanged for a new one with the same records.
const JOURNAL_BYTES_MAX: u64 = 32 << 20;
/// However slow the machine is.
const MARKS_MIN: usize = 15;

fn options() -> Options {
    Store::options().segment_bytes(256 << 10).checkpoint_every(1 << 20)
}

/// The worker, in a process of its own: does nothing when the tests run it.
#[test]
fn worker() {
    let Ok(path) = std::env::var(WORKER) else { return };
    let store = options().open(path).expect("opened");
    let mut random = Random(number(SEED, 0));
    loop {
        let key = format!("key-{:03}", random.below(400));
        let value = random.below(1000).to_le_bytes().repeat(1 + (random.0 % 100) as usize);
        let written = store
            .write(|tx| tx.put_image("things", key.as_bytes(), Image::new(&value, CodecId::Raw)));
        let lsn = written.expect("written").lsn();
        let digest = store.snapshot_at(lsn).expect("kept").digest().expect("readable");
        // By one write: half a line tells nothing.
        let mut out = std::io::stdout();
        let line = format!("told {lsn} {digest}\n");
        if out.write_all(line.as_bytes()).and_then(|()| out.flush()).is_err() {
            return;
        }
    }
}

/// Has another process write to the store, and kills it.
fn kill_a_writer(path: &Path, random: &mut Random) {
    let mut child = Command::new(std::env::current_exe().expect("the test runs"))
        .args(["worker", "--exact", "--nocapture", "--test-threads=1"])
        .env(WORKER, path)
        .env(SEED, random.0.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the worker starts");
    let out = BufReader::new(child.stdout.take().expect("a pipe"));
    let (lines, mut count, mut last) = (1 + random.below(60), 0, None);
    for line in out.lines().map_while(Result::ok) {
        let Some((_, told)) = line.split_once("told ") else { continue };
        last = told.split_once(' ').map(|(lsn, digest)| (lsn.to_owned(), digest.to_owned()));
        count += 1;
        if count == lines {
            child.kill().expect("killed");
        }
    }
    child.wait().expect("ended");
    let (lsn, digest) = last.expect("it told something");
    let store = options().open(path).expect("recovered");
    let transaction = store.transaction(Lsn::new(lsn.parse().expect("a number")));
    assert_eq!(transaction.expect("what was told is there").digest().to_string(), digest);
}

/// Takes in what is committed until the store is closed; how many transactions that was.
fn subscribe(store: &Store) -> JoinHandle<u64> {
    let mut subscription = store.subscribe(store.head()).expect("subscribed");
    std::thread::Builder::new()
        .spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().build();
            runtime.expect("a runtime").block_on(async {
                let mut count = 0;
                loop {
                    let before = subscription.position();
                    match subscription.next().await {
                        Ok(transaction) => assert_eq!(transaction.lsn, before.next()),
                        Err(error) => {
                            assert_eq!(error.kind(), ErrorKind::Closed, "{error:?}");
                            return count;
                        }
                    }
                    count += 1;
                }
            })
        })
        .expect("a thread")
}

struct Soak {
    place: tempfile::TempDir,
    random: Random,
    model: Model,
    counts: Counts,
    open: Marks,
    closed: Marks,
}

impl Soak {
    fn path(&self) -> PathBuf {
        self.place.path().join(format!("soak-{}.store", self.counts.stores))
    }

    /// Opens the store, works, and closes it or lets it go.
    fn turn(&mut self) {
        let durability = match self.random.below(4) {
            0 => Durability::Process,
            1 => Durability::Interval(Duration::from_millis(2)),
            _ => Durability::Sync,
        };
        let store = options().durability(durability).open(self.path()).expect("opened");
        self.counts.openings += 1;
        self.model = model_of(&store.snapshot());
        let subscriber = subscribe(&store);
        let mut work = Work::new(&store, &mut self.random, &mut self.model, &mut self.counts);
        // So that there is a collection to look into.
        work.put();
        for _ in 0..STEPS {
            work.step();
        }
        work.finish();
        let status = store.status().expect("readable");
        if let Some(held) = Held::now() {
            let handles = held.handles.saturating_sub(status.segments);
            self.open.add(Held { handles, ..held });
        }
        if self.random.below(3) == 0 {
            // The other handles are the subscriber's; it ends when it is told.
            let other = store.clone();
            drop(store);
            other.close().expect("closed");
        } else {
            store.close().expect("closed");
        }
        self.counts.delivered += subscriber.join().expect("the subscriber ends");
        if status.journal_bytes > JOURNAL_BYTES_MAX {
            self.exchange();
        }
        if self.random.below(5) == 0 {
            kill_a_writer(&self.path(), &mut self.random);
            self.counts.kills += 1;
        }
        if let Some(held) = Held::now() {
            self.closed.add(held);
        }
    }

    /// A new store with the records of the old one, which is checked and removed.
    fn exchange(&mut self) {
        let old = self.path();
        check(&old);
        self.counts.stores += 1;
        let reader = Store::options().read_only(true).open(&old).expect("opened");
        let store = options().open(self.path()).expect("created");
        let snapshot = reader.snapshot();
        let scan = snapshot.scan("things", afterimage::KeyRange::all()).expect("a collection");
        let records: Vec<_> = scan.map(|record| record.expect("readable")).collect();
        for records in records.chunks(50) {
            let written = store.write(|tx| {
                records
                    .iter()
                    .try_for_each(|record| tx.put_image("things", record.key(), record.image()))
            });
            written.expect("written");
        }
        let digest = |snapshot: &afterimage::Snapshot| snapshot.digest().expect("readable");
        assert_eq!(digest(&store.snapshot()), digest(&snapshot), "the same records");
        store.close().expect("closed");
        std::fs::remove_dir_all(old).expect("removed");
    }
}

fn check(path: &Path) {
    let report = afterimage::verify(path, VerifyDepth::Deep, &mut |_| {}).expect("looked");
    assert!(report.valid, "{report:?}");
}

#[test]
fn nothing_grows_however_long_it_runs() {
    if Held::now().is_none() {
        skipped("this system does not tell what is held");
        return;
    }
    let begin = Instant::now();
    let seconds = number("AFTERIMAGE_SOAK_SECONDS", 6);
    let seed = number(SEED, u64::from(std::process::id()));
    println!("{SEED}={seed}");
    let mut soak = Soak {
        place: tempfile::tempdir().expect("a directory"),
        random: Random(seed),
        model: Model::new(),
        counts: Counts::default(),
        open: Marks::default(),
        closed: Marks::default(),
    };
    while begin.elapsed() < Duration::from_secs(seconds) || soak.open.len() < MARKS_MIN {
        soak.turn();
    }
    check(&soak.path());
    println!("{} turns: {:?}", soak.open.len(), soak.counts);
    println!("{}", soak.open.check("with the store open"));
    println!("{}", soak.closed.check("with nothing open"));
}
