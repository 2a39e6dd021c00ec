//! What retention means for a repository: which backups are marked as deleted, and which objects go
//! by now. A plan is made of facts alone; nothing is written. Carrying it out is putting the marks,
//! then deleting the objects in the order given, and may stop anywhere.
//!
//! Deleting has two phases. A mark comes first and takes nothing away: for a time of grace it can
//! be taken back. Only then the objects go that no kept backup, no lease and no younger mark needs:
//! contents first, then manifests, then marks, so that a half-deleted backup is never taken for one
//! that was lost or that is there.

use std::collections::{BTreeMap, BTreeSet};

use jiff::tz::TimeZone;
use serde::Serialize;

use super::policy::{Retention, Rule};
use super::rules::{Candidate, Reason, judge};
use crate::backup::catalogue::{Backup, BackupState, Catalogue, manifest_name};
use crate::backup::manifest::{BackupKind, BackupType, Label};
use crate::backup::object::ObjectName;
use crate::backup::route::Windows;
use crate::error::{Error, Result, code};
use crate::time::Timestamp;

/// The time of grace between the mark and the deletion of objects, unless another is chosen.
pub const GRACE_HOURS: u32 = 24;

const MICROS_OF_AN_HOUR: i64 = 3_600_000_000;
const MICROS_OF_A_DAY: i64 = 24 * MICROS_OF_AN_HOUR;

/// Somebody who is at work on a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The name of its document.
    pub name: String,
    /// It counts until then.
    pub expires: Timestamp,
    /// What must stay meanwhile; `None`: everything, since it is not known beforehand.
    pub objects: Option<BTreeSet<ObjectName>>,
}

/// How the last verification of the repository ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum LastVerify {
    /// There was none.
    #[default]
    Never,
    /// All was sound.
    Sound(Timestamp),
    /// Something was not.
    Failed {
        /// When it was.
        at: Timestamp,
        /// What was not.
        what: String,
    },
}

/// The facts that a plan is made from, but for the repository itself.
#[derive(Clone, Debug)]
pub struct Circumstances<'a> {
    /// The time now.
    pub now: Timestamp,
    /// Whose calendar says what a day is.
    pub zone: TimeZone,
    /// How many hours deleted backups can be taken back.
    pub grace_hours: u32,
    /// Who is at work.
    pub leases: &'a [Lease],
    /// How the last verification ended.
    pub last_verify: &'a LastVerify,
}

impl Circumstances<'_> {
    /// Whether a time of grace that began then is over.
    fn grace_is_over(&self, since: Timestamp) -> bool {
        let grace = i64::from(self.grace_hours).saturating_mul(MICROS_OF_AN_HOUR);
        since.as_micros().checked_add(grace).is_some_and(|end| end <= self.now.as_micros())
    }

    /// Whether somebody who is at work needs this object.
    fn is_leased(&self, name: &ObjectName) -> bool {
        let mut live = self.leases.iter().filter(|lease| lease.expires > self.now);
        live.any(|lease| lease.objects.as_ref().is_none_or(|objects| objects.contains(name)))
    }
}

/// What becomes of one backup, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Judgement {
    /// Its name.
    pub label: Label,
    /// Who asked for it.
    pub kind: BackupKind,
    /// Whether it stays.
    pub keep: bool,
    /// Why.
    pub reasons: Vec<Reason>,
}

/// What is to be done.
#[derive(Clone, Debug)]
pub struct RetentionPlan {
    /// What becomes of each backup that is not deleted yet, the oldest first.
    pub backups: Vec<Judgement>,
    /// Backups to mark as deleted; their objects stay for the time of grace.
    pub delete: Vec<Label>,
    /// Objects to delete, in this order.
    pub sweep: Vec<ObjectName>,
    /// The size of these objects.
    pub bytes_freed: u64,
    /// The size of what is freed once the time of grace of all that is deleted is over.
    pub bytes_freed_later: u64,
    /// Objects that only somebody at work keeps from being deleted now.
    pub leased: u64,
    /// What can be restored of each timeline when it is done.
    pub windows: BTreeMap<u32, Windows>,
    /// What can be restored of each timeline now, and not when it is done.
    pub lost: BTreeMap<u32, Windows>,
}

impl RetentionPlan {
    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.delete.is_empty() && self.sweep.is_empty()
    }

    /// Whether a repository, after this was carried out, still holds what it was to hold.
    ///
    /// # Errors
    /// `Corrupt`, naming what can't be restored any more.
    pub fn check(&self, after: &Catalogue) -> Result<()> {
        for (timeline, promised) in &self.windows {
            let held = after.line(*timeline).map(|line| line.windows().clone()).unwrap_or_default();
            let narrowed = promised.without(&held);
            if !narrowed.is_empty() {
                let message = format!(
                    "transactions {narrowed} can't be restored any more, though backups that are \
                     kept hold them"
                );
                return Err(Error::new(&code::BACKUP_DAMAGED, message));
            }
        }
        Ok(())
    }
}

