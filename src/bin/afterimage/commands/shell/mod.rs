//! `shell`: the commands that read, one after the other, over a store that stays open.
//!
//! A line is parsed by the very definitions of the command line ([`line`]) and run by the very
//! functions. At a terminal it is edited by [`editor`], which knows how to [`complete`] it.

mod complete;
mod editor;
mod line;
#[cfg(test)]
mod tests;

use std::io::IsTerminal as _;

use afterimage::{Lsn, Result, Snapshot, Store};

use super::{DONE, FAILED, run_in};
use crate::args::{Globals, ShellArgs};
use crate::context::{Context, Held};
use crate::failure::{self, reader_left, usage};
use crate::files;
use crate::render::safe;
use editor::{Editor, Typed};
use line::Line;

/// A line of standard input may have this many bytes.
const LINE_BYTES_MAX: u64 = 1 << 20;

const HELP: &str = "\
at [REV]     read at this moment from now on; `at HEAD` follows what is committed
help [NAME]  show this, or how to use a command
exit, quit   leave; so does the end of the input

get COLLECTION/KEY            scan COLLECTION [--prefix P]  collections
log [COLLECTION[/KEY]] [-p]   show REV                      diff A..B [COLLECTION[/KEY]]
search COLLECTION --field F   bisect --good A --bad B ...   blame COLLECTION/KEY
undo LSN --dry-run            restore --to REV --dry-run    point list
status                        stats                         verify
export                        explain [CODE]                version

The shell only reads. Words are split and quoted as in a shell; # begins a comment.";

/// What the commands of a shell share.
pub(super) struct Session {
    globals: Globals,
    held: Held,
    moment: Moment,
}

/// The moment at which commands read that name none.
enum Moment {
    /// The newest, also of what is committed meanwhile.
    Head,
    /// This one, as it was asked for.
    At(Lsn, String),
}

impl Moment {
    const fn lsn(&self) -> Option<Lsn> {
        match self {
            Self::Head => None,
            Self::At(lsn, _) => Some(*lsn),
        }
    }
}

/// Whether the shell goes on.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    Go(u8),
    Leave,
}

pub(super) fn run(context: &mut Context, args: &ShellArgs) -> Result<u8> {
    let store = context.reader(args.salvage)?;
    let held = Held { store, salvage: args.salvage };
    let session = Session { globals: context.globals.clone(), held, moment: Moment::Head };
    if std::io::stdin().is_terminal() { by_hand(session) } else { by_script(session) }
}

/// At a terminal. What failed was seen, so that it does not count for the exit code.
fn by_hand(session: Session) -> Result<u8> {
    let mut editor = Editor::open(session)?;
    loop {
        match editor.read()? {
            Typed::Line(line) => {
                if editor.session().answer(line.into_bytes())? == Next::Leave {
                    return Ok(DONE);
                }
            }
            Typed::Nothing => {}
            Typed::End => return Ok(DONE),
        }
    }
}

/// From standard input, line by line. A line that fails does not end it, but is remembered.
fn by_script(mut session: Session) -> Result<u8> {
    let mut exit = DONE;
    loop {
        let Some(line) = files::input_line(LINE_BYTES_MAX)? else { return Ok(exit) };
        match session.answer(line)? {
            Next::Go(DONE) => {}
            Next::Go(_) => exit = FAILED,
            Next::Leave => return Ok(exit),
        }
    }
}

impl Session {
    /// Answers one line. An error is told; only one after which nobody reads on is returned.
    fn answer(&mut self, line: Vec<u8>) -> Result<Next> {
        let text = String::from_utf8(line).map_err(|_| usage("the line is not UTF-8"));
        match text.and_then(|text| self.carry_out(&text)) {
            Err(error) if reader_left(&error) => Err(error),
            Err(error) => {
                failure::report(&error, &self.globals);
                Ok(Next::Go(FAILED))
            }
            Ok(next) => Ok(next),
        }
    }

    fn carry_out(&mut self, line: &str) -> Result<Next> {
        let line = match line::parse(line)? {
            Ok(line) => line,
            Err(error) => {
                let json = self.globals.json || line.contains("--json");
                failure::of_arguments(&error, json);
                return Ok(Next::Go(if error.use_stderr() { FAILED } else { DONE }));
            }
        };
        match line {
            Line::Nothing => Ok(Next::Go(DONE)),
            Line::Leave => Ok(Next::Leave),
            Line::Help => self.say(HELP),
            Line::At(None) => self.say(&self.place()),
            Line::At(Some(rev)) => {
                self.go_to(&rev)?;
                Ok(Next::Go(DONE))
            }
            Line::Command(mut args) => {
                line::prepare(&mut args.command, self.moment.lsn())?;
                self.refresh()?;
                let globals = self.globals.with(&args.globals);
                let context = Context::with_store(globals, self.held.clone());
                run_in(context, &args.command).map(Next::Go)
            }
        }
    }

    fn say(&self, text: &str) -> Result<Next> {
        let mut context = Context::new(self.globals.clone());
        context.out.line(text)?;
        context.out.flush()?;
        Ok(Next::Go(DONE))
    }

    fn go_to(&mut self, rev: &str) -> Result<()> {
        self.store().refresh()?;
        self.moment = match rev {
            "HEAD" => Moment::Head,
            rev => Moment::At(self.store().resolve(rev)?, rev.to_owned()),
        };
        Ok(())
    }

    /// Takes in what was committed meanwhile. What is wrong there does not matter to a moment that
    /// stands.
    fn refresh(&self) -> Result<()> {
        let refreshed = self.store().refresh();
        if self.moment.lsn().is_some() { Ok(()) } else { refreshed.map(drop) }
    }

    /// The moment, and where it is.
    fn place(&self) -> String {
        match &self.moment {
            Moment::Head => format!("HEAD (LSN {})", self.held.store.head()),
            Moment::At(lsn, rev) if lsn.to_string() == *rev => format!("LSN {lsn}"),
            Moment::At(lsn, rev) => format!("{} (LSN {lsn})", safe(rev)),
        }
    }

    fn prompt(&self) -> String {
        // If that fails, the next command says so.
        drop(self.refresh());
        let name = self.store().path().file_name().unwrap_or_default();
        format!("{} @ {}> ", safe(&name.to_string_lossy()), self.place())
    }

    fn store(&self) -> &Store {
        &self.held.store
    }

    /// The store at the moment, for what completion offers.
    fn snapshot(&self) -> Result<Snapshot> {
        match self.moment.lsn() {
            None => Ok(self.store().snapshot()),
            Some(lsn) => self.store().snapshot_at(lsn),
        }
    }
}

impl Globals {
    /// The flags of a line on top of those with which the shell was started.
    fn with(&self, line: &Self) -> Self {
        use crate::args::When;
        let either = |line, own| if line == When::Auto { own } else { line };
        Self {
            store: self.store.clone(),
            json: self.json || line.json,
            quiet: self.quiet || line.quiet,
            verbose: self.verbose || line.verbose,
            color: either(line.color, self.color),
            progress: either(line.progress, self.progress),
            yes: self.yes || line.yes,
        }
    }
}
