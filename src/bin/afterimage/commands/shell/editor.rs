//! Lines typed at a terminal.

use std::cell::{RefCell, RefMut};
use std::path::PathBuf;
use std::rc::Rc;

use afterimage::{Error, Result, code};
use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::DefaultHistory;
use rustyline::validate::Validator;
use rustyline::{CompletionType, Config};

use super::{Session, complete};
use crate::files;

/// So many lines are remembered.
const HISTORY_LINES_MAX: usize = 10_000;

/// What was typed.
pub(super) enum Typed {
    Line(String),
    /// Given up by Ctrl-C.
    Nothing,
    /// Ctrl-D.
    End,
}

pub(super) struct Editor {
    lines: rustyline::Editor<Completion, DefaultHistory>,
    session: Rc<RefCell<Session>>,
    history: Option<PathBuf>,
}

impl Editor {
    pub(super) fn open(session: Session) -> Result<Self> {
        let config = Config::builder().max_history_size(HISTORY_LINES_MAX);
        let config = config.and_then(|config| config.history_ignore_dups(true)).map_err(failed)?;
        let config = config.completion_type(CompletionType::List).build();
        let mut lines = rustyline::Editor::with_config(config).map_err(failed)?;
        let history = files::state_file("history", session.store().path());
        if let Some(path) = &history {
            // The first time there is none.
            drop(lines.load_history(path));
        }
        let session = Rc::new(RefCell::new(session));
        lines.set_helper(Some(Completion { session: Rc::clone(&session) }));
        Ok(Self { lines, session, history })
    }

    pub(super) fn session(&self) -> RefMut<'_, Session> {
        self.session.borrow_mut()
    }

    pub(super) fn read(&mut self) -> Result<Typed> {
        let prompt = self.session.borrow().prompt();
        match self.lines.readline(&prompt) {
            Ok(line) => {
                self.remember(&line);
                Ok(Typed::Line(line))
            }
            Err(ReadlineError::Interrupted) => Ok(Typed::Nothing),
            Err(ReadlineError::Eof) => Ok(Typed::End),
            Err(error) => Err(failed(error)),
        }
    }

    /// At once: a command that is interrupted ends the shell. A history that can't be written is
    /// not worth a word at every line.
    fn remember(&mut self, line: &str) {
        let new = !line.trim().is_empty() && self.lines.add_history_entry(line).unwrap_or(false);
        if let Some(path) = self.history.as_ref().filter(|_| new) {
            drop(self.lines.append_history(path));
        }
    }
}

fn failed(source: ReadlineError) -> Error {
    Error::new(&code::IO, "could not read from the terminal").with_source(source)
}

/// What the tab key offers.
struct Completion {
    session: Rc<RefCell<Session>>,
}

impl Completer for Completion {
    type Candidate = String;

    fn complete(
        &self,
        line: &str,
        pos: usize,
        _: &rustyline::Context<'_>,
    ) -> rustyline::Result<(usize, Vec<String>)> {
        let typed = line.get(..pos).unwrap_or(line);
        Ok(complete::complete(&self.session.borrow(), typed))
    }
}

impl Hinter for Completion {
    type Hint = String;
}

impl Highlighter for Completion {}

impl Validator for Completion {}

impl rustyline::Helper for Completion {}
