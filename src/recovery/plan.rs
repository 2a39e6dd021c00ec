//! What a restore or an undo would do, before it does it.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};
use uuid::Uuid;

use crate::error::{Error, Result, code};
use crate::format::image::{Image, Op, OwnedImage};
use crate::history::{FieldChange, field_changes};
use crate::json::FieldConflict;
use crate::lsn::Lsn;

/// What a restore in place or an undo would do: worked out from the journal, with nothing written.
///
/// Made by [`Store::plan_restore`](crate::Store::plan_restore) and
/// [`Store::plan_undo`](crate::Store::plan_undo), carried out by
/// [`Store::execute`](crate::Store::execute).
#[derive(Clone, Debug)]
pub struct Plan<'a> {
    pub(super) store: Uuid,
    /// What was asked for, as it will stand in `$audit`.
    pub(super) request: serde_json::Value,
    pub(super) purpose: Purpose,
    pub(super) head: Lsn,
    pub(super) changes: Vec<PlannedChange<'a>>,
    pub(super) unchanged: u64,
    pub(super) not_undone: Vec<NotUndone<'a>>,
    /// Whether conflicts forbid to carry it out.
    pub(super) is_refused: bool,
}

/// What a plan is for.
#[derive(Clone, Debug, PartialEq)]
pub enum Purpose {
    /// To bring records back to what they were at a moment.
    Restore {
        /// The moment.
        target: Lsn,
    },
    /// To take transactions back.
    Undo {
        /// The transactions, in ascending order.
        transactions: Vec<Lsn>,
    },
}

/// A record of a plan.
#[derive(Clone, Debug)]
pub struct PlannedChange<'a> {
    pub(super) collection: &'a str,
    pub(super) key: &'a [u8],
    pub(super) before: Option<Image<'a>>,
    pub(super) after: Option<Value<'a>>,
    pub(super) conflict: Option<RecordConflict>,
}

/// A value that stands in the journal, or one that was merged.
#[derive(Clone, Debug)]
pub(super) enum Value<'a> {
    Stored(Image<'a>),
    Merged(OwnedImage),
}

impl Value<'_> {
    pub(super) fn image(&self) -> Image<'_> {
        match self {
            Self::Stored(image) => *image,
            Self::Merged(image) => image.as_image(),
        }
    }
}

/// Why a record can't simply be brought back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RecordConflict {
    /// The transaction whose change is to be taken back; for a restore, the first of the actor's.
    pub lsn: Lsn,
    /// The first transaction after it that made something else of the record; for a restore, the
    /// first of somebody else since the moment, which may lie before that of the actor.
    pub later: Lsn,
    /// Who wrote that.
    pub later_actor: Option<String>,
    /// What becomes of the record.
    pub resolution: Resolution,
    /// Where the two differ, if the values could be merged field by field.
    pub fields: Vec<FieldConflict>,
}

/// What becomes of a record in conflict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Resolution {
    /// Nothing: the whole plan is refused because of it.
    Refused,
    /// It stays as it is now, at least as far as it is in conflict.
    Kept,
    /// The later change is overwritten.
    Overwritten,
}

/// A change that can't be taken back, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotUndone<'a> {
    /// The transaction.
    pub lsn: Lsn,
    /// The record's collection.
    pub collection: &'a str,
    /// The record's key.
    pub key: &'a [u8],
    /// Why.
    pub reason: Reason,
}

/// Why a change can't be taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// It is a record of the store itself, which tells what was done.
    SystemRecord,
    /// What the record was before is gone with folded history.
    ImageGone,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SystemRecord => "it is a record of the store itself, which stays",
            Self::ImageGone => "what it was before is gone with folded history",
        })
    }
}

/// How many records a plan touches, by what would happen to them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PlanCounts {
    /// Come back to be.
    pub create: u64,
    /// Get another value.
    pub update: u64,
    /// Cease to be.
    pub delete: u64,
    /// Are as they should be already.
    pub unchanged: u64,
    /// Were changed later by somebody else; some of them may be among the others, as the mode says.
    pub conflict: u64,
}

impl PlanCounts {
    /// How many records would be written.
    #[must_use]
    pub const fn changes(&self) -> u64 {
        self.create + self.update + self.delete
    }
}

/// Names a plan: the moment at which it was made, and a hash of the store and of everything that it
/// would do there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlanId {
    head: u64,
    hash: [u8; HASH_BYTES],
}

/// LSNs of six bytes are enough for ten million transactions a second over half a year.
const HEAD_DIGITS: usize = 12;
const HASH_BYTES: usize = 10;
/// Hashing few bytes at a time takes several times as long.
const HASHED_TOGETHER: usize = 1 << 16;

impl<'a> Plan<'a> {
    /// What it is for.
    #[must_use]
    pub const fn purpose(&self) -> &Purpose {
        &self.purpose
    }

    /// The newest transaction that it knows.
    #[must_use]
    pub const fn head(&self) -> Lsn {
        self.head
    }

    /// The records that would change or are in conflict, by collection and key.
    #[must_use]
    pub fn changes(&self) -> &[PlannedChange<'a>] {
        &self.changes
    }

    /// Changes that can't be taken back.
    #[must_use]
    pub fn not_undone(&self) -> &[NotUndone<'a>] {
        &self.not_undone
    }

    /// Whether it can't be carried out, because of conflicts or of changes that can't be taken
    /// back.
    #[must_use]
    pub const fn is_refused(&self) -> bool {
        self.is_refused
    }

