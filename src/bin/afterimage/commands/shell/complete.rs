//! How a line may go on: commands, flags, collections, keys, restore points.

use afterimage::{KeyRange, Result, code};

use super::Session;
use super::line::{OFFERED, command};
use crate::address::{parse_key, show_key};

/// So many keys are offered.
const KEYS_MAX: usize = 100;

/// Options that name a moment.
const MOMENTS: [&str; 6] = ["--as-of", "--since", "--until", "--to", "--good", "--bad"];

/// What stands before the name of a restore point.
const POINT: &str = "point:";

/// How the last word of what was typed may go on, and where that word begins.
pub(super) fn complete(session: &Session, typed: &str) -> (usize, Vec<String>) {
    let start = last_word(typed);
    let (before, word) = (typed.get(..start), typed.get(start..));
    let word = word.unwrap_or_default().trim_start_matches(['"', '\'']);
    let mut before = shlex::split(before.unwrap_or_default()).unwrap_or_default();
    if before.first().is_some_and(|first| first == "afterimage") {
        before.remove(0);
    }
    // What can't be read is not offered; the command itself will say why.
    let mut found = candidates(session, &before, word).unwrap_or_default();
    found.retain(|candidate| candidate.starts_with(word));
    found.sort();
    found.dedup();
    let quoted = |word: &String| shlex::try_quote(word).ok().map(std::borrow::Cow::into_owned);
    (start, found.iter().filter_map(quoted).collect())
}

/// Where the last word begins: behind the last white space that is not quoted.
fn last_word(typed: &str) -> usize {
    let (mut start, mut quote, mut escaped) = (0, None, false);
    for (at, c) in typed.char_indices() {
        match (c, quote) {
            _ if escaped => escaped = false,
            ('\\', None | Some('"')) => escaped = true,
            ('"' | '\'', None) => quote = Some(c),
            (c, Some(open)) if c == open => quote = None,
            (c, None) if c.is_whitespace() => start = at + c.len_utf8(),
            _ => {}
        }
    }
    start
}

fn candidates(session: &Session, before: &[String], word: &str) -> Result<Vec<String>> {
    let own = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let Some(name) = before.first() else {
        return Ok([own(&OFFERED), own(&["at", "exit", "help", "quit"])].concat());
    };
    if word.starts_with('-') {
        return Ok(flags(before));
    }
    let last = before.last().map(String::as_str).unwrap_or_default();
    // What a field changed to is no moment.
    let is_moment = MOMENTS.contains(&last) && name != "search";
    if word.contains(POINT) || is_moment {
        return moments(session, word);
    }
    match name.as_str() {
        "search" if ["--to", "--from"].contains(&last) => Ok(Vec::new()),
        "help" => Ok(own(&OFFERED)),
        "point" if before.len() == 1 => Ok(own(&["list"])),
        "explain" => Ok(code::ALL.iter().map(|code| code.id.to_owned()).collect()),
        "at" | "show" | "undo" => moments(session, word),
        "diff" if before.len() == 1 => moments(session, word),
        "scan" => collections(session, ""),
        _ if last == "--collection" => collections(session, ""),
        "get" | "blame" | "log" | "diff" | "search" => match word.split_once('/') {
            Some((collection, key)) => keys(session, collection, key),
            None if name == "get" || name == "blame" => collections(session, "/"),
            None => collections(session, ""),
        },
        _ => Ok(Vec::new()),
    }
}

/// The flags of a command, those of all commands included; not the one that names a store.
fn flags(before: &[String]) -> Vec<String> {
    let mut root = command();
    root.build();
    let mut of = &root;
    for word in before {
        of = of.find_subcommand(word).unwrap_or(of);
    }
    let shown = of.get_arguments().filter(|flag| !flag.is_hide_set() && flag.get_id() != "store");
    shown.filter_map(|flag| Some(format!("--{}", flag.get_long()?))).collect()
}

/// The newest, and the restore points, behind whatever stands before the last one of the word.
fn moments(session: &Session, word: &str) -> Result<Vec<String>> {
    let before = match (word.rfind(POINT), word.rfind("..")) {
        (Some(at), _) => word.get(..at),
        (None, Some(at)) => word.get(..at + 2),
        (None, None) => None,
    };
    let before = before.unwrap_or_default();
    let points = session.store().points()?;
    let points = points.iter().map(|point| format!("{before}{POINT}{}", point.name));
    Ok(points.chain([format!("{before}HEAD")]).collect())
}

fn collections(session: &Session, end: &str) -> Result<Vec<String>> {
    let found = session.snapshot()?.collections()?;
    let found = found.iter().filter(|info| !info.is_system());
    Ok(found.map(|info| format!("{}{end}", info.name)).collect())
}

/// The first keys of a collection that begin so.
fn keys(session: &Session, collection: &str, begin: &str) -> Result<Vec<String>> {
    let snapshot = session.snapshot()?;
    let range = KeyRange::prefix(&parse_key(begin)?);
    let found = snapshot.scan(collection, range)?.take(KEYS_MAX);
    found.map(|record| Ok(format!("{collection}/{}", show_key(record?.key())))).collect()
}
