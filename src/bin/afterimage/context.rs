//! Opening the store as a command needs it.

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::path::PathBuf;

use afterimage::{Author, Durability, Error, Lsn, Result, Snapshot, Store, code};

use crate::args::{Globals, Reading, Signed};
use crate::failure::usage;
use crate::files;
use crate::output::Output;

/// What every command has.
pub(crate) struct Context {
    pub globals: Globals,
    pub out: Output,
    /// The store, if it is open already; then it is only read.
    held: Option<Held>,
}

/// A store that several commands read, one after the other.
#[derive(Clone)]
pub(crate) struct Held {
    pub store: Store,
    /// Whether it was opened with `--salvage`.
    pub salvage: bool,
}

impl Context {
    pub(crate) fn new(globals: Globals) -> Self {
        let out = Output::new(&globals);
        Self { globals, out, held: None }
    }

    /// The context of a command that reads a store which is open already.
    pub(crate) fn with_store(globals: Globals, held: Held) -> Self {
        Self { held: Some(held), ..Self::new(globals) }
    }

    /// The store's directory.
    pub(crate) fn path(&self) -> Result<PathBuf> {
        self.globals.store.clone().ok_or_else(|| {
            usage("no store is named; give -s DIR, or set the variable AFTERIMAGE_STORE")
        })
    }

    /// Opens the store for reading: no lock, no change, beside a writer too.
    pub(crate) fn reader(&self, salvage: bool) -> Result<Store> {
        if let Some(held) = &self.held {
            return if held.salvage || !salvage {
                Ok(held.store.clone())
            } else {
                Err(usage("the store is open without --salvage; give it when you open it"))
            };
        }
        let store = Store::options().read_only(true).salvage(salvage).open(self.path()?)?;
        self.tell(&store);
        Ok(store)
    }

    /// Opens a store that exists for writing.
    pub(crate) fn writer(&self) -> Result<Store> {
        self.writer_with(Durability::Sync)
    }

    /// Opens a store that exists for writing, with another durability.
    pub(crate) fn writer_with(&self, durability: Durability) -> Result<Store> {
        if self.held.is_some() {
            return Err(usage("the store is open for reading alone"));
        }
        let store = Store::options().create(false).durability(durability).open(self.path()?)?;
        self.tell(&store);
        Ok(store)
    }

    fn tell(&self, store: &Store) {
        for notice in store.notices() {
            self.out.warn(&notice.to_string());
        }
        if self.globals.verbose {
            let path = store.path().display();
            self.out.say(&format!("opened {path}, store {}, at LSN {}", store.id(), store.head()));
        }
    }

    /// The store at the moment that is asked for.
    pub(crate) fn snapshot(&self, reading: &Reading) -> Result<(Store, Snapshot)> {
        let store = self.reader(reading.salvage)?;
        let snapshot = store.snapshot_at(at(&store, reading.as_of.as_deref())?)?;
        Ok((store, snapshot))
    }

    /// What to type to go back to just before a transaction, of all or of what `what` names.
    pub(crate) fn restore_command(&self, lsn: Lsn, what: &[&str]) -> String {
        let mut words = vec![format!("afterimage restore --to {lsn}^")];
        words.extend(what.iter().map(|word| shell_word(word)));
        let known = std::env::var_os("AFTERIMAGE_STORE").map(PathBuf::from);
        if let Some(store) = &self.globals.store
            && known.as_ref() != Some(store)
        {
            words.push(format!("-s {}", shell_word(&store.to_string_lossy())));
        }
        words.join(" ")
    }

    /// Asks before something is removed.
    pub(crate) fn confirm(&self, question: &str) -> Result<bool> {
        if self.globals.yes {
            return Ok(true);
        }
        if !std::io::stdin().is_terminal() {
            let message = format!("there is no terminal to ask: {question}");
            return Err(Error::new(&code::CONFIRMATION_NEEDED, message));
        }
        let asked = write!(anstream::stderr().lock(), "{question} [y/N] ");
        let mut answer = String::new();
        let read = asked.and_then(|()| std::io::stdin().lock().read_line(&mut answer));
        read.map_err(|source| {
            Error::new(&code::IO, "could not read the answer").with_source(source)
        })?;
        Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
    }
}

/// The moment that is asked for; without one, the newest.
pub(crate) fn at(store: &Store, rev: Option<&str>) -> Result<Lsn> {
    rev.map_or(Ok(store.head()), |rev| store.resolve(rev))
}

/// A word so that a shell reads it as it is.
fn shell_word(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@%+=,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

impl Signed {
    /// Who does it: as given, else the system user.
    pub(crate) fn author(&self) -> Author {
        let named = || {
            ["USER", "LOGNAME"]
                .into_iter()
                .find_map(|name| std::env::var(name).ok().filter(|user| !user.is_empty()))
        };
        // A service has often none of these variables, and is an author nonetheless.
        let actor = self.actor.clone().or_else(named).or_else(files::system_user);
        Author { actor, message: self.message.clone() }
    }
}
