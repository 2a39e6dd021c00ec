//! Which transaction broke it.

use std::collections::BTreeSet;
use std::process::Output;

use afterimage::{
    Bisection, Durability, ErrorKind, KeyRange, Lsn, Result, Snapshot, Store, Verdict,
};
use proptest::prelude::*;
use serde_json::Value;

use crate::cli::{Cli, command};
use crate::common::{Place, fires, put, say, timed};
use crate::number::number;

/// A store of this many transactions, the number of each its value.
fn counted(place: &Place, count: u64) -> Store {
    let options = Store::options().durability(Durability::Process);
    let store = options.open(place.path()).expect("the store opens");
    for n in 1..=count {
        put(&store, "n", &n.to_string());
    }
    store
}

fn bisect(
    store: &Store,
    (good, bad): (u64, u64),
    verdict: &dyn Fn(u64) -> Verdict,
) -> Result<Bisection> {
    store.bisect(Lsn::new(good), Lsn::new(bad), &mut |snapshot: &Snapshot| {
        let record = snapshot.record("things", b"n")?;
        let text = record.map_or_else(|| b"0".to_vec(), |record| record.image().bytes().to_vec());
        let number: u64 = std::str::from_utf8(&text).expect("text").parse().expect("a number");
        assert_eq!(number, snapshot.lsn().get());
        Ok(verdict(number))
    })
}

fn bad_from(first: u64) -> impl Fn(u64) -> Verdict {
    move |n| if n >= first { Verdict::Bad } else { Verdict::Good }
}

/// How often at most a range can be halved, and one look at an end.
fn most(transactions: u64) -> usize {
    usize::try_from(transactions.next_power_of_two().ilog2()).expect("few") + 1
}

#[test]
fn the_first_bad_one_is_found_wherever_it_is() {
    let place = Place::new();
    let count = 100;
    let store = counted(&place, count);
    for good in [0, 1, 37, 98] {
        for bad in [99, 100] {
            for first in good + 1..=bad {
                let found = bisect(&store, (good, bad), &bad_from(first)).expect("found");
                assert_eq!(found.first_bad, Some(Lsn::new(first)));
                assert_eq!(found.candidates, [Lsn::new(first)]);
                let most = most(bad - good) + usize::from(first == good + 1);
                assert!(found.probes.len() <= most, "{found:?}");
                let looked: BTreeSet<_> = found.probes.iter().map(|probe| probe.lsn).collect();
                assert_eq!(looked.len(), found.probes.len(), "none is looked at twice");
            }
        }
    }
}

#[test]
fn a_mix_up_is_told() {
    let place = Place::new();
    let store = counted(&place, 20);
    let refused = |range: (u64, u64), verdict: &dyn Fn(u64) -> Verdict| {
        let error = bisect(&store, range, verdict).expect_err("refused");
        (error.kind(), error.to_string())
    };
    let (kind, text) = refused((9, 3), &bad_from(5));
    assert_eq!(kind, ErrorKind::Invalid);
    assert!(text.contains("LSN 9, which does not lie before bad, LSN 3"), "{text}");
    assert!(refused((3, 3), &bad_from(5)).1.contains("does not lie before"));
    assert!(refused((3, 9), &bad_from(15)).1.contains("LSN 9 is given as bad, and is good"));
    assert!(refused((7, 9), &bad_from(5)).1.contains("LSN 7 is given as good, and is bad"));
    let inverted = |n| if n < 5 { Verdict::Bad } else { Verdict::Good };
    assert!(refused((3, 9), &inverted).1.contains("LSN 9 is given as bad, and is good"));
    assert_eq!(refused((3, 99), &bad_from(5)).0, ErrorKind::OutsideWindow);
}

#[test]
fn an_error_of_the_probe_ends_it() {
    let place = Place::new();
    let store = counted(&place, 9);
    let mut probes = 0;
    let failed = store.bisect(Lsn::new(1), Lsn::new(9), &mut |snapshot| {
        probes += 1;
        snapshot.scan("none", KeyRange::all()).map(|_| Verdict::Bad)
    });
    assert_eq!(failed.expect_err("unknown").kind(), ErrorKind::NotFound);
    assert_eq!(probes, 1);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// The candidates are those that no more probes could tell apart.
    #[test]
    fn skipped_moments_leave_the_candidates_that_they_must(
        good in 0..30_u64,
        length in 1..60_u64,
        first in 0..60_u64,
        skipped in prop::collection::btree_set(0..100_u64, 0..80),
    ) {
        let place = Place::new();
        let bad = good + length;
        let store = counted(&place, bad);
        let first = good + 1 + first % length;
        let verdict = |n: u64| {
            let skipped = skipped.contains(&n) && n != good && n != bad;
            if skipped { Verdict::Skip } else { bad_from(first)(n) }
        };
        let found = bisect(&store, (good, bad), &verdict).expect("found");
        let newest_good = (good..first).rev().find(|n| verdict(*n) == Verdict::Good);
        let oldest_bad = (first..=bad).find(|n| verdict(*n) == Verdict::Bad);
        let (after, to) = (newest_good.expect("good"), oldest_bad.expect("bad"));
        let expected: Vec<_> = (after + 1..=to).map(Lsn::new).collect();
        prop_assert_eq!(&found.candidates, &expected);
        prop_assert_eq!(found.first_bad, if to - after == 1 { Some(Lsn::new(to)) } else { None });
        let looked: BTreeSet<_> = found.probes.iter().map(|probe| probe.lsn).collect();
        prop_assert_eq!(looked.len(), found.probes.len(), "none is looked at twice");
    }
}

