//! A process that restores a store into a new directory, killed at any moment: nothing stands at
//! the directory then, or the whole copy, and the original is as it was.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use afterimage::{Author, Lsn, Store, VerifyDepth};

use crate::worker::{lines_of, put_line, spawn};
use crate::{Random, number, options, put};

/// The store that the worker restores from, the directory, and the moment.
const SOURCE: &str = "AFTERIMAGE_RESTORE_SOURCE";
const TARGET: &str = "AFTERIMAGE_RESTORE_TARGET";
const MOMENT: &str = "AFTERIMAGE_RESTORE_MOMENT";

/// The worker, in a process of its own: does nothing when the tests run it.
#[test]
fn restore_worker() {
    let (Ok(source), Ok(target)) = (std::env::var(SOURCE), std::env::var(TARGET)) else { return };
    let store = Store::options().read_only(true).open(source).expect("the store opens");
    put_line("told begin");
    let by = Author::default();
    let told = &mut |progress: afterimage::Progress| put_line(&format!("told {}", progress.done));
    let report = store
        .restore_into(Lsn::new(number(MOMENT, 0)), Path::new(&target), &by, told)
        .expect("restored");
    put_line(&format!("told restored {}", report.state_digest));
}

/// All files of a directory with their bytes.
fn files(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(directory).expect("listed") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            let bytes = std::fs::read(&path).expect("read");
            found.insert(path, bytes);
        }
    }
    found
}

/// A store of some segments, with a checkpoint in its middle.
fn fill(path: &Path, random: &mut Random) -> Lsn {
    let store = options().open(path).expect("opened");
    for n in 0..150 {
        let size = usize::try_from(random.below(12_000)).expect("small");
        put(&store, &format!("key-{}", random.below(40)), &vec![b'x'; size]).expect("put");
        if n == 70 {
            store.checkpoint().expect("a checkpoint");
        }
    }
    let head = store.head();
    store.close().expect("closed");
    head
}

/// Keeps the processor busy for a random time, that a kill may hit anything behind a line. Nobody
/// looks at a clock: how long it takes differs with the machine, and that is as well.
fn dawdle(random: &mut Random) {
    let order = 16 + random.below(6);
    for _ in 0..random.below(1 << order) {
        std::hint::spin_loop();
    }
}

struct Trial {
    place: PathBuf,
    source: PathBuf,
    random: Random,
    /// So many kills, and no more.
    kills_max: u64,
    kills: u64,
    /// Kills that left a part of a copy, and those that left one that was built and had no name.
    parts: u64,
    built: u64,
    replaced: u64,
    complete: u64,
}

impl Trial {
    /// One restore until it is complete; all but the last are killed.
    fn restore(&mut self, to: Lsn) {
        let target = self.place.join("restored.store");
        let partial = self.place.join("restored.store.partial");
        let reader = Store::options().read_only(true).open(&self.source).expect("opened");
        let expected = reader.snapshot_at(to).expect("kept").digest().expect("readable");
        loop {
            let text = |path: &Path| path.to_str().expect("plain").to_owned();
            let environment = [
                (SOURCE, &*text(&self.source)),
                (TARGET, &*text(&target)),
                (MOMENT, &*to.to_string()),
            ];
            let was_partial = partial.exists();
            let mut child = spawn("restores::restore_worker", &environment);
            let random = &mut self.random;
            let may_kill = self.kills < self.kills_max;
            let stop = if may_kill { 1 + random.below(10) } else { u64::MAX };
            let told = lines_of(&mut child, stop, |child| {
                dawdle(random);
                child.kill().expect("killed");
            });
            let finished = told.iter().any(|line| line.starts_with("restored"));
            self.kills += u64::from(!finished);
            if !target.exists() {
                assert!(!finished, "what was told is there");
                assert!(self.kills <= self.kills_max, "nobody killed it and nothing is there");
                self.parts += u64::from(partial.exists());
                self.built += u64::from(partial.join("STORE").exists());
                continue;
            }
            assert!(!partial.exists(), "it has its name");
            self.replaced += u64::from(was_partial);
            let copy = Store::options().read_only(true).open(&target).expect("opened");
            assert_eq!(copy.head(), to.next(), "the restore itself is the newest");
            let found = copy.snapshot_at(to).expect("kept").digest().expect("readable");
            assert_eq!(found, expected);
            let report = copy.verify(VerifyDepth::Deep, &mut |_| {}).expect("looked");
            assert!(report.valid, "{report:?}");
            self.complete += 1;
            std::fs::remove_dir_all(&target).expect("removed");
            return;
        }
    }
}

#[test]
fn a_restore_that_is_killed_leaves_nothing_or_the_whole_copy_and_the_original_as_it_was() {
    let place = tempfile::tempdir().expect("a directory");
    let source = place.path().join("source.store");
    let mut random = Random(19);
    let head = fill(&source, &mut random);
    let before = files(&source);
    let mut trial = Trial {
        place: place.path().to_owned(),
        source: source.clone(),
        random,
        kills_max: number("AFTERIMAGE_KILLS", 8),
        kills: 0,
        parts: 0,
        built: 0,
        replaced: 0,
        complete: 0,
    };
    while trial.kills < trial.kills_max {
        let to = Lsn::new(trial.random.below(head.get() + 1));
        trial.restore(to);
        assert!(files(&source) == before, "the original is as it was");
    }
    let report = afterimage::verify(&source, VerifyDepth::Deep, &mut |_| {}).expect("looked");
    assert!(report.valid, "{report:?}");
    let Trial { kills, parts, built, replaced, complete, .. } = trial;
    println!(
        "restores: {kills} kills, {parts} left a part and {built} of these a copy without a name; \
         {complete} copies, {replaced} of them over what was left behind"
    );
}
