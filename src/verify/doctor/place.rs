//! Where the store lies: room, and what kind of file system it is.

use super::inventory::Role;
use super::{Check, Patient, amount, unlooked};
use crate::store::AppendMethod;
use crate::sys::Access;
use crate::sys::facts::Nature;

/// What a record takes in a checkpoint, about: a key and its numbers.
const CHECKPOINT_BYTES_PER_RECORD: u64 = 64;
/// With less room than so many times what is needed next, a person should know.
const ROOM_FACTOR: u64 = 4;
/// What a segment and a checkpoint need, with their temporary names and `quarantine/`.
const INODES_NEEDED: u64 = 8;
const INODES_LOW: u64 = 1000;

pub(super) fn space(patient: &Patient<'_>) -> Check {
    let usage = match patient.place() {
        Ok(usage) => usage,
        Err(check) => return check,
    };
    if usage.read_only {
        return Check::skipped("the file system is mounted read-only");
    }
    let segment = segment_bytes(patient);
    let checkpoint = checkpoint_bytes(patient);
    let needed = segment.saturating_add(checkpoint);
    let free = usage.bytes_free;
    let found = format!(
        "{} free; the next segment needs {}, a checkpoint about {}; quotas are not seen",
        amount(free),
        amount(segment),
        amount(checkpoint)
    );
    let help = "free some space on that file system, or move the store to a larger one; without \
                room writing stops, and resumes by itself when there is some";
    match free {
        _ if free < needed => Check::problem(found, help),
        _ if free / ROOM_FACTOR < needed => Check::warning(found, help),
        _ => Check::ok(found),
    }
}

/// Bytes of the store's segments; of those of a store that would be created.
pub(super) fn segment_bytes(patient: &Patient<'_>) -> u64 {
    patient.identity.as_ref().map_or(patient.options.segment_bytes, |header| header.segment_bytes)
}

/// What the next checkpoint takes, at most about: it may merge all that there are.
fn checkpoint_bytes(patient: &Patient<'_>) -> u64 {
    let items = patient.inventory.items.iter();
    let there: u64 = items
        .filter(|item| matches!(item.role, Role::Checkpoint(_)))
        .map(|item| item.facts.bytes)
        .sum();
    let records = patient.opened.as_ref().map_or(0, |store| store.stats().index_records);
    there.max(records.saturating_mul(CHECKPOINT_BYTES_PER_RECORD))
}

pub(super) fn inodes(patient: &Patient<'_>) -> Check {
    let usage = match patient.place() {
        Ok(usage) => usage,
        Err(check) => return check,
    };
    if usage.read_only {
        return Check::skipped("the file system is mounted read-only");
    }
    if usage.inodes == 0 {
        return Check::skipped("this file system has no fixed number of files");
    }
    let found = format!("room for {} more files of {}", usage.inodes_free, usage.inodes);
    let help = "remove files that nobody needs from that file system; many small ones use up \
                inodes while there is space";
    match usage.inodes_free {
        0..INODES_NEEDED => Check::problem(found, help),
        INODES_NEEDED..INODES_LOW => Check::warning(found, help),
        _ => Check::ok(found),
    }
}

pub(super) fn file_system(patient: &Patient<'_>) -> Check {
    let usage = match patient.place() {
        Ok(usage) => usage,
        Err(check) => return check,
    };
    let root = &patient.root;
    let safe = match patient.disk.may_append_by_map(root) {
        Ok(safe) => safe,
        Err(error) => return unlooked(&error),
    };
    let kind = usage.file_system;
    let name = if kind.nature == Nature::Unknown {
        format!("a file system of unknown type {:#x}", kind.number)
    } else {
        kind.name.to_owned()
    };
    if patient.options.append == AppendMethod::Map && !safe {
        return Check::problem(
            format!("{name}: a full disk can kill a process that appends through a map"),
            "leave the choice to `AppendMethod::Auto`, or take `Pwrite`",
        );
    }
    let how = if appends_by_map(patient) { "a map" } else { "writing" };
    let found = format!("{name}; the journal is appended to by {how}");
    match concern(kind.nature) {
        Some((what, help)) => Check::warning(format!("{found}; {what}"), help),
        None => Check::ok(found),
    }
}

/// What is to be known of such a file system, and what to do about it.
const fn concern(nature: Nature) -> Option<(&'static str, &'static str)> {
    match nature {
        Nature::Local | Nature::Unknown => None,
        Nature::Memory => Some((
            "it lives in memory, and all of it is gone when the machine stops",
            "keep only what may be lost there",
        )),
        Nature::Network => Some((
            "locks of the kernel may not hold between machines, so that two could write at once, \
             and a sync is as good as the server's",
            "write from one machine only; better, put the store on a disk of its own",
        )),
        Nature::Layers => Some((
            "in a container, what is written there is gone with the container",
            "put the store on a volume",
        )),
        Nature::Program => Some((
            "a program is behind it, and whether its syncs and locks hold is not known",
            "find out what it does on a sync; better, put the store on a disk of its own",
        )),
        Nature::Plain => Some((
            "it keeps neither owners nor modes, so that others may read the files",
            "put the store on a file system that does",
        )),
    }
}

fn appends_by_map(patient: &Patient<'_>) -> bool {
    // Where that can't be told, the store is not opened for writing either.
    patient.options.appends_by_map(&patient.root).unwrap_or(false)
}

/// Whether the segment that is appended to has its space, and whether holes are told. Nothing but
/// writing would show whether space can be allocated.
pub(super) fn allocation(patient: &Patient<'_>) -> Check {
    let Some(newest) = patient.inventory.segments().next_back() else {
        return Check::skipped("there is no segment yet");
    };
    let holes = match patient.disk.open(&newest.path, Access::Read) {
        Ok(file) if file.tells_holes() => "tells holes",
        Ok(_) => "does not tell holes, so that opening reads segments whole",
        Err(error) => return Check::skipped(super::told_bare(&error)),
    };
    let (bytes, allocated) = (newest.facts.bytes, newest.facts.allocated);
    let found = format!(
        "{}: {} of {} allocated; the file system {holes}",
        newest.name,
        amount(allocated.min(bytes)),
        amount(bytes)
    );
    if allocated < bytes && appends_by_map(patient) {
        return Check::warning(
            format!("{found}; where space is missing, a full disk can kill who appends"),
            // It gives the holes their space and changes no byte.
            format!("fallocate -l {bytes} {}", newest.path.display()),
        );
    }
    Check::ok(found)
}
