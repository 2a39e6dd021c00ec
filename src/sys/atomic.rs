//! Replacing a small file so that a crash leaves the old one or the new one.

use std::path::Path;

use super::{Disk, Entry};
use crate::error::{Error, Result, code};
use crate::format::names;

/// Writes `parts` beside `path`, syncs, renames over `path`, and syncs the directory.
pub(crate) fn publish(disk: &dyn Disk, path: &Path, parts: &[&[u8]]) -> Result<()> {
    let directory = path.parent().ok_or_else(|| {
        Error::new(&code::INVALID_OPTION, "the path has no directory").at_path(path)
    })?;
    let temporary = names::temporary(path);
    if disk.entry(&temporary)? == Entry::File {
        // An earlier crash left it behind; nothing refers to it.
        disk.remove(&temporary)?;
    }
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let file = disk.create(&temporary, length as u64)?;
    let mut offset = 0;
    for part in parts {
        file.write_at(offset, part)?;
        offset += part.len() as u64;
    }
    file.sync()?;
    disk.rename(&temporary, path)?;
    disk.sync_dir(directory)
}
