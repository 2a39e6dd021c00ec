//! Whole histories of the store against a model.
//!
//! A history is a list of steps: transactions that are open together and get in each other's way,
//! clocks that jump, checkpoints, ends of the process, power cuts, and reads of any moment between
//! them. After each step the store must be what the model is, and at the end at every LSN. What
//! can't be found here: what depends on threads, or on calls to the disk that fail.
//!
//! `PROPTEST_CASES=10000 cargo test --release --test it model -- --nocapture` tries more.

mod look;
mod moments;
mod run;
mod transact;

use std::cell::RefCell;
use std::ops::Bound;

use afterimage::{AppendMethod, Durability, KeyRange};
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{TestCaseError, TestError, TestRunner};

use run::{Run, Tried};

type Checked = Result<(), TestCaseError>;

/// A collection by its place in [`COLLECTIONS`], and a key.
type Slot = (usize, Vec<u8>);

const COLLECTIONS: [&str; 3] = ["rooms", "guests", "Gäste 🛏"];
const POINTS: [&str; 3] = ["before", "after", "Ostern"];
/// In debug, some seconds.
const CASES: u32 = 80;

#[derive(Clone, Debug)]
enum Range {
    All,
    Prefix(Vec<u8>),
    Between(Bound<Vec<u8>>, Bound<Vec<u8>>),
}

impl Range {
    fn own(&self) -> KeyRange {
        match self {
            Self::All => KeyRange::all(),
            Self::Prefix(prefix) => KeyRange::prefix(prefix),
            Self::Between(from, to) => KeyRange::from_bounds(from.clone(), to.clone()),
        }
    }

    fn contains(&self, key: &[u8]) -> bool {
        match self {
            Self::All => true,
            Self::Prefix(prefix) => key.starts_with(prefix),
            Self::Between(from, to) => {
                let behind = match from {
                    Bound::Included(from) => key >= from.as_slice(),
                    Bound::Excluded(from) => key > from.as_slice(),
                    Bound::Unbounded => true,
                };
                let before = match to {
                    Bound::Included(to) => key <= to.as_slice(),
                    Bound::Excluded(to) => key < to.as_slice(),
                    Bound::Unbounded => true,
                };
                behind && before
            }
        }
    }
}

/// What a transaction does.
#[derive(Clone, Debug)]
enum Action {
    Put(Slot, Vec<u8>),
    Insert(Slot, Vec<u8>),
    Delete(Slot),
    Get(Slot),
    Scan(usize, Range),
    Expect(Slot, Expected),
    /// Gives the commit time, so many microseconds from now.
    At(i64),
}

/// Which version of a record a transaction expects.
#[derive(Clone, Debug)]
enum Expected {
    /// That which it sees.
    Seen,
    Absent,
    Any(Index),
}

#[derive(Clone, Copy, Debug)]
enum End {
    Commit,
    /// Not waited for before all have ended.
    Submit,
    Rollback,
}

/// One of the transactions that are open together.
#[derive(Clone, Debug)]
struct Script {
    actions: Vec<Action>,
    /// So many actions when all others are open, the rest right before the end.
    early: usize,
    end: End,
}

/// A moment to read.
#[derive(Clone, Debug)]
enum At {
    Now,
    /// A snapshot that is kept open.
    Held(Index),
    Lsn(Index),
    /// So many microseconds from the commit time of this transaction.
    Time(Index, i64),
    /// So many microseconds before now.
    Ago(u32),
    Point(usize),
}

#[derive(Clone, Debug)]
enum Look {
    /// Takes one record from an end after the other: `true` is the front.
    Scan(usize, Range, Vec<bool>),
    Records(usize, Vec<Vec<u8>>),
    History(Slot),
    Collections,
}

#[derive(Clone, Debug)]
enum Step {
    /// Transactions that are open together, and how they end one after the other: the next one is
    /// so many places behind. Perhaps the power is cut before those submitted are waited for.
    Transactions(Vec<Script>, Vec<Index>, Option<u64>),
    /// The clock jumps.
    Clock(i64),
    Hold(At),
    Release(Index),
    Look(At, Look),
    Point(usize, At),
    ForgetPoint(usize),
    /// Everything into one.
    Checkpoint,
    /// What changed since the newest one.
    Layer,
    Sync,
    /// Another handle that only reads.
    Reader,
    Reopen,
    Kill,
    /// On a real disk, a kill.
    PowerCut(u64),
}

/// Where the store is and how it is opened.
#[derive(Clone, Copy, Debug)]
struct Setup {
    /// How it is appended to on a real disk; without it, the disk is simulated.
    append: Option<AppendMethod>,
    durability: Durability,
    segment_bytes: u64,
    checkpoint_bytes: u64,
}

fn setup() -> impl Strategy<Value = Setup> {
    let simulated = prop_oneof![Just(Durability::Sync), Just(Durability::Process)];
    let real = prop_oneof![Just(AppendMethod::Map), Just(AppendMethod::Pwrite)];
    let disk = prop_oneof![
        3 => simulated.prop_map(|durability| (None, durability)),
        2 => real.prop_map(|append| (Some(append), Durability::Process)),
    ];
    let checkpoint_bytes = prop_oneof![Just(96 << 20), Just(6000)];
    (disk, prop_oneof![Just(4096), Just(8192), Just(65_536)], checkpoint_bytes).prop_map(
        |((append, durability), segment_bytes, checkpoint_bytes)| Setup {
            append,
            durability,
            segment_bytes,
            checkpoint_bytes,
        },
    )
}

