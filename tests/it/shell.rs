//! The command `shell`, through standard input and at a terminal.

use std::fs;
use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use afterimage::{Author, CodecId, Image, Lsn, Store};

use crate::common::{Place, put};
use crate::skipped::skipped;

fn hotel() -> Place {
    let place = Place::new();
    let store = Store::open(place.path()).expect("opened");
    for n in 1..=3 {
        let value = format!("{{\"n\":{n}}}");
        let image = Image::new(value.as_bytes(), CodecId::Json);
        store.write(|tx| tx.put_image("guests", b"a", image)).expect("put");
    }
    store.create_point("two", Lsn::new(2), None, &Author::default()).expect("named");
    store.close().expect("closed");
    place
}

fn shell(place: &Place, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_afterimage"));
    command.arg("shell").args(args).env("AFTERIMAGE_STORE", place.path());
    command.env("XDG_STATE_HOME", place.beside("state")).stdin(Stdio::piped());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn answers(place: &Place, args: &[&str], input: &[u8]) -> Output {
    let mut child = shell(place, args).spawn().expect("the shell runs");
    // A shell that left does not read what comes behind.
    drop(child.stdin.take().expect("a pipe").write_all(input));
    child.wait_with_output().expect("ends")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("text")
}

#[test]
fn lines_are_answered_one_by_one_at_the_moment_that_was_set() {
    let place = hotel();
    let input = "get guests/a\nat 1\nget guests/a\nget guests/a --as-of HEAD^\nat\n\
                 at point:two # by name\nat\nafterimage get guests/a\nlog --oneline\n\
                 at HEAD\nat\nscan guests --json\n\n";
    let output = answers(&place, &[], input.as_bytes());
    assert_eq!(text(&output.stderr), "");
    assert_eq!(output.status.code(), Some(0));
    let lines = text(&output.stdout);
    let lines: Vec<_> = lines.lines().collect();
    assert_eq!(lines[..5], ["{\"n\":3}", "{\"n\":1}", "{\"n\":3}", "LSN 1", "point:two (LSN 2)"]);
    assert_eq!(lines[5], "{\"n\":2}");
    assert!(lines[6].starts_with("2  ") && lines[7].starts_with("1  "), "{lines:?}");
    assert_eq!(lines[8], "HEAD (LSN 4)");
    assert!(lines[9].starts_with("{\"collection\":\"guests\",\"key\":\"a\""), "{}", lines[9]);
    assert_eq!(lines.len(), 10);
}

#[test]
fn a_line_that_fails_ends_nothing_but_is_remembered() {
    let place = hotel();
    let journal = place.path().join("journal/00000001.seg");
    let before = fs::read(&journal).expect("read");
    for (line, told) in [
        ("put guests/a 1", "`put` writes, and the shell only reads"),
        ("point delete two --yes", "`point delete` writes"),
        ("get guests/b", "error[AF0027]"),
        ("at 99", "error[AF0015]"),
        ("get", "error[AF0047]"),
        ("nonsense", "error[AF0047]"),
        ("get 'guests/a", "a quotation mark has no partner"),
        ("get guests/a -s elsewhere", "leave --store out"),
        ("get guests/a --salvage", "open without --salvage"),
        ("diff 1..2 --check", ""),
    ] {
        let output = answers(&place, &[], format!("{line}\nget guests/a\n").as_bytes());
        assert_eq!(output.status.code(), Some(1), "{line}");
        assert!(text(&output.stdout).ends_with("{\"n\":3}\n"), "{line} ends nothing");
        assert!(text(&output.stderr).contains(told), "{line}: {}", text(&output.stderr));
    }
    assert_eq!(answers(&place, &[], b"get \xff\nexit\n").status.code(), Some(1));
    let left = answers(&place, &[], b"exit\nget guests/b\n");
    assert_eq!((left.status.code(), left.stderr.len()), (Some(0), 0), "nobody read on");
    let json = answers(&place, &["--json"], b"get guests/b\nnonsense\n");
    for line in text(&json.stderr).lines() {
        let error: serde_json::Value = serde_json::from_str(line).expect("an object");
        assert!(error["error"]["code"].is_string(), "{line}");
    }
    assert_eq!(text(&json.stderr).lines().count(), 2);
    assert!(text(&answers(&place, &[], b"help\nget --help\n").stdout).contains("Usage:"));
    assert!(answers(&place, &["--salvage"], b"get guests/a --salvage").status.success());
    assert!(fs::read(&journal).expect("read") == before, "not a byte was written");
    let nowhere = Command::new(env!("CARGO_BIN_EXE_afterimage"))
        .args(["-s", "/nonexistent", "shell"])
        .output();
    assert_eq!(nowhere.expect("runs").status.code(), Some(10));
}

#[test]
fn the_newest_moment_follows_a_writer_and_another_stays() {
    let place = Place::new();
    let store = place.open();
    put(&store, "k", "1");
    let mut child = shell(&place, &[]).spawn().expect("the shell runs");
    let mut input = child.stdin.take().expect("a pipe");
    let mut output = std::io::BufReader::new(child.stdout.take().expect("a pipe"));
    let mut ask = |line: &str| {
        writeln!(input, "{line}").expect("taken");
        let mut answer = String::new();
        std::io::BufRead::read_line(&mut output, &mut answer).expect("an answer");
        answer
    };
    assert_eq!(ask("scan things"), "k\t1\n");
    put(&store, "k", "2");
    assert_eq!(ask("scan things"), "k\t2\n");
    assert_eq!(ask("at HEAD^\nscan things"), "k\t1\n");
    put(&store, "k", "3");
    assert_eq!(ask("scan things"), "k\t1\n");
    assert_eq!(ask("at HEAD\nscan things"), "k\t3\n");
    drop(input);
    assert!(child.wait().expect("ends").success());
}

/// Types what stands behind `>`, when what stands before it has come; then prints all that came.
const TYPIST: &str = r"
import os, pty, select, signal, sys, time
signal.alarm(120)
pid, fd = pty.fork()
if pid == 0:
    os.execv(sys.argv[1], [sys.argv[1], 'shell'])
came, at, end = b'', 0, time.monotonic() + 30
def wait_for(words):
    global came, at
    while words not in came[at:]:
        ready, _, _ = select.select([fd], [], [], max(0, end - time.monotonic()))
        if not ready:
            sys.exit('waited for %r in %r' % (words, came))
        try:
            new = os.read(fd, 65536)
        except OSError:
            new = b''
        if not new:
            sys.exit('ended before %r: %r' % (words, came))
        came += new
    at = came.index(words, at) + len(words)
steps = sys.argv[2:]
for words, typed in zip(steps[::2], steps[1::2]):
    wait_for(words.encode())
    os.write(fd, typed.encode().decode('unicode_escape').encode())
_, status = os.waitpid(pid, 0)
sys.exit(os.waitstatus_to_exitcode(status))
";

#[test]
fn at_a_terminal_there_are_a_prompt_completion_and_a_history() {
    let python = Command::new("python3").args(["-c", "import pty"]).output();
    if !python.is_ok_and(|python| python.status.success()) {
        return skipped("there is no python3 to make a terminal with");
    }
    let place = hotel();
    let type_at = |steps: &[(&str, &str)]| {
        let output = Command::new("python3")
            .args(["-c", TYPIST, env!("CARGO_BIN_EXE_afterimage")])
            .args(steps.iter().flat_map(|(words, typed)| [words, typed]))
            .env("AFTERIMAGE_STORE", place.path())
            .env("XDG_STATE_HOME", place.beside("state"))
            .env("TERM", "xterm")
            .output()
            .expect("python runs");
        assert!(output.status.success(), "{}", text(&output.stderr));
    };
    // Each answer, then the prompt behind it: what is typed before that is not seen by the editor.
    let (newest, two) = ("test.store @ HEAD (LSN 4)> ", "test.store @ point:two (LSN 2)> ");
    type_at(&[
        (newest, r"get gu\ta\r"),
        ("{\"n\":3}", ""),
        (newest, r"at point:t\t\r"),
        (two, r"get guests/a\r"),
        ("{\"n\":2}", ""),
        (two, r"get guests/b\r"),
        ("AF0027", ""),
        (two, "half a line"),
        ("half a line", r"\x03"),
        (two, r"\x04"),
    ]);
    let history = place.beside("state").join("afterimage/history");
    let remembered = fs::read_to_string(&history).expect("a history");
    for line in ["get guests/a", "at point:two", "get guests/b"] {
        assert!(remembered.lines().any(|remembered| remembered == line), "{line}: {remembered}");
    }
    // A line of the time before, by the arrow up.
    type_at(&[(newest, r"\x1b[A\r"), ("AF0027", ""), (newest, r"exit\r")]);
    let inside: Vec<_> = fs::read_dir(place.path()).expect("listed").collect();
    assert!(inside.iter().all(|entry| {
        let name = entry.as_ref().expect("an entry").file_name();
        !name.to_string_lossy().contains("afterimage")
    }));
}
