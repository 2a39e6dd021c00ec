//! Projections and their runner.

use afterimage::{Error, Lsn, Projection, Result, Runner, RunnerState, TransactionView, code};

use crate::common::{Place, put};

/// Notes every transaction it is given; refuses those that it is told to.
#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    position: Lsn,
    lsns: Vec<u64>,
    poison: Option<u64>,
}

impl Projection for Seen {
    fn name(&self) -> &'static str {
        "seen"
    }

    fn position(&self) -> Lsn {
        self.position
    }

    fn apply(&mut self, transaction: &TransactionView<'_>) -> Result<()> {
        let lsn = transaction.lsn().get();
        if self.poison == Some(lsn) {
            return Err(Error::new(&code::DECODE, "poison"));
        }
        self.position = transaction.lsn();
        self.lsns.push(lsn);
        Ok(())
    }
}

#[test]
fn accident_a14_a_poison_event_stops_that_projection_and_nothing_else() {
    let place = Place::new();
    let store = place.open();
    for _ in 0..10 {
        put(&store, "a", "v");
    }
    let mut runner = Runner::new(&store, Seen { poison: Some(5), ..Seen::default() });
    let error = runner.catch_up().expect_err("poison");
    assert_eq!(error.code().id, code::PROJECTION_FAULTED.id);
    assert_eq!(error.place().lsn, Some(Lsn::new(5)));
    assert!(matches!(runner.state(), RunnerState::Faulted { lsn, .. } if lsn.get() == 5));
    assert!(runner.catch_up().is_err(), "it stays where it is");
    put(&store, "a", "the store goes on");
    assert_eq!((runner.position(), runner.lag()), (Lsn::new(4), 7));
    runner.retry();
    assert!(runner.catch_up().is_err(), "the same transaction again");
    assert_eq!(runner.skip(), Some(Lsn::new(5)));
    runner.catch_up().expect("goes on behind it");
    assert_eq!(runner.projection().lsns, [1, 2, 3, 4, 6, 7, 8, 9, 10, 11]);
    let old = runner.rebuild(Seen::default()).expect("rebuilt");
    assert_eq!(old.lsns.len(), 10);
    assert_eq!(runner.projection().lsns, (1..=11).collect::<Vec<_>>());
    runner.rebuild(Seen::default()).expect("rebuilt twice");
    assert_eq!((runner.lag(), runner.projection().lsns.len()), (0, 11));
}

#[test]
fn accident_a14_a_projection_is_rebuilt_while_the_store_is_written() {
    let place = Place::new();
    let store = place.open();
    put(&store, "a", "v");
    let mut runner = Runner::new(&store, Seen::default());
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for _ in 0..500 {
                put(&store, "a", "v");
            }
        });
        for _ in 0..5 {
            runner.catch_up().expect("caught up");
            runner.rebuild(Seen::default()).expect("rebuilt");
        }
        writer.join().expect("written");
    });
    runner.catch_up().expect("caught up");
    assert_eq!(runner.projection().lsns, (1..=501).collect::<Vec<_>>());
}

#[test]
fn accident_a14_a_position_ahead_of_the_store_is_refused_and_never_skips() {
    let place = Place::new();
    let store = place.open();
    put(&store, "a", "v");
    let ahead = Seen { position: Lsn::new(5), ..Seen::default() };
    let mut runner = Runner::new(&store, ahead);
    let error = runner.catch_up().expect_err("the store never had LSN 5");
    assert_eq!(error.code().id, code::OUTSIDE_WINDOW.id);
    assert!(matches!(runner.state(), RunnerState::Running));
    runner.rebuild(Seen::default()).expect("rebuilt");
    put(&store, "a", "v");
    runner.catch_up().expect("caught up");
    assert_eq!(runner.projection().lsns, [1, 2]);
}

#[test]
fn a_rebuild_ends_though_each_step_brings_news() {
    /// Commits a transaction for each one that it sees, so that it never catches up.
    struct Restless(Seen, afterimage::Store);
    impl Projection for Restless {
        fn name(&self) -> &'static str {
            "restless"
        }
        fn position(&self) -> Lsn {
            self.0.position
        }
        fn apply(&mut self, transaction: &TransactionView<'_>) -> Result<()> {
            put(&self.1, "a", "v");
            self.0.apply(transaction)
        }
    }
    let place = Place::new();
    let store = place.open();
    for _ in 0..10 {
        put(&store, "a", "v");
    }
    let fresh = || Restless(Seen::default(), store.clone());
    let mut runner = Runner::new(&store, fresh());
    runner.rebuild(fresh()).expect("rebuilt");
    assert_eq!((runner.position(), store.head()), (Lsn::new(10), Lsn::new(20)));
}

#[test]
fn a_projection_that_does_not_move_is_stopped() {
    struct Stuck;
    impl Projection for Stuck {
        fn name(&self) -> &'static str {
            "stuck"
        }
        fn position(&self) -> Lsn {
            Lsn::ZERO
        }
        fn apply(&mut self, _: &TransactionView<'_>) -> Result<()> {
            Ok(())
        }
    }
    let place = Place::new();
    let store = place.open();
    put(&store, "a", "v");
    let error = Runner::new(&store, Stuck).catch_up().expect_err("stuck");
    assert_eq!(error.code().id, code::PROJECTION_FAULTED.id);
}
