//! `doctor`: each check sees what it is for, in a store that was really broken that way, and
//! nothing changes.

use std::fs::{self, File, Permissions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;

use afterimage::{
    Author, Check, Checkup, Clock, Lsn, Options, Outcome, Store, Timestamp, doctor, support_bundle,
};
use serde_json::Value;

use crate::common::{Place, put};
use crate::copy::copy;
use crate::skipped::skipped;

const NOBODY: u32 = 65_534;

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|facts| facts.uid() == 0)
}

/// A store of some transactions, closed.
fn filled() -> Place {
    let place = Place::new();
    let store = place.open();
    for n in 0..20 {
        put(&store, &format!("k{n}"), &"x".repeat(600));
    }
    store.close().expect("closed");
    place
}

fn examined(path: &Path) -> Checkup {
    doctor(path, &Store::options())
}

fn check<'a>(checkup: &'a Checkup, name: &str) -> &'a Check {
    checkup.checks.iter().find(|check| check.name == name).expect("a check of this name")
}

/// Whether a check comes out like this, and says so; what is no trouble needs no help.
fn expect(checkup: &Checkup, name: &str, outcome: Outcome, part: &str) {
    let check = check(checkup, name);
    assert_eq!(check.outcome, outcome, "{check:?}");
    assert!(check.found.contains(part), "{part:?} is not in {check:?}");
    let needs_help = matches!(outcome, Outcome::Warning | Outcome::Problem);
    assert_eq!(check.help.is_some(), needs_help, "{check:?}");
    assert_eq!(checkup.healthy, checkup.checks.iter().all(|c| c.outcome != Outcome::Problem));
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).expect("the mode is set");
}

/// Every file and directory below this one.
fn below(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).expect("listed") {
        let path = entry.expect("an entry").path();
        if path.is_dir() && !path.is_symlink() {
            found.extend(below(&path));
        }
        found.push(path);
    }
    found.sort();
    found
}

/// All that can be seen of a directory from outside.
fn seen(directory: &Path) -> Vec<(PathBuf, u32, i64, i64, Vec<u8>)> {
    let all = below(directory).into_iter().chain([directory.to_path_buf()]);
    all.map(|path| {
        let facts = fs::symlink_metadata(&path).expect("there");
        let bytes = if facts.is_file() { fs::read(&path).expect("read") } else { Vec::new() };
        (path, facts.mode(), facts.mtime(), facts.mtime_nsec(), bytes)
    })
    .collect()
}

fn command(store: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_afterimage"));
    command.env("AFTERIMAGE_STORE", store).args(args).stdin(Stdio::null());
    command
}

fn run(store: &Path, args: &[&str]) -> Output {
    command(store, args).output().expect("the command runs")
}

/// What `doctor --json` says, and its exit code.
fn json(output: &Output) -> (Value, i32) {
    let text = String::from_utf8_lossy(&output.stdout);
    let document = serde_json::from_str(&text)
        .unwrap_or_else(|e| panic!("{e}: {text}{}", String::from_utf8_lossy(&output.stderr)));
    (document, output.status.code().expect("an exit code"))
}

fn found(document: &Value, name: &str) -> (String, String) {
    let checks = document["checks"].as_array().expect("checks");
    let check = checks.iter().find(|check| check["name"] == name).expect("a check of this name");
    let text = |field: &str| check[field].as_str().expect("text").to_owned();
    (text("outcome"), text("found"))
}

#[test]
fn a_sound_store_is_healthy_and_every_check_has_its_name() {
    let place = filled();
    let checkup = examined(&place.path());
    assert!(checkup.healthy && checkup.exit_code() == 0, "{checkup:?}");
    let names: Vec<_> = checkup.checks.iter().map(|check| check.name).collect();
    let promised = "store notices modes owners access links space inodes file-system allocation \
                    clock lock interrupted quarantine foreign-files backups checkpoints \
                    file-size-limit open-files-limit";
    assert_eq!(names.join(" "), promised, "names stay");
    expect(&checkup, "store", Outcome::Ok, "LSN 1 to 20");
    for name in ["notices", "modes", "owners", "access", "links", "lock", "interrupted"] {
        assert_eq!(check(&checkup, name).outcome, Outcome::Ok, "{checkup:?}");
    }
    for name in ["allocation", "clock", "quarantine", "foreign-files", "backups", "checkpoints"] {
        assert_eq!(check(&checkup, name).outcome, Outcome::Ok, "{checkup:?}");
    }
    let relative = place.path().join("../test.store/.");
    assert!(examined(&relative).healthy, "a path is told whole");
    let link = place.beside("link");
    symlink(place.path(), &link).expect("linked");
    assert!(examined(&link).healthy, "a store may be reached through a link");
}

