//! Taking transactions back, whatever was written after them.
//!
//! The modes are those of Oracle's transaction backout (`DBMS_FLASHBACK.TRANSACTION_BACKOUT`:
//! `NOCASCADE`, `CASCADE`, `NOCASCADE_FORCE`, `NONCONFLICT_ONLY`), and a three-way merge.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value as Json;

use super::execute::{self, Recovered};
use super::merge;
use super::plan::{
    NotUndone, Plan, PlannedChange, Purpose, Reason, RecordConflict, Resolution, Value,
};
use super::scope::Scope;
use super::undoable::{Name, current, later, reason_against};
use crate::error::{Error, Result, code};
use crate::format::image::Image;
use crate::format::metadata::Metadata;
use crate::json::FieldConflict;
use crate::lsn::Lsn;
use crate::store::{Author, Commit, Store, TransactionView, Version};

/// Which transactions to take back, of which records, and what to do about later changes.
///
/// ```
/// use afterimage::{Author, Collection, Raw, Store, Undo};
///
/// const ROOMS: Collection<[u8], Raw> = Collection::new("rooms");
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("hotel.store");
/// let store = Store::open(&path)?;
/// store.write(|tx| tx.put(&ROOMS, "204", b"open".as_slice()))?;
/// let mistake = store.write(|tx| tx.delete(&ROOMS, "204"))?;
///
/// let undo = Undo::transaction(mistake.lsn());
/// assert_eq!(store.plan_undo(&undo)?.counts().create, 1);
/// let undone = store.undo(&undo, &Author::default())?;
/// assert_eq!(store.snapshot().get(&ROOMS, "204")?, Some(b"open".as_slice()));
/// // An undo is a transaction like others, and can be undone.
/// store.undo(&Undo::transaction(undone.lsn()), &Author::default())?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Undo {
    after: Option<Lsn>,
    until: Option<Lsn>,
    actors: Vec<String>,
    correlation: Option<String>,
    attribute: Option<(String, Json)>,
    scope: Scope,
    mode: UndoMode,
    head: Option<Lsn>,
}

/// What to do about records that were changed again later.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UndoMode {
    /// Refuse the whole undo.
    #[default]
    Strict,
    /// Take the later transactions back as well, and those that build on them.
    Cascade,
    /// Take the changes back all the same: what was written later is overwritten.
    Force,
    /// Leave those records as they are, and take the rest back.
    Nonconflicting,
    /// Merge JSON values field by field, so that later changes of other fields stay; what both
    /// changed is decided so.
    Merge(OnConflict),
}

/// What to do where two changes can't both be kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnConflict {
    /// Refuse the whole plan.
    #[default]
    Fail,
    /// Keep what is there now.
    Ours,
    /// Bring back what was.
    Theirs,
}

impl OnConflict {
    /// As it stands in `$audit`.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Fail => "fail",
            Self::Ours => "ours",
            Self::Theirs => "theirs",
        }
    }

    pub(super) const fn resolution(self) -> Resolution {
        match self {
            Self::Fail => Resolution::Refused,
            Self::Ours => Resolution::Kept,
            Self::Theirs => Resolution::Overwritten,
        }
    }
}

/// Whether this is one of the actors.
pub(super) fn by(actors: &[String], actor: Option<&String>) -> bool {
    actor.is_some_and(|actor| actors.contains(actor))
}

impl Undo {
    /// Of one transaction.
    #[must_use]
    pub fn transaction(lsn: Lsn) -> Self {
        Self::default().between(lsn.previous(), lsn)
    }

    /// Only the transactions after `after`, up to and including `until`.
    #[must_use]
    pub fn between(self, after: Lsn, until: Lsn) -> Self {
        Self { after: Some(after), until: Some(until), ..self }
    }

    /// Of all transactions that are kept; of use with what follows.
    #[must_use]
    pub fn everything() -> Self {
        Self::default()
    }

    /// Only transactions of this actor; called again, of that one too.
    #[must_use]
    pub fn by_actor(mut self, actor: impl Into<String>) -> Self {
        self.actors.push(actor.into());
        self
    }

    /// Only transactions with this correlation id.
    #[must_use]
    pub fn with_correlation(self, correlation: impl Into<String>) -> Self {
        Self { correlation: Some(correlation.into()), ..self }
    }

