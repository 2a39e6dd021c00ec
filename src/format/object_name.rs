//! The names of objects in a backup repository. What is no such name is not followed, and no such
//! name leads out of the repository.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

use crate::lsn::Lsn;

/// The first half of the hash of an object's content, as it stands in the object's name. In an
/// encrypted repository the hash is keyed, so that it tells nothing of the content.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContentHash([u8; 16]);

impl ContentHash {
    pub(crate) fn of(hash: &[u8; 32]) -> Self {
        let mut half = [0; 16];
        half.iter_mut().zip(hash).for_each(|(to, from)| *to = *from);
        Self(half)
    }
}

/// The name of a backup: 1 to 100 of the characters `A`-`Z`, `a`-`z`, `0`-`9`, `.`, `_` and `-`,
/// the first a letter or a digit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Label(String);

/// Labels are at most this long.
pub const LABEL_BYTES_MAX: usize = 100;

impl Label {
    /// The label, or `None` if the text is none.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        let is_label = text.len() <= LABEL_BYTES_MAX
            && text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && text.chars().all(allowed);
        is_label.then(|| Self(text.to_owned()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What an object of a store's backups is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ObjectKind {
    /// A contiguous piece of the journal.
    Slice {
        /// Its first transaction.
        first: Lsn,
        /// Its last transaction.
        last: Lsn,
        /// The hash of its content.
        hash: ContentHash,
    },
    /// All records at a moment, or a part of them.
    Base {
        /// The moment.
        lsn: Lsn,
        /// The hash of its content.
        hash: ContentHash,
    },
    /// What a backup consists of.
    Manifest {
        /// The backup.
        label: Label,
    },
    /// What was noted about a backup later; of several the one with the highest number counts.
    Mark {
        /// The backup.
        label: Label,
        /// The number of the mark, from 1.
        number: u32,
    },
}

/// The name of an object: the store that was backed up, and what it is. Parsed from, and shown as,
/// its place in the repository.
///
/// ```
/// use afterimage::ObjectName;
/// let text = "01a1f48d-0583-7016-a723-9482dabcec34/backups/nightly.json";
/// assert_eq!(text.parse::<ObjectName>()?.to_string(), text);
/// assert!("../../etc/passwd".parse::<ObjectName>().is_err());
/// # Ok::<(), afterimage::NotAnObjectName>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectName {
    /// The store.
    pub store: Uuid,
    /// What it is.
    pub kind: ObjectKind,
}

/// The text names no object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAnObjectName;

impl fmt::Display for NotAnObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the text is not the name of an object of a backup repository")
    }
}

impl std::error::Error for NotAnObjectName {}

pub(crate) const SLICES: &str = "slices";
pub(crate) const BASES: &str = "bases";
pub(crate) const BACKUPS: &str = "backups";
pub(crate) const MARKS: &str = "marks";
/// What the repository is.
pub(crate) const REPOSITORY_FILE: &str = "afterimage.json";
/// Where newer sets of keys stand.
pub(crate) const KEYS: &str = "keys";

impl ObjectName {
    /// The hash of the content, if the name tells it.
    #[must_use]
    pub fn content_hash(&self) -> Option<ContentHash> {
        match &self.kind {
            ObjectKind::Slice { hash, .. } | ObjectKind::Base { hash, .. } => Some(*hash),
            ObjectKind::Manifest { .. } | ObjectKind::Mark { .. } => None,
        }
    }
}

/// The name of a set of keys.
pub(crate) fn key_set(number: u32) -> String {
    format!("{KEYS}/{number:08}.json")
}

/// The number of a set of keys.
pub(crate) fn key_set_number(name: &str) -> Option<u32> {
    number(name.strip_prefix(KEYS)?.strip_prefix('/')?.strip_suffix(".json")?)
}

impl fmt::Display for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/", self.store)?;
        match &self.kind {
            ObjectKind::Slice { first, last, hash } => {
                write!(f, "{SLICES}/{:020}-{:020}-{hash}.zst", first.get(), last.get())
            }
            ObjectKind::Base { lsn, hash } => write!(f, "{BASES}/{:020}-{hash}.zst", lsn.get()),
            ObjectKind::Manifest { label } => write!(f, "{BACKUPS}/{label}.json"),
            ObjectKind::Mark { label, number } => write!(f, "{MARKS}/{label}/{number:08}.json"),
        }
    }
}

impl FromStr for ObjectName {
    type Err = NotAnObjectName;

    fn from_str(text: &str) -> Result<Self, NotAnObjectName> {
        parse(text).filter(|name| name.to_string() == text).ok_or(NotAnObjectName)
    }
}

/// A name, perhaps not in the form in which it is written.
fn parse(text: &str) -> Option<ObjectName> {
    let (store, rest) = text.split_once('/')?;
    let (folder, rest) = rest.split_once('/')?;
    let kind = match folder {
        SLICES => {
            let (first, rest) = rest.strip_suffix(".zst")?.split_once('-')?;
            let (last, hash) = rest.split_once('-')?;
            let (first, last) = (lsn(first)?, lsn(last)?);
            (first <= last).then_some(ObjectKind::Slice { first, last, hash: hash_of(hash)? })?
        }
        BASES => {
            let (at, hash) = rest.strip_suffix(".zst")?.split_once('-')?;
            ObjectKind::Base { lsn: lsn(at)?, hash: hash_of(hash)? }
        }
        BACKUPS => ObjectKind::Manifest { label: Label::new(rest.strip_suffix(".json")?)? },
        MARKS => {
            let (label, rest) = rest.split_once('/')?;
            let number = number(rest.strip_suffix(".json")?)?;
            ObjectKind::Mark { label: Label::new(label)?, number }
        }
        _ => return None,
    };
    Some(ObjectName { store: store.parse().ok()?, kind })
}

fn lsn(digits: &str) -> Option<Lsn> {
    (digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit()))
        .then(|| digits.parse().ok().map(Lsn::new))?
}

fn number(digits: &str) -> Option<u32> {
    let is_number = digits.len() >= 8 && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().ok())?.filter(|number| *number > 0)
}

fn hash_of(digits: &str) -> Option<ContentHash> {
    if digits.len() != 32 {
        return None;
    }
    let mut hash = [0; 16];
    for (index, byte) in hash.iter_mut().enumerate() {
        *byte = u8::from_str_radix(digits.get(index * 2..index * 2 + 2)?, 16).ok()?;
    }
    Some(ContentHash(hash))
}
