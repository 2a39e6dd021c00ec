//! The worker process, and the oracle of what it told.

use std::io::{BufRead as _, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use afterimage::{CodecId, Image, Lsn, Store, VerifyDepth};

use crate::{Random, number, options, put};

/// The name of the test that a worker process runs.
pub(crate) const NAME: &str = "worker::writes_until_it_ends";
/// Where the worker writes; only set in the worker.
pub(crate) const WORKER: &str = "AFTERIMAGE_WORKER";
const SEED: &str = "AFTERIMAGE_WORKER_SEED";

/// Does nothing when the tests run it.
#[test]
fn writes_until_it_ends() {
    let Ok(path) = std::env::var(WORKER) else { return };
    let mut random = Random(number(SEED, 0));
    let store = options().open(path).expect("the store opens");
    let mut out = std::io::stdout();
    // What an opening has found is promised, too: whoever asks is shown it.
    if store.head() > Lsn::ZERO && !tell(&store, store.head(), &mut out) {
        return;
    }
    loop {
        let (key, size) = (format!("key-{}", random.below(300)), random.below(3000));
        let value = vec![b'a' + (size % 26) as u8; usize::try_from(size).expect("small")];
        let done = match random.below(12) {
            // One that fails loses nothing; the next commit shows whether the journal goes on.
            0 => store.checkpoint().map(|_| store.head()).or(Ok(Lsn::ZERO)),
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
        let lsn = match done {
            Ok(lsn) => lsn,
            Err(error) => {
                // A disk that fails ends the worker; what it told before stays promised.
                let then = put(&store, "again", b"tried").map_err(|error| error.kind());
                put_line(&format!("failed {:?} then {then:?}", error.kind()));
                break;
            }
        };
        if lsn == Lsn::ZERO {
            continue;
        }
        if !tell(&store, lsn, &mut out) {
            break;
        }
    }
}

/// Tells of a transaction; `false` if that can't be done any more.
fn tell(store: &Store, lsn: Lsn, out: &mut impl Write) -> bool {
    let Ok(digest) = store.transaction(lsn).map(|transaction| transaction.digest()) else {
        return false;
    };
    // By one write: a line that is cut off tells nothing.
    let line = format!("told {lsn} {digest}\n");
    out.write_all(line.as_bytes()).and_then(|()| out.flush()).is_ok()
}

/// What a worker has told: acknowledged LSNs, with their digests.
#[derive(Clone, Default)]
pub(crate) struct Told {
    pub(crate) lines: Vec<(u64, String)>,
    /// The last one that counts as promised.
    pub(crate) promised: u64,
}

impl Told {
    /// Takes a line; whether it told anything.
    pub(crate) fn line(&mut self, line: &str) -> bool {
        let mut words = line.split(' ').skip_while(|word| !word.ends_with("told")).skip(1);
        if let (Some(lsn), Some(digest)) = (words.next(), words.next())
            && let Ok(lsn) = lsn.parse()
        {
            self.lines.push((lsn, digest.to_owned()));
            return true;
        }
        false
    }

    /// What is promised, with its digests.
    pub(crate) fn known(&self) -> impl Iterator<Item = &(u64, String)> {
        self.lines.iter().filter(|(lsn, _)| *lsn <= self.promised)
    }

    /// Everything that was told must be there, as it was.
    pub(crate) fn check(&self, path: &Path, round: u64) {
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

pub(crate) fn start(path: &Path, seed: u64) -> Child {
    let path = path.to_str().expect("a temporary directory has a plain name");
    spawn(NAME, &[(WORKER, path), (SEED, &seed.to_string())])
}

/// Starts one of the tests as a worker, told by its environment what to do.
pub(crate) fn spawn(worker: &str, environment: &[(&str, &str)]) -> Child {
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
pub(crate) enum Counts {
    Always,
    BeforeTheStop,
}

/// Reads what a worker tells, line by line and to the end: each is a promise.
pub(crate) fn hear(child: &mut Child, mut each: impl FnMut(&mut Child, &str)) {
    let out = BufReader::new(child.stdout.take().expect("a pipe"));
    for line in out.lines().map_while(Result::ok) {
        each(child, &line);
    }
    child.wait().expect("ended");
}

/// Reads what a worker tells; after so many lines calls `stop`, which must end it.
pub(crate) fn listen(
    child: &mut Child,
    lines: u64,
    counts: Counts,
    mut stop: impl FnMut(&mut Child),
) -> Told {
    let mut told = Told::default();
    let mut count = 0;
    hear(child, |child, line| {
        if !told.line(line) {
            return;
        }
        count += 1;
        if counts == Counts::Always || count <= lines {
            told.promised = told.lines.last().map_or(0, |(lsn, _)| *lsn).max(told.promised);
        }
        if count == lines {
            stop(child);
        }
    });
    told
}

/// Says something to whoever started the worker. By one write: half a line tells nothing.
pub(crate) fn put_line(line: &str) {
    let mut out = std::io::stdout();
    drop(out.write_all(format!("{line}\n").as_bytes()).and_then(|()| out.flush()));
}

/// What a worker tells to its end, without the word; after so many lines calls `stop`.
pub(crate) fn lines_of(
    child: &mut Child,
    lines: u64,
    mut stop: impl FnMut(&mut Child),
) -> Vec<String> {
    let mut told = Vec::new();
    hear(child, |child, line| {
        // The test harness may have begun a line of its own.
        if let Some((_, line)) = line.split_once("told ") {
            told.push(line.to_owned());
            if told.len() as u64 == lines {
                stop(child);
            }
        }
    });
    told
}