    /// Only transactions with this attribute.
    #[must_use]
    pub fn with_attribute(self, name: impl Into<String>, value: impl Into<Json>) -> Self {
        Self { attribute: Some((name.into(), value.into())), ..self }
    }

    /// Only changes of these records.
    #[must_use]
    pub fn of(self, scope: Scope) -> Self {
        Self { scope, ..self }
    }

    /// What to do about later changes.
    #[must_use]
    pub fn mode(self, mode: UndoMode) -> Self {
        Self { mode, ..self }
    }

    /// Plans as if this transaction were the newest.
    #[must_use]
    pub fn as_of(self, head: Lsn) -> Self {
        Self { head: Some(head), ..self }
    }

    fn chooses(&self, metadata: &Metadata) -> bool {
        let attribute =
            |(name, value): &(String, Json)| metadata.attributes.get(name) == Some(value);
        (self.actors.is_empty() || by(&self.actors, metadata.actor.as_ref()))
            && (self.correlation.is_none() || self.correlation == metadata.correlation)
            && self.attribute.as_ref().is_none_or(attribute)
    }

    pub(super) fn describe(&self) -> Json {
        let (after, until) = (self.after, self.until);
        let (mode, on_conflict) = match self.mode {
            UndoMode::Strict => ("strict", None),
            UndoMode::Cascade => ("cascade", None),
            UndoMode::Force => ("force", None),
            UndoMode::Nonconflicting => ("nonconflicting", None),
            UndoMode::Merge(on_conflict) => ("merge", Some(on_conflict.as_str())),
        };
        serde_json::json!({
            "after": after, "until": until, "actors": self.actors,
            "correlation": self.correlation, "attribute": self.attribute, "mode": mode,
            "on_conflict": on_conflict, "scope": self.scope.describe(),
        })
    }
}

impl Store {
    /// What an [`undo`](Self::undo) would do; writes nothing.
    ///
    /// # Errors
    /// `OutsideWindow`; `NotFound` for a collection that never existed; `Invalid` if nothing that
    /// was chosen can be taken back; `Corrupt`.
    pub fn plan_undo(&self, undo: &Undo) -> Result<Plan<'_>> {
        let head = undo.head.unwrap_or_else(|| self.head());
        self.snapshot_at(head)?;
        undo.scope.check(self)?;
        let mut selection = Selection::gather(self, undo, head)?;
        if undo.mode == UndoMode::Cascade {
            // Only records to which a round has added something can be in conflict after it.
            let mut open: BTreeSet<_> = selection.steps.keys().copied().collect();
            while !open.is_empty() {
                let planner = Planner { store: self, undo, head, selection: &selection };
                let later = planner.in_the_way(&open)?;
                open.clear();
                for lsn in later {
                    open.extend(selection.add(&self.transaction(lsn)?, undo)?);
                }
            }
        }
        Planner { store: self, undo, head, selection: &selection }.plan()
    }

    /// Takes transactions back by one new transaction, which can itself be undone. A record that
    /// was changed again since is decided by the [mode](UndoMode). The moment before it gets an
    /// automatic restore point, and `$audit` a record.
    ///
    /// # Errors
    /// `Conflict` with the records concerned, nothing was written; as
    /// [`plan_undo`](Self::plan_undo) and [`write`](Self::write).
    pub fn undo(&self, undo: &Undo, by: &Author) -> Result<Commit<Recovered>> {
        execute::until_it_holds(self, by, || self.plan_undo(undo))
    }
}

/// A change that was chosen.
#[derive(Clone, Copy)]
struct Step<'a> {
    lsn: Lsn,
    before: Option<Image<'a>>,
    after: Option<Image<'a>>,
}

/// The changes that were chosen, by record, oldest first.
#[derive(Default)]
struct Selection<'a> {
    transactions: BTreeSet<Lsn>,
    steps: BTreeMap<Name<'a>, Vec<Step<'a>>>,
    not_undone: Vec<NotUndone<'a>>,
}

impl<'a> Selection<'a> {
    fn gather(store: &'a Store, undo: &Undo, head: Lsn) -> Result<Self> {
        let after = undo.after.unwrap_or_else(|| store.first().previous());
        let until = undo.until.unwrap_or(head);
        store.engine.check_window(after)?;
        store.engine.check_window(until)?;
        if undo.until == Some(Lsn::ZERO) {
            store.transaction(Lsn::ZERO)?;
        }
        if after > until {
            let message = format!("LSN {after} comes after LSN {until}: nothing lies between");
            return Err(Error::new(&code::INVALID_REVISION, message));
        }
        let mut selection = Self::default();
        for transaction in store.transactions(after.next()..=until.min(head))? {
            let transaction = transaction?;
            if undo.chooses(transaction.metadata()) {
                selection.add(&transaction, undo)?;
            }
        }
        selection.check()?;
        Ok(selection)
    }

