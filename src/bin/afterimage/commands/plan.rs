//! Plans as they are shown, asked about, and carried out; `undo` and `restore` make them.

use afterimage::json::FieldConflict;
use afterimage::{
    Condition, Error, Filter, Lsn, NotUndone, Plan, PlanCounts, PlanId, PlannedChange, Purpose,
    RecordConflict, Resolution, Result, Scope, Store, code,
};
use serde_json::value::RawValue;

use super::{DONE, IN_PART};
use crate::address::{parse_key, record, show_key};
use crate::args::{PlanArgs, ScopeArgs};
use crate::context::Context;
use crate::render::{self, FieldDocument, count, field_name, raw_key, raw_value, safe};

/// How many records are shown to people who did not ask for all with `-v`.
const SHOWN: usize = 20;

/// Plans, shows the plan, asks, and carries it out, as far as the arguments say. `make` plans as if
/// the transaction it is given were the newest.
pub(super) fn carry_out<F>(context: &mut Context, args: &PlanArgs, make: F) -> Result<u8>
where
    F: for<'s> Fn(&'s Store, Lsn) -> Result<Plan<'s>>,
{
    let wanted = args.plan.as_deref().map(str::parse::<PlanId>).transpose()?;
    let reader = context.reader(false)?;
    let head = wanted.map_or(reader.head(), |wanted| wanted.head());
    let plan = planned(&reader, head, wanted, &make)?;
    if args.signed.dry_run {
        show(context, &plan)?;
        return plan.check().map(|()| DONE);
    }
    if context.out.json || context.globals.yes {
        plan.check()?;
    } else {
        show(context, &plan)?;
        context.out.flush()?;
        plan.check()?;
    }
    if plan.counts().changes() == 0 {
        // No writer is needed for that: it is an answer beside another one, too.
        return nothing_to_do(context, &plan);
    }
    let id = plan.id();
    if !context.confirm(&format!("carry out plan {id}?"))? {
        context.out.say("nothing was changed");
        return Ok(DONE);
    }
    drop(plan);
    drop(reader);
    let store = context.writer()?;
    let plan = planned(&store, head, Some(id), &make)?;
    let commit = store.execute(&plan, &args.signed.author())?;
    tell(context, &plan, &commit)?;
    let code = skipped(context, &plan);
    drop(plan);
    store.close()?;
    Ok(code)
}

fn nothing_to_do(context: &mut Context, plan: &Plan<'_>) -> Result<u8> {
    if context.out.json {
        context.out.document(&serde_json::json!({
            "lsn": null, "ts": null, "ts_us": null,
            "counts": plan.counts(), "point": null, "plan": plan.id(),
        }))?;
    } else if plan.counts().conflict == 0 {
        context.out.say("nothing to do: every record is as it should be");
    } else {
        context.out.say("nothing was changed");
    }
    Ok(skipped(context, plan))
}

/// The plan of these arguments; refused if another one is wanted.
fn planned<'s, F>(store: &'s Store, head: Lsn, wanted: Option<PlanId>, make: &F) -> Result<Plan<'s>>
where
    F: Fn(&'s Store, Lsn) -> Result<Plan<'s>>,
{
    if head > store.head() {
        let message =
            format!("the plan was made at LSN {head}, and this store is at {}", store.head());
        return Err(Error::new(&code::STALE_PLAN, message));
    }
    let plan = make(store, head)?;
    match wanted {
        Some(wanted) if wanted != plan.id() => {
            let message = format!("these arguments make the plan {} and not {wanted}", plan.id());
            Err(Error::new(&code::STALE_PLAN, message))
        }
        Some(_) | None => Ok(plan),
    }
}

/// What a plan says as JSON.
#[derive(serde::Serialize)]
struct PlanDocument<'p> {
    action: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    target_lsn: Option<Lsn>,
    #[serde(skip_serializing_if = "Option::is_none")]
    transactions: Option<&'p [Lsn]>,
    head_lsn: Lsn,
    counts: PlanCounts,
    bytes: u64,
    seconds: f64,
    refused: bool,
    changes: Vec<ChangeDocument<'p>>,
    not_undone: Vec<NotUndoneDocument<'p>>,
    plan: PlanId,
}

