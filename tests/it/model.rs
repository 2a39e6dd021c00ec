//! The model is a list of whole states, one for each LSN: as slow and as plain as it can be.

use std::collections::BTreeMap;

use afterimage::{AppendMethod, KeyRange, Lsn, Op, Store};
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

use crate::common::{Place, raw};

type State = BTreeMap<(String, Vec<u8>), Vec<u8>>;

/// Collection, key, and the new value or none.
type Write = (usize, Vec<u8>, Option<Vec<u8>>);

#[derive(Clone, Debug)]
enum Step {
    /// One transaction: for each record a new value, or none to delete it.
    Commit(Vec<Write>),
    Checkpoint,
    /// Close and open again.
    Reopen,
    /// Drop a copy of the files as a killed process would leave them, and go on with that.
    Kill,
}

const COLLECTIONS: [&str; 3] = ["rooms", "guests", "Gäste 🛏"];

fn key() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        8 => (0..12_u8).prop_map(|n| format!("key-{n}").into_bytes()),
        1 => prop::collection::vec(any::<u8>(), 1..40),
        1 => "\\PC{1,12}".prop_map(String::into_bytes),
    ]
}

fn value() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        6 => prop::collection::vec(any::<u8>(), 0..200),
        1 => (0..20_000_usize, any::<u8>()).prop_map(|(length, byte)| vec![byte; length]),
        1 => Just(Vec::new()),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let write = (0..COLLECTIONS.len(), key(), prop::option::weighted(0.75, value()));
    prop_oneof![
        20 => prop::collection::vec(write, 1..6).prop_map(Step::Commit),
        1 => Just(Step::Checkpoint),
        1 => Just(Step::Reopen),
        2 => Just(Step::Kill),
    ]
}

struct Run {
    place: Place,
    copies: u32,
    store: Option<Store>,
    /// The state after each LSN; the first is the empty store.
    states: Vec<State>,
    append: AppendMethod,
}

impl Run {
    fn new(append: AppendMethod) -> Self {
        let place = Place::new();
        let store = Place::options().append(append).open(place.path()).expect("open");
        Self { place, copies: 0, store: Some(store), states: vec![State::new()], append }
    }

    fn store(&self) -> &Store {
        self.store.as_ref().expect("the store is open")
    }

    fn commit(&mut self, writes: &[Write]) -> Result<(), TestCaseError> {
        let mut state = self.states.last().expect("the empty store").clone();
        let mut tx = self.store().begin().expect("begin");
        for (collection, key, value) in writes {
            let name = COLLECTIONS[*collection];
            let slot = (name.to_owned(), key.clone());
            if let Some(value) = value {
                tx.put_image(name, key, raw(value)).expect("put");
                state.insert(slot, value.clone());
            } else {
                let existed = tx.delete_record(name, key).expect("delete");
                prop_assert_eq!(existed, state.remove(&slot).is_some());
            }
        }
        let commit = tx.commit().expect("commit");
        let before = self.states.last().expect("the empty store");
        if commit.is_empty() {
            prop_assert_eq!(before, &state);
        } else {
            prop_assert_eq!(commit.lsn(), Lsn::new(self.states.len() as u64));
            self.states.push(state);
        }
        Ok(())
    }

    /// What a killed process leaves: the files as they are, without a clean shutdown.
    fn kill(&mut self) {
        let target = self.place.beside(&format!("copy-{}.store", self.copies));
        self.copies += 1;
        copy_dir(self.store().path(), &target);
        self.store = Some(Place::options().append(self.append).open(&target).expect("recovery"));
    }

    fn reopen(&mut self) {
        let store = self.store.take().expect("the store is open");
        let path = store.path().to_path_buf();
        store.close().expect("close");
        self.store = Some(Place::options().append(self.append).open(path).expect("reopen"));
    }

    fn check(&self, store: &Store) -> Result<(), TestCaseError> {
        prop_assert_eq!(store.head(), Lsn::new(self.states.len() as u64 - 1));
        for (lsn, state) in self.states.iter().enumerate() {
            check_snapshot(store, Lsn::new(lsn as u64), state)?;
        }
        check_history(store, &self.states)?;
        check_journal(store, &self.states)
    }
}

/// Copies a directory, files before folders and what is newest first: the background threads may
/// be sealing segments or writing a checkpoint. CONTROL or a checkpoint that is newer than the
/// journal, or a seal behind a segment that has none, is what no crash can bring about.
fn copy_dir(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir(to).expect("create");
    let mut names: Vec<_> = std::fs::read_dir(from)
        .expect("list")
        .map(|entry| entry.expect("entry").file_name())
        .collect();
    names.sort_by(|a, b| b.cmp(a));
    let (folders, files): (Vec<_>, Vec<_>) =
        names.into_iter().partition(|name| from.join(name).is_dir());
    for name in files {
        std::fs::copy(from.join(&name), to.join(&name)).expect("copy");
    }
    for name in folders {
        copy_dir(&from.join(&name), &to.join(&name));
    }
}

