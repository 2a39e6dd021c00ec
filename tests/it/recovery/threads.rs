//! Undo and restore beside others who write.

use std::sync::atomic::{AtomicU64, Ordering};

use afterimage::{
    Commit, Lsn, OnConflict, Plan, Recovered, Restore, Scope, Store, Undo, UndoMode, VerifyDepth,
    code,
};

use super::by;
use super::model::owned;
use crate::common::Place;
use crate::number::number;
use crate::random::Random;

const WRITERS: u64 = 3;
const RECORDS: u64 = 40;

/// What a writer was told: the LSN, the record, and the number that it wrote.
type Told = (Lsn, String, u64);

/// Writes as often as it may, until it may go on for ever, which is the end.
fn write(store: &Store, writer: u64, allowed: &AtomicU64) -> Vec<Told> {
    let (mut random, mut told) = (Random(writer + 1), Vec::new());
    for n in 0_u64.. {
        while n >= allowed.load(Ordering::Relaxed) {
            std::thread::yield_now();
        }
        if allowed.load(Ordering::Relaxed) == u64::MAX {
            break;
        }
        let key = format!("r-{}", random.below(RECORDS));
        let number = writer << 32 | n;
        let value = format!("{{\"w{writer}\":{number}}}");
        let commit = store.write(|tx| {
            tx.actor(format!("writer-{writer}"));
            tx.put_image("rooms", key.as_bytes(), super::json(&value))
        });
        told.push((commit.expect("committed").lsn(), key, number));
    }
    told
}

enum Request {
    Undo(Undo),
    Restore(Restore),
}

impl Request {
    fn random(random: &mut Random, head: Lsn) -> Self {
        let back = Lsn::new(head.get().saturating_sub(random.below(20)).max(1));
        let key = format!("r-{}", random.below(RECORDS));
        let one = Scope { records: vec![("rooms".into(), key.into_bytes())], ..Scope::default() };
        match random.below(5) {
            0 => Self::Undo(Undo::transaction(back)),
            1 => Self::Undo(Undo::transaction(back).mode(UndoMode::Force)),
            2 => Self::Undo(
                Undo::everything()
                    .between(back.previous(), head)
                    .by_actor("writer-1")
                    .mode(UndoMode::Merge(OnConflict::Theirs)),
            ),
            3 => Self::Restore(Restore::to(back)),
            _ => Self::Restore(Restore::to(back).of(one)),
        }
    }

    fn run(&self, store: &Store) -> afterimage::Result<Commit<Recovered>> {
        match self {
            Self::Undo(undo) => store.undo(undo, &by("restorer")),
            Self::Restore(restore) => store.restore(restore, &by("restorer")),
        }
    }

    fn plan<'s>(&self, store: &'s Store, head: Lsn) -> Plan<'s> {
        let plan = match self {
            Self::Undo(undo) => store.plan_undo(&undo.clone().as_of(head)),
            Self::Restore(restore) => store.plan_restore(&restore.clone().as_of(head)),
        };
        plan.expect("planned again")
    }
}

/// The transaction is what its plan says, and nobody came between the two.
fn check(store: &Store, request: &Request, commit: &Commit<Recovered>) {
    let plan = request.plan(store, commit.value().plan.head());
    assert_eq!((plan.id(), plan.counts()), (commit.value().plan, commit.value().counts));
    let transaction = store.transaction(commit.lsn()).expect("kept");
    let mut planned = plan.changes().iter().filter(|change| change.op().is_some());
    for change in transaction.changes() {
        let change = change.expect("readable");
        if change.is_system() {
            continue;
        }
        let expected = planned.next().expect("as many as planned");
        assert_eq!(change.key(), expected.key());
        assert_eq!(change.before(), expected.before());
        assert_eq!(change.after().map(owned), expected.after().map(owned));
        assert!(change.previous_lsn().expect("readable") <= plan.head());
    }
    assert!(planned.next().is_none(), "as many as planned");
}