    /// Takes in the changes of a transaction; returns the records that they are of.
    fn add(&mut self, transaction: &TransactionView<'a>, undo: &Undo) -> Result<Vec<Name<'a>>> {
        let (lsn, mut added) = (transaction.lsn(), Vec::new());
        for change in transaction.changes() {
            let change = change?;
            let (collection, key) = (change.collection(), change.key());
            if !undo.scope.names(collection, key) {
                continue;
            }
            if let Some(reason) = reason_against(&change) {
                self.not_undone.push(NotUndone { lsn, collection, key, reason });
                continue;
            }
            self.transactions.insert(lsn);
            let steps = self.steps.entry((collection, key)).or_default();
            let step = Step { lsn, before: change.before(), after: change.after() };
            let at = steps.partition_point(|known| known.lsn < lsn);
            steps.insert(at, step);
            added.push((collection, key));
        }
        Ok(added)
    }

    /// Who chose nothing but what can't be taken back should hear why.
    fn check(&self) -> Result<()> {
        let Some(first) = self.not_undone.first().filter(|_| self.steps.is_empty()) else {
            return Ok(());
        };
        let key = String::from_utf8_lossy(first.key);
        let record = format!("{}/{}", first.collection, key.escape_debug());
        let message = format!("LSN {}: {record} can't be undone: {}", first.lsn, first.reason);
        Err(Error::new(&code::NOT_UNDOABLE, message).at_lsn(first.lsn))
    }
}

struct Planner<'a, 'p> {
    store: &'a Store,
    undo: &'p Undo,
    head: Lsn,
    selection: &'p Selection<'a>,
}

/// What would become of a record.
struct Outcome<'a> {
    value: Option<Value<'a>>,
    conflict: Option<RecordConflict>,
}