#[test]
fn where_there_is_no_store_it_says_so_and_goes_on() {
    let place = Place::new();
    let file = place.beside("file");
    fs::write(&file, "text").expect("written");
    let empty = place.beside("empty");
    fs::create_dir(&empty).expect("created");
    let inside_file = file.join("x.store");
    for path in [&place.path(), &file, &empty, &inside_file] {
        let checkup = examined(path);
        assert_eq!((checkup.healthy, checkup.exit_code()), (false, 10), "{path:?} {checkup:?}");
        assert_eq!(check(&checkup, "store").outcome, Outcome::Problem);
        expect(&checkup, "modes", Outcome::Skipped, "there is no store");
        expect(&checkup, "clock", Outcome::Skipped, "does not open");
        let (_, exit) = json(&run(path, &["doctor", "--json"]));
        assert_eq!(exit, 10);
    }
    expect(&examined(&place.path()), "space", Outcome::Skipped, "does not exist");
    assert_ne!(check(&examined(&empty), "space").outcome, Outcome::Skipped);
}

#[test]
fn a_damaged_journal_is_a_problem_with_an_exit_code_of_its_own() {
    let place = filled();
    let path = place.path().join("journal/00000002.seg");
    let mut bytes = fs::read(&path).expect("read");
    bytes[20] ^= 1;
    fs::write(&path, bytes).expect("written");
    let checkup = examined(&place.path());
    expect(&checkup, "store", Outcome::Problem, "[AF0010]");
    let help = check(&checkup, "store").help.as_deref().expect("help");
    assert!(help.contains("afterimage verify"), "{help}");
    assert_eq!(checkup.exit_code(), 13);
    assert_eq!(json(&run(&place.path(), &["doctor", "--json"])).1, 13);
    expect(&checkup, "notices", Outcome::Skipped, "does not open");
    assert_ne!(check(&checkup, "space").outcome, Outcome::Skipped, "the rest is looked at");
}

#[test]
fn files_that_are_missing_are_named() {
    let place = filled();
    fs::remove_file(place.path().join("CONTROL")).expect("removed");
    let checkup = examined(&place.path());
    expect(&checkup, "store", Outcome::Problem, "CONTROL");
    let help = check(&checkup, "store").help.as_deref().expect("help");
    assert!(help.contains("from a copy"), "{help}");
    assert_eq!(checkup.exit_code(), 13);

    let place = filled();
    fs::remove_file(place.path().join("STORE")).expect("removed");
    let checkup = examined(&place.path());
    expect(&checkup, "store", Outcome::Problem, "the STORE file");
    assert_eq!(checkup.exit_code(), 13, "segments are there");
    assert!(check(&checkup, "store").help.as_deref().expect("help").contains("repair"));
}

#[test]
fn a_store_of_a_later_release_is_told_from_a_damaged_one() {
    let place = filled();
    let path = place.path().join("STORE");
    let text = fs::read_to_string(&path).expect("read");
    let (body, _) = text.split_once("crc32").expect("a checksum");
    let body = body.replace("format = 1", "format = 99");
    let crc = crc32fast::hash(body.as_bytes());
    fs::write(&path, format!("{body}crc32 = {crc:08x}\n")).expect("written");
    let checkup = examined(&place.path());
    expect(&checkup, "store", Outcome::Problem, "format 99");
    assert_eq!(checkup.exit_code(), 14);
}

