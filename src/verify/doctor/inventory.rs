//! What stands in a store's directory: its own files, and others.

use std::path::{Path, PathBuf};

use crate::error::Result;
use crate::format::names;
use crate::lsn::Lsn;
use crate::sys::Disk;
use crate::sys::facts::{Facts, Kind};

/// What a file is to the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// The directory itself, its folders, STORE, LOCK, CONTROL.
    Fixed,
    Segment,
    Checkpoint(Lsn),
    /// Was being written when a process ended, or is being written now.
    Temporary,
    /// Kept for people to look at.
    Quarantined,
    /// None of the store's.
    Foreign,
}

/// Something that stands in the directory.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) path: PathBuf,
    /// The path below the directory; of the directory itself, a dot.
    pub(super) name: String,
    pub(super) role: Role,
    pub(super) facts: Facts,
}

/// All that stands there. Names that are not UTF-8, which no file of a store has, are not seen.
#[derive(Debug, Default)]
pub(super) struct Inventory {
    pub(super) items: Vec<Item>,
    /// What could not be looked at.
    pub(super) failed: Vec<crate::error::Error>,
}

const FOLDERS: [&str; 3] = [names::JOURNAL, names::STATE, names::QUARANTINE];
const FILES: [&str; 4] = [names::STORE, names::LOCK, names::CONTROL, names::VERIFIED];
/// The file system's own folder at the top of an ext4, and so of a store that is a mount point.
const OF_THE_FILE_SYSTEM: &str = "lost+found";

impl Inventory {
    pub(super) fn of(disk: &dyn Disk, root: &Path) -> Self {
        let mut inventory = Self::default();
        // With a dot, a link to a store is followed.
        let facts = inventory.noted(disk.facts(&root.join("."))).flatten();
        let Some(facts) = facts.filter(|facts| facts.kind == Kind::Directory) else {
            return inventory;
        };
        let (path, name) = (root.to_path_buf(), ".".to_owned());
        inventory.items.push(Item { path, name, role: Role::Fixed, facts });
        inventory.take_folder(disk, root, None);
        for folder in FOLDERS {
            let is_folder = inventory
                .items
                .iter()
                .any(|item| item.name == folder && item.facts.kind == Kind::Directory);
            if is_folder {
                inventory.take_folder(disk, &root.join(folder), Some(folder));
            }
        }
        inventory
    }

    fn take_folder(&mut self, disk: &dyn Disk, directory: &Path, folder: Option<&str>) {
        let names = self.noted(disk.list(directory)).unwrap_or_default();
        for name in names {
            let path = directory.join(&name);
            // It may be gone since it was listed.
            let Some(facts) = self.noted(disk.facts(&path)).flatten() else { continue };
            let role = role(folder, &name, facts.kind);
            if name == OF_THE_FILE_SYSTEM && folder.is_none() {
                continue;
            }
            let name = folder.map_or(name.clone(), |folder| format!("{folder}/{name}"));
            self.items.push(Item { path, name, role, facts });
        }
    }

    fn noted<T>(&mut self, result: Result<T>) -> Option<T> {
        result.map_err(|error| self.failed.push(error)).ok()
    }

    /// Whether the directory holds something of this name.
    pub(super) fn holds(&self, name: &str) -> bool {
        self.items.iter().any(|item| item.name == name)
    }

    /// What the store has made itself.
    pub(super) fn own(&self) -> impl Iterator<Item = &Item> {
        self.items.iter().filter(|item| item.role != Role::Foreign)
    }

    /// The segments, oldest first.
    pub(super) fn segments(&self) -> impl DoubleEndedIterator<Item = &Item> {
        self.items.iter().filter(|item| item.role == Role::Segment)
    }

    /// Bytes of all files.
    pub(super) fn bytes(&self) -> u64 {
        let files = self.items.iter().filter(|item| item.facts.kind == Kind::File);
        files.map(|item| item.facts.bytes).sum()
    }
}

fn role(folder: Option<&str>, name: &str, kind: Kind) -> Role {
    match folder {
        None if FOLDERS.contains(&name) || FILES.contains(&name) => Role::Fixed,
        // A folder in the place of a file is none of the store's.
        _ if kind == Kind::Directory => Role::Foreign,
        None if finished(name).is_some_and(|name| FILES.contains(&name)) => Role::Temporary,
        Some(names::JOURNAL) if names::parse_segment(name).is_some() => Role::Segment,
        Some(names::JOURNAL) if names::parse_base(name).is_some() => Role::Fixed,
        Some(names::JOURNAL) if finished(name).and_then(names::parse_base).is_some() => {
            Role::Temporary
        }
        Some(names::STATE) => of_state(name),
        Some(names::QUARANTINE) if is_quarantined(name) => Role::Quarantined,
        None | Some(_) => Role::Foreign,
    }
}

fn of_state(name: &str) -> Role {
    let temporary = finished(name).and_then(names::parse_checkpoint);
    match (names::parse_checkpoint(name), temporary) {
        (Some(lsn), _) => Role::Checkpoint(lsn),
        (None, Some(_)) => Role::Temporary,
        (None, None) => Role::Foreign,
    }
}

/// Whether opening gives such names to what it sets aside: numbers, what it was, and perhaps the
/// number of the attempt.
fn is_quarantined(name: &str) -> bool {
    let (numbers, rest) = name.split_once('.').unwrap_or((name, ""));
    let what = rest.split('.').next().unwrap_or_default();
    !numbers.is_empty()
        && numbers.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-')
        && ["tail", "seg", "ckpt"].contains(&what)
}

/// The name that a file gets when it is written.
fn finished(name: &str) -> Option<&str> {
    let finished = name.strip_suffix(".tmp")?;
    (names::temporary(Path::new(finished)).as_os_str() == name).then_some(finished)
}
