//! The real thing: processes killed, power cut under real file systems, disks that are full.
//!
//! A worker process tells each commit that was acknowledged, with the digest of the state behind
//! it; what is left of its store must hold all of them. Killing a process proves nothing about
//! power cuts, since the page cache survives. The cuts are made by the shutdown call of ext4 and
//! XFS on a loop device, which drops what was not synced. A sync that is under way at that moment
//! may say that all went well, as a program of ten lines that only writes and syncs shows, too: so
//! what was told before the cut counts, and no more. It needs root, `mkfs` and `python3`; where
//! they are missing, the test says that it is skipped.
//!
//! More of it: `AFTERIMAGE_KILLS=2000 AFTERIMAGE_CUTS=1000 cargo test --release --test power`.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a broken promise fails the test; what was tried is told"
)]

mod imports;
mod mount;
mod restores;

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use afterimage::{
    CodecId, Durability, ErrorKind, Image, KeyRange, Lsn, Options, Store, VerifyDepth,
};
use mount::Mounted;

/// Where the worker writes; only set in the worker.
const WORKER: &str = "AFTERIMAGE_WORKER";
const SEED: &str = "AFTERIMAGE_WORKER_SEED";

/// Says that a test is skipped, past the test harness, which keeps what passing tests print.
fn skipped(why: &str) {
    drop(writeln!(std::io::stderr(), "skipped: {why}"));
}

fn number(variable: &str, usual: u64) -> u64 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963);
        (self.0 >> 33) % bound
    }
}

/// Small segments and few changes between checkpoints, so that a short run has many of both.
fn options() -> Options {
    Store::options()
        .segment_bytes(128 << 10)
        .checkpoint_every(256 << 10)
        .durability(Durability::Sync)
}

fn put(store: &Store, key: &str, bytes: &[u8]) -> afterimage::Result<Lsn> {
    let image = Image::new(bytes, CodecId::Raw);
    store.write(|tx| tx.put_image("things", key.as_bytes(), image)).map(|commit| commit.lsn())
}

/// The worker, in a process of its own: does nothing when the tests run it.
#[test]
fn worker() {
    let Ok(path) = std::env::var(WORKER) else { return };
    let mut random = Random(number(SEED, 0));
    let store = options().open(path).expect("the store opens");
    let mut out = std::io::stdout();
    loop {
        let (key, size) = (format!("key-{}", random.below(300)), random.below(3000));
        let value = vec![b'a' + (size % 26) as u8; usize::try_from(size).expect("small")];
        let done = match random.below(12) {
            0 => store.checkpoint().map(|_| store.head()),
            1 | 2 => store
                .write(|tx| tx.delete_record("things", key.as_bytes()).map(|_| ()))
                .map(|commit| commit.lsn()),
            3 => put(&store, &key, &value.repeat(20)),
            4 => store
                .write(|tx| {
                    (0..10).try_for_each(|n| {
                        let key = format!("{key}-{n}");
                        tx.put_image("things", key.as_bytes(), Image::new(&value, CodecId::Raw))
                    })
                })
                .map(|commit| commit.lsn()),
            _ => put(&store, &key, &value),
        };
        // A disk that fails ends the worker; what it told before stays promised.
        let Ok(lsn) = done else { break };
        if lsn == Lsn::ZERO {
            continue;
        }
        let Ok(digest) = store.transaction(lsn).map(|transaction| transaction.digest()) else {
            break;
        };
        // By one write: a line that is cut off tells nothing.
        let line = format!("told {lsn} {digest}\n");
        if out.write_all(line.as_bytes()).and_then(|()| out.flush()).is_err() {
            break;
        }
    }
}

/// What a worker has told: acknowledged LSNs, with their digests.
#[derive(Default)]
struct Told {
    lines: Vec<(u64, String)>,
    /// The last one that counts as promised.
    promised: u64,
}

