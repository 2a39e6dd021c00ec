//! The command line as scripts see it: standard output, standard error, exit codes.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::common::Place;

pub(crate) fn command(store: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_afterimage"));
    command.env("AFTERIMAGE_STORE", store).env("USER", "tester").env_remove("NO_COLOR");
    command.stdin(Stdio::null());
    command
}

/// A store and the command line that works on it.
pub(crate) struct Cli {
    pub(crate) place: Place,
}

impl Cli {
    pub(crate) fn new() -> Self {
        let cli = Self { place: Place::new() };
        cli.ok(&["init"]);
        cli
    }

    pub(crate) fn run(&self, args: &[&str]) -> Output {
        command(&self.place.path()).args(args).output().expect("the command runs")
    }

    fn with_input(&self, args: &[&str], input: &[u8]) -> Output {
        let mut child = command(&self.place.path())
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the command runs");
        child.stdin.take().expect("a pipe").write_all(input).expect("taken");
        child.wait_with_output().expect("ends")
    }

    /// Standard output of a command that must succeed.
    pub(crate) fn ok(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    }

    /// The exit code of a command that must fail, and its error as JSON.
    pub(crate) fn fails(&self, args: &[&str]) -> (i32, String) {
        let mut args = args.to_vec();
        args.insert(0, "--json");
        let output = self.run(&args);
        assert_eq!(output.stdout, b"", "{args:?} prints nothing on standard output");
        let text = String::from_utf8(output.stderr).expect("text");
        let last = text.lines().last().unwrap_or_default();
        let error: Value = serde_json::from_str(last).unwrap_or_else(|e| panic!("{e}: {text}"));
        let code = error["error"]["code"].as_str().expect("a code").to_owned();
        assert!(!error["error"]["help"].as_str().expect("a next step").is_empty());
        let exit = output.status.code().expect("an exit code");
        assert_eq!(error["error"]["exit"], exit);
        (exit, code)
    }

    pub(crate) fn json(&self, args: &[&str]) -> Value {
        let mut args = args.to_vec();
        args.push("--json");
        serde_json::from_str(&self.ok(&args)).expect("one document")
    }
}