#[test]
fn modes_that_let_others_in_are_seen() {
    let place = filled();
    set_mode(&place.path(), 0o755);
    let checkup = examined(&place.path());
    expect(&checkup, "modes", Outcome::Warning, ". has mode 0755");
    assert_eq!(checkup.exit_code(), 0, "a warning is no problem");
    set_mode(&place.path().join("journal/00000001.seg"), 0o620);
    let checkup = examined(&place.path());
    expect(&checkup, "modes", Outcome::Problem, "journal/00000001.seg has mode 0620");
    assert_eq!(checkup.exit_code(), 1);
    let help = check(&checkup, "modes").help.clone().expect("help");
    let fixed = Command::new("sh").args(["-c", &help]).status().expect("runs");
    assert!(fixed.success());
    assert!(examined(&place.path()).healthy, "the help helps: {help}");
}

#[test]
fn files_of_another_owner_are_seen() {
    if !is_root() {
        return skipped("only root can give files away");
    }
    let place = filled();
    chown(place.path().join("CONTROL"), Some(NOBODY), None).expect("given");
    let checkup = examined(&place.path());
    expect(&checkup, "owners", Outcome::Problem, "CONTROL belongs to user 65534");
    for path in below(&place.path()).into_iter().chain([place.path()]) {
        chown(path, Some(NOBODY), None).expect("given");
    }
    let checkup = examined(&place.path());
    expect(&checkup, "owners", Outcome::Warning, "will be root's");
    assert!(checkup.healthy);
}

/// `doctor` by a user who may not do everything, on a store that this user can find.
fn as_nobody(place: &Place, args: &[&str]) -> Output {
    let parent = place.path().parent().expect("a parent").to_path_buf();
    set_mode(&parent, 0o755);
    // The tests' own binary may lie where nobody else can read.
    let program = parent.join("program");
    if !program.exists() {
        fs::copy(env!("CARGO_BIN_EXE_afterimage"), &program).expect("copied");
        set_mode(&program, 0o755);
    }
    let mut command = Command::new(program);
    command.arg("-s").arg(place.path()).args(args).uid(NOBODY).gid(NOBODY);
    command.stdin(Stdio::null()).current_dir("/").output().expect("the command runs")
}

#[test]
fn files_that_this_user_can_not_read_or_write_are_seen() {
    if !is_root() {
        return skipped("only root can act for another user");
    }
    let place = filled();
    let (document, exit) = json(&as_nobody(&place, &["doctor", "--json"]));
    assert_eq!(found(&document, "store").0, "problem", "{document}");
    let (outcome, text) = found(&document, "access");
    assert!(outcome == "problem" && text.contains("AF0006"), "{document}");
    assert!(found(&document, "modes").1.contains("can't be looked at"), "{document}");
    assert_eq!(exit, 1);
    for path in below(&place.path()).into_iter().chain([place.path()]) {
        chown(path, Some(NOBODY), None).expect("given");
    }
    let (document, exit) = json(&as_nobody(&place, &["doctor", "--json"]));
    assert_eq!((found(&document, "access").0.as_str(), exit), ("ok", 0), "{document}");
    set_mode(&place.path().join("journal/00000001.seg"), 0o400);
    let (document, exit) = json(&as_nobody(&place, &["doctor", "--json"]));
    let (outcome, text) = found(&document, "access");
    assert!(outcome == "problem" && text.contains("can't write journal/00000001.seg"), "{text}");
    assert_eq!(exit, 1);
    set_mode(&place.path().join("journal/00000001.seg"), 0);
    let (document, _) = json(&as_nobody(&place, &["doctor", "--json"]));
    assert!(found(&document, "access").1.contains("can't read journal/00000001.seg"));
}

#[test]
fn symbolic_links_inside_are_a_problem() {
    let place = filled();
    let (segment, moved) =
        (place.path().join("journal/00000001.seg"), place.beside("elsewhere.seg"));
    fs::copy(&segment, &moved).expect("copied");
    fs::remove_file(&segment).expect("removed");
    symlink(&moved, &segment).expect("linked");
    let checkup = examined(&place.path());
    expect(&checkup, "links", Outcome::Problem, "journal/00000001.seg");
    assert_eq!(check(&checkup, "store").outcome, Outcome::Problem, "links are not followed");
}

/// A tmpfs with these options, unmounted at the end.
struct Mounted(PathBuf);

impl Mounted {
    fn new(place: &Place, options: &str) -> Option<Self> {
        let path = place.beside("mounted");
        fs::create_dir(&path).expect("created");
        let mount = Self(path);
        let done = mount.mount(options);
        if !done {
            skipped("no tmpfs can be mounted, which only root can");
        }
        done.then_some(mount)
    }