    /// How many records it touches.
    #[must_use]
    pub fn counts(&self) -> PlanCounts {
        let mut counts = PlanCounts { unchanged: self.unchanged, ..PlanCounts::default() };
        for change in &self.changes {
            counts.conflict += u64::from(change.conflict.is_some());
            match change.op() {
                Some(Op::Create | Op::Read) => counts.create += 1,
                Some(Op::Update) => counts.update += 1,
                Some(Op::Delete) => counts.delete += 1,
                None => {}
            }
        }
        counts
    }

    /// Bytes of keys and images that carrying it out would append to the journal.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let length = |image: Option<Image<'_>>| image.map_or(0, |image| image.bytes().len());
        let bytes = |change: &PlannedChange<'_>| {
            change.key.len() + length(change.before) + length(change.after())
        };
        self.changes.iter().filter(|change| change.op().is_some()).map(|c| bytes(c) as u64).sum()
    }

    /// About how long carrying it out takes, in seconds: what appending as much took on the machine
    /// of `docs/benchmarks.md`, and one sync.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    pub fn seconds(&self) -> f64 {
        const A_CHANGE: f64 = 1.5e-6;
        const A_BYTE: f64 = 2e-9;
        const A_SYNC: f64 = 2e-3;
        self.counts().changes() as f64 * A_CHANGE + self.bytes() as f64 * A_BYTE + A_SYNC
    }

    /// Its name.
    #[must_use]
    pub fn id(&self) -> PlanId {
        let (mut hasher, mut noted) = (blake3::Hasher::new(), Vec::with_capacity(HASHED_TOGETHER));
        let mut note = |bytes: &[u8]| {
            noted.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
            noted.extend_from_slice(bytes);
            if noted.len() >= HASHED_TOGETHER {
                hasher.update(&noted);
                noted.clear();
            }
        };
        note(self.store.as_bytes());
        match &self.purpose {
            Purpose::Restore { target } => {
                note(b"restore");
                note(&target.get().to_le_bytes());
            }
            Purpose::Undo { transactions } => {
                note(b"undo");
                for lsn in transactions {
                    note(&lsn.get().to_le_bytes());
                }
            }
        }
        for change in &self.changes {
            note(change.collection.as_bytes());
            note(change.key);
            note(change.op().map_or("-", Op::as_str).as_bytes());
            for image in [change.before, change.after()].into_iter().flatten() {
                note(&[image.codec().number()]);
                note(&image.schema().to_le_bytes());
                note(image.bytes());
            }
            if let Some(conflict) = &change.conflict {
                note(&conflict.later.get().to_le_bytes());
                note(format!("{:?}", conflict.resolution).as_bytes());
            }
        }
        hasher.update(&noted);
        let mut hash = [0; HASH_BYTES];
        hash.iter_mut().zip(hasher.finalize().as_bytes()).for_each(|(to, from)| *to = *from);
        PlanId { head: self.head.get(), hash }
    }
}

impl<'a> PlannedChange<'a> {
    /// The record's collection.
    #[must_use]
    pub const fn collection(&self) -> &'a str {
        self.collection
    }

    /// The record's key.
    #[must_use]
    pub const fn key(&self) -> &'a [u8] {
        self.key
    }

    /// What would happen to the record; nothing to one that stays as it is because of a conflict.
    #[must_use]
    pub fn op(&self) -> Option<Op> {
        match (self.before, self.after()) {
            (before, after) if before == after => None,
            (None, _) => Some(Op::Create),
            (Some(_), Some(_)) => Some(Op::Update),
            (Some(_), None) => Some(Op::Delete),
        }
    }

    /// Its value now.
    #[must_use]
    pub const fn before(&self) -> Option<Image<'a>> {
        self.before
    }

    /// The value that it would have.
    #[must_use]
    pub fn after(&self) -> Option<Image<'_>> {
        self.after.as_ref().map(Value::image)
    }

    /// Why it can't simply be brought back.
    #[must_use]
    pub const fn conflict(&self) -> Option<&RecordConflict> {
        self.conflict.as_ref()
    }

    /// The fields that would change.
    #[must_use]
    pub fn fields(&self) -> Vec<FieldChange> {
        if self.op().is_some() { field_changes(self.before, self.after()) } else { Vec::new() }
    }
}

impl PlanId {
    /// The moment at which the plan was made.
    #[must_use]
    pub const fn head(&self) -> Lsn {
        Lsn::new(self.head)
    }
}

impl fmt::Display for PlanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:0HEAD_DIGITS$x}", self.head)?;
        self.hash.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl Serialize for PlanId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl FromStr for PlanId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = || {
            let shown: String = text.chars().take(80).flat_map(char::escape_debug).collect();
            Error::new(&code::INVALID_OPTION, format!("`{shown}` is no plan"))
        };
        let (head, hash) = text.split_at_checked(HEAD_DIGITS).ok_or_else(wrong)?;
        if !text.bytes().all(|byte| byte.is_ascii_hexdigit()) || hash.len() != 2 * HASH_BYTES {
            return Err(wrong());
        }
        let head = u64::from_str_radix(head, 16).map_err(|_| wrong())?;
        let mut bytes = [0; HASH_BYTES];
        for (at, byte) in bytes.iter_mut().enumerate() {
            let pair = hash.get(2 * at..2 * at + 2).unwrap_or_default();
            *byte = u8::from_str_radix(pair, 16).map_err(|_| wrong())?;
        }
        Ok(Self { head, hash: bytes })
    }
}
