//! A page, taken apart into its commands and everything else.

/// What a page begins a transcript with.
const BEGIN: &str = "```console";
const END: &str = "```";
const PROMPT: &str = "$ ";
/// The shell's prompt for what goes on.
const MORE: &str = "> ";

/// A piece of a page.
#[derive(Debug, PartialEq)]
pub(crate) enum Piece {
    /// A line that is no part of a transcript.
    Line(String),
    Command(Shown),
}

/// A command with its output.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Shown {
    /// Where it stands, counted from 1.
    pub(crate) line: usize,
    /// What is typed, line by line, without prompts.
    pub(crate) typed: Vec<String>,
    pub(crate) output: Vec<String>,
}

/// Takes a page apart; the error names the line.
pub(crate) fn parse(text: &str) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut inside = false;
    for (number, line) in (1..).zip(text.lines()) {
        if !inside || line == END {
            inside = line == BEGIN;
            pieces.push(Piece::Line(line.to_owned()));
        } else if let Some(typed) = line.strip_prefix(PROMPT) {
            let typed = vec![typed.to_owned()];
            pieces.push(Piece::Command(Shown { line: number, typed, output: Vec::new() }));
        } else if let Some(Piece::Command(command)) = pieces.last_mut() {
            match line.strip_prefix(MORE).or_else(|| (line == ">").then_some("")) {
                Some(more) if command.output.is_empty() => command.typed.push(more.to_owned()),
                _ => command.output.push(line.to_owned()),
            }
        } else {
            return Err(format!("{number}: a transcript begins with a command, `$ …`"));
        }
    }
    if inside { Err("a transcript does not end".to_owned()) } else { Ok(pieces) }
}

/// Puts a page together again.
pub(crate) fn write(pieces: &[Piece]) -> String {
    let mut text = String::new();
    let mut line = |prompt: &str, line: &str| {
        text.push_str(format!("{prompt}{line}").trim_end());
        text.push('\n');
    };
    for piece in pieces {
        match piece {
            Piece::Line(text) => line("", text),
            Piece::Command(shown) => {
                for (index, typed) in shown.typed.iter().enumerate() {
                    line(if index == 0 { PROMPT } else { MORE }, typed);
                }
                shown.output.iter().for_each(|output| line("", output));
            }
        }
    }
    text
}

#[test]
fn a_page_is_put_together_as_it_was() {
    let page =
        "# x\n\n```console\n$ cat <<END\n> a\n>\n> END\na\n\n$ true\n```\n\n```sh\n$ no\n```\n";
    let pieces = parse(page).expect("a page");
    assert_eq!(write(&pieces), page);
    let commands: Vec<_> = pieces
        .iter()
        .filter_map(|piece| match piece {
            Piece::Command(shown) => Some((shown.line, shown.typed.len(), shown.output.len())),
            Piece::Line(_) => None,
        })
        .collect();
    assert_eq!(commands, [(4, 4, 2), (10, 1, 0)]);
    parse("```console\noutput\n```\n").expect_err("no command");
    parse("```console\n$ true\n").expect_err("no end");
}