fn check_snapshot(store: &Store, lsn: Lsn, state: &State) -> Result<(), TestCaseError> {
    let snapshot = store.snapshot_at(lsn).expect("snapshot");
    for name in COLLECTIONS {
        let expected: Vec<_> = state
            .iter()
            .filter(|((collection, _), _)| collection == name)
            .map(|((_, key), value)| (key.clone(), value.clone()))
            .collect();
        let Ok(scan) = snapshot.scan(name, KeyRange::all()) else {
            prop_assert!(expected.is_empty());
            continue;
        };
        let own = |record: afterimage::Result<afterimage::Record<'_>>| {
            let record = record.expect("record");
            (record.key().to_vec(), record.image().bytes().to_vec())
        };
        let found: Vec<_> = scan.map(own).collect();
        prop_assert_eq!(&found, &expected, "{} at {}", name, lsn);
        let mut backwards: Vec<_> =
            snapshot.scan(name, KeyRange::all()).expect("scan").rev().map(own).collect();
        backwards.reverse();
        prop_assert_eq!(&backwards, &expected, "{} at {}, backwards", name, lsn);
        let prefix = KeyRange::prefix(b"key-1");
        let with_prefix: Vec<_> = snapshot.scan(name, prefix).expect("scan").map(own).collect();
        let expected: Vec<_> =
            expected.into_iter().filter(|(key, _)| key.starts_with(b"key-1")).collect();
        prop_assert_eq!(with_prefix, expected);
    }
    Ok(())
}

/// Each record's versions, newest first, are the changes between the model's states.
fn check_history(store: &Store, states: &[State]) -> Result<(), TestCaseError> {
    let slots: std::collections::BTreeSet<_> = states.iter().flat_map(State::keys).collect();
    for (collection, key) in slots {
        let slot = (collection.clone(), key.clone());
        let mut versions = store.record_history(collection, key).expect("history");
        for (lsn, pair) in states.windows(2).enumerate().rev() {
            let (before, after) = (pair[0].get(&slot), pair[1].get(&slot));
            if before == after {
                continue;
            }
            let version = loop {
                let version = versions.next().expect("a version").expect("readable");
                // A put of an equal value is a version too, which the states do not show.
                if version.lsn() == Lsn::new(lsn as u64 + 1) {
                    break version;
                }
                prop_assert_eq!(version.op(), Op::Update);
            };
            prop_assert_eq!(version.before().map(|image| image.bytes().to_vec()), before.cloned());
            prop_assert_eq!(version.after().map(|image| image.bytes().to_vec()), after.cloned());
        }
    }
    Ok(())
}

/// Folding the journal forwards gives the last state, backwards the empty one.
fn check_journal(store: &Store, states: &[State]) -> Result<(), TestCaseError> {
    let mut state = State::new();
    for transaction in store.transactions(..).expect("transactions") {
        let transaction = transaction.expect("readable");
        for change in transaction.changes() {
            let change = change.expect("readable");
            let slot = (change.collection().to_owned(), change.key().to_vec());
            if change.is_system() {
                continue;
            }
            let after = change.after().map(|image| image.bytes().to_vec());
            let before = match after {
                Some(after) => state.insert(slot, after),
                None => state.remove(&slot),
            };
            prop_assert_eq!(before, change.before().map(|image| image.bytes().to_vec()));
        }
        let lsn = usize::try_from(transaction.lsn().get()).expect("small");
        prop_assert_eq!(&state, &states[lsn]);
    }
    for transaction in store.transactions(..).expect("transactions").rev() {
        let transaction = transaction.expect("readable");
        let lsn = usize::try_from(transaction.lsn().get()).expect("small");
        prop_assert_eq!(&state, &states[lsn]);
        for change in transaction.changes().collect::<Vec<_>>().into_iter().rev() {
            let change = change.expect("readable");
            let slot = (change.collection().to_owned(), change.key().to_vec());
            match (change.is_system(), change.before()) {
                (true, _) => {}
                (false, Some(before)) => {
                    state.insert(slot, before.bytes().to_vec());
                }
                (false, None) => {
                    state.remove(&slot);
                }
            }
        }
    }
    prop_assert!(state.is_empty());
    Ok(())
}

fn check_steps(steps: &[Step], append: AppendMethod) -> Result<(), TestCaseError> {
    let mut run = Run::new(append);
    for step in steps {
        match step {
            Step::Commit(writes) => run.commit(writes)?,
            Step::Checkpoint => {
                run.store().checkpoint().expect("checkpoint");
            }
            Step::Reopen => run.reopen(),
            Step::Kill => run.kill(),
        }
    }
    run.check(run.store())?;
    let reader = Store::options().read_only(true).open(run.store().path()).expect("reader");
    run.check(&reader)?;
    run.reopen();
    run.check(run.store())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn any_history_equals_the_model_at_every_lsn(
        steps in prop::collection::vec(step(), 1..40),
        append in prop_oneof![Just(AppendMethod::Map), Just(AppendMethod::Pwrite)],
    ) {
        check_steps(&steps, append)?;
    }
}
