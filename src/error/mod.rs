//! The one error type: what to do about it, a stable code, and where it happened.

mod codes;
#[cfg(test)]
mod tests;

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::lsn::Lsn;
pub use codes::Code;

/// The table of error codes.
pub mod code {
    pub use super::codes::*;
}

/// What fallible functions of this crate return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What the caller should do about an [`Error`].
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// Try again on a new view of the store, or decide anew.
    Conflict,
    /// What was named does not exist.
    NotFound,
    /// Correct the call.
    Invalid,
    /// Ask for permission.
    Denied,
    /// Wait for the other process, whose pid is in the message.
    Locked,
    /// Free some space; reading goes on.
    Full,
    /// Open the store again.
    Poisoned,
    /// See the cause; the operating system refused something.
    Io,
    /// Give the right key or passphrase.
    WrongKey,
    /// Run `verify`; trying again does not help.
    Corrupt,
    /// Use another release.
    Format,
    /// Choose a moment inside the window, which is in the message.
    OutsideWindow,
    /// See the migration's report; it was taken back.
    Migration,
    /// Try again later; a remote system did not answer.
    Remote,
    /// Open the store again; it was closed.
    Closed,
}

impl ErrorKind {
    /// The exit code of the command line for errors of this kind.
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Invalid => 2,
            Self::NotFound => 10,
            Self::Locked => 11,
            Self::WrongKey => 12,
            Self::Corrupt => 13,
            Self::Format => 14,
            Self::OutsideWindow => 15,
            Self::Migration => 16,
            Self::Conflict => 17,
            Self::Remote => 18,
            Self::Full => 75,
            Self::Denied | Self::Poisoned | Self::Io | Self::Closed => 1,
        }
    }
}

/// Where an error happened, as far as it is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub path: Option<PathBuf>,
    /// The byte offset in that file.
    pub offset: Option<u64>,
    /// The transaction.
    pub lsn: Option<Lsn>,
}

/// One record because of which a transaction could not commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The record's collection.
    pub collection: String,
    /// The record's key.
    pub key: Vec<u8>,
    /// The transaction that wrote the record as it is now; zero if the record is absent.
    pub lsn: Lsn,
}

/// An error of this crate: pointer-sized, with a [kind](ErrorKind), a stable [code](Code), one
/// sentence, the place, and the cause.
pub struct Error(Box<Detail>);

struct Detail {
    code: &'static Code,
    message: String,
    place: Place,
    conflicts: Vec<Conflict>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error of this code with one sentence, lower case, without a full stop.
    #[must_use]
    pub fn new(code: &'static Code, message: impl Into<String>) -> Self {
        Self(Box::new(Detail {
            code,
            message: message.into(),
            place: Place::default(),
            conflicts: Vec::new(),
            source: None,
        }))
    }

    /// The error of a failed system call: a full disk and missing permission have codes of their
    /// own, the rest is [`code::IO`]. `action` says what was tried, as in "could not ACTION".
    #[must_use]
    #[expect(clippy::wildcard_enum_match_arm, reason = "io::ErrorKind has no end")]
    pub fn from_io(source: io::Error, action: &str, path: &Path) -> Self {
        use io::ErrorKind as K;
        let code = match source.kind() {
            K::StorageFull | K::QuotaExceeded | K::FileTooLarge => &code::DISK_FULL,
            K::PermissionDenied | K::ReadOnlyFilesystem => &code::PERMISSION_DENIED,
            _ => &code::IO,
        };
        Self::new(code, format!("could not {action}")).at_path(path).with_source(source)
    }

    /// The same error told in other words; place, records concerned and cause stay.
    #[must_use]
    pub(crate) fn reworded(mut self, code: &'static Code, message: String) -> Self {
        self.0.code = code;
        self.0.message = message;
        self
    }

    /// Adds the cause.
    #[must_use]
    pub fn with_source(mut self, source: impl StdError + Send + Sync + 'static) -> Self {
        self.0.source = Some(Box::new(source));
        self
    }

    /// Adds the records concerned.
    #[must_use]
    pub fn with_conflicts(mut self, conflicts: Vec<Conflict>) -> Self {
        self.0.conflicts = conflicts;
        self
    }

    /// Adds the file.
    #[must_use]
    pub fn at_path(mut self, path: &Path) -> Self {
        self.0.place.path = Some(path.to_path_buf());
        self
    }

    /// Adds the byte offset in the file.
    #[must_use]
    pub fn at_offset(mut self, offset: u64) -> Self {
        self.0.place.offset = Some(offset);
        self
    }

    /// Adds the transaction.
    #[must_use]
    pub fn at_lsn(mut self, lsn: Lsn) -> Self {
        self.0.place.lsn = Some(lsn);
        self
    }

    /// What the caller should do about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.code.kind
    }

    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static Code {
        self.0.code
    }

    /// The sentence without the place.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Where it happened.
    #[must_use]
    pub fn place(&self) -> &Place {
        &self.0.place
    }

    /// The records because of which a transaction could not commit; empty for other errors.
    #[must_use]
    pub fn conflicts(&self) -> &[Conflict] {
        &self.0.conflicts
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)?;
        let place = &self.0.place;
        let mut parts = Vec::new();
        if let Some(path) = &place.path {
            parts.push(format!("path={}", path.display()));
        }
        if let Some(offset) = place.offset {
            parts.push(format!("offset={offset}"));
        }
        if let Some(lsn) = place.lsn {
            parts.push(format!("lsn={lsn}"));
        }
        if parts.is_empty() { Ok(()) } else { write!(f, " ({})", parts.join(", ")) }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}] {self}", self.0.code.id)?;
        let mut cause = self.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}
