//! Carrying a plan out: one transaction, with its record in `$audit`.

use serde::Serialize;

use super::plan::{Plan, PlanCounts, PlanId, Purpose, Resolution};
use crate::error::{Conflict, Error, ErrorKind, Result, code};
use crate::lsn::Lsn;
use crate::store::{Alone, Author, Commit, PointKind, Store, Transaction, WRITE_ATTEMPTS_MAX};

/// What a restore in place or an undo has done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Recovered {
    /// The plan that was carried out.
    pub plan: PlanId,
    /// How many records it was about.
    pub counts: PlanCounts,
    /// The restore point that names the moment before it; none if there was nothing to do.
    pub point: Option<String>,
}

impl Store {
    /// Carries a plan out as one new transaction. The moment before it gets an automatic restore
    /// point, and `$audit` a record. If there is nothing to do, nothing is written.
    ///
    /// # Errors
    /// `Conflict` with the records concerned if the plan [is refused](Plan::is_refused), or if a
    /// record that it touches was changed since it was made; `Invalid` for the plan of another
    /// store; as [`write`](Self::write). Then nothing was written.
    pub fn execute(&self, plan: &Plan<'_>, by: &Author) -> Result<Commit<Recovered>> {
        carry_out(self, plan, by, &mut |tx| tx.commit())
    }
}

fn carry_out(
    store: &Store,
    plan: &Plan<'_>,
    by: &Author,
    commit: &mut dyn FnMut(Transaction<'_>) -> Result<Commit<()>>,
) -> Result<Commit<Recovered>> {
    if plan.store != store.id() {
        let message = "the plan was made for another store";
        return Err(Error::new(&code::INVALID_OPTION, message));
    }
    plan.check()?;
    let counts = plan.counts();
    let mut attempt = 1;
    loop {
        let mut done = Recovered { plan: plan.id(), counts, point: None };
        let mut tx = store.begin()?;
        if counts.changes() > 0 {
            done.point = Some(sign(&mut tx, plan, by)?);
            fill(&mut tx, plan)?;
        }
        match commit(tx) {
            Ok(commit) => return Ok(commit.with_value(done)),
            Err(error) if is_about_the_store(&error) && attempt < WRITE_ATTEMPTS_MAX => {
                attempt += 1;
            }
            Err(error) if error.code().id == code::EXPECTATION_FAILED.id => {
                return Err(stale(plan, error));
            }
            Err(error) => return Err(error),
        }
    }
}

/// Whether only what the store itself notes came in between, as restore points: the records of the
/// plan may still be what they were.
fn is_about_the_store(error: &Error) -> bool {
    error.kind() == ErrorKind::Conflict
        && error.conflicts().iter().all(|conflict| conflict.collection.starts_with('$'))
}

fn stale(plan: &Plan<'_>, error: Error) -> Error {
    let record = error.conflicts().first().map_or_else(String::new, |conflict| {
        let key = String::from_utf8_lossy(&conflict.key);
        format!("the record {}/{} was changed", conflict.collection, key.escape_debug())
    });
    let message = format!("{record} since the plan was made at LSN {}", plan.head());
    error.reworded(&code::STALE_PLAN, message)
}

impl Plan<'_> {
    /// Whether it may be carried out.
    ///
    /// # Errors
    /// `Conflict` with the records concerned, or `Invalid` if something can't be taken back.
    pub fn check(&self) -> Result<()> {
        if self.is_refused() { Err(refusal(self)) } else { Ok(()) }
    }
}

/// So many plans are made beside other writers before these have to wait for one.
const BESIDE_OTHERS: u32 = 4;

/// Plans and carries out until no other writer comes in between; who is overtaken again and again
/// keeps the others from writing for once.
pub(super) fn until_it_holds<'s>(
    store: &'s Store,
    by: &Author,
    plan: impl Fn() -> Result<Plan<'s>>,
) -> Result<Commit<Recovered>> {
    for _ in 0..BESIDE_OTHERS {
        match store.execute(&plan()?, by) {
            Err(error) if error.code().id == code::STALE_PLAN.id => {}
            done => return done,
        }
    }
    let mut alone = Alone::begin(&store.engine)?;
    let done = carry_out(store, &plan()?, by, &mut |tx| alone.append(&tx))?;
    alone.end(done)
}

