//! Whether the store opens, and what opening says.

use super::{Check, Patient, count, is_absent, told, told_bare};
use crate::error::{Error, ErrorKind, code};
use crate::format::FORMAT_VERSION;
use crate::store::Store;
use crate::sys::Entry;

/// No journal is damaged, but something is a problem.
const FAILED: u8 = 1;

pub(super) fn store(patient: &Patient<'_>) -> Check {
    match &patient.opened {
        Ok(store) => Check::ok(described(store)),
        Err(error) if patient.lost_its_identity() => {
            let segments = count(patient.inventory.segments().count() as u64, "segment");
            Check::problem(
                format!(
                    "the STORE file, which says what store this is, is missing; {segments} \
                         of its journal are there"
                ),
                "put STORE back from a copy of the store; else `afterimage repair` makes the \
                 store anew from its segments",
            )
            .told_as(told_bare(error))
        }
        Err(error) => Check::problem(told(error), help(patient, error)).told_as(told_bare(error)),
    }
}

fn described(store: &Store) -> String {
    let history = match store.head().get() {
        0 => "no transaction yet".to_owned(),
        head => format!("LSN {} to {head}", store.first()),
    };
    let (id, timeline) = (store.id(), store.timeline());
    format!("store {id}, timeline {timeline}, format {FORMAT_VERSION}, {history}")
}

fn help(patient: &Patient<'_>, error: &Error) -> String {
    let help = error.code().help;
    if error.kind() == ErrorKind::Corrupt {
        return format!("`afterimage verify` says what else is damaged; {help}");
    }
    let missing = super::system_cause(error)
        .is_some_and(|cause| cause.kind() == std::io::ErrorKind::NotFound);
    if missing && patient.is_store() {
        return "put the file that is missing back from a copy of the store".to_owned();
    }
    help.to_owned()
}

pub(super) fn notices(patient: &Patient<'_>) -> Check {
    let Ok(store) = &patient.opened else { return Check::skipped("the store does not open") };
    let notices: Vec<_> = store.notices().iter().map(ToString::to_string).collect();
    let Some(first) = notices.first() else { return Check::ok("opening has nothing to say") };
    let named = first.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    let help = match named.and_then(|(id, _)| code::find(id)) {
        Some(code) => code.help,
        None => {
            "open the store for writing: it settles what was interrupted, and keeps the rest \
                 in `quarantine/`"
        }
    };
    Check::warning(super::listing(&notices), help)
}

pub(super) fn exit_code(patient: &Patient<'_>, healthy: bool) -> u8 {
    let absent = ErrorKind::NotFound.exit_code();
    match &patient.opened {
        Ok(_) if healthy => 0,
        Err(_) if patient.lost_its_identity() => ErrorKind::Corrupt.exit_code(),
        Err(error) if is_absent(error) => absent,
        Err(_) if patient.standing == Some(Entry::File) => absent,
        Err(error) if matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Format) => {
            error.kind().exit_code()
        }
        Ok(_) | Err(_) => FAILED,
    }
}