/// What these rules mean for this repository.
///
/// # Errors
/// `Conflict` if the last verification failed, a manifest can't be read, or of some kind of backup
/// nothing would be left.
pub fn plan_retention(
    catalogue: &Catalogue,
    retention: &Retention,
    facts: &Circumstances<'_>,
) -> Result<RetentionPlan> {
    refuse_unsound(catalogue, facts)?;
    let backups = judge_all(catalogue, retention, facts)?;
    finish(catalogue, backups, facts)
}

/// What deleting these backups means for this repository.
///
/// # Errors
/// `NotFound` if one of them is not there; `Conflict` if one is pinned, or no backup or no full one
/// would be left, or as [`plan_retention`].
pub fn plan_deletion(
    catalogue: &Catalogue,
    labels: &BTreeSet<Label>,
    facts: &Circumstances<'_>,
) -> Result<RetentionPlan> {
    refuse_unsound(catalogue, facts)?;
    for label in labels {
        if catalogue.backup(label)?.standing.pinned {
            return Err(refused(format!("the backup {label} is pinned")));
        }
    }
    let there = catalogue.backups().iter().filter(|backup| !backup.is_deleted());
    let judged = there.map(|backup| {
        let keep = !labels.contains(&backup.manifest.label);
        judgement(backup, keep, if keep { Vec::new() } else { vec![Reason::Asked] })
    });
    let judged: Vec<Judgement> = judged.collect();
    let left = |is_full: bool| {
        let complete = catalogue.backups().iter().filter(|backup| backup.is_complete());
        let mut alike =
            complete.filter(|b| !is_full || b.manifest.backup_type == BackupType::Full).peekable();
        alike.peek().is_none() || alike.any(|b| !labels.contains(&b.manifest.label))
    };
    if !left(false) {
        return Err(refused("no backup would be left".into()));
    }
    if !left(true) {
        return Err(refused("no full backup would be left".into()));
    }
    finish(catalogue, judged, facts)
}

fn refuse_unsound(catalogue: &Catalogue, facts: &Circumstances<'_>) -> Result<()> {
    if let LastVerify::Failed { at, what } = facts.last_verify {
        return Err(refused(format!("the last verification, at {at}, failed: {what}")));
    }
    // What it needs is not known, so nothing can be said to be needed by nobody.
    if let Some(name) = catalogue.unreadable().first() {
        return Err(refused(format!("{name} can't be read")));
    }
    Ok(())
}

fn refused(message: String) -> Error {
    Error::new(&code::RETENTION_REFUSED, message)
}

fn judgement(backup: &Backup, keep: bool, reasons: Vec<Reason>) -> Judgement {
    let Backup { manifest, .. } = backup;
    Judgement { label: manifest.label.clone(), kind: manifest.kind, keep, reasons }
}

/// What becomes of each backup that is not deleted yet.
fn judge_all(
    catalogue: &Catalogue,
    retention: &Retention,
    facts: &Circumstances<'_>,
) -> Result<Vec<Judgement>> {
    let there: Vec<&Backup> = catalogue.backups().iter().filter(|b| !b.is_deleted()).collect();
    let mut reasons: BTreeMap<&Label, Vec<Reason>> = BTreeMap::new();
    for kind in BackupKind::ALL {
        let of_kind = there.iter().copied().filter(|backup| backup.manifest.kind == kind);
        let (judged, exempt): (Vec<&Backup>, Vec<&Backup>) =
            of_kind.partition(|backup| !backup.standing.pinned && backup.is_complete());
        for backup in &exempt {
            let pinned = backup.standing.pinned;
            let reason = if pinned { Reason::Pinned } else { Reason::Unsound };
            reasons.insert(&backup.manifest.label, vec![reason]);
        }
        let found = judge_kind(retention.rule(kind), &judged, facts);
        // A pinned one is something; one that can't be restored is nothing.
        let something = exempt.iter().any(|backup| backup.is_complete())
            || judged.is_empty()
            || found.iter().any(|reasons| !reasons.is_empty());
        if !something {
            return Err(refused(format!("the rules would keep no {kind} backup")));
        }
        reasons.extend(judged.iter().map(|backup| &backup.manifest.label).zip(found));
    }
    keep_last_full(&there, &mut reasons);
    let judged = there.iter().map(|backup| {
        let reasons = reasons.remove(&backup.manifest.label).unwrap_or_default();
        let keep = !reasons.is_empty();
        judgement(backup, keep, if keep { reasons } else { vec![Reason::NoRule] })
    });
    Ok(judged.collect())
}