#[test]
fn undo_and_restore_beside_writers_lose_nothing_and_do_what_their_plans_say() {
    let place = Place::new();
    let store = Place::options().segment_bytes(1 << 20).open(place.path()).expect("opened");
    let requests = number("AFTERIMAGE_RECOVERY_REQUESTS", 150);
    // Some writes for each request: who writes these few records without a pause is faster than any
    // plan of what has happened since, which only grows.
    let allowed = AtomicU64::new(1);
    let (mut done, mut refused) = (Vec::new(), 0);
    let told: Vec<Vec<Told>> = std::thread::scope(|scope| {
        let start = |writer| {
            let (store, allowed) = (&store, &allowed);
            scope.spawn(move || write(store, writer, allowed))
        };
        let writers: Vec<_> = (0..WRITERS).map(start).collect();
        let mut random = Random(99);
        let mut tried = 0;
        while tried < requests {
            let head = store.head();
            if head == Lsn::ZERO {
                std::hint::spin_loop();
                continue;
            }
            tried += 1;
            allowed.fetch_add(20, Ordering::Relaxed);
            let request = Request::random(&mut random, head);
            match request.run(&store) {
                Ok(commit) => done.push((request, commit)),
                Err(error) if error.code().id == code::UNDO_CONFLICT.id => refused += 1,
                Err(error) if error.code().id == code::NOT_UNDOABLE.id => refused += 1,
                Err(error) => panic!("{error}"),
            }
        }
        allowed.store(u64::MAX, Ordering::Relaxed);
        writers.into_iter().map(|writer| writer.join().expect("no thread panics")).collect()
    });
    let carried_out = done.iter().filter(|(_, commit)| !commit.is_empty()).count();
    let is_between = |commit: &Commit<Recovered>| {
        !commit.is_empty() && commit.lsn() > commit.value().plan.head().next()
    };
    let beside = done.iter().filter(|(_, commit)| is_between(commit)).count();
    println!("{beside} with others between plan and commit");
    println!("{carried_out} carried out of {}, {refused} refused", done.len());
    for (request, commit) in done.iter().filter(|(_, commit)| !commit.is_empty()) {
        check(&store, request, commit);
    }
    for (lsn, key, number) in told.into_iter().flatten() {
        let transaction = store.transaction(lsn).expect("kept");
        let found = transaction.changes().map(|change| change.expect("readable")).any(|change| {
            let text =
                |image: afterimage::Image<'_>| String::from_utf8_lossy(image.bytes()).into_owned();
            change.key() == key.as_bytes()
                && change.after().map(text).is_some_and(|t| t.contains(&number.to_string()))
        });
        assert!(found, "LSN {lsn} wrote {number}");
    }
    let report = store.verify(VerifyDepth::Deep, &mut |_| {}).expect("looked");
    assert!(report.valid && carried_out > 0, "{report:?}");
}

#[test]
fn a_restore_beside_writers_without_a_pause_was_overtaken_for_ever() {
    let place = Place::new();
    let store = Place::options().segment_bytes(1 << 20).open(place.path()).expect("opened");
    let without_pause = AtomicU64::new(u64::MAX - 1);
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (store, allowed) = (&store, &without_pause);
            scope.spawn(move || write(store, writer, allowed));
        }
        for _ in 0..5 {
            let head = store.head();
            let restored = store.restore(&Restore::to(head), &by("restorer")).expect("restored");
            // Whoever waits long enough is let in, and nobody between plan and commit.
            let plan = store.plan_restore(&Restore::to(head).as_of(restored.value().plan.head()));
            assert_eq!(plan.expect("planned again").id(), restored.value().plan);
        }
        without_pause.store(u64::MAX, Ordering::Relaxed);
    });
    let report = store.verify(VerifyDepth::Deep, &mut |_| {}).expect("looked");
    assert!(report.valid, "{report:?}");
}
