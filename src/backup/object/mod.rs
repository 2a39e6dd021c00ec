//! The objects of a store in a repository, and their names: the one place that prints and parses
//! them. Names are relative to the store's own part of the repository, and a name that is not
//! printed exactly so is none: nothing that a repository lists becomes a path by itself.

#[cfg(test)]
mod tests;

use std::fmt;

use crate::backup::manifest::Label;
use crate::lsn::Lsn;
use crate::time::Timestamp;

/// The number of the last transaction that can be backed up; the rest leaves room for sums.
pub const BACKUP_LSN_MAX: u64 = 1 << 62;

const HASH_BYTES: usize = 32;
const LSN_DIGITS: usize = 20;
const MARK_DIGITS: usize = 6;
const LEASE_NAME_BYTES_MAX: usize = 64;
const ENDING: &str = ".zst";

/// What names the content of an object: 32 bytes, written as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectHash([u8; HASH_BYTES]);

impl ObjectHash {
    /// The hash of these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; HASH_BYTES]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; HASH_BYTES] {
        &self.0
    }

    /// The hash that is written so: 64 digits, in lower case.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.as_bytes();
        if digits.len() != 2 * HASH_BYTES {
            return None;
        }
        let mut bytes = [0; HASH_BYTES];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let [high, low] = pair else { return None };
            *byte = (digit(*high)? << 4) | digit(*low)?;
        }
        Some(Self(bytes))
    }
}

fn digit(character: u8) -> Option<u8> {
    match character {
        b'0'..=b'9' => Some(character - b'0'),
        b'a'..=b'f' => Some(character - b'a' + 10),
        _ => None,
    }
}

impl fmt::Display for ObjectHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ObjectHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// A contiguous piece of the journal: the transactions from `first` up to and including `last`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SliceRef {
    /// Its first transaction.
    pub first: Lsn,
    /// Its last transaction.
    pub last: Lsn,
    /// What names its content.
    pub hash: ObjectHash,
    /// Its size in the repository.
    pub bytes: u64,
    /// When its first transaction committed.
    pub first_time: Timestamp,
    /// When its last transaction committed.
    pub last_time: Timestamp,
}

impl SliceRef {
    /// The name of the object.
    #[must_use]
    pub const fn name(&self) -> ObjectName {
        ObjectName::Slice { first: self.first, last: self.last, hash: self.hash }
    }
}

/// All live records at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BaseRef {
    /// The moment: the state after this transaction.
    pub lsn: Lsn,
    /// What names its content.
    pub hash: ObjectHash,
    /// Its size in the repository.
    pub bytes: u64,
    /// When that transaction committed.
    pub time: Timestamp,
}

impl BaseRef {
    /// The name of the object.
    #[must_use]
    pub const fn name(&self) -> ObjectName {
        ObjectName::Base { lsn: self.lsn, hash: self.hash }
    }
}

/// The name of an object. What is printed parses to the same name, and nothing else does.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ObjectName {
    /// `slices/FIRST-LAST-HASH.zst`
    Slice {
        /// The first transaction.
        first: Lsn,
        /// The last transaction.
        last: Lsn,
        /// What names its content.
        hash: ObjectHash,
    },
    /// `bases/LSN-HASH.zst`
    Base {
        /// The moment.
        lsn: Lsn,
        /// What names its content.
        hash: ObjectHash,
    },
    /// `backups/LABEL.json`
    Manifest(Label),
    /// `marks/LABEL/NUMBER.json`, a later word on a backup.
    Mark {
        /// The backup.
        label: Label,
        /// Its place among the marks of this backup, from 1.
        number: u32,
    },
    /// `leases/NAME.json`, of somebody who is at work.
    Lease(String),
}

impl ObjectName {
    /// The name that is printed so, if it is one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (directory, rest) = text.split_once('/')?;
        match directory {
            "slices" => slice(rest),
            "bases" => {
                let (lsn, hash) = rest.strip_suffix(ENDING)?.split_once('-')?;
                Some(Self::Base { lsn: number(lsn)?, hash: ObjectHash::parse(hash)? })
            }
            "backups" => Some(Self::Manifest(Label::parse(rest.strip_suffix(".json")?)?)),
            "marks" => {
                let (label, digits) = rest.strip_suffix(".json")?.split_once('/')?;
                let number = (digits.len() == MARK_DIGITS && decimal(digits))
                    .then(|| digits.parse().ok())??;
                (number > 0).then_some(Self::Mark { label: Label::parse(label)?, number })
            }
            "leases" => {
                let name = rest.strip_suffix(".json")?;
                is_lease_name(name).then(|| Self::Lease(name.to_owned()))
            }
            _ => None,
        }
    }

    /// Whether it holds a part of the journal or of a state, rather than words about it.
    #[must_use]
    pub const fn is_content(&self) -> bool {
        matches!(self, Self::Slice { .. } | Self::Base { .. })
    }
}

/// Whether a lease may have this name: 1 to 64 letters, digits and `-`.
#[must_use]
pub fn is_lease_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= LEASE_NAME_BYTES_MAX
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

fn slice(rest: &str) -> Option<ObjectName> {
    let mut parts = rest.strip_suffix(ENDING)?.splitn(3, '-');
    let (first, last) = (number(parts.next()?)?, number(parts.next()?)?);
    let hash = ObjectHash::parse(parts.next()?)?;
    (Lsn::ZERO < first && first <= last).then_some(ObjectName::Slice { first, last, hash })
}

/// Numbers have a fixed width, so that names sort like what they name.
fn number(digits: &str) -> Option<Lsn> {
    let number = (digits.len() == LSN_DIGITS && decimal(digits)).then(|| digits.parse().ok())??;
    (number <= BACKUP_LSN_MAX).then_some(Lsn::new(number))
}

fn decimal(digits: &str) -> bool {
    digits.bytes().all(|byte| byte.is_ascii_digit())
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Slice { first, last, hash } => {
                write!(f, "slices/{:020}-{:020}-{hash}{ENDING}", first.get(), last.get())
            }
            Self::Base { lsn, hash } => write!(f, "bases/{:020}-{hash}{ENDING}", lsn.get()),
            Self::Manifest(label) => write!(f, "backups/{label}.json"),
            Self::Mark { label, number } => write!(f, "marks/{label}/{number:06}.json"),
            Self::Lease(name) => write!(f, "leases/{name}.json"),
        }
    }
}