fn judge_kind(rule: &Rule, backups: &[&Backup], facts: &Circumstances<'_>) -> Vec<Vec<Reason>> {
    match rule {
        Rule::All => vec![vec![Reason::Kind]; backups.len()],
        Rule::Policy(policy) => {
            let candidates: Vec<Candidate> = backups.iter().map(|b| candidate(b)).collect();
            judge(policy, &candidates, facts.now, &facts.zone)
        }
        Rule::Limit { newest, days } => {
            let days = i64::from(*days).saturating_mul(MICROS_OF_A_DAY);
            let oldest = facts.now.as_micros().saturating_sub(days);
            let mut found = Vec::with_capacity(backups.len());
            // They come with the oldest first.
            for (number, backup) in (1..=backups.len()).rev().zip(backups) {
                let time = backup.manifest.started;
                let among = u32::try_from(number).is_ok_and(|number| number <= *newest);
                found.push(match number {
                    _ if time > facts.now => vec![Reason::Future],
                    _ if among && time.as_micros() >= oldest => vec![Reason::Limit],
                    1 => vec![Reason::NewestOfKind],
                    _ => Vec::new(),
                });
            }
            found
        }
    }
}

fn candidate(backup: &Backup) -> Candidate {
    Candidate {
        label: backup.manifest.label.clone(),
        time: backup.manifest.started,
        annotations: backup.standing.annotations.clone(),
    }
}

/// Of full backups that can be restored one stays, whatever the rules say.
fn keep_last_full<'a>(there: &[&'a Backup], reasons: &mut BTreeMap<&'a Label, Vec<Reason>>) {
    let full = |backup: &&&'a Backup| {
        backup.is_complete() && backup.manifest.backup_type == BackupType::Full
    };
    let kept = |label: &Label| reasons.get(label).is_some_and(|reasons| !reasons.is_empty());
    let full: Vec<&'a Label> =
        there.iter().filter(full).map(|backup| &backup.manifest.label).collect();
    if let Some(newest) = full.last()
        && !full.iter().any(|label| kept(label))
    {
        reasons.insert(newest, vec![Reason::LastFull]);
    }
}

/// What the judgements mean for the objects.
fn finish(
    catalogue: &Catalogue,
    backups: Vec<Judgement>,
    facts: &Circumstances<'_>,
) -> Result<RetentionPlan> {
    let delete: Vec<Label> =
        backups.iter().filter(|judged| !judged.keep).map(|judged| judged.label.clone()).collect();
    let named: BTreeSet<&Label> = delete.iter().collect();
    let deleted = |backup: &Backup| {
        let now = named.contains(&backup.manifest.label).then_some(facts.now);
        backup.standing.deleted.or(now)
    };
    let marked = catalogue.after(deleted, &BTreeSet::new());
    let (sweep, leased) = swept(&marked, facts);
    let gone = sweep.iter().cloned().collect();
    let after = marked.after(|backup| backup.standing.deleted, &gone);
    let plan = RetentionPlan {
        backups,
        delete,
        bytes_freed: size(catalogue, sweep.iter()),
        bytes_freed_later: size(catalogue, unneeded(&marked).difference(&gone)),
        sweep,
        leased,
        windows: windows(&marked),
        lost: lost(catalogue, &marked),
    };
    check_promises(catalogue, &after, &plan)?;
    Ok(plan)
}

/// The objects to delete, in the order in which to do so, and how many only leases keep.
fn swept(marked: &Catalogue, facts: &Circumstances<'_>) -> (Vec<ObjectName>, u64) {
    // What can still be taken back keeps all that it would need then: its own objects, and those
    // of others that lead to them.
    let taken_back = marked.after(
        |backup| backup.standing.deleted.filter(|at| facts.grace_is_over(*at)),
        &BTreeSet::new(),
    );
    let unneeded_then = unneeded(&taken_back);
    let written = |name: &ObjectName| marked.objects().get(name).map(|object| object.modified);
    let due = |name: &&ObjectName| {
        unneeded_then.contains(*name) && written(name).is_some_and(|at| facts.grace_is_over(at))
    };
    let candidates = unneeded(marked);
    let (kept, mut gone): (BTreeSet<_>, BTreeSet<_>) =
        candidates.iter().filter(due).cloned().partition(|name| facts.is_leased(name));
    let contents: Vec<ObjectName> = gone.iter().cloned().collect();
    let manifests = swept_manifests(marked, &gone, facts);
    gone.extend(manifests.iter().cloned());
    let leased = u64::try_from(kept.len()).unwrap_or(u64::MAX);
    let marks = swept_marks(marked, &gone, facts);
    (contents.into_iter().chain(manifests).chain(marks).collect(), leased)
}

