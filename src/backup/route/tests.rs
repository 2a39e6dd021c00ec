use proptest::prelude::*;

use super::{Chains, Route, Window, Windows};
use crate::backup::manifest::tests::{base, slice};
use crate::backup::object::{BaseRef, SliceRef};
use crate::error::code;
use crate::lsn::Lsn;

fn windows(chains: &Chains) -> String {
    chains.windows().to_string()
}

fn names(route: &Route) -> (Option<u64>, Vec<(u64, u64)>) {
    let slices = route.slices.iter().map(|slice| (slice.first.get(), slice.last.get()));
    (route.base.map(|base| base.lsn.get()), slices.collect())
}

#[test]
fn a_chain_begins_with_the_first_transaction_or_a_base() {
    let chains = Chains::new(vec![slice(1, 10), slice(11, 20), slice(31, 40)], vec![base(35, 5)]);
    assert_eq!(windows(&chains), "0 to 20, 35 to 40");
    assert_eq!(names(&chains.route(Lsn::new(15)).unwrap()), (None, vec![(1, 10), (11, 20)]));
    assert_eq!(names(&chains.route(Lsn::new(40)).unwrap()), (Some(35), vec![(31, 40)]));
    assert_eq!(names(&chains.route(Lsn::new(35)).unwrap()), (Some(35), vec![]));
    assert_eq!(names(&chains.route(Lsn::ZERO).unwrap()), (None, vec![]));
}

#[test]
fn a_moment_outside_is_refused_and_the_windows_named() {
    let chains = Chains::new(vec![slice(1, 10), slice(31, 40)], vec![base(35, 5)]);
    for lsn in [11, 30, 34, 41, u64::MAX] {
        let error = chains.route(Lsn::new(lsn)).unwrap_err();
        assert_eq!(error.code().id, code::OUTSIDE_WINDOW.id);
        assert!(error.message().contains("0 to 10, 35 to 40"), "{error}");
    }
    let nothing = Chains::default();
    assert!(nothing.route(Lsn::ZERO).unwrap_err().message().ends_with("nothing"));
}

#[test]
fn the_cheapest_way_is_taken() {
    let slices = vec![slice(1, 10), slice(11, 20), slice(1, 20), slice(21, 30)];
    let cheap = Chains::new(slices.clone(), vec![base(15, 30), base(20, 150)]);
    // 30 for the base and 100 for the slice, against 150 and 200.
    assert_eq!(names(&cheap.route(Lsn::new(20)).unwrap()), (Some(15), vec![(11, 20)]));
    assert_eq!(names(&cheap.route(Lsn::new(30)).unwrap()), (Some(15), vec![(11, 20), (21, 30)]));
    let dear = Chains::new(slices, vec![base(15, 3000), base(20, 1500)]);
    // Of equals the one with fewer objects.
    assert_eq!(names(&dear.route(Lsn::new(20)).unwrap()), (None, vec![(1, 20)]));
    // Within a slice its beginning is enough.
    assert_eq!(names(&dear.route(Lsn::new(3)).unwrap()), (None, vec![(1, 10)]));
}

#[test]
fn of_many_windows_the_first_and_the_last_are_named() {
    let window = |n: u64| Window { from: Lsn::new(n * 10), to: Lsn::new(n * 10 + 5) };
    let text = Windows::of((1..=20).map(window)).to_string();
    assert!(text.starts_with("10 to 15, ") && text.ends_with(", 200 to 205"), "{text}");
    assert!(text.contains("…") && text.len() < 120, "{text}");
}

fn pieces() -> impl Strategy<Value = (Vec<SliceRef>, Vec<BaseRef>)> {
    let slices = prop::collection::vec((1u64..24, 0u64..8, 0u64..60), 0..9);
    let bases = prop::collection::vec((1u64..30, 0u64..200), 0..4);
    (slices, bases).prop_map(|(slices, bases)| {
        let slices = slices.into_iter().map(|(first, more, bytes)| {
            let mut slice = slice(first, first + more);
            slice.bytes = bytes;
            slice
        });
        (slices.collect(), bases.into_iter().map(|(lsn, bytes)| base(lsn, bytes)).collect())
    })
}