/// The commit finds out whether one of the records was changed since the plan was made.
fn fill(tx: &mut Transaction<'_>, plan: &Plan<'_>) -> Result<()> {
    for change in plan.changes() {
        let (collection, key) = (change.collection(), change.key());
        if change.op().is_none() {
            continue;
        }
        tx.expect_unchanged(collection, key, plan.head())?;
        match change.after() {
            Some(image) => tx.put_image(collection, key, image)?,
            None => drop(tx.delete_record(collection, key)?),
        }
    }
    Ok(())
}

/// Notes who, why and what was asked for, and names the moment before.
fn sign(tx: &mut Transaction<'_>, plan: &Plan<'_>, by: &Author) -> Result<String> {
    tx.sign(by);
    let (action, attribute, value) = match plan.purpose() {
        Purpose::Restore { target } => ("restore", "restores", serde_json::json!(target)),
        Purpose::Undo { transactions } => ("undo", "undoes", shown(transactions)),
    };
    if by.message.is_none() {
        tx.message(title(plan));
    }
    tx.attribute(attribute, value.clone());
    let point = tx.mark_before(action, PointKind::Automatic, Some(&title(plan)))?;
    let record = serde_json::json!({
        "action": action,
        attribute: value,
        "request": plan.request,
        "plan": plan.id(),
        "counts": plan.counts(),
        "point": point,
    });
    tx.note_in_audit(action, &record)?;
    Ok(point)
}

/// A few transactions one by one, many by their ends.
fn shown(transactions: &[Lsn]) -> serde_json::Value {
    const FEW: usize = 100;
    match transactions {
        [one] => serde_json::json!([one]),
        [first, .., last] if transactions.len() > FEW => {
            serde_json::json!({"first": first, "last": last, "count": transactions.len()})
        }
        few => serde_json::json!(few),
    }
}

/// What a plan is for, in a few words.
fn title(plan: &Plan<'_>) -> String {
    match plan.purpose() {
        Purpose::Restore { target } => format!("restore to LSN {target}"),
        Purpose::Undo { transactions } => match &transactions[..] {
            [] => "undo of nothing".to_owned(),
            [lsn] => format!("undo of LSN {lsn}"),
            [first, .., last] => {
                format!("undo of {} transactions, LSN {first} to {last}", transactions.len())
            }
        },
    }
}

fn refusal(plan: &Plan<'_>) -> Error {
    let refused = plan.changes().iter().filter_map(|change| {
        let conflict = change.conflict()?;
        (conflict.resolution == Resolution::Refused).then(|| Conflict {
            collection: change.collection().to_owned(),
            key: change.key().to_vec(),
            lsn: conflict.later,
        })
    });
    let conflicts: Vec<_> = refused.collect();
    let Some(first) = conflicts.first() else {
        let lost = plan
            .not_undone()
            .first()
            .map_or_else(String::new, |change| format!("LSN {}: {}", change.lsn, change.reason));
        return Error::new(&code::NOT_UNDOABLE, format!("{} is refused: {lost}", title(plan)));
    };
    let more = match conflicts.len() {
        0 | 1 => String::new(),
        count => format!(", and {} more", count - 1),
    };
    let key = String::from_utf8_lossy(&first.key);
    let record = format!("{}/{}", first.collection, key.escape_debug());
    let how = match plan.purpose() {
        // By somebody else than the chosen actor, whoever came first.
        Purpose::Restore { .. } => format!("changed by LSN {} too", first.lsn),
        Purpose::Undo { .. } => format!("changed again by LSN {}", first.lsn),
    };
    let message = format!("{} is refused: the record {record} was {how}{more}", title(plan));
    Error::new(&code::UNDO_CONFLICT, message).with_conflicts(conflicts)
}