/// The slices and bases that no backup that is kept needs.
fn unneeded(catalogue: &Catalogue) -> BTreeSet<ObjectName> {
    let needed = catalogue.needed();
    // Of a damaged backup stays what is left, needed or not.
    let own: BTreeSet<ObjectName> = catalogue
        .backups()
        .iter()
        .filter(|backup| !backup.is_deleted())
        .flat_map(|backup| backup.manifest.objects().map(|(name, _)| name))
        .collect();
    let content = catalogue.objects().keys().filter(|name| name.is_content());
    content.filter(|name| !needed.contains(*name) && !own.contains(*name)).cloned().collect()
}

/// The manifests of deleted backups of which nothing is left. As long as a kept backup needs an
/// object of a deleted one, the manifest stays, since nothing else tells what that object is.
fn swept_manifests(
    marked: &Catalogue,
    gone: &BTreeSet<ObjectName>,
    facts: &Circumstances<'_>,
) -> Vec<ObjectName> {
    let of_kept: BTreeSet<ObjectName> = marked
        .backups()
        .iter()
        .filter(|backup| !backup.is_deleted())
        .flat_map(|backup| backup.manifest.objects().map(|(name, _)| name))
        .collect();
    let stays = |name: &ObjectName| {
        marked.objects().contains_key(name) && !gone.contains(name) && !of_kept.contains(name)
    };
    let over = marked.backups().iter().filter(|backup| match backup.state {
        BackupState::Deleted { at, .. } => facts.grace_is_over(at),
        BackupState::Complete | BackupState::Damaged(_) | BackupState::Unreachable => false,
    });
    over.filter(|backup| !backup.manifest.objects().any(|(name, _)| stays(&name)))
        .map(manifest_name)
        .filter(|name| marked.objects().contains_key(name) && !facts.is_leased(name))
        .collect()
}

/// The marks of backups that are gone.
fn swept_marks(
    marked: &Catalogue,
    gone: &BTreeSet<ObjectName>,
    facts: &Circumstances<'_>,
) -> Vec<ObjectName> {
    let of_nothing = |name: &&ObjectName| {
        let ObjectName::Mark { label, .. } = name else { return false };
        let manifest = ObjectName::Manifest(label.clone());
        gone.contains(&manifest) || !marked.objects().contains_key(&manifest)
    };
    let due = |name: &&ObjectName| {
        let written = marked.objects().get(*name).map(|object| object.modified);
        written.is_some_and(|at| facts.grace_is_over(at)) && !facts.is_leased(name)
    };
    marked.objects().keys().filter(of_nothing).filter(due).cloned().collect()
}

fn size<'a>(catalogue: &Catalogue, names: impl Iterator<Item = &'a ObjectName>) -> u64 {
    let sizes = names.filter_map(|name| catalogue.objects().get(name));
    sizes.fold(0, |sum, object| sum.saturating_add(object.bytes))
}

fn windows(catalogue: &Catalogue) -> BTreeMap<u32, Windows> {
    let lines = catalogue
        .timelines()
        .filter_map(|timeline| Some((timeline, catalogue.line(timeline)?.windows().clone())));
    lines.collect()
}

fn lost(before: &Catalogue, after: &Catalogue) -> BTreeMap<u32, Windows> {
    let after = windows(after);
    let mut lost = BTreeMap::new();
    for (timeline, had) in windows(before) {
        let narrowed = had.without(&after.get(&timeline).cloned().unwrap_or_default());
        if !narrowed.is_empty() {
            lost.insert(timeline, narrowed);
        }
    }
    lost
}

/// What kept backups promise can be restored after the plan as before, and what the plan says can
/// be restored is so when its objects are gone. That holds by the way plans are made; a mistake in
/// that must not cost a backup.
fn check_promises(before: &Catalogue, after: &Catalogue, plan: &RetentionPlan) -> Result<()> {
    plan.check(after)?;
    let kept = plan.backups.iter().filter(|judged| judged.keep);
    for judged in kept {
        if before.backup(&judged.label)?.is_complete()
            && !after.backup(&judged.label)?.is_complete()
        {
            let message = format!("the backup {} could not be restored any more", judged.label);
            return Err(refused(message));
        }
    }
    if plan.delete.is_empty() && !plan.lost.is_empty() {
        return Err(refused("moments would be lost though no backup is deleted".into()));
    }
    Ok(())
}