/// The price of the cheapest way to each moment, by trying until nothing gets cheaper.
fn brute_force(slices: &[SliceRef], bases: &[BaseRef]) -> Vec<Option<u64>> {
    let mut best: Vec<Option<u64>> = vec![None; 40];
    if slices.iter().any(|slice| slice.first == Lsn::new(1)) {
        best[0] = Some(0);
    }
    for base in bases {
        let at = usize::try_from(base.lsn.get()).unwrap();
        best[at] = Some(best[at].map_or(base.bytes, |known| known.min(base.bytes)));
    }
    loop {
        let before = best.clone();
        for slice in slices {
            let first = usize::try_from(slice.first.get()).unwrap();
            let last = usize::try_from(slice.last.get()).unwrap();
            for from in first - 1..last {
                let Some(cost) = best[from] else { continue };
                let cost = cost + slice.bytes;
                for reached in &mut best[from + 1..=last] {
                    *reached = Some(reached.map_or(cost, |known| known.min(cost)));
                }
            }
        }
        if best == before {
            return best;
        }
    }
}

fn leads_there(route: &Route) -> bool {
    let mut at = route.base.map_or(Lsn::ZERO, |base| base.lsn);
    for slice in &route.slices {
        if slice.first > at.next() || slice.last <= at {
            return false;
        }
        at = slice.last;
    }
    route.base.is_none_or(|base| base.lsn <= route.target)
        && at >= route.target
        && (route.slices.is_empty() || at > Lsn::ZERO)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(
        std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(3000)
    ))]

    #[test]
    fn routes_are_those_of_trying_everything((slices, bases) in pieces()) {
        let mut unique: Vec<SliceRef> = Vec::new();
        for slice in slices {
            if unique.iter().all(|other| other.name() != slice.name()) {
                unique.push(slice);
            }
        }
        let chains = Chains::new(unique.clone(), bases.clone());
        for (lsn, expected) in (0..).zip(brute_force(&unique, &bases)) {
            let found = chains.route(Lsn::new(lsn)).ok();
            prop_assert_eq!(found.as_ref().map(|route| route.bytes), expected, "lsn {}", lsn);
            prop_assert_eq!(chains.windows().contains(Lsn::new(lsn)), expected.is_some());
            if let Some(route) = found {
                prop_assert!(leads_there(&route), "{:?}", route);
                let sum: u64 = route.slices.iter().map(|s| s.bytes).sum();
                prop_assert_eq!(route.bytes, sum + route.base.map_or(0, |base| base.bytes));
            }
        }
    }

    #[test]
    fn windows_are_sets_of_moments(
        a in prop::collection::vec((0u64..40, 0u64..9), 0..6),
        b in prop::collection::vec((0u64..40, 0u64..9), 0..6),
    ) {
        let set = |windows: &[(u64, u64)]| Windows::of(windows.iter().map(|(from, more)| {
            Window { from: Lsn::new(*from), to: Lsn::new(from + more) }
        }));
        let holds = |windows: &[(u64, u64)], n: u64| {
            windows.iter().any(|(from, more)| (*from..=from + more).contains(&n))
        };
        let left = set(&a).without(&set(&b));
        for n in 0..60 {
            prop_assert_eq!(set(&a).contains(Lsn::new(n)), holds(&a, n));
            prop_assert_eq!(left.contains(Lsn::new(n)), holds(&a, n) && !holds(&b, n), "{}", n);
        }
        for (from, more) in &b {
            let any = (*from..=from + more).any(|n| holds(&a, n));
            let all = (*from..=from + more).all(|n| holds(&a, n));
            prop_assert_eq!(set(&a).touches(Lsn::new(*from), Lsn::new(from + more)), any);
            prop_assert_eq!(set(&a).covers(Lsn::new(*from), Lsn::new(from + more)), all);
        }
        prop_assert_eq!(left.clone(), Windows::of(left.as_slice().iter().copied()));
    }
}
