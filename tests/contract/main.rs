//! The contract with the operating system: which files are made, allocated, synced and renamed,
//! and which directories are synced, in which order.
//!
//! A kill shows nothing of it, since the page cache survives, and the simulated disk only sees what
//! the engine says to it. Here a worker runs through a script under strace, and what it did is
//! compared with `tests/golden/calls.txt`, which was reviewed; `AFTERIMAGE_GOLDEN=write` writes it
//! anew. Besides, rules are checked that hold in any order ([`rules`]). What is stored through a
//! map makes no call, and so isn't seen; that a sync covers it is the simulated disk's part.
//!
//! The calls of the threads behind the writer are listed by themselves, since their order against
//! its calls is open. What the thread of durability does depends on time, so it is left out of the
//! list; the rules look at it. Where strace is missing or may not trace, the test says that it is
//! skipped.

#![expect(clippy::expect_used, clippy::panic, reason = "a broken promise fails the test")]

#[path = "../kit/copy.rs"]
mod copy;
mod rules;
#[path = "../kit/skipped.rs"]
mod skipped;
mod trace;

use std::fmt::Write as _;
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::task::{Context, Poll, Wake, Waker};

use afterimage::{
    AppendMethod, Author, CodecId, Image, Label, Lsn, ObjectKind, ObjectName, Options, Repository,
    Store, Ticket,
};
use copy::copy;
use skipped::skipped;
use trace::{Call, What};

/// Which part of the script the worker runs; only set in the worker.
const PART: &str = "AFTERIMAGE_CONTRACT_PART";
/// Where it runs it.
const PLACE: &str = "AFTERIMAGE_CONTRACT_PLACE";
const GOLDEN: &str = "tests/golden/calls.txt";
/// A busy machine may have the thread of durability do a sync that the script was about to do; then
/// it is run again.
const ATTEMPTS_MAX: u32 = 4;

fn options() -> Options {
    Store::options().segment_bytes(64 << 10)
}

/// The worker's side: does things, and marks them for strace.
struct Script {
    place: PathBuf,
    marks: std::fs::File,
}

impl Script {
    fn mark(&mut self, mark: &str) {
        self.marks.write_all(format!("{mark}\n").as_bytes()).expect("marked");
    }

    fn step(&mut self, name: &str) {
        self.mark(&format!("step {name}"));
    }

    fn path(&self, name: &str) -> PathBuf {
        self.place.join(name)
    }

    fn told(&mut self, store: &Store, lsn: Lsn) {
        let segments = store.stats().segments;
        let holds = segments.iter().rfind(|s| s.first_lsn.is_some_and(|first| first <= lsn));
        let number = holds.expect("a segment holds it").number;
        let name = store.path().file_name().expect("a name").to_str().expect("a plain name");
        self.mark(&format!("told {lsn} {name}/journal/{number:08}.seg"));
    }

    fn commit(&mut self, store: &Store, key: &str, bytes: usize) {
        self.mark("begin");
        let commit = put(store, key, bytes).commit().expect("committed");
        self.told(store, commit.lsn());
    }

    fn close(&mut self, store: Store) {
        store.close().expect("closed");
        self.mark("done closed");
    }

    /// From an empty directory to a process that dies.
    fn live(&mut self) {
        self.step("create");
        let path = self.path("first.store");
        let store = options().create_new(true).open(&path).expect("created");
        self.step("commit-3-times");
        for n in 0..3 {
            self.commit(&store, &format!("k{n}"), 100);
        }
        self.step("rotate");
        for n in 0..2 {
            self.commit(&store, &format!("large-{n}"), 40 << 10);
        }
        self.step("checkpoint");
        store.checkpoint().expect("a checkpoint");
        self.mark("done checkpoint");
        self.step("close");
        self.close(store);
        self.step("reopen");
        let store = options().open(&path).expect("opened");
        self.commit(&store, "again", 100);
        self.step("checkpoint-again");
        store.checkpoint().expect("a checkpoint");
        self.mark("done checkpoint");
        self.close(store);
        self.step("append-by-pwrite");
        let store = options().append(AppendMethod::Pwrite).open(&path).expect("opened");
        self.commit(&store, "by-pwrite", 100);
        self.close(store);
        self.group();
        self.step("die");
        let store = options().open(&path).expect("opened");
        self.commit(&store, "last", 100);
        // Nothing is closed, as if it was killed.
        std::process::exit(0);
    }

