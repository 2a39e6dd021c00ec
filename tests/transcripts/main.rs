//! The transcripts in the documentation, run: each command of a page in its order, by one shell, in
//! a directory of the page's own. What the page shows must be what comes out.
//!
//! `AFTERIMAGE_TRANSCRIPTS=write` writes what comes out into the pages.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test that panics fails, which is what it is for"
)]

mod lines;
mod page;
#[path = "../kit/skipped.rs"]
mod skipped;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use lines::Lines;
use page::{Piece, Shown};

/// Pages, and directories of pages, whose transcripts are run.
const RUN: [&str; 1] = ["docs/commands"];

/// The commands that have a page, `docs/commands/NAME.md`.
const HAS_PAGE: [&str; 13] = [
    "bisect", "blame", "compact", "diff", "export", "import", "log", "point", "restore", "search",
    "shell", "show", "undo",
];

/// Stands before each exit code; no output holds it.
const MARK: char = '\u{1e}';

fn pages() -> Vec<PathBuf> {
    let mut found = Vec::new();
    for place in RUN.map(Path::new) {
        if place.is_dir() {
            let entries = fs::read_dir(place).expect("a readable directory");
            let paths = entries.map(|entry| entry.expect("an entry").path());
            found.extend(paths.filter(|path| path.extension().is_some_and(|end| end == "md")));
        } else {
            found.push(place.to_path_buf());
        }
    }
    found.sort();
    found
}

/// What a command printed, and its exit code.
#[derive(Debug)]
struct Came {
    output: Vec<String>,
    exit: String,
}

/// One script that runs the commands as if they were typed: each sees what those before it set,
/// their exit code included, and a syntax error of one is not one of all.
fn script(commands: &[&Shown]) -> String {
    let mut script = "exec 2>&1\nexit_code=0\n".to_owned();
    for command in commands {
        let typed = command.typed.join("\n").replace('\'', r"'\''");
        // What the command before it ended with is what it may ask for.
        let lines = [
            format!("(exit $exit_code); eval '{typed}\n'"),
            "exit_code=$?".to_owned(),
            format!("printf '{MARK}%s\\n' $exit_code\n"),
        ];
        script.push_str(&lines.join("\n"));
    }
    script
}

fn run(commands: &[&Shown]) -> Vec<Came> {
    let place = tempfile::tempdir().expect("a directory");
    let (home, bin) = (place.path().join("home"), place.path().join("bin"));
    for directory in [&home, &bin] {
        fs::create_dir(directory).expect("created");
    }
    symlink(env!("CARGO_BIN_EXE_afterimage"), bin.join("afterimage")).expect("linked");
    let path = std::env::var("PATH").expect("a path");
    let ran = Command::new("bash")
        .args(["--norc", "-c", &script(commands)])
        .current_dir(&home)
        .env_clear()
        .env("PATH", format!("{}:{path}", bin.display()))
        .env("HOME", &home)
        .env("USER", "desk-1")
        .env("TZ", "UTC")
        .env("LC_ALL", "C.UTF-8")
        .stdin(Stdio::null())
        .output()
        .expect("bash runs");
    let text = String::from_utf8(ran.stdout).expect("text");
    let mut came = Vec::new();
    let mut rest = text.as_str();
    while let Some((output, after)) = rest.split_once(MARK) {
        let (exit, after) = after.split_once('\n').expect("a line");
        let output = output.lines().map(str::to_owned).collect();
        came.push(Came { output, exit: exit.to_owned() });
        rest = after;
    }
    assert_eq!(came.len(), commands.len(), "a command ended the shell: {text}");
    came
}

/// What is wrong with a page, after its transcript was run; with `write`, it is put right.
fn check(path: &Path, write: bool) -> Vec<String> {
    let text = fs::read_to_string(path).expect("readable");
    let mut pieces = match page::parse(&text) {
        Ok(pieces) => pieces,
        Err(error) => return vec![format!("{}:{error}", path.display())],
    };
    let mut shown: Vec<&mut Shown> = Vec::new();
    for piece in &mut pieces {
        if let Piece::Command(command) = piece {
            shown.push(command);
        }
    }
    let came = run(&shown.iter().map(|shown| &**shown).collect::<Vec<_>>());
    let lines = Lines::new();
    let mut wrong = Vec::new();
    for index in 0..shown.len() {
        let asked = shown.get(index + 1).is_some_and(|next| next.typed == ["echo $?"]);
        let (shown, came) = (&mut *shown[index], &came[index]);
        let place = format!("{}:{}: `{}`", path.display(), shown.line, shown.typed.join(" "));
        if came.exit != "0" && !asked {
            wrong.push(format!("{place} exits {}; show that with `$ echo $?`", came.exit));
        }
        if write {
            shown.output = lines.merged(&shown.output, &came.output);
        } else if !lines.are_alike(&shown.output, &came.output) {
            let (is, should) = (came.output.join("\n"), shown.output.join("\n"));
            wrong.push(format!("{place} is shown with\n{should}\n--- and prints\n{is}\n---"));
        }
    }
    if write {
        fs::write(path, page::write(&pieces)).expect("written");
    }
    wrong
}

#[test]
fn every_transcript_shows_what_comes_out() {
    if Command::new("bash").args(["-c", "true"]).output().is_err() {
        return skipped::skipped("there is no bash to run transcripts with");
    }
    let write = std::env::var_os("AFTERIMAGE_TRANSCRIPTS").is_some_and(|word| word == "write");
    let wrong: Vec<String> = std::thread::scope(|scope| {
        let check = |path: PathBuf| scope.spawn(move || check(&path, write));
        let checks: Vec<_> = pages().into_iter().map(check).collect();
        checks.into_iter().flat_map(|check| check.join().expect("checked")).collect()
    });
    assert!(
        wrong.is_empty(),
        "\n{}\nif it should be so: AFTERIMAGE_TRANSCRIPTS=write",
        wrong.join("\n")
    );
}

/// The commands that `--help` lists.
fn commands() -> BTreeSet<String> {
    let help = Command::new(env!("CARGO_BIN_EXE_afterimage")).arg("--help").output();
    let help = String::from_utf8(help.expect("runs").stdout).expect("text");
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let listed = listed.take_while(|line| !line.is_empty());
    listed.filter_map(|line| line.split_whitespace().next().map(str::to_owned)).collect()
}

#[test]
fn commands_have_pages_and_pages_are_listed() {
    let commands = commands();
    assert!(commands.len() > 10, "the commands are found: {commands:?}");
    let summary = fs::read_to_string("docs/SUMMARY.md").expect("readable");
    for name in HAS_PAGE {
        assert!(commands.contains(name), "there is no command `{name}`");
        assert!(Path::new("docs/commands").join(format!("{name}.md")).exists(), "{name}");
    }
    let known = BTreeSet::from(HAS_PAGE);
    for path in pages().iter().filter(|path| path.starts_with("docs/commands")) {
        let name = path.file_stem().and_then(|name| name.to_str()).expect("a name");
        assert!(known.contains(name), "put `{name}` into HAS_PAGE");
        assert!(commands.contains(name), "there is no command `{name}`");
        assert!(summary.contains(&format!("commands/{name}.md")), "SUMMARY.md lacks {name}");
    }
}
