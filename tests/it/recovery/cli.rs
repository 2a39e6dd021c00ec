//! `undo` and `restore` on the command line.

use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::{fs, str};

use afterimage::{Lsn, Store};
use serde_json::Value;

use crate::cli::{Cli, command};
use crate::random::Random;

/// LSN 1 to 4 make of `guests/a` 1 to 4, LSN 5 makes `rooms/204`.
fn cli() -> Cli {
    let cli = Cli::new();
    for n in 1..=4 {
        let value = format!("{{\"n\":{n}}}");
        let actor = if n % 2 == 0 { "bo" } else { "ana" };
        cli.ok(&["put", "guests/a", &value, "--actor", actor]);
    }
    cli.ok(&["put", "rooms/204", "1", "--actor", "cleo"]);
    cli
}

/// All files of a directory: bytes, time of the last change, mode.
fn files(directory: &Path) -> BTreeMap<PathBuf, (Vec<u8>, i64, i64, u32)> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(directory).expect("listed") {
        let path = entry.expect("an entry").path();
        let about = fs::symlink_metadata(&path).expect("looked at");
        let bytes = if path.is_dir() { Vec::new() } else { fs::read(&path).expect("read") };
        if path.is_dir() {
            found.extend(files(&path));
        }
        found.insert(path, (bytes, about.mtime(), about.mtime_nsec(), about.mode()));
    }
    found
}

fn state(cli: &Cli) -> (Value, Value) {
    let status = cli.json(&["status"]);
    (status["head_lsn"].clone(), status["state_digest"].clone())
}

fn exit(cli: &Cli, args: &[&str]) -> Option<i32> {
    cli.run(args).status.code()
}

const DRY_RUNS: [(&[&str], i32); 8] = [
    (&["undo", "5", "--dry-run"], 0),
    (&["undo", "4", "--dry-run", "--json"], 0),
    (&["undo", "2", "--dry-run"], 17),
    (&["undo", "2", "--mode", "merge", "--on-conflict", "ours", "--dry-run", "--json"], 0),
    (&["undo", "--where-actor", "ana", "--mode", "cascade", "--dry-run"], 0),
    (&["restore", "--to", "1", "--dry-run"], 0),
    (&["restore", "--to", "1", "--mode", "merge", "--dry-run", "--json"], 0),
    (&["restore", "--to", "1", "--where-actor", "bo", "--dry-run"], 17),
];

#[test]
fn accident_a10_a_dry_run_writes_nothing_at_all() {
    let cli = cli();
    let before = files(&cli.place.path());
    for (args, code) in DRY_RUNS {
        assert_eq!(exit(&cli, args), Some(code), "{args:?}");
        assert!(files(&cli.place.path()) == before, "{args:?}");
    }
}

#[test]
fn accident_a10_a_dry_run_works_beside_a_writer() {
    let cli = cli();
    let store = Store::open(cli.place.path()).expect("opened");
    for (args, code) in DRY_RUNS {
        assert_eq!(exit(&cli, args), Some(code), "{args:?}");
    }
    assert_eq!(store.head(), Lsn::new(5));
    assert_eq!(cli.fails(&["undo", "5", "--yes"]).0, 11, "writing does not");
    assert_eq!(exit(&cli, &["restore", "--to", "HEAD", "--yes"]), Some(0), "nothing is to do");
    assert!(cli.json(&["undo", "--where-actor", "nobody"])["lsn"].is_null());
}

#[test]
fn accident_a10_a_dry_run_works_where_nothing_can_be_written() {
    let cli = cli();
    // Root may write anywhere: then somebody else asks, with a program that he can reach.
    let is_root = fs::metadata(cli.place.path()).expect("there").uid() == 0;
    let program = cli.place.beside("afterimage");
    fs::copy(env!("CARGO_BIN_EXE_afterimage"), &program).expect("copied");
    let outer = cli.place.path().parent().expect("a directory").to_owned();
    set_mode(&outer, 0o755, 0o555);
    for (args, code) in DRY_RUNS {
        let mut command = std::process::Command::new(&program);
        command.args(args).env("AFTERIMAGE_STORE", cli.place.path());
        if is_root {
            command.uid(65_534).gid(65_534);
        }
        let output = command.output().expect("runs");
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {error}");
        assert!(!output.stdout.is_empty());
    }
    set_mode(&outer, 0o755, 0o755);
}