/// `AFTERIMAGE_FIND_TRANSACTIONS=1000000` plants it in a million.
#[test]
fn a_planted_violation_is_found_in_few_probes() {
    let count = number("AFTERIMAGE_FIND_TRANSACTIONS", 65_536);
    let place = Place::new();
    let store = counted(&place, count);
    for first in [1, 2, count / 3, count / 2, count - 1, count] {
        let found = timed(&format!("LSN {first} of {count}"), || {
            bisect(&store, (0, count), &bad_from(first)).expect("found")
        });
        let probes = found.probes.len();
        say(&format!("{probes} probes"));
        assert_eq!(found.first_bad, Some(Lsn::new(first)));
        assert!(probes <= most(count) + usize::from(first == 1 && count.is_power_of_two()));
    }
}

fn shell(cli: &Cli, range: (&str, &str), script: &str) -> Output {
    let words = ["--json", "bisect", "--good", range.0, "--bad", range.1, "--", "sh", "-c", script];
    let mut bisect = command(&cli.place.path());
    bisect.args(words).arg(env!("CARGO_BIN_EXE_afterimage")).env_remove("AFTERIMAGE_AS_OF");
    bisect.output().expect("the command runs")
}

fn document(output: &Output) -> Value {
    let errors = String::from_utf8_lossy(&output.stderr);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {errors}"))
}

