//! What a line means, and how it may go on.

use afterimage::{Author, CodecId, Image};
use clap::Parser as _;

use super::complete::complete;
use super::line::{Line, OFFERED, parse, prepare};
use super::*;
use crate::args::{Args, Command};

struct Place {
    session: Session,
    _directory: tempfile::TempDir,
}

fn place() -> Place {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("hotel.store");
    let store = Store::open(&path).expect("opened");
    for (collection, key) in
        [("guests", "g-17"), ("guests", "g-18"), ("guests", "o'neill x"), ("rooms", "204")]
    {
        let image = Image::new(b"1", CodecId::Json);
        store.write(|tx| tx.put_image(collection, key.as_bytes(), image)).expect("put");
    }
    for name in ["before-move", "before-tax", "opening"] {
        store.create_point(name, Lsn::new(2), None, &Author::default()).expect("named");
    }
    store.close().expect("closed");
    let globals = Args::try_parse_from(["afterimage", "version"]).expect("parsed").globals;
    let store = Store::options().read_only(true).open(&path).expect("opened");
    let held = Held { store, salvage: false };
    Place { session: Session { globals, held, moment: Moment::Head }, _directory: directory }
}

fn offered(place: &Place, typed: &str) -> Vec<String> {
    complete(&place.session, typed).1
}

#[test]
fn a_word_goes_on_as_what_is_there() {
    let mut place = place();
    for (typed, start, expected) in [
        ("sta", 0, &["stats", "status"][..]),
        ("ex", 0, &["exit", "explain", "export"]),
        ("get ", 4, &["guests/", "rooms/"]),
        ("get guests/g", 4, &["guests/g-17", "guests/g-18"]),
        ("get 'guests/o", 4, &["\"guests/o'neill x\""]),
        ("scan g", 5, &["guests"]),
        ("log rooms/", 4, &["rooms/204"]),
        ("at point:b", 3, &["point:before-move", "point:before-tax"]),
        ("at H", 3, &["HEAD"]),
        ("diff point:opening..point:before-t", 5, &["point:opening..point:before-tax"]),
        (
            "get guests/g-17 --as-of p",
            24,
            &["point:before-move", "point:before-tax", "point:opening"],
        ),
        ("afterimage log --si", 15, &["--since"]),
        ("point ", 6, &["list"]),
        ("point list --ki", 11, &["--kind"]),
        ("scan guests --sto", 12, &[]),
        (
            "explain AF002",
            8,
            &[
                "AF0020", "AF0021", "AF0022", "AF0023", "AF0024", "AF0025", "AF0026", "AF0027",
                "AF0028", "AF0029",
            ],
        ),
        ("get cellars/", 4, &[]),
        ("get guests/0x", 4, &[]),
    ] {
        let found = complete(&place.session, typed);
        let expected: Vec<_> = expected.iter().map(|word| (*word).to_owned()).collect();
        assert_eq!(found, (start, expected), "{typed}");
    }
    place.session.go_to("1").expect("there");
    assert_eq!(offered(&place, "get "), ["guests/"], "rooms came later");
    assert_eq!(offered(&place, "get guests/"), ["guests/g-17"]);
}

#[test]
fn what_is_offered_is_what_is_accepted() {
    for name in OFFERED {
        let line = match name {
            "blame" | "get" => format!("{name} a/b"),
            "diff" => format!("{name} 1.."),
            "scan" | "search" | "show" => format!("{name} a"),
            "bisect" => format!("{name} --good 1 --bad 2 --record a/b --expr ."),
            "undo" => format!("{name} 1 --dry-run"),
            "restore" => format!("{name} --to 1 --dry-run"),
            "point" => format!("{name} list"),
            _ => name.to_owned(),
        };
        let Ok(Ok(Line::Command(mut args))) = parse(&line) else { panic!("{line}") };
        prepare(&mut args.command, None).unwrap_or_else(|error| panic!("{line}: {error}"));
    }
    for (line, what) in [
        ("put a/b 1", "`put` writes"),
        ("undo 1", "`undo without --dry-run` writes"),
        ("point create x", "`point create` writes"),
        ("verify --incremental", "`verify --incremental` writes"),
        ("log -f", "`log --follow` does not end"),
        ("shell", "`shell` is no command"),
    ] {
        let Ok(Ok(Line::Command(mut args))) = parse(line) else { panic!("{line}") };
        let error = prepare(&mut args.command, None).expect_err("refused");
        assert!(error.message().starts_with(what), "{error}");
    }
}

#[test]
fn a_command_reads_at_the_moment_unless_it_names_another() {
    let asked = |line: &str| {
        let Ok(Ok(Line::Command(mut args))) = parse(line) else { panic!("{line}") };
        prepare(&mut args.command, Some(Lsn::new(7))).expect("accepted");
        let command = args.command;
        if let Command::Get(args) = command {
            return args.reading.as_of;
        }
        if let Command::Log(args) = command {
            return args.choice.until;
        }
        if let Command::Diff(args) = command { Some(args.range) } else { None }
    };
    for (line, expected) in [
        ("get a/b", "7"),
        ("get a/b --as-of 3", "3"),
        ("log", "7"),
        ("log --until HEAD", "HEAD"),
        ("diff 2..", "2..7"),
        ("diff 2..HEAD", "2..HEAD"),
    ] {
        assert_eq!(asked(line).as_deref(), Some(expected), "{line}");
    }
}

#[test]
fn lines_are_split_as_a_shell_does() {
    let rev = |line: &str| match parse(line) {
        Ok(Ok(Line::At(rev))) => rev,
        other => panic!("{line}: {other:?}"),
    };
    assert_eq!(rev("at 2 hours ago").as_deref(), Some("2 hours ago"));
    assert_eq!(rev("at '2026-11-19 16:00' # closing time").as_deref(), Some("2026-11-19 16:00"));
    assert_eq!(rev("at"), None);
    assert!(matches!(parse("  # nothing"), Ok(Ok(Line::Nothing))));
    assert!(matches!(parse("quit"), Ok(Ok(Line::Leave))));
    assert!(parse("get 'a").is_err());
    assert!(parse("get a/b -s x").is_err(), "a store of its own");
    assert!(matches!(parse("get"), Ok(Err(_))));
    assert!(matches!(parse("get --help"), Ok(Err(error)) if !error.use_stderr()));
}