#[derive(serde::Serialize)]
struct ChangeDocument<'p> {
    collection: &'p str,
    key: Box<RawValue>,
    op: Option<&'static str>,
    before: Box<RawValue>,
    after: Box<RawValue>,
    fields: Vec<FieldDocument>,
    conflict: Option<ConflictDocument<'p>>,
}

#[derive(serde::Serialize)]
struct ConflictDocument<'p> {
    lsn: Lsn,
    later: Lsn,
    later_actor: Option<&'p str>,
    resolution: Resolution,
    fields: Vec<FieldConflictDocument<'p>>,
}

/// A side on which the field is absent is left out, unlike a null.
#[derive(serde::Serialize)]
struct FieldConflictDocument<'p> {
    path: &'p str,
    #[serde(skip_serializing_if = "Option::is_none")]
    base: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ours: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    theirs: Option<Box<RawValue>>,
}

#[derive(serde::Serialize)]
struct NotUndoneDocument<'p> {
    lsn: Lsn,
    collection: &'p str,
    key: Box<RawValue>,
    reason: afterimage::Reason,
}

impl<'p> PlanDocument<'p> {
    fn new(plan: &'p Plan<'_>) -> Self {
        let (action, target_lsn, transactions) = match plan.purpose() {
            Purpose::Restore { target } => ("restore", Some(*target), None),
            Purpose::Undo { transactions } => ("undo", None, Some(&transactions[..])),
        };
        Self {
            action,
            target_lsn,
            transactions,
            head_lsn: plan.head(),
            counts: plan.counts(),
            bytes: plan.bytes(),
            seconds: plan.seconds(),
            refused: plan.is_refused(),
            changes: plan.changes().iter().map(ChangeDocument::new).collect(),
            not_undone: plan.not_undone().iter().map(NotUndoneDocument::new).collect(),
            plan: plan.id(),
        }
    }
}

impl<'p> ChangeDocument<'p> {
    fn new(change: &'p PlannedChange<'_>) -> Self {
        Self {
            collection: change.collection(),
            key: raw_key(change.key()),
            op: change.op().map(afterimage::Op::as_str),
            before: raw_value(change.before()),
            after: raw_value(change.after()),
            fields: change.fields().into_iter().map(FieldDocument::new).collect(),
            conflict: change.conflict().map(ConflictDocument::new),
        }
    }
}

impl<'p> ConflictDocument<'p> {
    fn new(conflict: &'p RecordConflict) -> Self {
        let json = |text: &Option<String>| text.as_deref().map(render::json_or_text);
        let field = |field: &'p FieldConflict| FieldConflictDocument {
            path: &field.path,
            base: json(&field.base),
            ours: json(&field.ours),
            theirs: json(&field.theirs),
        };
        Self {
            lsn: conflict.lsn,
            later: conflict.later,
            later_actor: conflict.later_actor.as_deref(),
            resolution: conflict.resolution,
            fields: conflict.fields.iter().map(field).collect(),
        }
    }
}

impl<'p> NotUndoneDocument<'p> {
    fn new(change: &NotUndone<'p>) -> Self {
        let key = raw_key(change.key);
        Self { lsn: change.lsn, collection: change.collection, key, reason: change.reason }
    }
}

fn show(context: &mut Context, plan: &Plan<'_>) -> Result<()> {
    if context.out.json {
        return context.out.document(&PlanDocument::new(plan));
    }
    let shown = if context.globals.verbose { usize::MAX } else { SHOWN };
    for change in plan.changes().iter().take(shown) {
        show_change(context, change)?;
    }
    let more = plan.changes().len().saturating_sub(shown);
    if more > 0 {
        context.out.line(&format!("  and {}; -v shows all", count(more as u64, "more record")))?;
    }
    context.out.line(&summary(plan))
}

fn show_change(context: &mut Context, change: &PlannedChange<'_>) -> Result<()> {
    let record = name(change);
    if let Some(op) = change.op() {
        let images = (change.before(), change.after());
        render::record_change(&mut context.out, &record, op, images, true)?;
    }
    let Some(conflict) = change.conflict() else { return Ok(()) };
    let what = context.out.paint("1;33", "conflict");
    context.out.line(&format!("  {what} {record}: {}", describe(conflict)))?;
    for field in &conflict.fields {
        let path = field_name(&field.path);
        let sides = [("was", &field.base), ("is", &field.ours), ("would be", &field.theirs)];
        for (side, value) in sides {
            if let Some(value) = value {
                let line = context.out.fit(&format!("    {path} {side}: {}", safe(value)));
                context.out.line(&line)?;
            }
        }
    }
    Ok(())
}

