//! The rules of `docs/style.md` that a program can check. A failure names file, line and rule.

#![expect(clippy::expect_used, reason = "a rule that can't be checked fails")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Modules of the library and their layers. A module imports only from lower layers; modules of the
/// same layer do not know each other, except those of layer 0, which are plain data.
const LAYERS: [(&str, u8); 18] = [
    ("error", 0),
    ("lsn", 0),
    ("time", 0),
    ("json", 1),
    ("format", 1),
    ("filter", 2),
    ("sys", 2),
    ("journal", 3),
    ("state", 3),
    ("store", 4),
    ("projection", 5),
    ("exchange", 6),
    ("history", 6),
    ("verify", 6),
    ("folding", 7),
    ("recovery", 7),
    ("backup", 8),
    ("testing", 9),
];

const CODE_LINES_MAX: usize = 500;
const FUNCTION_LINES_MAX: usize = 70;
const COLUMNS_MAX: usize = 100;
const UNSAFE_FILE: &str = "src/sys/mmap.rs";
const UNSAFE_LINES_MAX: usize = 300;

/// Words that must not stand in the sources, with the reason.
const BANNED: [(&str, &str); 9] = [
    ("TODO", "finish it or file it"),
    ("FIXME", "fix it"),
    ("XXX", "say it in a sentence"),
    ("todo!(", "finish it"),
    ("unimplemented!(", "finish it"),
    ("_inner(", "name the step"),
    ("_helper(", "name the step"),
    ("#[allow(", "use #[expect(…, reason = …)]"),
    ("#[ignore", "slow tests run by environment variable"),
];

/// Who may touch files: the one place in the library, and the one in the binary.
const FILE_ACCESS: [&str; 5] =
    ["std::fs", "std::os::unix::fs", "memmap2::", "rustix::", "OpenOptions"];

#[derive(Clone)]
struct Source {
    path: String,
    text: String,
}

