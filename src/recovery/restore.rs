//! Bringing records back to what they were, in place: nothing is cut off, the store goes on.

use std::collections::{BTreeMap, BTreeSet};

use super::execute::{self, Recovered};
use super::merge;
use super::plan::{Plan, PlannedChange, Purpose, RecordConflict, Resolution, Value};
use super::scope::Scope;
use super::undo::{OnConflict, by};
use super::undoable::Name;
use crate::error::{Error, Result, code};
use crate::format::image::Image;
use crate::lsn::Lsn;
use crate::store::{Author, Commit, Store};

/// The moment to go back to, with which records, and how.
///
/// ```
/// use afterimage::{Author, Collection, Raw, Restore, Store};
///
/// const ROOMS: Collection<[u8], Raw> = Collection::new("rooms");
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("hotel.store");
/// let store = Store::open(&path)?;
/// let opened = store.write(|tx| tx.put(&ROOMS, "204", b"open".as_slice()))?;
/// store.write(|tx| tx.put(&ROOMS, "204", b"closed".as_slice()))?;
///
/// let restored = store.restore(&Restore::to(opened.lsn()), &Author::default())?;
/// assert_eq!(restored.value().counts.update, 1);
/// assert_eq!(store.snapshot().digest()?, store.snapshot_at(opened.lsn())?.digest()?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Restore {
    target: Lsn,
    scope: Scope,
    actors: Vec<String>,
    mode: RestoreMode,
    on_conflict: OnConflict,
    head: Option<Lsn>,
}

/// What becomes of newer values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RestoreMode {
    /// The records become exactly what they were; those that were not there are deleted.
    #[default]
    Replace,
    /// Only what was lost comes back: deleted records, removed fields of JSON values, removed
    /// elements of arrays whose elements have a key. Everything newer stays.
    Merge,
}

impl Restore {
    /// To what the store was after this transaction.
    #[must_use]
    pub fn to(target: Lsn) -> Self {
        Self {
            target,
            scope: Scope::default(),
            actors: Vec::new(),
            mode: RestoreMode::default(),
            on_conflict: OnConflict::default(),
            head: None,
        }
    }

    /// Only these records.
    #[must_use]
    pub fn of(self, scope: Scope) -> Self {
        Self { scope, ..self }
    }

    /// Only records that this actor has changed since; called again, that one too. A record that
    /// others have changed since as well is a conflict.
    #[must_use]
    pub fn by_actor(mut self, actor: impl Into<String>) -> Self {
        self.actors.push(actor.into());
        self
    }

    /// What becomes of newer values.
    #[must_use]
    pub fn mode(self, mode: RestoreMode) -> Self {
        Self { mode, ..self }
    }

    /// What to do about conflicts.
    #[must_use]
    pub fn on_conflict(self, on_conflict: OnConflict) -> Self {
        Self { on_conflict, ..self }
    }

    /// Plans as if this transaction were the newest.
    #[must_use]
    pub fn as_of(self, head: Lsn) -> Self {
        Self { head: Some(head), ..self }
    }

    /// What was asked for, for `$audit`.
    fn describe(&self) -> serde_json::Value {
        let mode = match self.mode {
            RestoreMode::Replace => "replace",
            RestoreMode::Merge => "merge",
        };
        serde_json::json!({
            "actors": self.actors, "mode": mode, "on_conflict": self.on_conflict.as_str(),
            "scope": self.scope.describe(),
        })
    }
}

impl Store {
    /// What a [`restore`](Self::restore) would do; writes nothing. Costs one pass over the
    /// transactions since, or for records that are named one by one over their versions.
    ///
    /// # Errors
    /// `OutsideWindow`; `NotFound` for a collection that never existed; `Corrupt`.
    pub fn plan_restore(&self, restore: &Restore) -> Result<Plan<'_>> {
        let head = restore.head.unwrap_or_else(|| self.head());
        self.snapshot_at(restore.target)?;
        self.snapshot_at(head)?;
        if restore.target > head {
            let message = format!("LSN {} is newer than LSN {head}", restore.target);
            return Err(Error::new(&code::OUTSIDE_WINDOW, message));
        }
        restore.scope.check(self)?;
        let (mut changes, mut unchanged) = (Vec::new(), 0);
        for ((collection, key), net) in nets(self, restore, head)? {
            if !net.is_chosen || !restore.scope.fits([net.past, net.now])? {
                continue;
            }
            let change = net.planned(restore, collection, key);
            if change.op().is_none() && change.conflict.is_none() {
                unchanged += 1;
            } else {
                changes.push(change);
            }
        }
        let is_refused = changes.iter().any(|change| {
            change.conflict().is_some_and(|found| found.resolution == Resolution::Refused)
        });
        Ok(Plan {
            store: self.id(),
            purpose: Purpose::Restore { target: restore.target },
            request: restore.describe(),
            head,
            changes,
            unchanged,
            not_undone: Vec::new(),
            is_refused,
        })
    }

    /// Brings records back to what they were, by one new transaction, which can itself be undone;
    /// history stays as it is. The moment before it gets an automatic restore point, and `$audit` a
    /// record.
    ///
    /// # Errors
    /// `Conflict` with the records concerned, nothing was written; as
    /// [`plan_restore`](Self::plan_restore) and [`write`](Self::write).
    pub fn restore(&self, restore: &Restore, by: &Author) -> Result<Commit<Recovered>> {
        execute::until_it_holds(self, by, || self.plan_restore(restore))
    }
}

