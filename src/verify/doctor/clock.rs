//! The clock, beside the times of the journal.

use super::{Check, Patient};
use crate::error::Result;
use crate::lsn::Lsn;
use crate::store::Store;
use crate::time::Timestamp;

/// A clock this far behind the journal is not only a little wrong.
const FAR_MICROS: i64 = 24 * 60 * 60 * 1_000_000;

pub(super) fn clock(patient: &Patient<'_>) -> Check {
    let Ok(store) = &patient.opened else { return Check::skipped("the store does not open") };
    let newest = match newest(store) {
        Ok(newest) => newest,
        Err(error) => return super::unlooked(&error),
    };
    // Asked for after the journal, which a writer may be adding to.
    let now = patient.options.clock.now();
    let (what, time) = match (newest, &patient.identity) {
        (Some(time), _) => ("the newest transaction", time),
        (None, Ok(header)) => ("the creation of the store", header.created),
        (None, Err(_)) => return Check::skipped("there is no transaction yet"),
    };
    let behind = time.as_micros().saturating_sub(now.as_micros());
    if behind <= 0 {
        return Check::ok(format!("{now}; {what} was at {time}"));
    }
    let found = format!("the clock says {now}, and {what} was at {time}, {} later", span(behind));
    let raised = "until the clock has caught up, new transactions get the time of the newest one";
    if behind > FAR_MICROS {
        return Check::problem(
            format!("{found}; {raised}"),
            "set the clock; if it is right, a wrong one wrote the newest transactions: restore to \
             the moment before them, or wait, and address moments by LSN",
        );
    }
    Check::warning(format!("{found}; {raised}"), "set the clock, or have it kept right by NTP")
}

fn newest(store: &Store) -> Result<Option<Timestamp>> {
    match store.head() {
        Lsn::ZERO => Ok(None),
        head => Ok(Some(store.transaction(head)?.time())),
    }
}

/// How long, for people.
fn span(micros: i64) -> String {
    const UNITS: [(i64, &str); 4] = [
        (86_400_000_000, "days"),
        (3_600_000_000, "hours"),
        (60_000_000, "minutes"),
        (1_000_000, "s"),
    ];
    match UNITS.iter().find(|(unit, _)| micros >= 2 * unit) {
        Some((unit, name)) => format!("{} {name}", micros / unit),
        None => format!("{} ms", micros / 1000),
    }
}
