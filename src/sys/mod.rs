//! What the engine needs from an operating system, and only that.
//!
//! Everything that touches a file goes through [`Disk`] and [`DiskFile`]; the bytes of a segment
//! are read and appended through [`mmap::Map`]. What the engine assumes of a disk, word for word as
//! in `docs/durability.md`:
//!
//! * [`DiskFile::sync`] returns after everything written to the file before, its length included,
//!   is on stable storage; when it fails, what was not yet stable may be lost.
//! * What was not synced may be on stable storage or not, in pieces of 512 bytes, in any order.
//! * [`Disk::create`], [`Disk::rename`] and [`Disk::remove`] are durable after [`Disk::sync_dir`]
//!   of the directory; a rename replaces its target at once or not at all.
//! * Allocated space stays: writing into it does not fail for want of room.
//! * Bytes on stable storage may rot; they do not turn into other valid frames.

pub(crate) mod atomic;
mod barrier;
pub(crate) mod facts;
pub(crate) mod file;
pub(crate) mod lock;
#[expect(
    unsafe_code,
    reason = "the one module that maps files; every block states its invariant, see docs/unsafe.md"
)]
pub(crate) mod mmap;
pub(crate) mod process;
#[cfg(any(test, feature = "testing"))]
pub(crate) mod sim;
pub(crate) mod sync;
#[cfg(test)]
mod tests;
pub(crate) mod thread;
pub(crate) mod watch;

use std::fmt::Debug;
use std::path::Path;
use std::sync::Arc;

use crate::error::Result;
use facts::Inspect;
use lock::Lock;
use mmap::Map;

/// What stands at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    Nothing,
    File,
    Directory,
}

/// What a file is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    Read,
    Write,
}

/// A file system. Two implementations: [`file::RealDisk`] and the simulated one of the tests.
pub(crate) trait Disk: Inspect + Send + Sync + Debug {
    /// Fills the bytes with randomness for ids and salts.
    fn entropy(&self, bytes: &mut [u8]);
    fn entry(&self, path: &Path) -> Result<Entry>;
    /// Creates a directory that only its owner may enter; its parent must exist.
    fn create_dir(&self, path: &Path) -> Result<()>;
    /// The names in a directory, sorted.
    fn list(&self, directory: &Path) -> Result<Vec<String>>;
    /// Opens a file that exists; never follows a symbolic link.
    fn open(&self, path: &Path, access: Access) -> Result<Arc<dyn DiskFile>>;
    /// Creates a file that must not exist, with `bytes` zeros for which space is allocated.
    fn create(&self, path: &Path, bytes: u64) -> Result<Arc<dyn DiskFile>>;
    fn rename(&self, from: &Path, to: &Path) -> Result<()>;
    /// Two names change places, at once or not at all; `false` where the file system can't.
    fn exchange(&self, one: &Path, other: &Path) -> Result<bool>;
    fn remove(&self, path: &Path) -> Result<()>;
    /// Gives a file a second name; `false` where the file system can't, and a copy is needed.
    fn link(&self, from: &Path, to: &Path) -> Result<bool>;
    /// Makes the names in a directory durable.
    fn sync_dir(&self, directory: &Path) -> Result<()>;
    /// Takes the writer's lock, creating the file if need be.
    fn lock(&self, path: &Path) -> Result<Lock>;
    /// The pid of the process that holds the writer's lock, if one does.
    fn lock_holder(&self, path: &Path) -> Result<Option<u32>>;
    /// Whether appending through a map is safe there: whether a full disk is seen when space is
    /// allocated, and never when a mapped page is first written.
    fn may_append_by_map(&self, path: &Path) -> Result<bool>;
}

/// An open file.
pub(crate) trait DiskFile: Send + Sync + Debug {
    fn path(&self) -> &Path;
    fn length(&self) -> Result<u64>;
    /// Where what was ever written ends, or later; everything behind reads as zeros. A segment is
    /// allocated in full, and looking through what was never written would take most of an opening.
    fn written_end(&self) -> Result<u64>;
    /// Whether the file system answers where data and holes are; else what was written ends, as far
    /// as can be told, with the file.
    fn tells_holes(&self) -> bool;
    /// Reads exactly as many bytes as fit into `buffer`, or fewer at the end of the file.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize>;
    /// Writes all bytes.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()>;
    /// Sees to it that there is space for so many bytes from the start, where there is none yet: a
    /// copy of a file need not have what the file had.
    fn allocate(&self, bytes: u64) -> Result<()>;
    fn truncate(&self, bytes: u64) -> Result<()>;
    /// Makes what was written, stores through maps included, and the length durable.
    fn sync(&self) -> Result<()>;
    /// Drops cached pages, so that the next read shows what the disk really has.
    fn drop_cache(&self) -> Result<()>;
    /// The first `bytes` bytes in memory.
    fn map(&self, bytes: usize, access: MapAccess) -> Result<Arc<Map>>;
}

/// What a map is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MapAccess {
    /// Reading what this or another process published.
    Read,
    /// Appending; a store reaches the file by itself.
    Append,
    /// Appending; the map is memory of its own, and the writer also writes to the file.
    AppendBeside,
}

/// Makes the name of a file or a directory durable.
pub(crate) fn sync_parent(disk: &dyn Disk, path: &Path) -> Result<()> {
    match path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        Some(parent) => disk.sync_dir(parent),
        None => disk.sync_dir(Path::new(".")),
    }
}

/// Reads a whole file of at most `bytes_max` bytes.
pub(crate) fn read_file(disk: &dyn Disk, path: &Path, bytes_max: usize) -> Result<Vec<u8>> {
    let file = disk.open(path, Access::Read)?;
    read_range(&*file, 0, usize::try_from(file.length()?).unwrap_or(usize::MAX).min(bytes_max))
}

/// Reads `length` bytes, or fewer at the end of the file.
pub(crate) fn read_range(file: &dyn DiskFile, offset: u64, length: usize) -> Result<Vec<u8>> {
    let mut bytes = vec![0; length];
    let read = file.read_at(offset, &mut bytes)?;
    bytes.truncate(read);
    Ok(bytes)
}
