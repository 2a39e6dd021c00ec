//! Opening.

use afterimage::Lsn;

use crate::common::{Place, put};

#[test]
fn transactions_are_found_from_both_ends() {
    let place = Place::new();
    let store = place.open();
    for n in 0..200 {
        put(&store, &format!("k{n}"), &"x".repeat(n * n * 7 % 30_011));
    }
    for lsn in 1..=200 {
        assert_eq!(store.transaction(Lsn::new(lsn)).expect("found").lsn(), Lsn::new(lsn));
    }
    let backwards: Vec<_> = store
        .transactions(..)
        .expect("transactions")
        .rev()
        .map(|transaction| transaction.expect("readable").lsn().get())
        .collect();
    assert_eq!(backwards, (1..=200).rev().collect::<Vec<_>>());
}