    fn mount(&self, options: &str) -> bool {
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(&self.0);
        command.stderr(Stdio::null()).status().is_ok_and(|status| status.success())
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let status = Command::new("umount").arg("-l").arg(&self.0).stderr(Stdio::null()).status();
        drop(status);
    }
}

/// Leaves neither space nor inodes.
fn fill(directory: &Path) {
    let create =
        |name: &str| File::options().create_new(true).write(true).open(directory.join(name));
    let mut file = create("filler").expect("created");
    while file.write_all(&[1; 4096]).is_ok() {}
    for n in 0.. {
        if create(&n.to_string()).is_err() {
            break;
        }
    }
}

#[test]
fn a_full_file_system_one_without_inodes_and_a_read_only_one_are_seen() {
    let place = filled();
    let Some(mounted) = Mounted::new(&place, "size=1m,nr_inodes=100") else { return };
    let path = mounted.0.join("test.store");
    copy(&place.path(), &path);
    for path in below(&path).into_iter().chain([path.clone()]) {
        set_mode(&path, if path.is_dir() { 0o700 } else { 0o600 });
    }
    let checkup = examined(&path);
    expect(&checkup, "file-system", Outcome::Warning, "tmpfs");
    expect(&checkup, "inodes", Outcome::Warning, "more files of 100");
    expect(&checkup, "space", Outcome::Ok, "the next segment needs 8.0 KiB");
    fill(&mounted.0);
    let checkup = examined(&path);
    expect(&checkup, "space", Outcome::Problem, "0 bytes free");
    expect(&checkup, "inodes", Outcome::Problem, "room for 0 more files");
    assert_eq!(checkup.exit_code(), 1);

    let before = seen(&path);
    assert!(mounted.mount("remount,ro"), "mounted read-only");
    let checkup = examined(&path);
    assert!(checkup.healthy, "{checkup:?}");
    expect(&checkup, "access", Outcome::Warning, "read-only");
    expect(&checkup, "space", Outcome::Skipped, "read-only");
    assert_eq!(seen(&path), before);
}

#[test]
fn a_segment_with_holes_is_seen() {
    let place = filled();
    let segments = below(&place.path().join("journal"));
    let newest = segments.last().expect("a segment");
    let bytes = fs::read(newest).expect("read");
    fs::remove_file(newest).expect("removed");
    // As tools copy that leave out what is zero; the end of the segment is.
    let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let sparse = File::options().create_new(true).write(true).open(newest).expect("created");
    (&sparse).write_all(&bytes[..used]).expect("written");
    sparse.set_len((used as u64).next_multiple_of(4096) + (1 << 20)).expect("lengthened");
    set_mode(newest, 0o600);
    let checkup = examined(&place.path());
    let found = &check(&checkup, "file-system").found;
    if !found.contains("by a map") {
        return skipped(&format!("nothing is appended by a map here: {found}"));
    }
    expect(&checkup, "allocation", Outcome::Warning, "allocated");
    let help = check(&checkup, "allocation").help.clone().expect("help");
    if !Command::new("sh").args(["-c", &help]).status().expect("runs").success() {
        return skipped("there is no fallocate(1) to follow the help with");
    }
    expect(&examined(&place.path()), "allocation", Outcome::Ok, "allocated");
    place.open().close().expect("closed");
}

#[derive(Debug)]
struct At(i64);

impl Clock for At {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0)
    }
}

fn options_at(micros: i64) -> Options {
    Store::options().clock(Arc::new(At(micros)))
}

#[test]
fn a_clock_behind_the_journal_is_seen() {
    const HOUR: i64 = 3_600_000_000;
    const NOON: i64 = 1_795_104_000_000_000;
    let place = Place::new();
    let store = Place::options().clock(Arc::new(At(NOON))).open(place.path()).expect("opens");
    let at = |micros| doctor(place.path(), &options_at(micros));
    expect(&at(NOON - 1), "clock", Outcome::Warning, "the creation of the store");
    put(&store, "k", "v");
    store.close().expect("closed");
    expect(&at(NOON), "clock", Outcome::Ok, "the newest transaction");
    expect(&at(NOON + 9000 * HOUR), "clock", Outcome::Ok, "2026-11-19");
    expect(&at(NOON - 3 * HOUR), "clock", Outcome::Warning, "3 hours later");
    expect(&at(NOON - 24 * HOUR), "clock", Outcome::Warning, "24 hours later");
    let far = at(NOON - 49 * HOUR);
    expect(&far, "clock", Outcome::Problem, "2 days later");
    assert_eq!(far.exit_code(), 1);
    expect(&at(i64::MIN), "clock", Outcome::Problem, "later");
}

