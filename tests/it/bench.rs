//! `bench`: what it prints and what it leaves behind. How fast it was is nobody's promise.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use crate::common::Place;

const LITTLE: [&str; 8] =
    ["--records", "300", "--value-bytes", "20", "--threads", "2", "--seconds", "0.002"];

const WORKLOADS: [&str; 11] = [
    "put_durable",
    "put_durable_threads",
    "batch_durable",
    "put_new",
    "put_update",
    "get",
    "get_past",
    "range",
    "scan",
    "batch",
    "open",
];

fn bench(directory: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_afterimage"));
    command.args(["bench", "--dir"]).arg(directory).args(args);
    command.output().expect("the command runs")
}

fn directory(place: &Place) -> std::path::PathBuf {
    let directory = place.beside("disk");
    fs::create_dir(&directory).expect("created");
    directory
}

fn is_empty(directory: &Path) -> bool {
    fs::read_dir(directory).expect("listed").next().is_none()
}

/// The exit code, and the error's own code.
fn error(output: &Output) -> (Option<i32>, String) {
    assert_eq!(output.stdout, b"", "nothing on standard output");
    let text = String::from_utf8_lossy(&output.stderr);
    let last = text.lines().last().unwrap_or_default();
    let document: Value = serde_json::from_str(last).unwrap_or_else(|e| panic!("{e}: {text}"));
    let code = document["error"]["code"].as_str().expect("a code").to_owned();
    (output.status.code(), code)
}

#[test]
fn each_workload_is_one_object_and_nothing_is_left_behind() {
    let place = Place::new();
    let directory = directory(&place);
    let mut args = LITTLE.to_vec();
    args.push("--json");
    let output = bench(&directory, &args);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("text");
    let rows: Vec<Value> =
        text.lines().map(|line| serde_json::from_str(line).expect("an object")).collect();
    let of_kind =
        |kind: &str| -> Vec<&Value> { rows.iter().filter(|row| row["kind"] == kind).collect() };
    let names: Vec<_> = of_kind("workload").iter().map(|row| row["workload"].clone()).collect();
    assert_eq!(names, WORKLOADS);
    let limits: Vec<_> = of_kind("limit").iter().map(|row| row["workload"].clone()).collect();
    assert_eq!(limits, ["write_fdatasync", "append_fdatasync", "memory_copy", "crc32"]);
    let shown = directory.canonicalize().expect("there");
    for row in &rows {
        assert_eq!(row["directory"], shown.to_str().expect("text"));
        assert!(row["operations"].as_u64() > Some(0), "{row}");
        let nanos = |name: &str| row[name].as_u64().expect("nanoseconds");
        assert!(nanos("p50_ns") <= nanos("p99_ns") && nanos("p99_ns") <= nanos("p999_ns"));
    }
    for row in of_kind("workload") {
        assert!(row["records_per_s"].as_f64() > Some(0.0), "{row}");
        assert_eq!(row["limit"].is_null(), row["ratio"].is_null(), "{row}");
        assert_eq!((&row["store_records"], &row["value_bytes"]), (&300.into(), &20.into()));
    }
    let of = |name: &str| rows.iter().find(|row| row["workload"] == name).expect("measured");
    assert_eq!(of("put_new")["operations"], 300, "each record once");
    assert_eq!(of("put_durable_threads")["threads"], 2);
    assert_eq!(of("get")["bytes"].as_u64(), of("get")["operations"].as_u64().map(|n| n * 20));
    assert_eq!(of("get_past")["bytes"].as_u64().map(|n| n % 20), Some(0));
    assert_eq!(of("scan")["records"].as_u64().map(|n| n % 300), Some(0));
    assert!(is_empty(&directory));
}

#[test]
fn people_read_a_table_that_names_the_disk() {
    let place = Place::new();
    let directory = directory(&place);
    let output = bench(&directory, &LITTLE);
    let text = String::from_utf8(output.stdout).expect("text");
    let shown = directory.canonicalize().expect("there");
    assert!(text.starts_with(&format!("in {}, on ", shown.display())), "{text}");
    let figures = ["put, durable, 2 threads", "300 puts a transaction", "write and fdatasync"];
    for figure in figures {
        assert!(text.contains(figure), "{figure}: {text}");
    }
    assert!(is_empty(&directory));
}

#[test]
fn input_that_can_not_be_measured_is_refused() {
    let place = Place::new();
    let directory = directory(&place);
    let cases = [
        ["--records", "0"],
        ["--records", "many"],
        ["--value-bytes", "0"],
        ["--value-bytes", "1048577"],
        ["--threads", "0"],
        ["--threads", "257"],
        ["--seconds", "0"],
        ["--seconds", "-1"],
        ["--seconds", "NaN"],
        ["--seconds", "3601"],
    ];
    for case in cases {
        let [name, value] = case;
        let output = bench(&directory, &[&format!("{name}={value}"), "--json"]);
        assert_eq!(error(&output), (Some(2), "AF0047".to_owned()), "{case:?}");
    }
    let nowhere = bench(&place.beside("nowhere"), &["--json"]);
    assert_eq!(error(&nowhere), (Some(1), "AF0038".to_owned()));
    let file = place.beside("file");
    fs::write(&file, "mine").expect("written");
    assert_eq!(error(&bench(&file, &["--json"])), (Some(2), "AF0003".to_owned()));
    assert!(is_empty(&directory));
}

#[test]
fn a_run_that_fails_leaves_nothing_behind() {
    let place = Place::new();
    let directory = directory(&place);
    // A file may not grow to the size of a segment: the disk is as good as full.
    let output = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 64; exec \"$0\" \"$@\""])
        .arg(env!("CARGO_BIN_EXE_afterimage"))
        .args(["bench", "--json", "--dir"])
        .arg(&directory)
        .args(LITTLE)
        .output()
        .expect("the command runs");
    assert_eq!(error(&output), (Some(75), "AF0037".to_owned()));
    assert!(is_empty(&directory));
}
