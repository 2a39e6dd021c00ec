//! Who may read and change the store's files.

use super::inventory::Role;
use super::{Check, Patient, listing, unlooked};
use crate::sys::facts::Kind;
use crate::sys::{Access, process};

/// The bits of a mode that let others than the owner change something.
const OTHERS_WRITE: u32 = 0o022;
/// Those that let them do anything.
const OTHERS: u32 = 0o077;

pub(super) fn modes(patient: &Patient<'_>) -> Check {
    if let Some(check) = patient.without_store() {
        return check;
    }
    let (mut writable, mut readable) = (Vec::new(), Vec::new());
    // A link has no mode of its own.
    for item in patient.inventory.own().filter(|item| item.facts.kind != Kind::Link) {
        let mode = item.facts.mode;
        let shown = format!("{} has mode {mode:04o}", item.name);
        if mode & OTHERS_WRITE != 0 {
            writable.push(shown);
        } else if mode & OTHERS != 0 {
            readable.push(shown);
        }
    }
    let help = format!("chmod -R u=rwX,go= {}", patient.root.display());
    if !writable.is_empty() {
        let found = format!("others than the owner may change files: {}", listing(&writable));
        return Check::problem(found, help);
    }
    if !readable.is_empty() {
        let found = format!("others than the owner may read files: {}", listing(&readable));
        return Check::warning(found, help);
    }
    Check::ok("nobody but the owner may read or change the files")
}

pub(super) fn owners(patient: &Patient<'_>) -> Check {
    if let Some(check) = patient.without_store() {
        return check;
    }
    let Some(directory) = patient.inventory.items.first() else {
        return Check::skipped("the directory can't be looked at");
    };
    let owner = directory.facts.owner;
    let others: Vec<_> = patient
        .inventory
        .own()
        .filter(|item| item.facts.kind != Kind::Link && item.facts.owner != owner)
        .map(|item| format!("{} belongs to user {}", item.name, item.facts.owner))
        .collect();
    if !others.is_empty() {
        let found = format!(
            "the directory belongs to user {owner}, and not all of it: {}",
            listing(&others)
        );
        return Check::problem(found, format!("chown -R {owner} {}", patient.root.display()));
    }
    let user = process::user();
    if user == owner {
        return Check::ok(format!("everything belongs to user {owner}, who is asking"));
    }
    let trap =
        if user == process::ROOT { "; files that root creates there will be root's" } else { "" };
    Check::warning(
        format!("everything belongs to user {owner}, and user {user} is asking{trap}"),
        format!("run commands on this store as user {owner}"),
    )
}

pub(super) fn access(patient: &Patient<'_>) -> Check {
    if let Some(error) = patient.inventory.failed.first() {
        return unlooked(error);
    }
    if let Some(check) = patient.without_store() {
        return check;
    }
    let (mut unreadable, mut unwritable) = (Vec::new(), Vec::new());
    for item in patient.inventory.own().filter(|item| item.facts.kind != Kind::Link) {
        match patient.disk.permits(&item.path, Access::Read) {
            Ok(true) => {}
            Ok(false) => unreadable.push(item.name.clone()),
            Err(error) => return unlooked(&error),
        }
        match patient.disk.permits(&item.path, Access::Write) {
            Ok(true) => {}
            // Nothing is ever written there but new files.
            Ok(false) if item.role == Role::Quarantined => {}
            Ok(false) => unwritable.push(item.name.clone()),
            Err(error) => return unlooked(&error),
        }
    }
    let user = process::user();
    let help = "run as the user who owns the store, or give that user the files with chown and \
                chmod; what only reads needs no more than to read";
    if !unreadable.is_empty() {
        return Check::problem(format!("user {user} can't read {}", listing(&unreadable)), help);
    }
    if patient.usage.as_ref().is_ok_and(|usage| usage.read_only) {
        return Check::warning(
            "the file system is mounted read-only: the store can be read and not written",
            "mount it for writing, if the store is to be written there",
        );
    }
    if !unwritable.is_empty() {
        return Check::problem(format!("user {user} can't write {}", listing(&unwritable)), help);
    }
    Check::ok(format!("user {user} can read and write all files"))
}

pub(super) fn links(patient: &Patient<'_>) -> Check {
    if let Some(check) = patient.without_store() {
        return check;
    }
    let items = patient.inventory.items.iter();
    let links: Vec<_> = items.filter(|item| item.facts.kind == Kind::Link).collect();
    if links.is_empty() {
        return Check::ok("no symbolic links");
    }
    let names: Vec<_> = links.iter().map(|link| link.name.clone()).collect();
    Check::problem(
        format!("symbolic links, which a store never has: {}", listing(&names)),
        "find out who made them; put the file itself in the place of each",
    )
    .told_as(format!("{} symbolic links", links.len()))
}