    /// Five commits that share a sync. The thread that syncs for tasks is held up by a waker
    /// meanwhile, so that nobody but the first who waits can do it.
    fn group(&mut self) {
        self.step("create-for-group");
        let store = options().open("group.store").expect("created");
        let (gate, release) = hold_up(&store);
        self.step("group-of-5");
        self.mark("begin");
        let submit = |n: u32| put(&store, &format!("k{n}"), 100).submit().expect("submitted");
        let tickets: Vec<_> = (0..5).map(submit).collect();
        self.mark("appended");
        for ticket in tickets {
            let commit = ticket.wait().expect("durable");
            self.told(&store, commit.lsn());
        }
        drop(release);
        drop(gate);
        self.step("close-group");
        self.close(store);
    }

    /// After the death: something torn stands behind the last transaction.
    fn recover(&mut self) {
        self.step("recover");
        let path = self.path("first.store");
        let store = options().open(&path).expect("recovered");
        assert!(!store.notices().is_empty(), "the torn write is told");
        self.commit(&store, "after", 100);
        self.step("restore");
        let restore = |to: u64, name: &Path| {
            let by = Author::default();
            store.restore_into(Lsn::new(to), name, &by, &mut |_| {}).expect("restored");
        };
        restore(4, &self.path("copy.store"));
        self.mark("done restore");
        self.step("restore-over-an-interrupted-one");
        // The directory of the process, which has no name in the path.
        restore(2, Path::new("second.store"));
        self.mark("done restore");
        self.step("close");
        self.close(store);
    }

    /// Damage in the middle of a store, and in a checkpoint.
    fn repair(&mut self) {
        self.step("repair");
        let path = self.path("damaged.store");
        let report = afterimage::repair(&path, &Author::default(), false, &mut |_| {});
        assert!(report.expect("repaired").kept.is_some());
        self.mark("done repair");
        self.step("open-with-a-damaged-checkpoint");
        let store = options().open(self.path("doubt.store")).expect("opened");
        assert!(!store.notices().is_empty(), "the checkpoint is told");
        self.commit(&store, "after", 100);
        self.close(store);
    }
}

impl Script {
    /// Objects of a repository, each durable when it is put.
    fn backup(&mut self) {
        let object = |label: &str| ObjectName {
            store: "01a1f48d-0583-7016-a723-9482dabcec34".parse().expect("an id"),
            kind: ObjectKind::Manifest { label: Label::new(label).expect("a label") },
        };
        self.step("create-a-repository");
        let path = self.path("backups").display().to_string();
        let repository = Repository::create(&path, None).expect("created");
        self.mark("done repository");
        for label in ["first", "second"] {
            self.step(&format!("put-the-{label}-object"));
            repository.put(&object(label), b"content").expect("put");
            self.mark("done put");
        }
        self.step("put-the-first-object-again");
        repository.put(&object("first"), b"content").expect("put again");
        self.mark("done put");
        self.step("put-one-where-directories-are-that-another-run-made");
        let repository = Repository::open(&path, None).expect("opened");
        repository.put(&object("third"), b"content").expect("put");
        self.mark("done put");
    }
}

fn put<'s>(store: &'s Store, key: &str, bytes: usize) -> afterimage::Transaction<'s> {
    let mut tx = store.begin().expect("begun");
    let value = vec![b'x'; bytes];
    tx.put_image("things", key.as_bytes(), Image::new(&value, CodecId::Raw)).expect("put");
    tx
}

/// Holds up whoever calls it until the other end is dropped.
struct Gate {
    entered: Sender<()>,
    released: std::sync::Mutex<Receiver<()>>,
}