fn describe(conflict: &RecordConflict) -> String {
    let actor = conflict
        .later_actor
        .as_deref()
        .map_or_else(String::new, |actor| format!(" by {}", safe(actor)));
    let outcome = match conflict.resolution {
        Resolution::Refused => "",
        Resolution::Kept => "; that is kept",
        Resolution::Overwritten => "; that is overwritten",
    };
    let RecordConflict { lsn, later, .. } = conflict;
    if later < lsn {
        return format!("LSN {later} changed it{actor} before LSN {lsn}{outcome}");
    }
    format!("LSN {later} changed it again{actor} after LSN {lsn}{outcome}")
}

fn name(change: &PlannedChange<'_>) -> String {
    format!("{}/{}", safe(change.collection()), show_key(change.key()))
}

fn summary(plan: &Plan<'_>) -> String {
    let counts = plan.counts();
    let what = match plan.purpose() {
        Purpose::Restore { target } => format!("restore to LSN {target}"),
        Purpose::Undo { transactions } => {
            format!("undo of {}", count(transactions.len() as u64, "transaction"))
        }
    };
    format!(
        "{what}: {} to create, {} to update, {} to delete, {} unchanged, {}; {} bytes, \
         about {}\nplan {}",
        counts.create,
        counts.update,
        counts.delete,
        counts.unchanged,
        count(counts.conflict, "conflict"),
        plan.bytes(),
        took(plan.seconds()),
        plan.id()
    )
}

/// A time for people.
fn took(seconds: f64) -> String {
    if seconds < 1.0 { format!("{:.0} ms", seconds * 1e3) } else { format!("{seconds:.1} s") }
}

/// Tells what was done.
fn tell(
    context: &mut Context,
    plan: &Plan<'_>,
    commit: &afterimage::Commit<afterimage::Recovered>,
) -> Result<()> {
    let done = commit.value();
    let counts = done.counts;
    if context.out.json {
        return context.out.document(&serde_json::json!({
            "lsn": commit.lsn(),
            "ts": commit.time(),
            "ts_us": commit.time().as_micros(),
            "counts": counts,
            "point": done.point,
            "plan": done.plan,
        }));
    }
    let point = done.point.as_deref().unwrap_or_default();
    let verb = match plan.purpose() {
        Purpose::Restore { .. } => "restored",
        Purpose::Undo { .. } => "undone",
    };
    let lsn = commit.lsn();
    context.out.say(&format!(
        "{verb} as LSN {lsn}: {} created, {} updated, {} deleted\n\
         the moment before is point:{point}; `afterimage undo {lsn}` takes this back",
        counts.create, counts.update, counts.delete
    ));
    Ok(())
}

/// Lists what was left as it is; the exit code says whether there was something.
fn skipped(context: &Context, plan: &Plan<'_>) -> u8 {
    let mut code = DONE;
    for change in plan.changes() {
        let Some(conflict) = change.conflict() else { continue };
        if conflict.resolution == Resolution::Kept {
            context.out.warn(&format!("{}: {}", name(change), describe(conflict)));
            code = IN_PART;
        }
    }
    for change in plan.not_undone() {
        if change.reason != afterimage::Reason::SystemRecord {
            let record = format!("{}/{}", safe(change.collection), show_key(change.key));
            context.out.warn(&format!("{record}: LSN {} stays: {}", change.lsn, change.reason));
            code = IN_PART;
        }
    }
    code
}

fn condition(text: &str) -> Result<Condition> {
    let filter = Filter::compile(text)?;
    Ok(Condition::new(move |image| filter.is_true(image)))
}

impl ScopeArgs {
    /// Which records they mean.
    pub(super) fn scope(&self) -> Result<Scope> {
        let prefix = |text: &String| {
            let (collection, key) = text.split_once('/').unwrap_or((text, ""));
            Ok((collection.to_owned(), parse_key(key)?))
        };
        Ok(Scope {
            collections: self.collection.clone(),
            records: self.key.iter().map(|text| record(text)).collect::<Result<_>>()?,
            prefixes: self.prefix.iter().map(prefix).collect::<Result<_>>()?,
            condition: self.condition.as_deref().map(condition).transpose()?,
        })
    }
}
