//! The files of a database, held in memory without the zeros at their ends.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use super::damage::{Damage, Kind};
use crate::engine::Outcome;

/// Damage is spread over blocks of this size that are not all zeros.
pub(super) const BLOCK_BYTES: usize = 512;

/// One file.
pub(super) struct FileImage {
    /// Within the directory of the database.
    pub(super) path: PathBuf,
    /// Its bytes up to the last that is not zero.
    pub(super) bytes: Vec<u8>,
    /// Its length with the zeros behind.
    pub(super) length: u64,
}

/// All files and directories.
pub(super) struct Image {
    pub(super) files: Vec<FileImage>,
    directories: Vec<PathBuf>,
}

impl Image {
    /// What stands in this directory, in the order of names.
    pub(super) fn read(root: &Path) -> Outcome<Self> {
        let mut image = Self { files: Vec::new(), directories: Vec::new() };
        image.take_in(root, Path::new(""))?;
        Ok(image)
    }

    fn take_in(&mut self, root: &Path, within: &Path) -> Outcome<()> {
        let mut entries = fs::read_dir(root.join(within))?.collect::<Result<Vec<_>, _>>()?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let path = within.join(entry.file_name());
            if entry.file_type()?.is_dir() {
                self.directories.push(path.clone());
                self.take_in(root, &path)?;
                continue;
            }
            let mut bytes = fs::read(entry.path())?;
            let length = bytes.len() as u64;
            bytes.truncate(bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1));
            bytes.shrink_to_fit();
            self.files.push(FileImage { path, bytes, length });
        }
        Ok(())
    }

    /// Makes this directory anew with these files, one of them damaged.
    pub(super) fn write(&self, root: &Path, damage: Option<&Damage>) -> Outcome<()> {
        if root.exists() {
            fs::remove_dir_all(root)?;
        }
        fs::create_dir(root)?;
        for directory in &self.directories {
            fs::create_dir(root.join(directory))?;
        }
        for (number, file) in self.files.iter().enumerate() {
            let path = root.join(&file.path);
            match damage.filter(|damage| damage.file == number) {
                Some(Damage { kind: Kind::Missing, .. }) => {}
                Some(damage) => {
                    let (bytes, length) = damage.applied(file);
                    write(&path, &bytes, length)?;
                }
                None => write(&path, &file.bytes, file.length)?,
            }
        }
        Ok(())
    }
}

fn write(path: &Path, bytes: &[u8], length: u64) -> Outcome<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    Ok(file.set_len(length)?)
}

impl FileImage {
    /// The numbers of the blocks that are not all zeros.
    pub(super) fn live_blocks(&self) -> Vec<usize> {
        let blocks = self.bytes.chunks(BLOCK_BYTES).enumerate();
        blocks.filter(|(_, block)| block.iter().any(|byte| *byte != 0)).map(|(n, _)| n).collect()
    }

    /// The bytes of these blocks.
    pub(super) fn live_bytes(&self) -> u64 {
        let blocks = self.bytes.chunks(BLOCK_BYTES);
        blocks.filter(|block| block.iter().any(|byte| *byte != 0)).map(|b| b.len() as u64).sum()
    }
}