/// A process that has the store open for writing: it waits for what to import.
fn writer(store: &Path) -> Child {
    let mut command = command(store, &["import", "-", "--json"]);
    let mut child = command.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("runs");
    let line = r#"{"collection":"things","key":"k","after":1,"transaction":{"id":1}}"#;
    let more = r#"{"collection":"things","key":"l","after":1,"transaction":{"id":2}}"#;
    let pipe = child.stdin.as_mut().expect("a pipe");
    writeln!(pipe, "{line}\n{more}").expect("taken");
    pipe.flush().expect("flushed");
    child
}

#[test]
fn who_has_the_lock_is_named_and_a_lock_file_of_the_dead_is_harmless() {
    let place = Place::new();
    place.open().close().expect("closed");
    let mut child = writer(&place.path());
    let pid = format!("process {} (afterimage)", child.id());
    // It has the lock when what it was given can be seen.
    let reader = place.reader();
    while reader.refresh().expect("read") == Lsn::ZERO {
        assert!(child.try_wait().expect("asked").is_none(), "the writer goes on");
        std::thread::yield_now();
    }
    let checkup = examined(&place.path());
    expect(&checkup, "lock", Outcome::Ok, &pid);
    assert!(checkup.healthy, "{checkup:?}");
    let dead = child.id();
    child.kill().expect("killed");
    child.wait().expect("ended");
    let checkup = examined(&place.path());
    expect(&checkup, "lock", Outcome::Ok, &format!("left by process {dead}, blocks nothing"));
    let store = place.open();
    expect(&examined(&place.path()), "lock", Outcome::Ok, "by this process");
    store.close().expect("closed");
}

#[test]
fn what_was_interrupted_is_listed() {
    let place = filled();
    let (partial, damaged) =
        (place.beside("test.store.partial"), place.beside("test.store.damaged-1"));
    copy(&place.path(), &damaged);
    fs::create_dir(place.beside("test.store.damaged-x")).expect("created");
    let checkup = examined(&place.path());
    expect(&checkup, "interrupted", Outcome::Warning, "test.store.damaged-1, ");
    assert!(!check(&checkup, "interrupted").found.contains("damaged-x"));
    copy(&place.path(), &partial);
    let temporary = place.path().join("state/00000000000000000007.ckpt.tmp");
    fs::write(&temporary, "half").expect("written");
    set_mode(&temporary, 0o600);
    let checkup = examined(&place.path());
    expect(&checkup, "interrupted", Outcome::Warning, "test.store.partial, ");
    expect(&checkup, "interrupted", Outcome::Warning, "07.ckpt.tmp, 4 bytes");
    let store = Place::options().open(&partial).expect("opens");
    expect(&examined(&place.path()), "interrupted", Outcome::Warning, "is at it now");
    store.close().expect("closed");
    // A repair between its last two steps.
    fs::remove_dir_all(place.path()).expect("removed");
    let checkup = examined(&place.path());
    expect(&checkup, "interrupted", Outcome::Problem, "test.store.partial");
    let help = check(&checkup, "interrupted").help.as_deref().expect("help");
    assert!(help.contains("rename it to"), "{help}");
    assert_eq!(checkup.exit_code(), 10);
}