fn files(directory: &str, ending: &str) -> Vec<Source> {
    let mut found = Vec::new();
    let mut open = vec![PathBuf::from(directory)];
    while let Some(path) = open.pop() {
        if path.is_dir() {
            let entries = fs::read_dir(&path).expect("a readable directory");
            open.extend(entries.map(|entry| entry.expect("an entry").path()));
        } else if path.to_string_lossy().ends_with(ending) {
            let text = fs::read_to_string(&path).expect("a readable file");
            found.push(Source { path: path.to_string_lossy().into_owned(), text });
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(!found.is_empty(), "{directory} holds no {ending}");
    found
}

fn file(path: &str) -> Source {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"));
    Source { path: path.to_owned(), text }
}

fn report(wrong: &[String]) {
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

fn is_test(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.starts_with("tests/")
}

/// The code of a line, without a comment behind it.
fn code(line: &str) -> &str {
    line.split("//").next().unwrap_or(line).trim()
}

/// The module of the library that a file belongs to.
fn module(path: &str) -> Option<&str> {
    let rest = path.strip_prefix("src/")?;
    let name = rest.split('/').next()?.trim_end_matches(".rs");
    (name != "lib" && name != "bin").then_some(name)
}

fn layer(module: &str) -> Option<u8> {
    LAYERS.iter().find(|(name, _)| *name == module).map(|(_, layer)| *layer)
}

fn wrong_imports(source: &Source) -> Vec<String> {
    let Some(own) = module(&source.path) else { return Vec::new() };
    let Some(own_layer) = layer(own) else {
        return vec![format!("{}: `{own}` has no layer in tests/tidy.rs", source.path)];
    };
    let mut wrong = Vec::new();
    for (number, line) in (1..).zip(source.text.lines()) {
        for part in code(line).split("crate::").skip(1) {
            let name: String =
                part.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect();
            let Some(other) = layer(&name) else { continue };
            let allowed = name == own || other < own_layer || (other == 0 && own_layer == 0);
            if !allowed && !is_test(&source.path) {
                wrong.push(format!(
                    "{}:{number}: `{own}` (layer {own_layer}) imports `{name}` (layer {other})",
                    source.path
                ));
            }
        }
    }
    wrong
}

#[test]
fn modules_import_from_lower_layers_only() {
    let library: Vec<_> = files("src", ".rs");
    report(&library.iter().flat_map(wrong_imports).collect::<Vec<_>>());
    let bad = Source {
        path: "src/state/mod.rs".into(),
        text: "use crate::journal::Journal;\nuse crate::lsn::Lsn;\n".into(),
    };
    assert_eq!(wrong_imports(&bad).len(), 1);
}

#[test]
fn the_binary_uses_the_public_api_only() {
    for source in files("src/bin", ".rs") {
        assert!(!source.text.contains("#[path"), "{} reaches into the library", source.path);
    }
}

fn code_lines(text: &str) -> usize {
    let is_code = |line: &&str| {
        let line = line.trim();
        !line.is_empty() && !line.starts_with("//")
    };
    text.lines().filter(is_code).count()
}

/// The table of codes is prose in columns; `cargo fmt` leaves it alone too.
const TABLE_OF_CODES: &str = "src/error/codes.rs";

fn long_lines(source: &Source) -> Vec<String> {
    if source.path == TABLE_OF_CODES {
        return Vec::new();
    }
    (1..)
        .zip(source.text.lines())
        .filter(|(_, line)| line.chars().count() > COLUMNS_MAX)
        .map(|(number, _)| format!("{}:{number}: longer than {COLUMNS_MAX}", source.path))
        .collect()
}

fn long_functions(source: &Source) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut open: Option<(usize, usize, String)> = None;
    for (number, line) in (1..).zip(source.text.lines()) {
        let indent = line.len() - line.trim_start().len();
        let start = line.trim_start();
        let begins = ["fn ", "pub fn ", "pub(crate) fn ", "pub(super) fn ", "const fn "]
            .iter()
            .any(|word| start.starts_with(word))
            || start.contains(" fn ") && start.ends_with('{') && !start.starts_with("//");
        match &open {
            Some((began, depth, name)) if indent == *depth && start.starts_with('}') => {
                if number - began + 1 > FUNCTION_LINES_MAX {
                    wrong.push(format!(
                        "{}:{began}: {} lines in {name}",
                        source.path,
                        number - began + 1
                    ));
                }
                open = None;
            }
            None if begins => open = Some((number, indent, start.chars().take(40).collect())),
            _ => {}
        }
    }
    wrong
}

#[test]
fn files_functions_and_lines_are_short() {
    let mut wrong = Vec::new();
    for source in files("src", ".rs").iter().chain(&files("tests", ".rs")) {
        let lines = code_lines(&source.text);
        if lines > CODE_LINES_MAX && !is_test(&source.path) {
            wrong.push(format!("{}: {lines} lines of code", source.path));
        }
        wrong.extend(long_lines(source));
        wrong.extend(long_functions(source));
    }
    report(&wrong);
    let body = "    let x = 1;\n".repeat(FUNCTION_LINES_MAX);
    let bad = Source { path: "x".into(), text: format!("fn long() {{\n{body}}}\n") };
    assert_eq!(long_functions(&bad).len(), 1);
}

fn unsafe_words(source: &Source) -> usize {
    source.text.lines().filter(|line| code(line).contains("unsafe {")).count()
}

#[test]
fn unsafe_stands_in_one_file_and_each_block_is_accounted_for() {
    let mut wrong = Vec::new();
    for source in files("src", ".rs").iter().chain(&files("tests", ".rs")) {
        if source.path != UNSAFE_FILE && source.path != "tests/tidy.rs" && unsafe_words(source) > 0
        {
            wrong.push(format!("{}: unsafe outside {UNSAFE_FILE}", source.path));
        }
    }
    let source = file(UNSAFE_FILE);
    assert!(code_lines(&source.text) <= UNSAFE_LINES_MAX, "{UNSAFE_FILE} is too long");
    let document = file("docs/unsafe.md").text;
    let tags: Vec<&str> =
        source.text.split("SAFETY: [").skip(1).filter_map(|rest| rest.split(']').next()).collect();
    assert_eq!(tags.len(), unsafe_words(&source), "each block has a tag in its SAFETY comment");
    for tag in tags {
        if !document.contains(&format!("| {tag} |")) {
            wrong.push(format!("docs/unsafe.md has no row for {tag}"));
        }
    }
    report(&wrong);
}

#[test]
fn files_are_touched_in_one_place() {
    let mut wrong = Vec::new();
    for source in files("src", ".rs") {
        let allowed = source.path.starts_with("src/sys/")
            || source.path == "src/bin/afterimage/files.rs"
            || is_test(&source.path);
        for (number, line) in (1..).zip(source.text.lines()) {
            if !allowed && FILE_ACCESS.iter().any(|word| code(line).contains(word)) {
                wrong.push(format!("{}:{number}: file access outside sys", source.path));
            }
        }
    }
    report(&wrong);
}

fn banned_words(source: &Source) -> Vec<String> {
    let mut wrong = Vec::new();
    for (number, line) in (1..).zip(source.text.lines()) {
        for (word, instead) in BANNED {
            // `into_inner` is the standard library's; what we name ourselves is after `fn`.
            let named = !word.starts_with('_') || line.contains("fn ");
            if line.contains(word) && named {
                wrong.push(format!("{}:{number}: `{word}`: {instead}", source.path));
            }
        }
    }
    wrong
}

#[test]
fn banned_words_do_not_occur() {
    let mut wrong = Vec::new();
    for directory in ["src", "tests", "benches", "examples", "fuzz/fuzz_targets"] {
        for source in files(directory, ".rs") {
            if source.path != "tests/tidy.rs" {
                wrong.extend(banned_words(&source));
            }
        }
    }
    report(&wrong);
    let bad = Source { path: "x".into(), text: "// TODO later\n".into() };
    assert_eq!(banned_words(&bad).len(), 1);
}

fn unwraps(source: &Source) -> Vec<String> {
    (1..)
        .zip(source.text.lines())
        .filter(|(_, line)| code(line).contains(".unwrap()"))
        .map(|(number, _)| format!("{}:{number}: .unwrap() outside tests", source.path))
        .collect()
}

#[test]
fn nothing_is_unwrapped_outside_tests() {
    let sources = files("src", ".rs").into_iter().filter(|source| !is_test(&source.path));
    report(&sources.flat_map(|source| unwraps(&source)).collect::<Vec<_>>());
}

/// The ids of the codes with their titles, in the order in which they are declared.
fn codes(source: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for part in source.split("Code { id: \"").skip(1) {
        let id = part.split('"').next().unwrap_or_default();
        let title = part.split('"').nth(2).unwrap_or_default();
        if id.starts_with("AF") {
            found.push((id.to_owned(), title.to_owned()));
        }
    }
    found
}

#[test]
fn error_codes_are_unique_ascending_and_documented() {
    let codes = codes(&file("src/error/codes.rs").text);
    assert!(codes.len() > 40, "the table of codes is found");
    assert!(codes.is_sorted_by(|(a, _), (b, _)| a < b), "ids are unique and ascending");
    let document = file("docs/errors.md").text;
    let mut wrong = Vec::new();
    for (id, title) in &codes {
        if !document.contains(&format!("| {id} |")) || !document.contains(title.as_str()) {
            wrong.push(format!("docs/errors.md lacks {id}: {title}"));
        }
    }
    let known: BTreeSet<&str> = codes.iter().map(|(id, _)| id.as_str()).collect();
    for source in files("docs", ".md").iter().chain([&file("README.md")]) {
        for word in source.text.split(|c: char| !c.is_ascii_alphanumeric()) {
            let is_code = word.len() == 6
                && word.starts_with("AF")
                && word.chars().skip(2).all(|c| c.is_ascii_digit());
            if is_code && !known.contains(word) {
                wrong.push(format!("{}: there is no code {word}", source.path));
            }
        }
    }
    report(&wrong);
}

/// The numeric constants of a source file.
fn constants(source: &str) -> BTreeMap<String, u64> {
    let mut found = BTreeMap::new();
    for line in source.lines() {
        let Some((_, rest)) = line.split_once("const ") else { continue };
        let Some((name, rest)) = rest.split_once(':') else { continue };
        let Some((_, value)) = rest.split_once('=') else { continue };
        let value = value.trim().trim_end_matches(';').replace('_', "");
        if let Ok(value) = value.parse() {
            found.insert(name.trim().to_owned(), value);
        }
    }
    found
}

/// Rows of the tables of a document that follow a `<!-- constants: FILE -->`: constant and offset.
fn table_rows(document: &str) -> Vec<(String, String, u64)> {
    let mut rows = Vec::new();
    let mut of = String::new();
    for line in document.lines() {
        if let Some(rest) = line.trim().strip_prefix("<!-- constants: ") {
            rest.trim_end_matches("-->").trim().clone_into(&mut of);
        } else if line.starts_with('#') {
            of.clear();
        }
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        if let (false, [_, offset, _, constant, ..]) = (of.is_empty(), &cells[..])
            && let Ok(offset) = offset.parse()
        {
            rows.push((of.clone(), constant.trim_matches('`').to_owned(), offset));
        }
    }
    rows
}

fn wrong_rows(document: &str, read: impl Fn(&str) -> String) -> Vec<String> {
    let mut wrong = Vec::new();
    for (path, constant, offset) in table_rows(document) {
        match constants(&read(&path)).get(&constant) {
            Some(value) if *value == offset => {}
            Some(value) => wrong.push(format!("format.md: {constant} is {value}, not {offset}")),
            None => wrong.push(format!("format.md: {path} has no constant {constant}")),
        }
    }
    wrong
}

#[test]
fn the_tables_of_the_format_equal_the_constants() {
    let document = file("docs/format.md").text;
    assert!(table_rows(&document).len() > 40, "the tables are found");
    report(&wrong_rows(&document, |path| file(path).text));
    let document = file("docs/format-repository.md").text;
    assert_eq!(table_rows(&document).len(), 8, "the table is found");
    report(&wrong_rows(&document, |path| file(path).text));
    let bad = "<!-- constants: f -->\n| 4 | u32 | `CRC` | x |\n";
    assert_eq!(wrong_rows(bad, |_| "const CRC: usize = 8;".into()).len(), 1);
    assert_eq!(wrong_rows(bad, |_| "const CRC: usize = 4;".into()).len(), 0);
}

#[test]
fn links_in_documents_lead_somewhere() {
    let mut wrong = Vec::new();
    let top = ["README.md", "ARCHITECTURE.md", "CHANGELOG.md"].map(file);
    for source in files("docs", ".md").iter().chain(&top) {
        let base = Path::new(&source.path).parent().unwrap_or(Path::new(""));
        for part in source.text.split("](").skip(1) {
            let target = part.split(')').next().unwrap_or_default();
            let target = target.split('#').next().unwrap_or_default();
            if target.is_empty() || target.contains("://") {
                continue;
            }
            if !base.join(target).exists() {
                wrong.push(format!("{}: {target} does not exist", source.path));
            }
        }
    }
    report(&wrong);
}

/// The lines on which something other than ASCII stands in code: not in a comment or a string.
fn foreign_lines(text: &str) -> Vec<usize> {
    let mut wrong = Vec::new();
    let (mut number, mut in_string, mut in_comment) = (1, false, false);
    let mut chars = text.chars().peekable();
    let mut before = ' ';
    while let Some(c) = chars.next() {
        match c {
            '\n' => {
                number += 1;
                in_comment = false;
            }
            '\\' if in_string => {
                chars.next();
            }
            // A quote in a character literal opens no string.
            '"' if !(in_comment || before == '\'' && chars.peek() == Some(&'\'')) => {
                in_string = !in_string;
            }
            '/' if !in_string && chars.peek() == Some(&'/') => in_comment = true,
            _ if !c.is_ascii() && !in_string && !in_comment => wrong.push(number),
            _ => {}
        }
        before = c;
    }
    wrong
}

#[test]
fn sources_are_ascii_outside_strings_and_comments() {
    let mut wrong = Vec::new();
    for source in files("src", ".rs").iter().filter(|source| !is_test(&source.path)) {
        // Raw strings with quotes in them are beyond this scanner; they stand in examples only.
        for number in foreign_lines(&source.text) {
            wrong.push(format!("{}:{number}: not ASCII", source.path));
        }
    }
    report(&wrong);
    assert_eq!(foreign_lines("let a = 1; // \u{fc}\nlet \u{fc} = \"\u{fc}\";\n"), [2]);
}