/// Sets the mode of everything in a directory, and of the directory.
fn set_mode(directory: &Path, outer: u32, inner: u32) {
    fs::set_permissions(directory, fs::Permissions::from_mode(outer)).expect("set");
    for entry in fs::read_dir(directory).expect("listed") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            set_mode(&path, inner, inner);
        } else {
            fs::set_permissions(&path, fs::Permissions::from_mode(inner)).expect("set");
        }
    }
}

#[test]
fn without_a_terminal_the_plan_is_shown_and_nothing_is_done() {
    let cli = cli();
    let before = files(&cli.place.path());
    for (args, shown) in [
        (&["undo", "5"][..], "undo of 1 transaction: 0 to create, 0 to update, 1 to delete"),
        (&["restore", "--to", "1"], "restore to LSN 1: 0 to create, 1 to update, 1 to delete"),
    ] {
        let output = cli.run(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        let text = String::from_utf8(output.stdout).expect("text");
        assert!(text.contains(shown) && text.contains("rooms/204"), "{text}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("AF0048"));
        assert_eq!(cli.fails(args), (2, "AF0048".to_owned()));
    }
    assert!(files(&cli.place.path()) == before);
}

#[test]
fn every_outcome_has_its_exit_code() {
    let cli = cli();
    let usage: [(&[&str], i32, &str); 22] = [
        (&["undo"], 2, "AF0047"),
        (&["undo", "--yes"], 2, "AF0047"),
        (&["restore"], 2, "AF0047"),
        (&["undo", "5", "--yes", "--on-conflict", "ours"], 2, "AF0047"),
        (&["undo", "5", "--yes", "--mode", "force", "--on-conflict", "theirs"], 2, "AF0047"),
        (&["restore", "--to", "1", "--yes", "--on-conflict", "ours"], 2, "AF0047"),
        (&["restore", "--to", "1", "--into", "x", "--collection", "guests"], 2, "AF0047"),
        (&["undo", "5", "--yes", "--where-attribute", "x"], 2, "AF0047"),
        (&["undo", "5", "--yes", "--plan", "garbage"], 2, "AF0043"),
        (&["restore", "--to", "1", "--yes", "--plan", "00"], 2, "AF0043"),
        (&["undo", "5", "--plan", "00", "--dry-run"], 2, "AF0047"),
        (&["undo", "5", "--yes", "--collection", "none"], 10, "AF0026"),
        (&["restore", "--to", "1", "--yes", "--key", "none/a"], 10, "AF0026"),
        (&["restore", "--to", "1", "--yes", "--prefix", "none/a"], 10, "AF0026"),
        (&["restore", "--to", "point:none", "--yes"], 10, "AF0028"),
        (&["undo", "5", "--yes", "--collection", "$points"], 2, "AF0025"),
        (&["restore", "--to", "1", "--yes", "--key", "$audit/x"], 2, "AF0025"),
        (&["restore", "--to", "soon", "--yes"], 2, "AF0031"),
        (&["undo", "9", "--yes"], 15, "AF0015"),
        (&["undo", "0", "--yes"], 15, "AF0015"),
        (&["undo", "3..9", "--yes"], 15, "AF0015"),
        (&["undo", "2", "--yes"], 17, "AF0049"),
    ];
    for (args, exit, code) in usage {
        assert_eq!(cli.fails(args), (exit, code.to_owned()), "{args:?}");
    }
    assert_eq!(cli.json(&["status"])["head_lsn"], 5, "nothing of this was written");
    for args in [
        &["undo", "--where-actor", "nobody"][..],
        &["undo", "--where-correlation", "none", "--yes"],
        &["restore", "--to", "HEAD", "--yes"],
        &["restore", "--to", "HEAD"],
    ] {
        assert_eq!(exit(&cli, args), Some(0), "nothing to do: {args:?}");
    }
    assert_eq!(cli.json(&["status"])["head_lsn"], 5, "nothing was to do");
    let output =
        cli.run(&["undo", "1..4", "--where-actor", "bo", "--mode", "nonconflicting", "--yes"]);
    assert_eq!(output.status.code(), Some(3), "done in part");
    assert!(String::from_utf8_lossy(&output.stderr).contains("guests/a"));
    assert_eq!(cli.ok(&["get", "guests/a"]), "{\"n\":3}\n", "only the newest of the two");
}

#[test]
fn a_transaction_that_only_named_a_moment_is_not_undone() {
    let cli = cli();
    cli.ok(&["point", "create", "p"]);
    assert_eq!(cli.fails(&["undo", "6", "--yes"]), (2, "AF0051".to_owned()));
    assert_eq!(cli.ok(&["point", "list", "--json"]).lines().count(), 1);
}

#[test]
fn what_was_shown_is_what_is_done_and_nothing_else() {
    let cli = cli();
    for args in [&["undo", "4"][..], &["restore", "--to", "HEAD~6"]] {
        let with = |more: &[&'static str]| [args, more].concat();
        let plan = cli.json(&with(&["--dry-run"]));
        let name = plan["plan"].as_str().expect("a name").to_owned();
        cli.ok(&["put", &format!("guests/beside-{}", args[0]), "1"]);
        let digest = state(&cli);
        let named = [args, &["--yes", "--plan", &name]].concat();
        let done = cli.json(&named);
        assert_eq!((&done["plan"], &done["counts"]), (&plan["plan"], &plan["counts"]));
        assert_ne!(state(&cli).1, digest.1);
        assert_eq!(cli.fails(&named), (17, "AF0050".to_owned()), "it is done only once");
        cli.ok(&["undo", "HEAD", "--yes"]);
        assert_eq!(state(&cli).1, digest.1);
    }
    let name = cli.json(&["undo", "5", "--dry-run"])["plan"].as_str().expect("a name").to_owned();
    let named = |first: [&'static str; 2]| -> Vec<String> {
        [&first[..], &["--yes", "--plan", &name]].concat().iter().map(|t| (*t).to_owned()).collect()
    };
    for first in [["undo", "4"], ["undo", "3..5"], ["restore", "--to=4"], ["restore", "--to=5^"]] {
        let args = named(first);
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let (exit, _) = cli.fails(&args);
        assert_eq!(exit, 17, "{first:?} is another plan");
    }
    let other = name.replacen("00000000000", "0000000000f", 1);
    assert_eq!(cli.fails(&["undo", "5", "--yes", "--plan", &other]), (17, "AF0050".to_owned()));
    cli.ok(&["put", "rooms/204", "1"]);
    let head = state(&cli);
    assert_eq!(cli.fails(&["undo", "5", "--yes", "--plan", &name]), (17, "AF0050".to_owned()));
    assert_eq!(state(&cli), head);
}

#[test]
#[expect(clippy::disallowed_methods, reason = "how long the command line takes is the point")]
fn accident_a6_a_moment_outside_of_the_window_is_refused_at_once_with_the_window() {
    let cli = cli();
    for args in [
        &["restore", "--to", "4711", "--yes"][..],
        &["restore", "--to", "HEAD~6", "--yes"],
        &["undo", "4711", "--yes"],
        &["undo", "4..4711", "--yes"],
        &["restore", "--to", "4711", "--dry-run"],
    ] {
        let began = std::time::Instant::now();
        let output = cli.run(args);
        let took = began.elapsed();
        assert_eq!(output.status.code(), Some(15), "{args:?}");
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(error.contains("LSN 1 to 5"), "{args:?}: {error}");
        assert!(took.as_millis() < 1000, "{args:?} took {took:?}");
    }
}

#[test]
fn accident_a7_ten_restores_in_a_row_back_and_forth_need_no_more_flags() {
    let cli = cli();
    let store = Store::open(cli.place.path()).expect("opened");
    for n in 0..40 {
        super::put(&store, "guests", &format!("g-{}", n % 7), &n.to_string());
    }
    store.close().expect("closed");
    let mut random = Random(7);
    for _ in 0..10 {
        let head = cli.json(&["status"])["head_lsn"].as_u64().expect("a number");
        let target = random.below(head + 1);
        let done = cli.json(&["restore", "--to", &target.to_string(), "--yes"]);
        let reader = Store::options().read_only(true).open(cli.place.path()).expect("opened");
        let past = reader.snapshot_at(Lsn::new(target)).expect("kept").digest().expect("known");
        assert_eq!(state(&cli).1, past.to_string(), "LSN {target}");
        assert!(done["lsn"].is_null() || done["lsn"] == head + 1);
    }
    assert_eq!(cli.json(&["verify", "--deep"])["valid"], true);
}

#[test]
fn every_way_to_name_a_moment_is_understood() {
    let cli = cli();
    cli.ok(&["point", "create", "three", "3"]);
    let reader = Store::options().read_only(true).open(cli.place.path()).expect("opened");
    let time = reader.transaction(Lsn::new(2)).expect("kept").time().to_string();
    let moments = [
        ("3", 3),
        ("HEAD", 6),
        ("HEAD~3", 3),
        ("HEAD~3^", 2),
        ("point:three", 3),
        ("point:three^", 2),
        ("4^", 3),
        (&*time, 2),
        ("0", 0),
        ("1^", 0),
        ("100 years ago", 0),
        ("now", 6),
    ];
    for (rev, lsn) in moments {
        let plan = cli.json(&["restore", "--to", rev, "--dry-run"]);
        assert_eq!(plan["target_lsn"], lsn, "{rev}");
    }
    for (range, transactions) in [
        ("4", vec![4]),
        ("HEAD^", vec![5]),
        ("3..5", vec![4, 5]),
        ("point:three..", vec![4, 5]),
        ("..2", vec![1, 2]),
        ("HEAD~3..HEAD", vec![4, 5]),
        (&format!("{time}..5"), vec![3, 4, 5]),
    ] {
        let output = cli.run(&["undo", range, "--mode", "force", "--dry-run", "--json"]);
        let plan: Value = serde_json::from_slice(&output.stdout).expect("one document");
        assert_eq!(plan["transactions"], serde_json::json!(transactions), "{range}");
    }
    cli.ok(&["undo", "4", "--yes", "--actor", "dan", "--message", "no"]);
    cli.ok(&["restore", "--to", "point:before-undo-6", "--yes"]);
    assert_eq!(cli.ok(&["get", "guests/a"]), "{\"n\":4}\n");
    let shown = cli.ok(&["show", "7", "--json"]);
    assert!(shown.contains("\"dan\"") && shown.contains("\"no\""));
}

#[test]
fn records_and_prefixes_choose_what_goes_back() {
    let cli = cli();
    cli.ok(&["put", "rooms/205", "1"]);
    cli.ok(&["put", "rooms/0x00ff", "1"]);
    for (scope, deleted) in [
        (&["--key", "rooms/204"][..], 1),
        (&["--key", "rooms/204", "--key", "rooms/204"], 1),
        (&["--key", "rooms/0x00ff"], 1),
        (&["--prefix", "rooms/20"], 2),
        (&["--prefix", "rooms"], 3),
        (&["--prefix", "rooms/"], 3),
        (&["--collection", "rooms"], 3),
        (&["--collection", "rooms", "--key", "guests/a"], 3),
        (&["--key", "rooms/none"], 0),
        (&["--where-actor", "cleo"], 1),
    ] {
        let args = [&["restore", "--to", "4", "--dry-run"], scope].concat();
        assert_eq!(cli.json(&args)["counts"]["delete"], deleted, "{scope:?}");
        let args = [&["undo", "4..", "--dry-run"], scope].concat();
        assert_eq!(cli.json(&args)["counts"]["delete"], deleted, "{scope:?}");
    }
}

#[test]
fn an_undo_of_an_undo_says_what_stays() {
    let cli = cli();
    let before = state(&cli).1;
    cli.ok(&["undo", "5", "--yes"]);
    let plan = cli.json(&["undo", "6", "--dry-run"]);
    let left: Vec<_> = plan["not_undone"].as_array().expect("a list").iter().collect();
    assert_eq!(left.len(), 2, "{plan}");
    assert!(left.iter().all(|left| left["reason"] == "system-record"));
    assert_eq!(
        exit(&cli, &["undo", "6", "--yes"]),
        Some(0),
        "what always stays is no part missing"
    );
    assert_eq!(state(&cli).1, before);
    let stored = command(&cli.place.path()).args(["log", "--system", "--json"]).output();
    let stored = stored.expect("runs").stdout;
    assert_eq!(str::from_utf8(&stored).expect("text").matches("\"$audit\"").count(), 2);
}
