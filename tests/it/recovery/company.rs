//! Ten people edit the same records; then everything that one of them did is undone. What is left
//! is compared, field by field, with the company in which that person never did anything.
//!
//! "Never did anything" is told apart from an undo by what others built on it. Each difference must
//! be of one of these kinds:
//!
//! * *reported*: somebody changed the same record, or the same field, later; the plan told it as a
//!   conflict.
//! * *made by the person*: the same, and the person had made the record. Without that person the
//!   first edit of somebody else would have made it, with fewer fields; to undo the making is to
//!   delete the record, so it is a conflict as a whole, and stays.
//! * *masked*: somebody did what the person had done already, deleted a record that was gone or set
//!   a field that had this value. It changed nothing, so the journal has nothing of it; without the
//!   person it would have.
//! * *back again*: somebody changed the field later, and it came to be as the person had left it.
//!   Undo compares images, so that is no conflict.

use std::collections::{BTreeMap, BTreeSet};

use afterimage::{KeyRange, OnConflict, Plan, Purpose, Store, Undo, UndoMode};

use super::{by, json};
use crate::common::Place;
use crate::number::number;
use crate::random::Random;

const FIELDS: [&str; 6] = ["a", "b", "c", "d", "e", "f"];
const ACTORS: u64 = 10;
const PERSON: u64 = 3;

type Record = BTreeMap<&'static str, u64>;
type World = BTreeMap<u64, Record>;

