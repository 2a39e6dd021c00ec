//! The real file system.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{Advice, CWD, FallocateFlags, OFlags, RenameFlags};

use super::barrier::Barrier;
use super::lock::{self, Lock};
use super::mmap::Map;
use super::{Access, Disk, DiskFile, Entry, MapAccess};
use crate::error::{Error, Result};

/// `f_type` of file systems on which allocated space can be written through a map even when the
/// disk is full; on others (btrfs copies on write, network file systems) it can kill the process.
/// Values: statfs(2).
const MAP_SAFE: [u64; 3] = [
    0xEF53,      // ext2, ext3, ext4
    0x5846_5342, // XFS
    0x0102_1994, // tmpfs
];

const OWNER_ONLY_DIR: u32 = 0o700;
const OWNER_ONLY_FILE: u32 = 0o600;

/// The operating system's files.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RealDisk;

impl RealDisk {
    fn options(access: Access) -> OpenOptions {
        let mut options = OpenOptions::new();
        options
            .read(true)
            .write(access == Access::Write)
            .mode(OWNER_ONLY_FILE)
            .custom_flags(OFlags::NOFOLLOW.bits().cast_signed());
        options
    }
}

impl Disk for RealDisk {
    fn entropy(&self, bytes: &mut [u8]) {
        let mut reader = blake3::Hasher::new()
            .update(uuid::Uuid::new_v4().as_bytes())
            .update(uuid::Uuid::new_v4().as_bytes())
            .finalize_xof();
        reader.fill(bytes);
    }

    fn entry(&self, path: &Path) -> Result<Entry> {
        match fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => Ok(Entry::Directory),
            Ok(_) => Ok(Entry::File),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // A link to nothing is in the way of whoever wants to create something there.
                let dangling = fs::symlink_metadata(path).is_ok();
                Ok(if dangling { Entry::File } else { Entry::Nothing })
            }
            // A component of the path is a file: there is nothing at the path.
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => Ok(Entry::Nothing),
            Err(error) => Err(Error::from_io(error, "look at the path", path)),
        }
    }

    fn create_dir(&self, path: &Path) -> Result<()> {
        DirBuilder::new()
            .mode(OWNER_ONLY_DIR)
            .create(path)
            .map_err(|error| Error::from_io(error, "create the directory", path))
    }

    fn list(&self, directory: &Path) -> Result<Vec<String>> {
        let failed = |error| Error::from_io(error, "list the directory", directory);
        let mut names = Vec::new();
        for entry in fs::read_dir(directory).map_err(failed)? {
            // A name that is not UTF-8 is none of ours.
            names.extend(entry.map_err(failed)?.file_name().into_string());
        }
        names.sort_unstable();
        Ok(names)
    }

    fn open(&self, path: &Path, access: Access) -> Result<Arc<dyn DiskFile>> {
        let file = Self::options(access)
            .open(path)
            .map_err(|error| Error::from_io(error, "open the file", path))?;
        Ok(Arc::new(RealFile { file, path: path.to_path_buf(), barrier: Barrier::default() }))
    }

    fn create(&self, path: &Path, bytes: u64) -> Result<Arc<dyn DiskFile>> {
        let file = Self::options(Access::Write)
            .create_new(true)
            .open(path)
            .map_err(|error| Error::from_io(error, "create the file", path))?;
        if bytes > 0
            && let Err(error) = rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, bytes)
        {
            // A file of this name would only be in the way of the next attempt; if it can't be
            // removed, that attempt says so.
            drop(fs::remove_file(path));
            return Err(Error::from_io(error.into(), "allocate space for the file", path));
        }
        Ok(Arc::new(RealFile { file, path: path.to_path_buf(), barrier: Barrier::default() }))
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        #[expect(clippy::disallowed_methods, reason = "this is the place the lint points to")]
        fs::rename(from, to).map_err(|error| Error::from_io(error, "rename the file", from))
    }

    fn exchange(&self, one: &Path, other: &Path) -> Result<bool> {
        use rustix::io::Errno;
        match rustix::fs::renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE) {
            Ok(()) => Ok(true),
            Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => Ok(false),
            Err(error) => Err(Error::from_io(error.into(), "exchange the names", one)),
        }
    }

    fn remove(&self, path: &Path) -> Result<()> {
        let removed = match self.entry(path)? {
            Entry::Directory => fs::remove_dir(path),
            Entry::File | Entry::Nothing => fs::remove_file(path),
        };
        removed.map_err(|error| Error::from_io(error, "remove the file", path))
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "io::ErrorKind has no end")]
    fn link(&self, from: &Path, to: &Path) -> Result<bool> {
        match fs::hard_link(from, to) {
            Ok(()) => Ok(true),
            Err(error) => match error.kind() {
                io::ErrorKind::CrossesDevices
                | io::ErrorKind::Unsupported
                | io::ErrorKind::TooManyLinks
                | io::ErrorKind::PermissionDenied => Ok(false),
                _ => Err(Error::from_io(error, "link the file", from)),
            },
        }
    }

    fn sync_dir(&self, directory: &Path) -> Result<()> {
        File::open(directory)
            .and_then(|file| file.sync_all())
            .map_err(|error| Error::from_io(error, "sync the directory", directory))
    }

    fn lock(&self, path: &Path) -> Result<Lock> {
        let file = Self::options(Access::Write)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(|error| Error::from_io(error, "open the lock file", path))?;
        Lock::acquire(file, path)
    }

    fn lock_holder(&self, path: &Path) -> Result<Option<u32>> {
        match Self::options(Access::Read).open(path) {
            Ok(file) => lock::holder(file, path),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::from_io(error, "open the lock file", path)),
        }
    }

    fn may_append_by_map(&self, path: &Path) -> Result<bool> {
        rustix::fs::statfs(path)
            .map(|stat| MAP_SAFE.contains(&stat.f_type.cast_unsigned()))
            .map_err(|error| Error::from_io(error.into(), "ask for the file system", path))
    }
}