impl Wake for Gate {
    fn wake(self: Arc<Self>) {
        self.entered.send(()).expect("somebody waits for it");
        // Ends by an error, when the other end is dropped.
        let released = self.released.lock().expect("nobody panics").recv();
        assert!(released.is_err());
    }
}

/// Returns when the thread that syncs for tasks is held up; until the sender is dropped.
fn hold_up(store: &Store) -> (Arc<Gate>, Sender<()>) {
    let (entered, has_entered) = channel();
    let (release, released) = channel();
    let gate = Arc::new(Gate { entered, released: std::sync::Mutex::new(released) });
    let waker = Waker::from(Arc::clone(&gate));
    for n in 0_u32.. {
        let ticket: Ticket<'_> = put(store, &format!("wait{n}"), 10).submit().expect("submitted");
        let poll = std::pin::pin!(ticket).poll(&mut Context::from_waker(&waker));
        // Else it was durable before it was asked, and the waker was not kept.
        if matches!(poll, Poll::Pending) {
            break;
        }
    }
    has_entered.recv().expect("the thread syncs");
    (gate, release)
}

/// The worker, in a process of its own: does nothing when the tests run it.
#[test]
fn worker() {
    let (Ok(part), Ok(place)) = (std::env::var(PART), std::env::var(PLACE)) else { return };
    let place = PathBuf::from(place);
    let mut options = std::fs::OpenOptions::new();
    let marks = options.append(true).create(true).open(place.join(trace::MARKS));
    let mut script = Script { place, marks: marks.expect("a file for marks") };
    match &*part {
        "live" => script.live(),
        "recover" => script.recover(),
        "repair" => script.repair(),
        "backup" => script.backup(),
        other => panic!("there is no part {other}"),
    }
}

fn run(place: &Path, part: &str) -> Vec<Call> {
    let mut command = Command::new(std::env::current_exe().expect("the test runs"));
    command.args(["worker", "--exact", "--nocapture", "--test-threads=1"]);
    trace::run(command.env(PART, part).env(PLACE, place), place)
}

/// The newest file of a directory, by its name, open for writing, with its bytes.
fn newest(directory: &Path) -> (std::fs::File, Vec<u8>) {
    let entries = std::fs::read_dir(directory).expect("listed");
    let path = entries.map(|entry| entry.expect("an entry").path()).max().expect("a file");
    let bytes = std::fs::read(&path).expect("read");
    (std::fs::OpenOptions::new().write(true).open(path).expect("opened"), bytes)
}

/// Puts bytes behind the last frame, as a write that was under way.
fn tear(store: &Path) {
    let (file, bytes) = newest(&store.join("journal"));
    let end = bytes.iter().rposition(|byte| *byte != 0).expect("it holds something") as u64;
    file.write_all_at(&[0xAB; 100], end + 64).expect("written");
}

/// The script in all its parts.
fn play() -> Vec<(&'static str, Vec<Call>)> {
    let directory = tempfile::tempdir().expect("a directory");
    let place = std::fs::canonicalize(directory.path()).expect("it is there").join("place");
    std::fs::create_dir(&place).expect("created");
    let first = place.join("first.store");
    let live = run(&place, "live");
    tear(&first);
    let partial = place.join("second.store.partial");
    std::fs::create_dir_all(partial.join("journal")).expect("created");
    std::fs::write(partial.join("journal/00000001.seg"), "half").expect("written");
    let recover = run(&place, "recover");
    copy(&first, &place.join("damaged.store"));
    let segment = place.join("damaged.store/journal/00000001.seg");
    let file = std::fs::OpenOptions::new().write(true).open(segment).expect("opened");
    file.write_all_at(&[0xAB; 8], 200).expect("written");
    copy(&first, &place.join("doubt.store"));
    std::fs::remove_dir_all(place.join("doubt.store/quarantine")).expect("removed");
    let (file, _) = newest(&place.join("doubt.store/state"));
    file.write_all_at(&[0xAB; 8], 20).expect("written");
    let repair = run(&place, "repair");
    let backup = run(&place, "backup");
    vec![("live", live), ("recover", recover), ("repair", repair), ("backup", backup)]
}

