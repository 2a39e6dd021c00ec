//! Replacing a file so that a crash leaves the old one or the new one.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Disk, DiskFile, Entry};
use crate::error::{Error, Result, code};
use crate::format::names;

/// A file that is being written beside its place.
#[derive(Debug)]
pub(crate) struct Staged<'a> {
    disk: &'a dyn Disk,
    path: &'a Path,
    temporary: PathBuf,
    file: Arc<dyn DiskFile>,
}

impl<'a> Staged<'a> {
    /// Begins a file of `bytes` bytes, or of none, for what will stand at `path`.
    pub(crate) fn create(disk: &'a dyn Disk, path: &'a Path, bytes: u64) -> Result<Self> {
        let temporary = names::temporary(path);
        if disk.entry(&temporary)? == Entry::File {
            // An earlier crash left it behind; nothing refers to it.
            disk.remove(&temporary)?;
        }
        let file = disk.create(&temporary, bytes)?;
        Ok(Self { disk, path, temporary, file })
    }

    pub(crate) fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.file.write_at(offset, bytes)
    }

    /// Syncs, renames over the path, and syncs the directory.
    pub(crate) fn publish(self) -> Result<()> {
        let directory = self.path.parent().ok_or_else(|| {
            Error::new(&code::INVALID_OPTION, "the path has no directory").at_path(self.path)
        })?;
        self.file.sync()?;
        self.disk.rename(&self.temporary, self.path)?;
        self.disk.sync_dir(directory)
    }
}

/// Writes `parts` beside `path`, syncs, renames over `path`, and syncs the directory.
pub(crate) fn publish(disk: &dyn Disk, path: &Path, parts: &[&[u8]]) -> Result<()> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let staged = Staged::create(disk, path, length as u64)?;
    let mut offset = 0;
    for part in parts {
        staged.write_at(offset, part)?;
        offset += part.len() as u64;
    }
    staged.publish()
}