#[test]
fn a_damaged_checkpoint_is_seen_before_and_after_it_is_set_aside() {
    let place = filled();
    let store = place.open();
    store.checkpoint().expect("written");
    store.close().expect("closed");
    let checkup = examined(&place.path());
    expect(&checkup, "checkpoints", Outcome::Ok, "the newest at LSN 20");
    let path = below(&place.path().join("state")).pop().expect("a checkpoint");
    let mut bytes = fs::read(&path).expect("read");
    bytes[50] ^= 1;
    fs::write(&path, &bytes).expect("written");
    let checkup = examined(&place.path());
    expect(&checkup, "checkpoints", Outcome::Warning, "that at LSN 20: checksum");
    expect(&checkup, "notices", Outcome::Warning, "[AF0016]");
    assert!(checkup.healthy, "nothing is lost");
    place.open().close().expect("closed");
    let checkup = examined(&place.path());
    expect(&checkup, "quarantine", Outcome::Warning, "a damaged checkpoint");
    expect(&checkup, "checkpoints", Outcome::Ok, "none");
    assert_eq!(check(&checkup, "notices").outcome, Outcome::Ok);
    // One that stands on another, which is missing, and one that is cut off.
    fs::write(&path, &bytes[..60]).expect("written");
    set_mode(&path, 0o600);
    expect(&examined(&place.path()), "checkpoints", Outcome::Warning, "LSN 20");
}

#[test]
fn an_interrupted_write_is_a_notice_and_then_in_quarantine() {
    let place = Place::new();
    place.open().close().expect("closed");
    let store = place.open();
    put(&store, "k", "v");
    let crashed = place.beside("crashed.store");
    copy(&place.path(), &crashed);
    store.close().expect("closed");
    let segment = below(&crashed.join("journal")).pop().expect("a segment");
    let mut bytes = fs::read(&segment).expect("read");
    let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let end = used.next_multiple_of(8);
    bytes[end..end + 64].fill(0xa5);
    fs::write(&segment, bytes).expect("written");
    let checkup = examined(&crashed);
    expect(&checkup, "notices", Outcome::Warning, "a write that was interrupted");
    Place::options().open(&crashed).expect("opens").close().expect("closed");
    expect(&examined(&crashed), "quarantine", Outcome::Warning, "the end of an interrupted write");
}

#[test]
fn foreign_files_and_copies_inside_the_store_are_told_apart() {
    let place = filled();
    fs::write(place.path().join("journal/notes.txt"), "text").expect("written");
    fs::create_dir(place.path().join("other")).expect("created");
    fs::create_dir(place.path().join("lost+found")).expect("created");
    let other = filled();
    copy(&other.path(), &place.path().join("yesterday"));
    fs::write(place.path().join("guests.ndjson"), "{}").expect("written");
    let checkup = examined(&place.path());
    expect(&checkup, "foreign-files", Outcome::Warning, "journal/notes.txt, 4 bytes");
    expect(&checkup, "foreign-files", Outcome::Warning, "other, a directory");
    assert!(!check(&checkup, "foreign-files").found.contains("lost+found"));
    expect(&checkup, "backups", Outcome::Warning, "yesterday, a directory");
    expect(&checkup, "backups", Outcome::Warning, "guests.ndjson, 2 bytes");
    assert!(!check(&checkup, "foreign-files").found.contains("yesterday"));
    assert!(checkup.healthy);
}

#[test]
fn limits_of_the_process_are_seen() {
    let place = filled();
    let program = env!("CARGO_BIN_EXE_afterimage");
    let limited = |limit: &str| {
        let script = format!("{limit} && exec {program} doctor --json");
        let mut shell = Command::new("sh");
        shell.args(["-c", &script]).env("AFTERIMAGE_STORE", place.path()).stdin(Stdio::null());
        json(&shell.output().expect("runs"))
    };
    // In units of 512 or of 1024 bytes.
    let (document, exit) = limited("ulimit -f 4");
    let (outcome, text) = found(&document, "file-size-limit");
    assert!(outcome == "problem" && text.contains("a segment has 8.0 KiB"), "{text}");
    assert_eq!(exit, 1);
    let (document, exit) = limited("ulimit -n 40");
    let (outcome, text) = found(&document, "open-files-limit");
    assert!(outcome == "problem" && text.contains("40 files"), "{text}");
    assert_eq!(exit, 1);
    let (document, exit) = limited("ulimit -n 120");
    assert_eq!(found(&document, "open-files-limit").0, "warning");
    assert_eq!(exit, 0);
}