fn line(what: &What) -> String {
    match what {
        What::Create(name) => format!("create {name}"),
        What::MakeDirectory(name) => format!("make directory {name}"),
        What::Allocate(name) => format!("allocate {name}"),
        What::Write(name) => format!("write {name}"),
        What::Cut(name) => format!("set the length of {name}"),
        What::Sync(name) => format!("sync {name}"),
        What::SyncNames(name) => format!("sync the names in {name}"),
        What::Rename(from, to) => format!("rename {from} to {to}"),
        What::Exchange(one, other) => format!("exchange {one} and {other}"),
        What::Link(from, to) => format!("link {from} as {to}"),
        What::Remove(name) => format!("remove {name}"),
        What::Lock(name) => format!("lock {name}"),
        What::DropCache(name) => format!("drop the cached pages of {name}"),
        What::Mark(mark) => {
            let (word, rest) = mark.split_once(' ').unwrap_or((mark, ""));
            // Its number depends on how often the thread of durability was faster.
            if word == "told" {
                word.to_owned()
            } else {
                format!("{word} {rest}").trim().to_owned()
            }
        }
    }
}

/// The calls as text: those of the script in their order, then those of each thread in theirs.
fn listing(parts: &[(&str, Vec<Call>)]) -> String {
    let mut text = String::new();
    for (part, calls) in parts {
        writeln!(text, "part {part}").expect("memory");
        let mut last = String::new();
        for call in calls.iter().filter(|call| !call.is_of_the_store()) {
            let line = line(&call.what);
            let is_step = line.starts_with("step");
            // How many pieces a file is written in is nobody's promise.
            if line != last || !line.starts_with("write") {
                writeln!(text, "{}{line}", if is_step { "\n  " } else { "    " }).expect("memory");
            }
            last = line;
        }
        for thread in [trace::MAKES_SEGMENTS, trace::SEALS_SEGMENTS] {
            let mut own = calls.iter().filter(|call| call.thread == thread).peekable();
            if own.peek().is_some() {
                writeln!(text, "\n  thread {thread}").expect("memory");
            }
            for call in own {
                writeln!(text, "    {}", line(&call.what)).expect("memory");
            }
        }
        text.push('\n');
    }
    text
}

fn first_difference(golden: &str, found: &str) -> String {
    let mut step = "";
    for (number, (golden, found)) in golden.lines().zip(found.lines()).enumerate() {
        if golden != found {
            return format!("{GOLDEN}:{}: after `{step}`: {golden:?}, but {found:?}", number + 1);
        }
        if golden.contains("step") || golden.contains("thread") {
            step = golden.trim();
        }
    }
    "one of them ends earlier".to_owned()
}

#[test]
fn accident_a2_every_file_and_directory_is_synced_on_create_rotate_rename_and_cut() {
    if let Some(why) = trace::obstacle() {
        skipped(&format!("{why}, so no call was looked at"));
        return;
    }
    let mut difference = String::new();
    for _ in 0..ATTEMPTS_MAX {
        let parts = play();
        let (mut told, mut answers) = (0, 0);
        for (part, calls) in &parts {
            let (broken, told_here, answers_here) = rules::check(calls);
            assert!(broken.is_empty(), "in the part {part}:\n{}", broken.join("\n"));
            told += told_here;
            answers += answers_here;
        }
        assert!(told >= 14 && answers >= 10, "{told} acknowledgements, {answers} answers");
        let found = listing(&parts);
        if std::env::var_os("AFTERIMAGE_GOLDEN").is_some() {
            std::fs::write(GOLDEN, &found).expect("written");
        }
        let golden = std::fs::read_to_string(GOLDEN).expect("a golden file");
        if found == golden {
            return;
        }
        difference = first_difference(&golden, &found);
    }
    panic!("the calls are not those of the golden file: {difference}");
}
