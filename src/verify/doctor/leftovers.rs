//! What stands in and beside the store and is not in use.

use std::path::{Path, PathBuf};

use super::inventory::{Inventory, Item, Role};
use super::{Check, Patient, amount, count, listing};
use crate::error::Result;
use crate::format::names;
use crate::sys::facts::Kind;
use crate::sys::{Disk, Entry};

/// What restore and repair leave beside a store.
#[derive(Debug, Default)]
struct Siblings {
    partial: Option<PathBuf>,
    damaged: Vec<PathBuf>,
}

impl Siblings {
    fn of(disk: &dyn Disk, root: &Path) -> Result<Self> {
        let mut found = Self::default();
        let partial = names::partial(root);
        if disk.entry(&partial)? == Entry::Directory {
            found.partial = Some(partial);
        }
        let (Some(parent), Some(name)) = (root.parent(), root.file_name()) else {
            return Ok(found);
        };
        let prefix = format!("{}.damaged-", name.to_string_lossy());
        let is_number = |rest: &str| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit());
        if disk.entry(parent)? != Entry::Directory {
            return Ok(found);
        }
        for name in disk.list(parent)? {
            if name.strip_prefix(&prefix).is_some_and(is_number) {
                found.damaged.push(parent.join(name));
            }
        }
        Ok(found)
    }
}

pub(super) fn interrupted(patient: &Patient<'_>) -> Check {
    let siblings = match Siblings::of(patient.disk, &patient.root) {
        Ok(siblings) => siblings,
        Err(error) => return Check::skipped(super::told_bare(&error)),
    };
    let mut found: Vec<String> = temporary(patient).collect();
    for path in &siblings.damaged {
        found.push(format!("{}: a damaged store that a repair has kept", sized(patient, path)));
    }
    let Some(partial) = &siblings.partial else {
        if found.is_empty() {
            return Check::ok("nothing was interrupted");
        }
        return Check::warning(listing(&found), "remove what is not needed any more");
    };
    found.insert(0, format!("{}: a restore or repair that did not end", sized(patient, partial)));
    if let Ok(Some(pid)) = patient.disk.lock_holder(&partial.join(names::LOCK)) {
        let found = format!("{}; process {pid} is at it now", listing(&found));
        return Check::warning(found, "wait until it is done");
    }
    if patient.standing == Some(Entry::Nothing) && !siblings.damaged.is_empty() {
        // Repair gives the damaged store another name first.
        return Check::problem(
            listing(&found),
            format!(
                "the repair had only the last step before it: if `afterimage verify --deep` finds \
                 {} sound, rename it to {}",
                partial.display(),
                patient.root.display()
            ),
        );
    }
    Check::warning(
        listing(&found),
        format!(
            "nothing refers to it: remove {}, which the next repair asks for and the next restore \
             does itself",
            partial.display()
        ),
    )
}

/// Files of the store that were being written; while somebody writes they are in use.
fn temporary<'a>(patient: &'a Patient<'_>) -> impl Iterator<Item = String> + 'a {
    let busy = patient.disk.lock_holder(&patient.root.join(names::LOCK));
    let busy = matches!(busy, Ok(Some(_)));
    let items = patient.inventory.items.iter();
    items.filter(move |item| item.role == Role::Temporary && !busy).map(|item| {
        format!("{}, {}: a file whose writing was interrupted", item.name, amount(item.facts.bytes))
    })
}

fn sized(patient: &Patient<'_>, path: &Path) -> String {
    let bytes = Inventory::of(patient.disk, path).bytes();
    format!("{}, {}", path.display(), amount(bytes))
}

pub(super) fn quarantine(patient: &Patient<'_>) -> Check {
    if let Some(check) = patient.without_store() {
        return check;
    }
    let quarantined = patient.inventory.items.iter().filter(|i| i.role == Role::Quarantined);
    let mut kinds = [
        ("the end of an interrupted write", ".tail", Vec::new()),
        ("a segment that nothing continues", ".seg", Vec::new()),
        ("a damaged checkpoint", ".ckpt", Vec::new()),
        ("something else", "", Vec::new()),
    ];
    for item in quarantined {
        // A name may be followed by the number of the attempt.
        let kind = kinds.iter_mut().find(|(_, ending, _)| item.name.contains(ending));
        if let Some((.., bytes)) = kind {
            bytes.push(item.facts.bytes);
        }
    }
    let found: Vec<_> = kinds
        .iter()
        .filter(|(.., bytes)| !bytes.is_empty())
        .map(|(what, _, bytes)| {
            let files = count(bytes.len() as u64, "file");
            format!("{files}, {}: {what}", amount(bytes.iter().sum()))
        })
        .collect();
    if found.is_empty() {
        return Check::ok("nothing was set aside");
    }
    Check::warning(
        format!("quarantine/ holds {}", listing(&found)),
        "nothing refers to it; look at it, or keep it for whoever helps, then remove it",
    )
}

pub(super) fn foreign(patient: &Patient<'_>) -> Check {
    if let Some(check) = patient.without_store() {
        return check;
    }
    let all: Vec<_> =
        foreign_items(patient).filter(|item| !is_backup(patient.disk, item)).collect();
    if all.is_empty() {
        return Check::ok("no files but the store's own");
    }
    let shown: Vec<_> = all.iter().map(|item| described(item)).collect();
    Check::warning(
        format!("not the store's: {}", listing(&shown)),
        "move them elsewhere: a store's directory is for its files alone",
    )
    .told_as(format!("{}, {} in all, are not the store's", files(&all), amount(size(&all))))
}

pub(super) fn backups(patient: &Patient<'_>) -> Check {
    if let Some(check) = patient.without_store() {
        return check;
    }
    let all: Vec<_> = foreign_items(patient).filter(|item| is_backup(patient.disk, item)).collect();
    if all.is_empty() {
        return Check::ok("no copies inside the store's directory");
    }
    let shown: Vec<_> = all.iter().map(|item| described(item)).collect();
    let lost = "are lost together with what they are copies of";
    Check::warning(
        format!("copies inside the store's directory {lost}: {}", listing(&shown)),
        "move them to another disk, or better another machine",
    )
    .told_as(format!("{} that look like copies {lost}", files(&all)))
}

fn foreign_items<'a>(patient: &'a Patient<'_>) -> impl Iterator<Item = &'a Item> {
    patient.inventory.items.iter().filter(|item| item.role == Role::Foreign)
}

/// Whether it looks like a copy of a store or of what it holds: by its name, or because it is one.
fn is_backup(disk: &dyn Disk, item: &Item) -> bool {
    const ENDINGS: [&str; 12] = [
        ".bak", ".old", ".tar", ".tgz", ".gz", ".xz", ".bz2", ".zst", ".zip", ".7z", ".ndjson",
        ".dump",
    ];
    let name = item.name.to_lowercase();
    let is_store = item.facts.kind == Kind::Directory
        && matches!(disk.entry(&item.path.join(names::STORE)), Ok(Entry::File));
    is_store || name.contains("backup") || ENDINGS.iter().any(|ending| name.ends_with(ending))
}

fn described(item: &Item) -> String {
    match item.facts.kind {
        Kind::File => format!("{}, {}", item.name, amount(item.facts.bytes)),
        Kind::Directory => format!("{}, a directory", item.name),
        Kind::Link => format!("{}, a symbolic link", item.name),
        Kind::Other => format!("{}, a pipe, socket or device", item.name),
    }
}

fn files(items: &[&Item]) -> String {
    count(items.len() as u64, "file")
}

fn size(items: &[&Item]) -> u64 {
    items.iter().map(|item| item.facts.bytes).sum()
}
