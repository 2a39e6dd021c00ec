//! A process that imports a file of change events, killed again and again. What is left is a prefix
//! of the file's transactions with all that were told, and what is missing can be imported then.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::Path;

use afterimage::{ImportOptions, Lsn, Progress, StateDigest, Store, VerifyDepth, code};
use serde_json::{Value, json};

use crate::worker::{lines_of, put_line, spawn};
use crate::{Random, number, options};

/// The store that the worker imports into, the file, and how many lines of it are there already.
const STORE: &str = "AFTERIMAGE_IMPORT_STORE";
const FILE: &str = "AFTERIMAGE_IMPORT_FILE";
const LINES: &str = "AFTERIMAGE_IMPORT_LINES";

const TRANSACTIONS: usize = 120;

fn import(
    store: &Store,
    path: &Path,
    options: &ImportOptions,
    skipped: u64,
    told: &mut dyn FnMut(Progress),
) -> afterimage::Result<()> {
    let mut input = BufReader::new(std::fs::File::open(path).expect("the file opens"));
    for _ in 0..skipped {
        input.skip_until(b'\n').expect("a line");
    }
    store.import(&mut input, options, told).map(drop)
}

/// The worker, in a process of its own: does nothing when the tests run it.
#[test]
fn import_worker() {
    let (Ok(path), Ok(file)) = (std::env::var(STORE), std::env::var(FILE)) else { return };
    let store = options().open(path).expect("the store opens");
    put_line("told 0");
    let told = &mut |progress: Progress| put_line(&format!("told {}", progress.done));
    import(&store, Path::new(&file), &ImportOptions::default(), number(LINES, 0), told)
        .expect("nothing contradicts");
    put_line("told all");
    // Not closed: the process ends as it would be killed.
    std::process::exit(0);
}

/// A transaction of the file: its changes by key, with what they leave.
struct Expected {
    id: String,
    changes: Vec<(String, Option<Value>)>,
}

struct File {
    text: String,
    transactions: Vec<Expected>,
}

impl File {
    /// Events that create, update and delete sixty records. The first one's is never deleted.
    fn generate(random: &mut Random) -> Self {
        let mut state: BTreeMap<String, Value> = BTreeMap::new();
        let mut file = Self { text: String::new(), transactions: Vec::new() };
        for n in 0..TRANSACTIONS {
            let id = format!("t-{n}");
            let mut changes: Vec<(String, Option<Value>)> = Vec::new();
            for _ in 0..=random.below(4) {
                let key = if n == 0 { 0 } else { 1 + random.below(60) };
                let key = format!("key-{key}");
                if changes.iter().any(|(other, _)| *other == key) {
                    continue;
                }
                let before = state.get(&key).cloned();
                let text = "x".repeat(usize::try_from(random.below(1500)).expect("small"));
                let gone = before.is_some() && random.below(4) == 0;
                let after = (!gone).then(|| json!({ "n": n, "text": text }));
                let op = match (&before, &after) {
                    (None, _) => "c",
                    (Some(_), Some(_)) => "u",
                    (Some(_), None) => "d",
                };
                let event = json!({
                    "op": op, "collection": "things", "key": key,
                    "before": before, "after": after, "transaction": { "id": id },
                });
                file.text.push_str(&event.to_string());
                file.text.push('\n');
                match &after {
                    Some(after) => state.insert(key.clone(), after.clone()),
                    None => state.remove(&key),
                };
                changes.push((key, after));
            }
            file.transactions.push(Expected { id, changes });
        }
        file
    }

    /// How many lines the first `count` transactions take.
    fn lines(&self, count: usize) -> u64 {
        self.transactions.iter().take(count).map(|expected| expected.changes.len() as u64).sum()
    }

    /// The digest of the whole, by an import that nobody disturbs.
    fn digest(&self, path: &Path) -> StateDigest {
        let store = options().open(path).expect("opened");
        let imported =
            store.import(&mut self.text.as_bytes(), &ImportOptions::default(), &mut |_| {});
        assert_eq!(imported.expect("imported").transactions, self.transactions.len() as u64);
        store.snapshot().digest().expect("readable")
    }