#[test]
fn a_command_tells_good_from_bad_by_its_exit_code() {
    let cli = Cli::new();
    for n in ["5", "4", "3", "-1", "-2", "-2.5"] {
        cli.ok(&["put", "stock/beds", n, "-m", &format!("now {n}")]);
    }
    let output = shell(&cli, ("1", "HEAD"), r#"test "$("$0" get stock/beds)" -ge 0"#);
    let found = document(&output);
    assert_eq!((&found["first_bad"], &found["message"]), (&4.into(), &"now -1".into()));
    assert_eq!(found["candidates"], serde_json::json!([4]));
    assert_eq!(found["changes"][0]["before"], 3);
    assert_eq!(found["restore"], "afterimage restore --to 4^");
    assert_eq!(found["probes"][0], serde_json::json!({"lsn": 6, "verdict": "bad"}));
    // What is skipped, and what ends it.
    let skips = r#"v=$("$0" get stock/beds); test "$v" = 3 && exit 125; test "$v" -ge 0"#;
    let found = document(&shell(&cli, ("1", "5"), skips));
    assert_eq!(
        (&found["first_bad"], &found["candidates"]),
        (&Value::Null, &serde_json::json!([3, 4]))
    );
    for script in ["exit 128", "kill -9 $$"] {
        let output = shell(&cli, ("1", "5"), script);
        assert_eq!((output.status.code(), &output.stdout[..]), (Some(2), &b""[..]));
        assert!(String::from_utf8_lossy(&output.stderr).contains("no verdict"));
    }
    let talk = shell(
        &cli,
        ("3", "4"),
        r#"echo "looking at $AFTERIMAGE_AS_OF"; exit "$((AFTERIMAGE_AS_OF / 4))""#,
    );
    assert_eq!(document(&talk)["first_bad"], 4);
    assert!(String::from_utf8_lossy(&talk.stderr).contains("looking at 4"));
    let missing = cli.run(&["bisect", "--good", "1", "--bad", "4", "--", "/nowhere/command"]);
    assert_eq!(missing.status.code(), Some(1));
}

#[test]
fn a_filter_tells_good_from_bad_without_a_process() {
    let cli = Cli::new();
    for n in ["5", "3", "-1", "-2"] {
        cli.ok(&["put", "stock/beds", n]);
        cli.ok(&["put", "stock/towels", n]);
    }
    let expr = |args: &[&str]| {
        let mut all = vec!["bisect", "--good", "1", "--bad", "HEAD", "--expr"];
        all.extend(args);
        cli.json(&all)
    };
    let found = expr(&[". == null or . >= 0", "--record", "stock/towels"]);
    assert_eq!(found["first_bad"], 6);
    assert_eq!(found["restore"], "afterimage restore --to 6^ --key stock/towels");
    let found = expr(&["all(.[]; . >= 0)", "--collection", "stock"]);
    assert_eq!(found["first_bad"], 5);
    assert_eq!(found["restore"], "afterimage restore --to 5^ --collection stock");
    let text = cli.ok(&[
        "bisect",
        "--good",
        "1",
        "--bad",
        "8",
        "--expr",
        ".beds >= 0",
        "--collection",
        "stock",
    ]);
    assert!(text.starts_with("first bad: LSN 5 (4 moments looked at)\n"), "{text}");
    assert!(text.ends_with("  afterimage restore --to 5^ --collection stock\n"), "{text}");
    let by_command = ["--good", "7", "--bad", "8", "--collection", "stock", "--", "sh", "-c"];
    let script = ["exit $((AFTERIMAGE_AS_OF / 8))"];
    let words = [&["bisect", "--json"], &by_command[..], &script].concat();
    let found: Value = serde_json::from_str(&cli.ok(&words)).expect("one document");
    assert_eq!(found["restore"], "afterimage restore --to 8^ --collection stock");
    let range = |args: &[&str]| {
        let mut all = vec!["bisect", "--good", "1", "--bad", "8"];
        all.extend(args);
        cli.fails(&all)
    };
    assert_eq!(range(&["--expr", ". >= 0"]), (2, "AF0047".into()));
    assert_eq!(range(&[]), (2, "AF0047".into()));
    assert_eq!(range(&["--expr", ".", "--record", "stock/x", "--", "true"]), (2, "AF0047".into()));
    assert_eq!(range(&["--expr", "][", "--record", "stock/x"]), (2, "AF0052".into()));
    assert_eq!(range(&["--expr", "error", "--record", "stock/x"]), (2, "AF0053".into()));
    assert_eq!(range(&["--expr", "true", "--collection", "stock"]), (2, "AF0043".into()));
    assert_eq!(range(&["--expr", "true", "--collection", "none"]), (10, "AF0026".into()));
}

#[test]
fn reading_commands_take_the_moment_from_the_environment() {
    let cli = Cli::new();
    for n in 1..=3 {
        cli.ok(&["put", "stock/beds", &n.to_string()]);
    }
    cli.ok(&["put", "late/x", "1"]);
    let at = |args: &[&str]| {
        let mut reading = command(&cli.place.path());
        let output = reading.env("AFTERIMAGE_AS_OF", "2").args(args).output().expect("runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    };
    assert_eq!(at(&["get", "stock/beds"]), "2\n");
    assert_eq!(at(&["get", "stock/beds", "--as-of", "3"]), "3\n");
    assert_eq!(at(&["scan", "late"]), "");
    assert!(at(&["scan", "stock"]).contains("beds\t2"));
    assert!(at(&["export"]).contains("\"after\":2"));
    assert!(!at(&["collections"]).contains("late"));
    assert!(at(&["blame", "stock/beds", "--json"]).contains("\"lsn\":2"));
    assert_eq!(at(&["export", "--history"]).lines().count(), 2);
}

#[test]
fn the_first_outage_is_found_by_command_and_by_filter() {
    let cli = Cli { place: Place::new() };
    let Some(store) = fires(&cli.place) else { return };
    drop(store);
    let script = r#""$0" get scrapes/incidents.json | grep -q '"bytes":0[,}]' && exit 1; exit 0"#;
    // What was broken is mended at LSN 342: the bad moment is one at which it still was broken.
    for (good, bad) in [(1, 341), (300, 341), (411, 829)] {
        let (good, bad) = (good.to_string(), bad.to_string());
        let by_command = document(&shell(&cli, (&good, &bad), script));
        let expr = ["--expr", ".bytes > 0", "--record", "scrapes/incidents.json"];
        let by_filter =
            cli.json(&[&["bisect", "--good", &good, "--bad", &bad], &expr[..]].concat());
        for found in [by_command, by_filter] {
            assert_eq!(found["first_bad"].to_string(), bad);
        }
    }
    // Of what breaks and is mended again and again, one of the breaks is found.
    let whole = cli.json(&[
        "bisect",
        "--good",
        "1",
        "--bad",
        "HEAD",
        "--expr",
        ".bytes > 0",
        "--record",
        "scrapes/incidents.json",
    ]);
    assert_eq!(whole["first_bad"], 2581);
}