impl Told {
    fn line(&mut self, line: &str) {
        let mut words = line.split(' ').skip_while(|word| !word.ends_with("told")).skip(1);
        if let (Some(lsn), Some(digest)) = (words.next(), words.next())
            && let Ok(lsn) = lsn.parse()
        {
            self.lines.push((lsn, digest.to_owned()));
        }
    }

    /// Everything that was told must be there, as it was.
    fn check(&self, path: &Path, round: u64) {
        let store = match options().open(path) {
            Ok(store) => store,
            Err(error) => panic!("round {round}: {error:?}"),
        };
        let head = store.head().get();
        assert!(head >= self.promised, "round {round}: told {}, left {head}", self.promised);
        for (lsn, digest) in self.lines.iter().filter(|(lsn, _)| *lsn <= head) {
            let transaction = store.transaction(Lsn::new(*lsn)).expect("it is there");
            assert_eq!(transaction.digest().to_string(), *digest, "round {round}: LSN {lsn}");
        }
        let report = store.verify(VerifyDepth::Deep, &mut |_| {}).expect("looked");
        assert!(report.valid, "round {round}: {report:?}");
        store.close().expect("closed");
    }
}

fn start(path: &Path, seed: u64) -> Child {
    let path = path.to_str().expect("a temporary directory has a plain name");
    spawn("worker", &[(WORKER, path), (SEED, &seed.to_string())])
}

/// Starts one of the tests as a worker, told by its environment what to do.
fn spawn(worker: &str, environment: &[(&str, &str)]) -> Child {
    Command::new(std::env::current_exe().expect("the test runs"))
        .args([worker, "--exact", "--nocapture", "--test-threads=1"])
        .envs(environment.iter().copied())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the worker starts")
}

/// When what a worker tells counts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Counts {
    Always,
    BeforeTheStop,
}

/// Reads what a worker tells; after so many lines calls `stop`, which must end it.
fn listen(child: &mut Child, lines: u64, counts: Counts, mut stop: impl FnMut(&mut Child)) -> Told {
    let mut told = Told::default();
    let out = BufReader::new(child.stdout.take().expect("a pipe"));
    let mut count = 0;
    // What was told before the end is read to the end: each line is a promise.
    for line in out.lines().map_while(Result::ok) {
        told.line(&line);
        count += u64::from(line.contains("told"));
        if counts == Counts::Always || count <= lines {
            told.promised = told.lines.last().map_or(0, |(lsn, _)| *lsn).max(told.promised);
        }
        if count == lines {
            stop(child);
        }
    }
    child.wait().expect("ended");
    told
}

/// Says something to whoever started the worker. By one write: half a line tells nothing.
fn put_line(line: &str) {
    let mut out = std::io::stdout();
    drop(out.write_all(format!("{line}\n").as_bytes()).and_then(|()| out.flush()));
}

/// What a worker tells to its end, without the word; after so many lines calls `stop`.
fn lines_of(child: &mut Child, lines: u64, mut stop: impl FnMut(&mut Child)) -> Vec<String> {
    let mut told = Vec::new();
    let out = BufReader::new(child.stdout.take().expect("a pipe"));
    for line in out.lines().map_while(Result::ok) {
        // The test harness may have begun a line of its own.
        if let Some((_, line)) = line.split_once("told ") {
            told.push(line.to_owned());
            if told.len() as u64 == lines {
                stop(child);
            }
        }
    }
    child.wait().expect("ended");
    told
}

#[test]
fn a_killed_process_loses_nothing_it_told() {
    let place = tempfile::tempdir().expect("a directory");
    let path = place.path().join("killed.store");
    let mut random = Random(7);
    let rounds = number("AFTERIMAGE_KILLS", 20);
    let mut last = 0;
    for round in 0..rounds {
        if round % 50 == 0 {
            drop(std::fs::remove_dir_all(&path));
        }
        let mut child = start(&path, round);
        let told = listen(&mut child, 1 + random.below(60), Counts::Always, |child| {
            child.kill().expect("killed");
        });
        assert!(told.promised > 0, "round {round}: it was killed while it wrote");
        told.check(&path, round);
        last = last.max(told.promised);
    }
    println!("kills: {rounds}, up to LSN {last}");
}