    /// What is in the store must be the first transactions of the file, each whole; returns how
    /// many.
    fn check(&self, store: &Store) -> usize {
        let head = usize::try_from(store.head().get()).expect("small");
        for (lsn, expected) in (1..=store.head().get()).zip(&self.transactions) {
            let transaction = store.transaction(Lsn::new(lsn)).expect("there");
            let id = transaction.metadata().attributes.get("id");
            assert_eq!(id.and_then(Value::as_str), Some(&*expected.id));
            let changes = transaction.changes().map(|change| change.expect("readable"));
            let found: Vec<_> = changes
                .filter(|change| !change.is_system())
                .map(|change| {
                    let key = String::from_utf8(change.key().to_vec()).expect("text");
                    let value =
                        |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).expect("JSON");
                    (key, change.after().map(|image| value(image.bytes())))
                })
                .collect();
            assert_eq!(found, expected.changes, "LSN {lsn}");
        }
        assert!(head <= self.transactions.len());
        head
    }
}

/// The same file once more says what contradicts, and writes nothing.
fn check_contradiction(store: &Store, path: &Path) {
    let head = store.head();
    let options = ImportOptions::default();
    let error = import(store, path, &options, 0, &mut |_| {}).expect_err("it is there already");
    assert_eq!(error.code().id, code::IMPORT_CONTRADICTION.id);
    assert!(error.message().starts_with("line 1: "), "{error}");
    assert_eq!(store.head(), head);
}

/// One file until it is imported, by workers that are killed; returns how many were.
fn import_by_many(place: &Path, random: &mut Random, kills_max: u64) -> u64 {
    let file = File::generate(random);
    let (path, events) = (place.join("import.store"), place.join("events.ndjson"));
    std::fs::write(&events, &file.text).expect("written");
    let digest = file.digest(&place.join("whole.store"));
    let (mut kills, mut count) = (0, 0);
    loop {
        let skipped = file.lines(count);
        let mut child = spawn(
            "imports::import_worker",
            &[
                (STORE, path.to_str().expect("plain")),
                (FILE, events.to_str().expect("plain")),
                (LINES, &skipped.to_string()),
            ],
        );
        let stop = if kills < kills_max { 1 + random.below(40) } else { u64::MAX };
        let told = lines_of(&mut child, stop, |child| child.kill().expect("killed"));
        let all = told.iter().any(|line| line == "all");
        kills += u64::from(!all);
        let changes = told.iter().filter_map(|line| line.parse::<u64>().ok()).max();
        let store = options().open(&path).expect("opened");
        count = file.check(&store);
        let promised = if all { u64::MAX } else { skipped + changes.unwrap_or(0) };
        let least = file.lines(file.transactions.len()).min(promised);
        assert!(file.lines(count) >= least, "told {promised} lines, left {count} transactions");
        let report = store.verify(VerifyDepth::Deep, &mut |_| {}).expect("looked");
        assert!(report.valid, "{report:?}");
        if count > 0 {
            check_contradiction(&store, &events);
        }
        if all {
            assert_eq!(store.snapshot().digest().expect("readable"), digest);
            // After images as the truth: nothing contradicts, and the end is the same.
            let upsert = ImportOptions { upsert: true, ..ImportOptions::default() };
            import(&store, &events, &upsert, 0, &mut |_| {}).expect("imported once more");
            assert_eq!(store.snapshot().digest().expect("readable"), digest);
            return kills;
        }
        assert!(kills <= kills_max, "nobody killed it and it ended");
        if random.below(3) == 0 {
            store.close().expect("closed");
        } else {
            drop(store);
        }
    }
}

#[test]
fn an_import_that_is_killed_leaves_a_prefix_of_its_file_and_is_gone_on_with() {
    let rounds = number("AFTERIMAGE_KILLS", 8);
    let mut random = Random(17);
    let (mut kills, mut files) = (0, 0);
    while kills < rounds {
        let place = tempfile::tempdir().expect("a directory");
        kills += import_by_many(place.path(), &mut random, rounds - kills);
        files += 1;
    }
    println!("imports: {kills} kills, {files} files of {TRANSACTIONS} transactions");
}