#[derive(Clone, Copy, Debug)]
enum Edit {
    /// Sets a field; makes the record where there is none.
    Set(u64, &'static str, u64),
    Remove(u64, &'static str),
    Delete(u64),
}

impl Edit {
    fn record(self) -> u64 {
        match self {
            Self::Set(record, ..) | Self::Remove(record, _) | Self::Delete(record) => record,
        }
    }

    /// Whether it is about this field, or about all of them.
    fn concerns(self, name: &str) -> bool {
        match self {
            Self::Set(_, own, _) | Self::Remove(_, own) => own == name,
            Self::Delete(_) => true,
        }
    }

    /// Does it; says whether it changed anything.
    fn apply(self, world: &mut World) -> bool {
        match self {
            Self::Set(record, name, value) => {
                world.entry(record).or_default().insert(name, value) != Some(value)
            }
            Self::Remove(record, name) => {
                world.get_mut(&record).is_some_and(|fields| fields.remove(name).is_some())
            }
            Self::Delete(record) => world.remove(&record).is_some(),
        }
    }
}

/// What somebody does in one transaction.
struct Work {
    actor: u64,
    edits: Vec<Edit>,
}

fn works(transactions: u64) -> Vec<Work> {
    let mut random = Random(2026);
    let records = (transactions / 8).max(40);
    (0..transactions)
        .map(|_| {
            let actor = random.below(ACTORS);
            let edits = 1 + random.below(3);
            let edit = |_| {
                let record = random.below(records);
                let place = usize::try_from(random.below(6)).expect("small");
                match random.below(20) {
                    0 => Edit::Delete(record),
                    1 => Edit::Remove(record, FIELDS[place]),
                    _ => Edit::Set(record, FIELDS[place], random.below(50)),
                }
            };
            Work { actor, edits: (0..edits).map(edit).collect() }
        })
        .collect()
}

/// An edit of somebody else, after the person's first one of that record.
struct Other {
    edit: Edit,
    was_in_vain: bool,
}

/// The store, and every later edit of a record that the person has edited.
fn run(store: &Store, works: &[Work]) -> BTreeMap<u64, Vec<Other>> {
    let (mut world, mut others) = (World::new(), BTreeMap::<u64, Vec<Other>>::new());
    for work in works {
        let mut tx = store.begin().expect("a transaction");
        tx.actor(format!("actor-{}", work.actor));
        for edit in &work.edits {
            let changed = edit.apply(&mut world);
            let record = edit.record();
            if work.actor == PERSON {
                others.entry(record).or_default();
            } else if let Some(others) = others.get_mut(&record) {
                others.push(Other { edit: *edit, was_in_vain: !changed });
            }
            if !changed {
                continue;
            }
            let key = format!("r-{record:06}");
            match world.get(&record) {
                Some(fields) => {
                    let text = serde_json::to_string(fields).expect("JSON");
                    tx.put_image("rooms", key.as_bytes(), json(&text)).expect("put");
                }
                None => drop(tx.delete_record("rooms", key.as_bytes()).expect("deleted")),
            }
        }
        tx.commit().expect("committed");
    }
    others
}

fn without_the_person(works: &[Work]) -> World {
    let mut world = World::new();
    for edit in works.iter().filter(|work| work.actor != PERSON).flat_map(|work| &work.edits) {
        edit.apply(&mut world);
    }
    world
}

fn read(store: &Store) -> World {
    let snapshot = store.snapshot();
    let scan = snapshot.scan("rooms", KeyRange::all()).expect("scan");
    scan.map(|record| {
        let record = record.expect("readable");
        let key = std::str::from_utf8(record.key()).expect("text");
        let fields: BTreeMap<String, u64> =
            serde_json::from_slice(record.image().bytes()).expect("JSON");
        let known = |name: String| FIELDS.into_iter().find(|own| **own == name).expect("known");
        let fields = fields.into_iter().map(|(name, value)| (known(name), value)).collect();
        (key[2..].parse().expect("a number"), fields)
    })
    .collect()
}

/// The fields of each record that the plan told to be in conflict, an empty name being all of them,
/// and whether what would have come back is nothing.
type Told = BTreeMap<u64, BTreeMap<String, bool>>;

fn told(plan: &Plan<'_>) -> Told {
    let conflicts = plan.changes().iter().filter_map(|change| {
        let key = std::str::from_utf8(change.key()).expect("text");
        let fields = &change.conflict()?.fields;
        let paths = fields.iter().map(|field| (field.path.clone(), field.theirs.is_none()));
        Some((key[2..].parse().expect("a number"), paths.collect()))
    });
    conflicts.collect()
}

#[derive(Debug, Default)]
struct Classes {
    same: u64,
    reported: u64,
    made_by_the_person: u64,
    masked: u64,
    back_again: u64,
}

impl Classes {
    fn sort(
        &mut self,
        (record, name): (u64, &str),
        told: &Told,
        others: &BTreeMap<u64, Vec<Other>>,
    ) {
        if let Some(paths) = told.get(&record)
            && let Some((path, is_nothing)) =
                paths.get_key_value(name).or_else(|| paths.get_key_value(""))
        {
            if path.is_empty() && *is_nothing {
                self.made_by_the_person += 1;
            } else {
                self.reported += 1;
            }
            return;
        }
        let others =
            others.get(&record).unwrap_or_else(|| panic!("r-{record} was never the person's"));
        let mut about = others.iter().filter(|other| other.edit.concerns(name)).peekable();
        assert!(about.peek().is_some(), "r-{record}.{name} differs, and nobody else touched it");
        if about.any(|other| other.was_in_vain) {
            self.masked += 1;
        } else {
            self.back_again += 1;
        }
    }
}

/// Returns the table of differences.
fn compare(mode: UndoMode, transactions: u64) -> String {
    let place = Place::new();
    let store = Place::options().segment_bytes(16 << 20).open(place.path()).expect("opened");
    let works = works(transactions);
    let others = run(&store, &works);
    let undo = Undo::everything().by_actor(format!("actor-{PERSON}")).mode(mode);
    let plan = store.plan_undo(&undo).expect("planned");
    let Purpose::Undo { transactions: undone } = plan.purpose() else { panic!("an undo") };
    let (undone, counts, told) = (undone.len(), plan.counts(), told(&plan));
    store.execute(&plan, &by("boss")).expect("carried out");
    let (found, expected) = (read(&store), without_the_person(&works));
    let mut classes = Classes::default();
    let nothing = Record::new();
    let records: BTreeSet<_> = found.keys().chain(expected.keys()).copied().collect();
    for record in records {
        let (found, expected) = (found.get(&record), expected.get(&record));
        if found == expected {
            classes.same += FIELDS.len() as u64;
            continue;
        }
        let (found, expected) = (found.unwrap_or(&nothing), expected.unwrap_or(&nothing));
        for name in FIELDS {
            if found.get(name) == expected.get(name) {
                classes.same += 1;
            } else {
                classes.sort((record, name), &told, &others);
            }
        }
    }
    let Classes { same, reported, made_by_the_person, masked, back_again } = classes;
    assert!(same > reported + made_by_the_person + masked + back_again);
    format!(
        "{mode:?}: {undone} of {transactions} transactions undone, {counts:?}\n\
         | same | reported | made by the person | masked | back again | unexplained |\n\
         | {same} | {reported} | {made_by_the_person} | {masked} | {back_again} | 0 |"
    )
}

#[test]
fn what_one_of_ten_did_is_undone_and_every_difference_from_never_is_explained() {
    let transactions = number("AFTERIMAGE_COMPANY", 2000);
    for mode in [UndoMode::Nonconflicting, UndoMode::Merge(OnConflict::Ours)] {
        println!("{}", compare(mode, transactions));
    }
}