#[derive(Debug)]
struct RealFile {
    file: File,
    path: PathBuf,
    barrier: Barrier,
}

impl RealFile {
    fn failed(&self, action: &'static str) -> impl Fn(io::Error) -> Error + '_ {
        move |error| Error::from_io(error, action, &self.path)
    }
}

impl RealFile {
    /// Whether a stretch that the kernel takes for data is a page or two of zeros: a page that was
    /// once read from allocated space, such as the end of a segment, counts as data while it is
    /// cached.
    fn was_only_read(&self, start: u64, end: u64) -> Result<bool> {
        const LOOKED_AT_MAX: u64 = 64 << 10;
        if end - start > LOOKED_AT_MAX {
            return Ok(false);
        }
        let length = usize::try_from(end - start).unwrap_or(0);
        Ok(super::read_range(self, start, length)?.iter().all(|byte| *byte == 0))
    }
}

impl DiskFile for RealFile {
    fn path(&self) -> &Path {
        &self.path
    }

    fn length(&self) -> Result<u64> {
        let metadata = self.file.metadata().map_err(self.failed("look at the file"))?;
        Ok(metadata.len())
    }

    fn written_end(&self) -> Result<u64> {
        let length = self.length()?;
        let (mut end, mut at) = (0, 0);
        while at < length {
            match rustix::fs::seek(&self.file, rustix::fs::SeekFrom::Data(at)) {
                Ok(data) => {
                    let hole = rustix::fs::seek(&self.file, rustix::fs::SeekFrom::Hole(data));
                    at = hole.map_err(|e| self.failed("look for data in the file")(e.into()))?;
                    if !self.was_only_read(data, at)? {
                        end = at;
                    }
                }
                // Nothing but holes from here on.
                Err(rustix::io::Errno::NXIO) => break,
                // A file system that can't tell: all of it may be written.
                Err(_) => return Ok(length),
            }
        }
        Ok(length.min(end))
    }

    fn tells_holes(&self) -> bool {
        let data = rustix::fs::seek(&self.file, rustix::fs::SeekFrom::Data(0));
        matches!(data, Ok(_) | Err(rustix::io::Errno::NXIO))
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize> {
        let mut read = 0;
        while let Some(rest) = buffer.get_mut(read..).filter(|rest| !rest.is_empty()) {
            match self.file.read_at(rest, offset + read as u64) {
                Ok(0) => break,
                Ok(count) => read += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.failed("read the file")(error)),
            }
        }
        Ok(read)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.file.write_all_at(bytes, offset).map_err(self.failed("write the file"))
    }

    fn allocate(&self, bytes: u64) -> Result<()> {
        rustix::fs::fallocate(&self.file, FallocateFlags::KEEP_SIZE, 0, bytes)
            .map_err(|error| self.failed("allocate space for the file")(error.into()))
    }

    fn truncate(&self, bytes: u64) -> Result<()> {
        self.file.set_len(bytes).map_err(self.failed("truncate the file"))
    }

    fn sync(&self) -> Result<()> {
        self.barrier.pass(|| self.file.sync_data().map_err(self.failed("sync the file")))
    }

    fn drop_cache(&self) -> Result<()> {
        rustix::fs::fadvise(&self.file, 0, None, Advice::DontNeed)
            .map_err(|error| self.failed("drop the file's cached pages")(error.into()))
    }

    fn map(&self, bytes: usize, access: MapAccess) -> Result<Arc<Map>> {
        match access {
            MapAccess::Read => Map::read_only(&self.file, bytes),
            MapAccess::Append => Map::appendable(&self.file, bytes),
            MapAccess::AppendBeside => Map::beside(bytes),
        }
        .map(Arc::new)
        .map_err(self.failed("map the file"))
    }
}