#[test]
fn nothing_changes_in_a_sound_a_damaged_or_a_read_only_store() {
    let place = filled();
    let damaged = place.beside("damaged.store");
    copy(&place.path(), &damaged);
    let segment = damaged.join("journal/00000002.seg");
    let bytes = fs::read(&segment).expect("read");
    fs::write(&segment, &bytes[..bytes.len() / 2]).expect("cut");
    let bare = place.beside("bare");
    fs::create_dir(&bare).expect("created");
    let locked = place.beside("locked.store");
    copy(&place.path(), &locked);
    fs::remove_file(locked.join("LOCK")).expect("removed");
    for path in below(&locked).into_iter().chain([locked.clone()]) {
        set_mode(&path, if path.is_dir() { 0o500 } else { 0o400 });
    }
    let everything = place.path().parent().expect("a parent").to_path_buf();
    let before = seen(&everything);
    for path in [&place.path(), &damaged, &bare, &locked, &place.beside("nothing")] {
        let checkup = examined(path);
        assert_eq!(checkup.checks.len(), 19);
        let bundle = support_bundle(path, &Store::options(), true);
        assert_eq!(bundle.checkup.healthy, checkup.healthy);
        let (document, exit) = json(&run(path, &["doctor", "--json"]));
        assert_eq!(document["healthy"], checkup.healthy);
        assert_eq!(exit, i32::from(checkup.exit_code()));
        assert_eq!(seen(&everything), before, "{path:?}");
    }
    for path in below(&locked).into_iter().chain([locked.clone()]) {
        set_mode(&path, 0o700);
    }
}

#[test]
fn beside_a_writer_it_sees_the_store_as_it_is() {
    let place = filled();
    let store = place.open();
    put(&store, "more", "v");
    let checkup = examined(&place.path());
    expect(&checkup, "store", Outcome::Ok, "LSN 1 to 21");
    assert!(checkup.healthy, "{checkup:?}");
    store.close().expect("closed");
}

/// What must never be in a bundle, and what is in one only if asked for.
const SECRETS: [&str; 8] = [
    "canary-key",
    "canary-value",
    "canary-actor",
    "canary-message",
    "canary-note",
    "canary-cause",
    "canary-attribute",
    "canary-file",
];
const NAMES: [&str; 3] = ["canary-collection", "canary-point", "canary-path"];

/// A store at `canary-path` that is full of them.
fn with_canaries(place: &Place) -> PathBuf {
    let path = place.beside("canary-path.store");
    let store = Place::options().open(&path).expect("opens");
    for n in 0..30 {
        let value = format!("\"canary-value {n} {}\"", "x".repeat(300));
        let image = afterimage::Image::new(value.as_bytes(), afterimage::CodecId::Json);
        let written = store.write(|tx| {
            tx.actor("canary-actor").message("canary-message").causation("canary-cause");
            tx.attribute("canary-attribute", "canary-attribute");
            tx.put_image("canary-collection", format!("canary-key-{n}").as_bytes(), image)
        });
        written.expect("written");
    }
    let by = Author { actor: Some("canary-actor".into()), message: Some("canary-message".into()) };
    store.checkpoint().expect("written");
    store.create_point("canary-point", Lsn::new(3), Some("canary-note"), &by).expect("made");
    store.close().expect("closed");
    for name in ["canary-file.txt", "journal/canary-file", "state/canary-file.tmp"] {
        fs::write(path.join(name), "canary-value").expect("written");
    }
    fs::create_dir(path.join("quarantine")).expect("created");
    fs::write(path.join("quarantine/canary-file.seg"), "canary-value").expect("written");
    path
}

fn bundled(path: &Path, place: &Place, name: &str, more: &[&str]) -> (String, i32) {
    let file = place.beside(name);
    let args = [&["doctor", "--bundle", file.to_str().expect("text")], more].concat();
    let output = run(path, &args);
    assert_eq!(fs::metadata(&file).expect("there").mode() & 0o7777, 0o600);
    (fs::read_to_string(&file).expect("text"), output.status.code().expect("a code"))
}

