//! The headers of the checkpoints.

use serde::Serialize;

use super::inventory::Role;
use super::{Check, Patient, count, listing};
use crate::error::Result;
use crate::format::checkpoint::{CHECKPOINT_HEADER_BYTES, CheckpointHeader};
use crate::lsn::Lsn;
use crate::sys::{self, Access, Disk};

/// A checkpoint file, as far as its header tells.
#[derive(Clone, Debug, Serialize)]
pub(super) struct CheckpointFile {
    pub(super) lsn: Lsn,
    pub(super) bytes: u64,
    /// The checkpoint that it stands on.
    pub(super) below: Option<Lsn>,
    /// What is wrong with it.
    pub(super) damage: Option<String>,
}

pub(super) fn checkpoints(patient: &Patient<'_>) -> Check {
    if let Some(check) = patient.without_store() {
        return check;
    }
    let all = files(patient);
    let wrong: Vec<_> = all
        .iter()
        .filter_map(|file| Some(format!("that at LSN {}: {}", file.lsn, file.damage.as_ref()?)))
        .collect();
    if !wrong.is_empty() {
        return Check::warning(
            format!("damaged checkpoints, {}", listing(&wrong)),
            "nothing is lost: opening for writing sets them aside and reads the journal; \
             `afterimage checkpoint` writes a new one",
        );
    }
    match all.last() {
        None => Check::ok("none; opening reads the whole journal"),
        Some(newest) => {
            let number = count(all.len() as u64, "checkpoint");
            Check::ok(format!(
                "the headers of {number} are sound, the newest at LSN {}",
                newest.lsn
            ))
        }
    }
}

/// The checkpoint files, oldest first.
pub(super) fn files(patient: &Patient<'_>) -> Vec<CheckpointFile> {
    let mut files = Vec::new();
    for item in &patient.inventory.items {
        let Role::Checkpoint(lsn) = item.role else { continue };
        let file = CheckpointFile { lsn, bytes: item.facts.bytes, below: None, damage: None };
        match header(patient.disk, &item.path) {
            Ok(Ok(header)) => files.push(CheckpointFile {
                below: (header.below > Lsn::ZERO).then_some(header.below),
                damage: disagreement(patient, lsn, &header).map(str::to_owned),
                ..file
            }),
            Ok(Err(what)) => files.push(CheckpointFile { damage: Some(what.to_owned()), ..file }),
            // A writer has replaced it meanwhile.
            Err(_) if matches!(patient.disk.facts(&item.path), Ok(None)) => {}
            Err(error) => {
                files.push(CheckpointFile { damage: Some(super::told_bare(&error)), ..file });
            }
        }
    }
    let lsns: Vec<Lsn> = files.iter().map(|file| file.lsn).collect();
    for file in &mut files {
        if file.below.is_some_and(|below| !lsns.contains(&below)) && file.damage.is_none() {
            file.damage = Some("the checkpoint that it stands on is missing".to_owned());
        }
    }
    files.sort_by_key(|file| file.lsn);
    files
}

type Header = std::result::Result<CheckpointHeader, &'static str>;

fn header(disk: &dyn Disk, path: &std::path::Path) -> Result<Header> {
    let file = disk.open(path, Access::Read)?;
    let bytes = sys::read_range(&*file, 0, CHECKPOINT_HEADER_BYTES)?;
    let length = file.length()?;
    Ok(CheckpointHeader::parse(&bytes).map_err(|malformed| malformed.what).and_then(|header| {
        let end = header.directory.checked_add(header.directory_length);
        if end == Some(length) { Ok(header) } else { Err("length of the file") }
    }))
}

/// What of a sound header does not belong there.
fn disagreement(
    patient: &Patient<'_>,
    lsn: Lsn,
    header: &CheckpointHeader,
) -> Option<&'static str> {
    let identity = patient.identity.as_ref().ok()?;
    if header.store != identity.store || header.timeline != identity.timeline {
        return Some("it is of another store");
    }
    (header.lsn != lsn).then_some("it is of another LSN")
}