fn cut(kind: &str) {
    let Some(mut mounted) = Mounted::new(kind, 320) else { return };
    let path = mounted.path().join("cut.store");
    let mut random = Random(11);
    let rounds = number("AFTERIMAGE_CUTS", 6);
    for round in 0..rounds {
        if round % 40 == 0 {
            drop(std::fs::remove_dir_all(&path));
        }
        let mut child = start(&path, round);
        let told = listen(&mut child, 1 + random.below(40), Counts::BeforeTheStop, |child| {
            mounted.cut();
            child.kill().expect("killed");
        });
        mounted.again();
        told.check(&path, round);
    }
    println!("{kind}: {rounds} power cuts");
}

#[test]
fn a_power_cut_on_ext4_loses_nothing_acknowledged() {
    cut("ext4");
}

#[test]
fn a_power_cut_on_xfs_loses_nothing_acknowledged() {
    cut("xfs");
}

fn scan(store: &Store) -> usize {
    let snapshot = store.snapshot();
    let records = snapshot.scan("things", KeyRange::all()).expect("a collection");
    records.filter(|record| record.as_ref().expect("readable").lsn() > Lsn::ZERO).count()
}

/// Writes until the disk is full, and goes on when there is room again.
fn fill(directory: &Path, method: afterimage::AppendMethod) {
    let ballast: PathBuf = directory.join("ballast");
    std::fs::write(&ballast, vec![1; 4 << 20]).expect("room");
    let path = directory.join("full.store");
    let options = options().segment_bytes(1 << 20).append(method);
    let store = options.open(&path).expect("the store opens");
    let (mut acknowledged, mut refused) = (Lsn::ZERO, 0);
    for number in 0_u64.. {
        match put(&store, &format!("key-{number}"), &[b'x'; 5000]) {
            Ok(lsn) => acknowledged = lsn,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Full, "{error:?}");
                refused += 1;
            }
        }
        if refused == 20 {
            break;
        }
    }
    assert!(acknowledged > Lsn::ZERO);
    assert_eq!(store.head(), acknowledged, "what was refused is not there");
    assert!(scan(&store) as u64 >= acknowledged.get() - 2, "reading goes on");
    std::fs::remove_file(&ballast).expect("removed");
    let resumed = put(&store, "again", b"there is room").expect("writing goes on");
    assert_eq!(resumed, acknowledged.next());
    store.close().expect("closed");
    let store = options.open(&path).expect("the store opens again");
    assert_eq!(store.head(), resumed);
    let report = store.verify(VerifyDepth::Deep, &mut |_| {}).expect("looked");
    assert!(report.valid, "{report:?}");
}

#[test]
fn accident_a1_a_full_disk_is_an_error_and_writing_goes_on_when_there_is_room() {
    use afterimage::AppendMethod::{Map, Pwrite};
    for (kind, method) in [("ext4", Map), ("ext4", Pwrite), ("tmpfs", Map), ("tmpfs", Pwrite)] {
        let Some(mounted) = Mounted::new(kind, 24) else { return };
        fill(&mounted.path(), method);
    }
}

#[test]
fn a_limit_on_the_size_of_files_is_an_error() {
    let place = tempfile::tempdir().expect("a directory");
    let path = place.path().join("limited.store");
    options().open(&path).and_then(Store::close).expect("created");
    let program = std::env::current_exe().expect("the test runs");
    // The signal that goes with the limit is ignored, as programs that handle the error do.
    let script = "trap '' XFSZ; ulimit -f 64; exec \"$0\" worker --exact --nocapture";
    let mut child = Command::new("sh")
        .args(["-c", script])
        .arg(program)
        .env(WORKER, &path)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("a shell");
    let told = listen(&mut child, u64::MAX, Counts::Always, |_| {});
    told.check(&path, 0);
}