#[test]
fn a_bundle_holds_nothing_that_is_in_the_store_and_names_only_if_asked_for() {
    let place = Place::new();
    let path = with_canaries(&place);
    let broken = place.beside("canary-path-broken.store");
    copy(&path, &broken);
    symlink("canary-file", path.join("canary-file-link")).expect("linked");
    // The restore point is the last that was written.
    let name = b"canary-point";
    let damaged = below(&broken.join("journal")).into_iter().rev().any(|segment| {
        let mut bytes = fs::read(&segment).expect("read");
        let Some(at) = bytes.windows(name.len()).position(|part| part == name) else {
            return false;
        };
        bytes[at] ^= 1;
        fs::write(&segment, bytes).is_ok()
    });
    assert!(damaged);
    for (path, label) in [(&path, "sound"), (&broken, "broken")] {
        let (text, _) = bundled(path, &place, &format!("{label}.json"), &[]);
        let hit = SECRETS.iter().chain(&NAMES).find(|canary| text.contains(**canary));
        assert_eq!(hit, None, "{label}: {text}");
        let (text, _) = bundled(path, &place, &format!("{label}-names.json"), &["--names"]);
        let hit = SECRETS.iter().find(|canary| text.contains(**canary));
        assert_eq!(hit, None, "{label}: {text}");
        assert!(text.contains("canary-path"), "{label}: {text}");
    }
    let shown = String::from_utf8_lossy(&run(&path, &["doctor"]).stdout).into_owned();
    assert!(shown.contains("canary-file"), "on a terminal they are named: {shown}");
    let (text, exit) = bundled(&path, &place, "again.json", &["--names"]);
    assert!(NAMES.iter().all(|name| text.contains(name)), "{text}");
    assert_eq!(exit, 1, "there is a link in it");
    let document: Value = serde_json::from_str(&text).expect("one document");
    assert_eq!(document["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(document["status"]["head_lsn"], 31);
    assert_eq!(document["points"][0]["lsn"], 3);
    assert_eq!(document["checkpoints"][0]["lsn"], 30);
    assert_eq!(document["settings"]["segment_bytes"], 8192);
    assert!(document["stats"]["segments"].as_array().expect("segments").len() > 1);
    let (text, exit) = bundled(&broken, &place, "broken-again.json", &[]);
    let document: Value = serde_json::from_str(&text).expect("one document");
    assert_eq!(exit, 13);
    assert!(document["errors"][0].as_str().expect("text").starts_with("[AF00"), "{text}");
    assert_eq!(document["status"]["head_lsn"], 30, "what can be read is told");
}

#[test]
fn a_bundle_replaces_nothing_and_does_not_lie_inside_the_store() {
    let place = filled();
    let file = place.beside("bundle.json");
    fs::write(&file, "mine").expect("written");
    let inside = place.path().join("bundle.json");
    let link = place.beside("link.json");
    symlink(place.beside("target"), &link).expect("linked");
    for path in [&file, &inside, &link] {
        let before = seen(&place.path());
        let output = run(
            &place.path(),
            &["doctor", "--json", "--bundle", path.to_str().expect("a plain name")],
        );
        assert_eq!(output.status.code(), Some(2), "{path:?}");
        let error: Value = serde_json::from_slice(&output.stderr).expect("an error");
        assert_eq!(error["error"]["code"], "AF0043");
        assert_eq!(seen(&place.path()), before);
    }
    assert_eq!(fs::read_to_string(&file).expect("read"), "mine");
    assert!(!place.beside("target").exists());
    assert_eq!(run(&place.path(), &["doctor", "--names"]).status.code(), Some(2));
    let none = place.beside("none.store");
    let (text, exit) = bundled(&none, &place, "none.json", &[]);
    assert_eq!(exit, 10);
    assert!(text.contains("AF0001"));
}

#[test]
fn people_get_a_line_a_check_and_a_verdict() {
    let place = filled();
    set_mode(&place.path().join("STORE"), 0o666);
    let output = run(&place.path(), &["doctor"]);
    let lines: Vec<_> = BufReader::new(&output.stdout[..]).lines().map_while(Result::ok).collect();
    assert!(lines[0].starts_with("ok       store             store "), "{lines:?}");
    let at = lines.iter().position(|line| line.starts_with("PROBLEM  modes")).expect("there");
    assert!(lines[at + 1].trim_start().starts_with("help: chmod -R"), "{lines:?}");
    assert!(lines.last().expect("a verdict").starts_with("NOT HEALTHY: 1 problem, "));
    assert_eq!(output.status.code(), Some(1));
}
