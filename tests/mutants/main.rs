//! The tests are tested: the engine is broken on purpose in many ways, and each must be noticed.
//!
//! `cargo test` only looks whether each still fits the sources. Breaking them, one after the other,
//! in a copy of the project, takes a quarter of an hour:
//! `AFTERIMAGE_MUTANTS=all cargo test --test mutants -- --nocapture`; parts of names, separated by
//! commas, break those alone.

#![expect(clippy::expect_used, reason = "what fails here is the suite")]

mod list;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use list::{MUTANTS, Mutant};

/// Longer than this no run of the suite takes; a mutant that hangs is noticed, too.
const SECONDS_MAX: &str = "600";

/// What is copied of the project.
const PARTS: [&str; 9] = [
    "Cargo.toml",
    "Cargo.lock",
    "README.md",
    "benches",
    "docs",
    "examples",
    "fuzz/corpus",
    "src",
    "tests",
];

fn broken(mutant: &Mutant, text: &str) -> String {
    assert_eq!(text.matches(mutant.from).count(), 1, "{}: {}", mutant.file, mutant.name);
    text.replace(mutant.from, mutant.to)
}

#[test]
fn every_mutant_fits_the_sources() {
    for mutant in &MUTANTS {
        let text = fs::read_to_string(mutant.file).expect("a source file");
        assert_ne!(broken(mutant, &text), text);
    }
}

fn copy(from: &Path, to: &Path) {
    if from.is_dir() {
        fs::create_dir_all(to).expect("created");
        for entry in fs::read_dir(from).expect("listed") {
            let path = entry.expect("an entry").path();
            // Their lock file and sources are of no use here.
            if !path.ends_with("benches/peers") {
                copy(&path, &to.join(path.file_name().expect("a name")));
            }
        }
    } else if from.exists() {
        fs::create_dir_all(to.parent().expect("a parent")).expect("created");
        fs::copy(from, to).expect("copied");
    }
}

fn cargo(project: &Path, arguments: &[&str]) -> bool {
    let mut command = Command::new("timeout");
    command.args([SECONDS_MAX, env!("CARGO"), "test", "--quiet"]).args(arguments);
    command.current_dir(project).env("CARGO_TARGET_DIR", project.join("target"));
    command.env_remove("AFTERIMAGE_MUTANTS").stdout(Stdio::null()).stderr(Stdio::null());
    command.status().expect("cargo runs").success()
}

#[test]
fn every_mutant_is_noticed() {
    let Ok(wanted) = std::env::var("AFTERIMAGE_MUTANTS") else { return };
    let place = tempfile::tempdir().expect("a directory");
    let project = place.path();
    for part in PARTS {
        copy(Path::new(part), &project.join(part));
    }
    assert!(cargo(project, &["--lib", "--test", "sim"]), "without mutants all is well");
    let mut missed = Vec::new();
    let is_wanted =
        |name: &str| wanted == "all" || wanted.split(',').any(|part| name.contains(part));
    let chosen = MUTANTS.iter().filter(|mutant| is_wanted(mutant.name));
    for mutant in chosen {
        let path = project.join(mutant.file);
        let text = fs::read_to_string(&path).expect("a source file");
        fs::write(&path, broken(mutant, &text)).expect("written");
        let targets = [
            "--lib", "--test", "sim", "--test", "sweep", "--test", "it", "--test", "contract",
            "--test", "serial", "--test", "power",
        ];
        let builds = cargo(project, &[&targets[..], &["--no-run"]].concat());
        assert!(builds, "{}: does not build", mutant.name);
        let noticed = !cargo(project, &targets);
        println!("{}: {}", if noticed { "noticed" } else { "MISSED" }, mutant.name);
        if !noticed {
            missed.push(mutant.name);
        }
        fs::write(&path, text).expect("written");
    }
    assert!(missed.is_empty(), "{missed:#?}");
}