impl<'a> Planner<'a, '_> {
    /// The later transactions that are in the way of taking these records back.
    fn in_the_way(&self, records: &BTreeSet<Name<'a>>) -> Result<BTreeSet<Lsn>> {
        let mut later = BTreeSet::new();
        for &name in records {
            let change = self.change(name)?;
            if let Some(conflict) = change.as_ref().and_then(PlannedChange::conflict) {
                later.extend(self.later(name, conflict.lsn)?.iter().map(Version::lsn));
            }
        }
        Ok(later)
    }

    fn plan(&self) -> Result<Plan<'a>> {
        let (mut changes, mut unchanged) = (Vec::new(), 0);
        for &name in self.selection.steps.keys() {
            let Some(change) = self.change(name)? else { continue };
            if change.op().is_none() && change.conflict.is_none() {
                unchanged += 1;
            } else {
                changes.push(change);
            }
        }
        let refuses = |change: &PlannedChange<'_>| {
            change.conflict().is_some_and(|found| found.resolution == Resolution::Refused)
        };
        let is_lost = |change: &NotUndone<'_>| change.reason == Reason::ImageGone;
        let is_refused = changes.iter().any(refuses)
            || self.undo.mode == UndoMode::Strict && self.selection.not_undone.iter().any(is_lost);
        Ok(Plan {
            store: self.store.id(),
            purpose: Purpose::Undo {
                transactions: self.selection.transactions.iter().copied().collect(),
            },
            request: self.undo.describe(),
            head: self.head,
            changes,
            unchanged,
            not_undone: self.selection.not_undone.clone(),
            is_refused,
        })
    }

    /// What would become of a record; none if its value does not fit.
    fn change(&self, (collection, key): Name<'a>) -> Result<Option<PlannedChange<'a>>> {
        let steps = self.selection.steps.get(&(collection, key)).map_or(&[][..], Vec::as_slice);
        let current = current(self.store, (collection, key), self.head)?;
        let target = steps.first().and_then(|step| step.before);
        if !self.undo.scope.fits([current, target])? {
            return Ok(None);
        }
        let Outcome { value, conflict } = self.outcome((collection, key), steps, current)?;
        Ok(Some(PlannedChange { collection, key, before: current, after: value, conflict }))
    }

    /// Takes the chosen changes of a record back, the newest first.
    fn outcome(
        &self,
        name: Name<'_>,
        steps: &[Step<'a>],
        current: Option<Image<'a>>,
    ) -> Result<Outcome<'a>> {
        let mut outcome = Outcome { value: current.map(Value::Stored), conflict: None };
        for step in steps.iter().rev() {
            let now = outcome.value.as_ref().map(Value::image);
            if self.is_as(now, step.after) || self.is_as(now, step.before) {
                outcome.value = step.before.map(Value::Stored);
                continue;
            }
            let Clash { next, fields, resolution } = self.clash(step, now);
            if !fields.is_empty() {
                match &mut outcome.conflict {
                    Some(known) => known.fields.extend(fields),
                    // Looked for once only: a record has many versions.
                    None => {
                        outcome.conflict = Some(self.conflict(name, step, resolution, fields)?);
                    }
                }
            }
            match next {
                Next::Becomes(value) => outcome.value = value,
                Next::Stays => break,
                Next::Refused => {
                    outcome.value = current.map(Value::Stored);
                    break;
                }
            }
        }
        if let Some(Value::Merged(merged)) = &outcome.value
            && merge::mean_the_same(Some(merged.as_image()), current)
        {
            outcome.value = current.map(Value::Stored);
        }
        Ok(outcome)
    }

    /// Whether the record is as a change left it, or found it. Merging is about fields, so then the
    /// meaning counts, and otherwise the image.
    fn is_as(&self, now: Option<Image<'_>>, image: Option<Image<'_>>) -> bool {
        let merges = matches!(self.undo.mode, UndoMode::Merge(_));
        now == image || merges && merge::mean_the_same(now, image)
    }

    /// What becomes of a record that is not as the change left it.
    fn clash(&self, step: &Step<'a>, now: Option<Image<'_>>) -> Clash<'a> {
        let (resolution, merged) = match self.undo.mode {
            UndoMode::Strict | UndoMode::Cascade => (Resolution::Refused, None),
            UndoMode::Force => (Resolution::Overwritten, None),
            UndoMode::Nonconflicting => (Resolution::Kept, None),
            UndoMode::Merge(on_conflict) => {
                let merged = merge::three(step.after, now, step.before, on_conflict);
                (on_conflict.resolution(), merged)
            }
        };
        let is_merged = merged.is_some();
        let (value, fields) = if let Some((value, fields)) = merged {
            (Some(value), fields)
        } else {
            let whole = merge::whole(step.after, now, step.before);
            (step.before.map(Value::Stored), vec![whole])
        };
        let next = match resolution {
            _ if fields.is_empty() => Next::Becomes(value),
            Resolution::Refused => Next::Refused,
            Resolution::Kept if !is_merged => Next::Stays,
            Resolution::Kept | Resolution::Overwritten => Next::Becomes(value),
        };
        Clash { next, fields, resolution }
    }

    fn conflict(
        &self,
        name: Name<'_>,
        step: &Step<'_>,
        resolution: Resolution,
        fields: Vec<FieldConflict>,
    ) -> Result<RecordConflict> {
        let later = self.later(name, step.lsn)?;
        let first = later.last();
        Ok(RecordConflict {
            lsn: step.lsn,
            later: first.map_or(self.head, Version::lsn),
            later_actor: first.and_then(Version::actor).map(str::to_owned),
            resolution,
            fields,
        })
    }

    /// The versions of a record behind a transaction that were not chosen, newest first.
    fn later(&self, name: Name<'_>, lsn: Lsn) -> Result<Vec<Version<'a>>> {
        let mut later = later(self.store, name, lsn, self.head)?;
        later.retain(|version| !self.selection.transactions.contains(&version.lsn()));
        Ok(later)
    }
}

/// What becomes of a record that is not as the change left it.
struct Clash<'a> {
    next: Next<'a>,
    /// What is in conflict; nothing if all could be merged.
    fields: Vec<FieldConflict>,
    resolution: Resolution,
}

enum Next<'a> {
    /// It gets this value, and the changes before are looked at.
    Becomes(Option<Value<'a>>),
    /// It stays as the changes after this one have left it.
    Stays,
    /// It stays as it is, and nothing else is done either.
    Refused,
}
