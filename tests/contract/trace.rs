//! Runs a worker under strace, and reads what strace wrote down.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The calls that change files, or make a change durable. What is stored through a map makes none.
const TRACED: &str = "trace=openat,mkdir,fallocate,ftruncate,write,pwrite64,msync,fdatasync,fsync,\
                      sync_file_range,rename,renameat,renameat2,link,linkat,unlink,unlinkat,rmdir,\
                      flock,fadvise64";

/// The file in which the worker marks its steps, by a write that strace sees.
pub(crate) const MARKS: &str = "marks";

/// The threads that make segments ready and seal them; names are cut off after 15 bytes.
pub(crate) const MAKES_SEGMENTS: &str = "afterimage-segm";
pub(crate) const SEALS_SEGMENTS: &str = "afterimage-seal";

/// What a call did. Names are relative to the directory of the run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum What {
    Create(String),
    MakeDirectory(String),
    Allocate(String),
    Write(String),
    Cut(String),
    Sync(String),
    SyncNames(String),
    Rename(String, String),
    Exchange(String, String),
    Link(String, String),
    Remove(String),
    Lock(String),
    DropCache(String),
    /// What the worker says.
    Mark(String),
}

/// A call that succeeded.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) thread: String,
    /// When it began and ended, as lines of the trace.
    pub(crate) begun: usize,
    pub(crate) done: usize,
    pub(crate) what: What,
}

impl Call {
    /// Whether one of the store's own threads made it; its name is cut off after 15 bytes.
    pub(crate) fn is_of_the_store(&self) -> bool {
        self.thread.starts_with("afterimage-")
    }
}

/// Why nothing can be traced here; `None` if it can.
pub(crate) fn obstacle() -> Option<&'static str> {
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-y", "-Y", "-o", "/dev/null", "true"]);
    match command.stdout(Stdio::null()).stderr(Stdio::null()).status() {
        Err(_) => Some("strace is not installed"),
        Ok(status) if !status.success() => Some("strace can't trace here, or is older than 5.14"),
        Ok(_) => None,
    }
}

/// Runs `command` in `place` to its end; what it did to files there, in the order of their ends.
pub(crate) fn run(command: &Command, place: &Path) -> Vec<Call> {
    let out = place.with_extension("strace");
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-y", "-Y", "-s", "100", "-e", TRACED, "-e", "signal=none", "-o"]);
    strace.arg(&out).arg("--").arg(command.get_program()).args(command.get_args());
    strace.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = strace.current_dir(place).output().expect("strace runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    let text = std::fs::read_to_string(&out).expect("a trace");
    calls(&text, place)
}

fn calls(text: &str, place: &Path) -> Vec<Call> {
    let mut open: Vec<(&str, usize, String)> = Vec::new();
    let mut calls = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let Some((thread, call)) = line.split_once(' ') else { continue };
        let call = call.trim_start();
        if let Some(begin) = call.strip_suffix(" <unfinished ...>") {
            open.push((thread, number, begin.to_owned()));
            continue;
        }
        let (begun, call) = match call.strip_prefix("<... ") {
            None => (number, call.to_owned()),
            Some(rest) => {
                let at = open.iter().position(|(other, ..)| id(other) == id(thread));
                let (_, begun, first) = open.remove(at.expect("what is resumed was begun"));
                let end = rest.split_once(" resumed>").expect("it is resumed").1;
                (begun, format!("{first}{end}"))
            }
        };
        let thread = thread.split(['<', '>']).nth(1).unwrap_or_default().to_owned();
        if let Some(what) = parse(&call, place) {
            calls.push(Call { thread, begun, done: number, what });
        }
    }
    calls
}

/// The thread without its name, which may change between two halves of a call.
fn id(thread: &str) -> &str {
    thread.split('<').next().unwrap_or_default()
}

fn parse(call: &str, place: &Path) -> Option<What> {
    let (name, rest) = call.split_once('(')?;
    let (arguments, result) = rest.rsplit_once(" = ")?;
    if result.starts_with('-') || result.starts_with('?') {
        return None;
    }
    let inside = |path: &str| -> Option<String> {
        let path: PathBuf = place.join(path);
        let name = path.strip_prefix(place).ok()?.to_str()?.to_owned();
        Some(if name.is_empty() { ".".to_owned() } else { name })
    };
    // Of an open file the path; of others what stands in quotes.
    let file = |text: &str| {
        let path = text.split_once('<')?.1.split_once('>')?.0;
        // Not a pipe.
        inside(path).filter(|_| path.starts_with('/'))
    };
    let quoted: Vec<&str> = arguments.split('"').skip(1).step_by(2).collect();
    let path = |index: usize| inside(quoted.get(index)?);
    Some(match name {
        "openat" if arguments.contains("O_CREAT") => {
            What::Create(file(result).filter(|name| name != MARKS)?)
        }
        "mkdir" => What::MakeDirectory(path(0)?),
        "fallocate" => What::Allocate(file(arguments)?),
        "ftruncate" => What::Cut(file(arguments)?),
        "write" | "pwrite64" => match file(arguments)? {
            name if name == MARKS => What::Mark(quoted.first()?.trim_end_matches("\\n").to_owned()),
            name => What::Write(name),
        },
        "fdatasync" => What::Sync(file(arguments)?),
        "fsync" => What::SyncNames(file(arguments)?),
        "renameat2" if arguments.contains("RENAME_EXCHANGE") => What::Exchange(path(0)?, path(1)?),
        "rename" | "renameat" | "renameat2" => What::Rename(path(0)?, path(1)?),
        "link" | "linkat" => What::Link(path(0)?, path(1)?),
        "unlink" | "unlinkat" | "rmdir" => What::Remove(path(0)?),
        "flock" if arguments.contains("LOCK_EX") => What::Lock(file(arguments)?),
        "fadvise64" if arguments.contains("DONTNEED") => What::DropCache(file(arguments)?),
        "msync" | "sync_file_range" => panic!("the rules do not know what this makes durable"),
        _ => return None,
    })
}