#[test]
fn a_record_goes_in_and_comes_out_as_it_was() {
    let cli = Cli::new();
    cli.ok(&["put", "guests/g-17", r#" {"name": "Ana", "n": 1.10} "#, "-m", "check-in"]);
    assert_eq!(cli.ok(&["get", "guests/g-17"]), "{\"name\":\"Ana\",\"n\":1.10}\n");
    cli.ok(&["put", "numbers/negative", "-5"]);
    assert_eq!(cli.ok(&["get", "numbers/negative"]), "-5\n");
    let bytes = cli.with_input(&["put", "photos/a/b", "--bytes"], b"\x00\xffPNG");
    assert!(bytes.status.success());
    assert_eq!(cli.run(&["get", "photos/a/b"]).stdout, b"\x00\xffPNG");
    let stdin = cli.with_input(&["put", "guests/0x00ff", "-"], b"[1,\n2]");
    assert!(stdin.status.success());
    let record = cli.json(&["get", "guests/0x00ff"]);
    assert_eq!(record["key"]["$bytes"], "AP8=");
    assert_eq!((&record["value"], &record["lsn"]), (&serde_json::json!([1, 2]), &Value::from(4)));
    assert_eq!(cli.ok(&["scan", "guests"]).lines().count(), 2);
    assert!(cli.ok(&["scan", "guests", "--limit", "1"]).starts_with("0x00ff\t[1,2]"));
    let log = cli.ok(&["log", "guests/g-17", "--json"]);
    let event: Value = serde_json::from_str(&log).expect("one event");
    assert_eq!((&event["op"], &event["before"]), (&Value::from("c"), &Value::Null));
    assert_eq!(
        (&event["transaction"]["order"], &event["transaction"]["changes"]),
        (&0.into(), &1.into())
    );
    assert_eq!(event["transaction"]["actor"], "tester");
    assert_eq!(event["transaction"]["message"], "check-in");
    assert_eq!(event["source"]["connector"], "afterimage");
}

#[test]
fn every_error_has_its_exit_code_and_its_own_code() {
    let cli = Cli::new();
    cli.ok(&["put", "guests/a", "1"]);
    let cases: [(&[&str], i32, &str); 24] = [
        (&["get", "guests/b"], 10, "AF0027"),
        (&["get", "none/b"], 10, "AF0026"),
        (&["scan", "none"], 10, "AF0026"),
        (&["delete", "guests/b"], 10, "AF0027"),
        (&["point", "delete", "none"], 10, "AF0028"),
        (&["get", "guests"], 2, "AF0047"),
        (&["get", "guests/0x0"], 2, "AF0047"),
        (&["put", "guests/a"], 2, "AF0047"),
        (&["put", "guests/a", "{"], 2, "AF0032"),
        (&["put", "guests/a", "\"\\ud800\""], 2, "AF0032"),
        (&["put", "guests/", "1"], 2, "AF0019"),
        (&["put", "$audit/a", "1"], 2, "AF0025"),
        (&["put", "a\nb/a", "1"], 2, "AF0024"),
        (&["put", "guests/a", "2", "--if-lsn", "7"], 17, "AF0036"),
        (&["get", "guests/a", "--as-of", "9"], 15, "AF0015"),
        (&["get", "guests/a", "--as-of", "soon"], 2, "AF0031"),
        (&["show", "point:none"], 10, "AF0028"),
        (&["diff", "1"], 2, "AF0047"),
        (&["init"], 2, "AF0002"),
        (&["explain", "AF9999"], 2, "AF0047"),
        (&["import", "/nowhere/file"], 1, "AF0038"),
        (&["log", "--grep", "("], 2, "AF0043"),
        (&["restore", "--to", "9", "--into", "x"], 15, "AF0015"),
        (&["no-such-command"], 2, "AF0047"),
    ];
    for (args, exit, code) in cases {
        assert_eq!(cli.fails(args), (exit, code.to_owned()), "{args:?}");
    }
    let elsewhere = cli.place.beside("none");
    let output = command(&elsewhere).args(["status"]).output().expect("runs");
    assert_eq!(output.status.code(), Some(10));
    let output = command(&elsewhere).env_remove("AFTERIMAGE_STORE").arg("status").output();
    assert_eq!(output.expect("runs").status.code(), Some(2));
    assert_eq!(cli.json(&["status"])["head_lsn"], 1, "nothing of this was written");
}

#[test]
fn reading_the_past_on_the_command_line() {
    let cli = Cli::new();
    for n in 1..=4 {
        cli.ok(&["put", "guests/a", &format!("{{\"n\":{n}}}"), "--actor", "ana"]);
    }
    cli.ok(&["point", "create", "two", "2", "--note", "a note"]);
    cli.ok(&["put", "rooms/204", "1"]);
    assert_eq!(cli.ok(&["get", "guests/a", "--as-of", "point:two"]), "{\"n\":2}\n");
    assert_eq!(cli.ok(&["get", "guests/a", "--as-of", "HEAD~2^"]), "{\"n\":3}\n");
    assert_eq!(cli.ok(&["scan", "rooms", "--as-of", "1"]), "", "not yet, and no error");
    assert_eq!(cli.ok(&["scan", "guests", "--as-of", "0"]), "");
    let newest = cli.ok(&["log", "-n", "2", "--oneline"]);
    let lsn = |line: &str| line.split(' ').next().map(str::to_owned);
    let lsns: Vec<_> = newest.lines().map(|line| lsn(line).expect("an LSN")).collect();
    assert_eq!(lsns, ["6", "4"], "the point's transaction is the store's own");
    let reversed = cli.ok(&["log", "-n", "2", "--oneline", "--reverse"]);
    assert!(reversed.starts_with("4 "));
    assert!(cli.ok(&["log", "-p", "-n", "1", "guests"]).contains("- n: 3"));
    assert!(cli.ok(&["show", "2"]).contains("+ n: 2"));
    let diff = cli.json(&["diff", "1..4"]);
    assert_eq!(diff["fields"][0], serde_json::json!({"path":"n","before":1,"after":4}));
    assert_eq!(cli.run(&["diff", "1..4", "--check"]).status.code(), Some(4));
    assert_eq!(cli.run(&["diff", "4..4", "--check"]).status.code(), Some(0));
    assert_eq!(cli.json(&["blame", "guests/a"])["lsn"], 4);
    let point: Value = serde_json::from_str(&cli.ok(&["point", "list", "--json"])).expect("one");
    assert_eq!((&point["name"], &point["lsn"]), (&Value::from("two"), &Value::from(2)));
    assert_eq!(cli.fails(&["point", "delete", "two"]), (2, "AF0048".to_owned()));
    cli.ok(&["point", "delete", "two", "--yes"]);
    assert_eq!(cli.ok(&["point", "list", "--json"]), "");
}

#[test]
fn names_of_moments_are_annotated_protected_and_forgotten() {
    let cli = Cli::new();
    cli.ok(&["put", "guests/a", "1"]);
    cli.ok(&["point", "create", "opening", "0"]);
    cli.ok(&["point", "create", "closing", "1", "--note", "books", "--protect"]);
    let head = cli.json(&["status"])["head_lsn"].clone();
    let dry_runs: [&[&str]; 5] = [
        &["point", "create", "other"],
        &["point", "annotate", "closing", "--note", "x"],
        &["point", "protect", "opening"],
        &["point", "unprotect", "closing"],
        &["point", "delete", "opening"],
    ];
    for args in dry_runs {
        let mut args = args.to_vec();
        args.push("--dry-run");
        assert!(cli.ok(&args).starts_with("would "), "{args:?}");
        assert_eq!(cli.json(&args)["dry_run"], true, "{args:?}");
    }
    assert_eq!(cli.json(&["status"])["head_lsn"], head);
    cli.ok(&["point", "annotate", "closing", "--set", "ticket=F=1", "--set", "a=b"]);
    let by = cli.json(&["point", "annotate", "closing", "--unset", "a", "--actor", "eve"]);
    let log: Value = serde_json::from_str(&cli.ok(&["log", "--system", "-n", "1", "--json"]))
        .expect("one event");
    let written = (&log["transaction"]["lsn"], &log["transaction"]["actor"]);
    assert_eq!(written, (&by["lsn"], &"eve".into()));
    let listed = cli.ok(&["point", "list", "--json"]);
    let points: Vec<Value> =
        listed.lines().map(|line| serde_json::from_str(line).expect("a point")).collect();
    let names: Vec<_> = points.iter().map(|point| point["name"].as_str()).collect();
    assert_eq!(names, [Some("closing"), Some("opening")], "newest moment first");
    assert_eq!(points[0]["annotations"], serde_json::json!({"ticket": "F=1"}));
    assert_eq!((&points[0]["kind"], &points[0]["protected"]), (&"manual".into(), &true.into()));
    assert_eq!((&points[0]["note"], &points[0]["actor"]), (&"books".into(), &"tester".into()));
    assert!(cli.ok(&["point", "list"]).contains("manual, protected"));
    assert_eq!(cli.ok(&["point", "list", "--limit", "1", "--json"]).lines().count(), 1);
    assert_eq!(cli.ok(&["point", "list", "--kind", "auto", "--json"]), "");
    for (args, exit, code) in [
        (&["point", "delete", "opening", "closing", "--yes"][..], 17, "AF0055"),
        (&["point", "delete", "opening", "none", "--yes"], 10, "AF0028"),
        (&["point", "protect", "none"], 10, "AF0028"),
        (&["point", "annotate", "closing", "--set", "x"], 2, "AF0047"),
        (&["point", "annotate", "closing", "--set", "=x"], 2, "AF0043"),
        (&["point", "annotate", "closing"], 2, "AF0047"),
    ] {
        assert_eq!(cli.fails(args), (exit, code.to_owned()), "{args:?}");
    }
    cli.ok(&["point", "unprotect", "closing"]);
    cli.ok(&["point", "delete", "opening", "closing", "--yes"]);
    assert_eq!(cli.ok(&["point", "list", "--json"]), "");
}

#[test]
fn restore_export_import_and_verify_agree() {
    let cli = Cli::new();
    for n in 1..=5 {
        cli.ok(&["put", &format!("guests/g-{n}"), &format!("{{\"n\":{n}}}")]);
    }
    let into = cli.place.beside("restored.store");
    let into = into.to_str().expect("text");
    let plan = cli.json(&["restore", "--to", "3", "--into", into, "--dry-run"]);
    assert_eq!((&plan["target_lsn"], Path::new(into).exists()), (&Value::from(3), false));
    let report = cli.json(&["restore", "--to", "3", "--into", into]);
    assert_eq!(report["state_digest"], plan["state_digest"]);
    assert_eq!(cli.ok(&["-s", into, "scan", "guests"]).lines().count(), 3);
    let file = cli.place.beside("out.ndjson");
    let file = file.to_str().expect("text");
    cli.ok(&["export", "--history", "-o", file]);
    let copy = cli.place.beside("copy.store");
    let copy = copy.to_str().expect("text");
    cli.ok(&["-s", copy, "init"]);
    let imported = cli.json(&["-s", copy, "import", file, "--keep-times"]);
    assert_eq!((&imported["changes"], &imported["last_lsn"]), (&5.into(), &5.into()));
    let digest = |store: &str| cli.json(&["-s", store, "status"])["state_digest"].clone();
    assert_eq!(digest(copy), cli.json(&["status"])["state_digest"]);
    let verified = cli.json(&["verify", "--deep"]);
    assert_eq!((&verified["valid"], &verified["errors"]), (&true.into(), &serde_json::json!([])));
    for field in ["warnings", "transactions", "changes", "first_lsn", "head_lsn", "state_digest"] {
        assert!(!verified[field].is_null(), "{field}");
    }
    let again = cli.run(&["-s", copy, "import", file]);
    assert_eq!(again.status.code(), Some(17), "what exists is not created twice");
}

#[test]
fn damage_is_told_and_salvaged() {
    let cli = Cli::new();
    for n in 1..=5 {
        cli.ok(&["put", &format!("guests/g-{n}"), &"9".repeat(100)]);
    }
    let segment = cli.place.path().join("journal/00000001.seg");
    let mut bytes = fs::read(&segment).expect("read");
    let at = bytes.iter().rposition(|byte| *byte == b'9').expect("a value");
    bytes[at] ^= 1;
    fs::write(&segment, bytes).expect("written");
    assert_eq!(cli.fails(&["get", "guests/g-1"]), (13, "AF0011".to_owned()));
    assert_eq!(cli.fails(&["put", "guests/g-1", "1"]).0, 13);
    let report = cli.run(&["verify", "--json"]);
    assert_eq!(report.status.code(), Some(13));
    let report: Value = serde_json::from_slice(&report.stdout).expect("a document");
    assert_eq!((&report["valid"], &report["errors"][0]["code"]), (&false.into(), &"AF0011".into()));
    let saved = cli.run(&["scan", "guests", "--salvage"]);
    assert_eq!(String::from_utf8_lossy(&saved.stdout).lines().count(), 4);
    assert!(String::from_utf8_lossy(&saved.stderr).contains("warning"));
}

#[test]
fn a_dry_run_leaves_every_byte() {
    let cli = Cli::new();
    cli.ok(&["put", "guests/a", "1"]);
    let journal = cli.place.path().join("journal/00000001.seg");
    let before = fs::read(&journal).expect("read");
    assert!(cli.ok(&["put", "guests/b", "2", "--dry-run"]).contains("would create guests/b"));
    assert!(cli.ok(&["delete", "guests/a", "--dry-run"]).contains("would delete guests/a"));
    cli.ok(&["point", "create", "p", "--dry-run"]);
    cli.ok(&["checkpoint", "--dry-run"]);
    assert!(fs::read(&journal).expect("read") == before);
    assert_eq!(cli.json(&["status"])["head_lsn"], 1);
}

#[test]
fn every_leaf_has_help_and_an_answer_in_json() {
    let cli = Cli::new();
    cli.ok(&["put", "guests/a", "1"]);
    let leaves: [&[&str]; 10] = [
        &["version"],
        &["status"],
        &["stats"],
        &["verify"],
        &["checkpoint"],
        &["collections"],
        &["explain", "af0015"],
        &["blame", "guests/a"],
        &["put", "guests/b", "1"],
        &["get", "guests/b"],
    ];
    for leaf in leaves {
        cli.json(leaf);
        assert!(cli.ok(&[leaf[0], "--help"]).contains("Usage"));
    }
    assert!(cli.ok(&["completions", "bash"]).contains("afterimage"));
    let pages = cli.place.beside("man");
    cli.ok(&["man", pages.to_str().expect("text")]);
    assert!(pages.join("afterimage-point-create.1").exists());
}

#[test]
fn a_writer_killed_by_sigkill_loses_nothing_acknowledged() {
    for round in 0..6 {
        let place = Place::new();
        fs::create_dir_all(place.path()).expect("created");
        let mut child = Command::new(env!("CARGO_BIN_EXE_afterimage"))
            .args(["demo", place.path().to_str().expect("text"), "--write-until-killed"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("the writer runs");
        let mut told = 0;
        for line in BufReader::new(child.stdout.take().expect("a pipe")).lines() {
            told = line.expect("a line").parse().expect("an LSN");
            if told == 20 + round * 37 {
                child.kill().expect("killed");
            }
        }
        child.wait().expect("ended");
        assert!(told >= 20, "it was killed while it wrote");
        let path = place.path().join("demo.store");
        let store = afterimage::Store::open(path).expect("recovered");
        assert!(store.head().get() >= told, "{told} was acknowledged");
        let deep = store.verify(afterimage::VerifyDepth::Deep, &mut |_| {}).expect("looked");
        assert!(deep.valid, "{deep:?}");
    }
}
