//! What a line asks for.

use afterimage::{Lsn, Result};
use clap::parser::ValueSource;
use clap::{CommandFactory as _, FromArgMatches as _};

use super::usage;
use crate::args::{Args, Command, PointCommand};

/// A line, understood.
#[derive(Debug)]
pub(super) enum Line {
    Nothing,
    Leave,
    Help,
    /// Read at this moment; without one, say which it is.
    At(Option<String>),
    Command(Box<Args>),
}

/// Takes a line apart. The inner error is what clap says, which may be help.
pub(super) fn parse(text: &str) -> Result<Result<Line, clap::Error>> {
    let Some(mut words) = shlex::split(text) else {
        return Err(usage("a quotation mark has no partner"));
    };
    // As it stands in the documentation, and so in what people paste.
    if words.first().is_some_and(|word| word == "afterimage") {
        words.remove(0);
    }
    let Some((first, rest)) = words.split_first() else { return Ok(Ok(Line::Nothing)) };
    match (first.as_str(), rest) {
        ("exit" | "quit", []) => return Ok(Ok(Line::Leave)),
        ("help", []) => return Ok(Ok(Line::Help)),
        ("at", []) => return Ok(Ok(Line::At(None))),
        // Several words are one moment: `at 2 hours ago`.
        ("at", rest) => return Ok(Ok(Line::At(Some(rest.join(" "))))),
        _ => {}
    }
    let matches = match command().try_get_matches_from(&words) {
        Ok(matches) => matches,
        Err(error) => return Ok(Err(error)),
    };
    if matches.value_source("store") == Some(ValueSource::CommandLine) {
        return Err(usage("the shell reads the store that it was opened with; leave --store out"));
    }
    let args = match Args::from_arg_matches(&matches) {
        Ok(args) => args,
        Err(error) => return Ok(Err(error)),
    };
    Ok(Ok(Line::Command(Box::new(args))))
}

/// The command line, whose first word is the command.
pub(super) fn command() -> clap::Command {
    Args::command().no_binary_name(true)
}

/// What a command is to a shell that only reads.
enum Role<'a> {
    /// It reads at the moment that it names here.
    At(&'a mut Option<String>),
    /// It compares the ends of this range.
    Range(&'a mut String),
    /// It names its moments, or has none.
    Whole,
    /// It does not belong here.
    Refused(&'static str, &'static str),
}

const WRITES: &str = "writes, and the shell only reads";
const APART: &str = "is no command of the shell";

fn role(command: &mut Command) -> Role<'_> {
    match command {
        Command::Get(args) => Role::At(&mut args.reading.as_of),
        Command::Scan(args) => Role::At(&mut args.reading.as_of),
        Command::Collections(args) => Role::At(&mut args.reading.as_of),
        Command::Blame(args) => Role::At(&mut args.reading.as_of),
        Command::Export(args) => Role::At(&mut args.reading.as_of),
        Command::Log(args) if args.follow => Role::Refused("log --follow", "does not end"),
        Command::Log(args) => Role::At(&mut args.choice.until),
        Command::Search(args) => Role::At(&mut args.choice.until),
        Command::Diff(args) => Role::Range(&mut args.range),
        Command::Verify(args) if args.incremental => Role::Refused("verify --incremental", WRITES),
        // A plan is looked at with the store as it is: it is that which would be changed.
        Command::Undo(args) if args.plan.signed.dry_run => Role::Whole,
        Command::Restore(args) if args.plan.signed.dry_run => Role::Whole,
        Command::Show(_)
        | Command::Bisect(_)
        | Command::Point(PointCommand::List(_))
        | Command::Status(_)
        | Command::Stats(_)
        | Command::Verify(_)
        | Command::Explain(_)
        | Command::Version => Role::Whole,
        Command::Init(_) => Role::Refused("init", WRITES),
        Command::Put(_) => Role::Refused("put", WRITES),
        Command::Delete(_) => Role::Refused("delete", WRITES),
        Command::Point(PointCommand::Create { .. }) => Role::Refused("point create", WRITES),
        Command::Point(PointCommand::Annotate(_)) => Role::Refused("point annotate", WRITES),
        Command::Point(PointCommand::Protect { .. }) => Role::Refused("point protect", WRITES),
        Command::Point(PointCommand::Unprotect { .. }) => Role::Refused("point unprotect", WRITES),
        Command::Point(PointCommand::Delete { .. }) => Role::Refused("point delete", WRITES),
        Command::Undo(_) => Role::Refused("undo without --dry-run", WRITES),
        Command::Restore(_) => Role::Refused("restore without --dry-run", WRITES),
        Command::Import(_) => Role::Refused("import", WRITES),
        Command::Compact(_) => Role::Refused("compact", WRITES),
        Command::Repair(_) => Role::Refused("repair", WRITES),
        Command::Checkpoint(_) => Role::Refused("checkpoint", WRITES),
        Command::Doctor(_) => Role::Refused("doctor", APART),
        Command::Shell(_) => Role::Refused("shell", APART),
        Command::Demo(_) => Role::Refused("demo", APART),
        Command::Bench(_) => Role::Refused("bench", APART),
        Command::Completions(_) => Role::Refused("completions", APART),
        Command::Man(_) => Role::Refused("man", APART),
    }
}

/// Has a command read at this moment, unless it names another; refuses what does not only read.
pub(super) fn prepare(command: &mut Command, moment: Option<Lsn>) -> Result<()> {
    match (role(command), moment) {
        (Role::Refused(name, why), _) => {
            Err(usage(format!("`{name}` {why}; run `afterimage {name}` outside the shell")))
        }
        (Role::At(rev), Some(lsn)) => {
            rev.get_or_insert_with(|| lsn.to_string());
            Ok(())
        }
        // An end that is missing is the moment, as it would be the newest.
        (Role::Range(range), Some(lsn)) if range.trim_end().ends_with("..") => {
            *range = format!("{}{lsn}", range.trim_end());
            Ok(())
        }
        (Role::At(_) | Role::Range(_) | Role::Whole, _) => Ok(()),
    }
}

/// The commands that completion offers.
pub(super) const OFFERED: [&str; 18] = [
    "bisect",
    "blame",
    "collections",
    "diff",
    "explain",
    "export",
    "get",
    "log",
    "point",
    "restore",
    "scan",
    "search",
    "show",
    "stats",
    "status",
    "undo",
    "verify",
    "version",
];