fn key() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        8 => (0..12_u8).prop_map(|n| format!("key-{n}").into_bytes()),
        1 => prop::collection::vec(any::<u8>(), 1..40),
        1 => "\\PC{1,12}".prop_map(String::into_bytes),
    ]
}

fn slot() -> impl Strategy<Value = Slot> {
    (prop_oneof![6 => Just(0), 3 => Just(1), 1 => Just(2)], key())
}

fn value() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        6 => prop::collection::vec(any::<u8>(), 0..200),
        1 => (0..20_000_usize, any::<u8>()).prop_map(|(length, byte)| vec![byte; length]),
        1 => Just(Vec::new()),
    ]
}

fn range() -> impl Strategy<Value = Range> {
    let bound = || {
        prop_oneof![
            key().prop_map(Bound::Included),
            key().prop_map(Bound::Excluded),
            Just(Bound::Unbounded),
        ]
    };
    prop_oneof![
        2 => Just(Range::All),
        1 => Just(Range::Prefix(b"key-1".to_vec())),
        1 => prop::collection::vec(any::<u8>(), 0..2).prop_map(Range::Prefix),
        3 => (bound(), bound()).prop_map(|(from, to)| Range::Between(from, to)),
    ]
}

fn script() -> impl Strategy<Value = Script> {
    let expected = prop_oneof![
        3 => Just(Expected::Seen),
        1 => Just(Expected::Absent),
        1 => any::<Index>().prop_map(Expected::Any),
    ];
    let action = prop_oneof![
        10 => (slot(), value()).prop_map(|(slot, value)| Action::Put(slot, value)),
        2 => (slot(), value()).prop_map(|(slot, value)| Action::Insert(slot, value)),
        4 => slot().prop_map(Action::Delete),
        3 => slot().prop_map(Action::Get),
        1 => (0..COLLECTIONS.len(), range()).prop_map(|(of, range)| Action::Scan(of, range)),
        1 => (slot(), expected).prop_map(|(slot, expected)| Action::Expect(slot, expected)),
        1 => (-5_000_000..5_000_000_i64).prop_map(Action::At),
    ];
    let end = prop_oneof![6 => Just(End::Commit), 3 => Just(End::Submit), 1 => Just(End::Rollback)];
    (prop::collection::vec(action, 1..7), 0..7_usize, end)
        .prop_map(|(actions, early, end)| Script { actions, early, end })
}

fn at() -> impl Strategy<Value = At> {
    prop_oneof![
        2 => Just(At::Now),
        3 => any::<Index>().prop_map(At::Held),
        3 => any::<Index>().prop_map(At::Lsn),
        3 => (any::<Index>(), -1..2_i64).prop_map(|(lsn, by)| At::Time(lsn, by)),
        1 => (0..100_000_000_u32).prop_map(At::Ago),
        1 => (0..POINTS.len()).prop_map(At::Point),
    ]
}

fn look() -> impl Strategy<Value = Look> {
    let ends = prop_oneof![
        (0..20_usize).prop_map(|limit| vec![true; limit]),
        (0..20_usize).prop_map(|limit| vec![false; limit]),
        prop::collection::vec(any::<bool>(), 0..40),
    ];
    let of = 0..COLLECTIONS.len();
    let keys = prop::collection::vec(key(), 0..40);
    prop_oneof![
        4 => (of.clone(), range(), ends).prop_map(|(of, range, ends)| Look::Scan(of, range, ends)),
        2 => (of, keys).prop_map(|(of, keys)| Look::Records(of, keys)),
        2 => slot().prop_map(Look::History),
        1 => Just(Look::Collections),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let scripts = prop_oneof![
        3 => prop::collection::vec(script(), 1),
        2 => prop::collection::vec(script(), 2..4),
    ];
    let order = prop::collection::vec(any::<Index>(), 3);
    let cut = prop::option::weighted(0.05, any::<u64>());
    prop_oneof![
        20 => (scripts, order, cut)
            .prop_map(|(scripts, order, cut)| Step::Transactions(scripts, order, cut)),
        2 => (-100_000_000..200_000_000_i64).prop_map(Step::Clock),
        2 => at().prop_map(Step::Hold),
        1 => any::<Index>().prop_map(Step::Release),
        6 => (at(), look()).prop_map(|(at, look)| Step::Look(at, look)),
        1 => (0..POINTS.len(), at()).prop_map(|(name, at)| Step::Point(name, at)),
        1 => (0..POINTS.len()).prop_map(Step::ForgetPoint),
        1 => Just(Step::Checkpoint),
        1 => Just(Step::Layer),
        1 => Just(Step::Sync),
        1 => Just(Step::Reader),
        1 => Just(Step::Reopen),
        1 => Just(Step::Kill),
        2 => any::<u64>().prop_map(Step::PowerCut),
    ]
}

#[test]
fn accident_a17_any_history_equals_the_model_at_every_lsn() {
    let mut config = ProptestConfig { source_file: Some(file!()), ..ProptestConfig::default() };
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = CASES;
    }
    let tried = RefCell::new(Tried::default());
    let histories = (setup(), prop::collection::vec(step(), 1..50));
    let outcome = TestRunner::new(config).run(&histories, |(setup, steps)| {
        let mut run = Run::new(setup)?;
        steps.iter().try_for_each(|step| run.step(step))?;
        tried.borrow_mut().add(&run.end()?);
        Ok(())
    });
    println!("{:?}", tried.borrow());
    match outcome {
        Ok(()) => {}
        Err(TestError::Fail(reason, (setup, steps))) => panic!("{reason}\n{setup:?}\n{steps:?}"),
        Err(TestError::Abort(reason)) => panic!("{reason}"),
    }
}