/// What happened to a record between the moment and now.
struct Net<'a> {
    past: Option<Image<'a>>,
    now: Option<Image<'a>>,
    /// Whether the actors were there, if some were chosen.
    is_chosen: bool,
    /// What they did, and the first transaction of somebody else, if they were chosen.
    theirs: Vec<Seen<'a>>,
    other: Option<(Lsn, Option<String>)>,
}

/// One change of a record.
#[derive(Clone, Copy)]
struct Seen<'a> {
    lsn: Lsn,
    before: Option<Image<'a>>,
    after: Option<Image<'a>>,
}

impl<'a> Net<'a> {
    const fn new(first: &Seen<'a>) -> Self {
        let (past, now) = (first.before, first.after);
        Self { past, now, is_chosen: false, theirs: Vec::new(), other: None }
    }

    /// Takes a change in, after those that were before it.
    fn note(&mut self, seen: Seen<'a>, actor: Option<&String>, restore: &Restore) {
        self.now = seen.after;
        if restore.actors.is_empty() {
            self.is_chosen = true;
        } else if by(&restore.actors, actor) {
            self.is_chosen = true;
            self.theirs.push(seen);
        } else if self.other.is_none() {
            self.other = Some((seen.lsn, actor.cloned()));
        }
    }

    /// Whether more goes than what the actors did: taking that back, the newest first, does not
    /// lead to what was.
    fn loses_more(&self) -> bool {
        let back = |now, seen: &Seen<'a>| (now == seen.after).then_some(seen.before);
        self.other.is_some() && self.theirs.iter().rev().try_fold(self.now, back) != Some(self.past)
    }

    fn planned(self, restore: &Restore, collection: &'a str, key: &'a [u8]) -> PlannedChange<'a> {
        let is_conflict = self.loses_more();
        let Self { past, now, theirs, other, .. } = self;
        let mut after = match restore.mode {
            RestoreMode::Replace => past.map(Value::Stored),
            RestoreMode::Merge => merge::with_what_was_lost(now, past),
        };
        let differs = after.as_ref().map(Value::image) != now;
        let conflict = other.filter(|_| differs && is_conflict);
        let conflict = conflict.map(|(later, later_actor)| RecordConflict {
            lsn: theirs.first().map_or(restore.target, |seen| seen.lsn),
            later,
            later_actor,
            resolution: restore.on_conflict.resolution(),
            fields: vec![merge::whole(None, now, past)],
        });
        if conflict.as_ref().is_some_and(|found| found.resolution != Resolution::Overwritten) {
            after = now.map(Value::Stored);
        }
        PlannedChange { collection, key, before: now, after, conflict }
    }
}

/// What happened since to the records that are named.
fn nets<'a>(store: &'a Store, restore: &Restore, head: Lsn) -> Result<BTreeMap<Name<'a>, Net<'a>>> {
    let mut nets = BTreeMap::new();
    if let Some(records) = restore.scope.only_records() {
        // Named twice, its versions would count twice.
        for (collection, key) in records.iter().collect::<BTreeSet<_>>() {
            let name = &*store.engine.catalogue.existing(collection)?.name;
            let mut versions = Vec::new();
            for version in store.record_history(collection, key)? {
                let version = version?;
                if version.lsn() <= restore.target {
                    break;
                }
                versions.push(version);
            }
            versions.reverse();
            for version in versions.iter().filter(|version| version.lsn() <= head) {
                let (lsn, actor) = (version.lsn(), version.metadata().actor.as_ref());
                let seen = Seen { lsn, before: version.before(), after: version.after() };
                let net = nets.entry((name, version.key()));
                net.or_insert_with(|| Net::new(&seen)).note(seen, actor, restore);
            }
        }
        return Ok(nets);
    }
    for transaction in store.transactions(restore.target.next()..=head)? {
        let transaction = transaction?;
        let (lsn, actor) = (transaction.lsn(), transaction.metadata().actor.as_ref());
        for change in transaction.changes() {
            let change = change?;
            let (collection, key) = (change.collection(), change.key());
            if change.is_system() || !restore.scope.names(collection, key) {
                continue;
            }
            let seen = Seen { lsn, before: change.before(), after: change.after() };
            let net = nets.entry((collection, key)).or_insert_with(|| Net::new(&seen));
            net.note(seen, actor, restore);
        }
    }
    Ok(nets)
}
