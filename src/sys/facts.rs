//! What an operating system tells of files and file systems, for those who look into trouble.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, StatVfsMountFlags};

use super::file::RealDisk;
use super::{Access, Disk as _, Entry};
use crate::error::{Error, Result};

/// What stands at a path, a link not being followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    Directory,
    Link,
    /// A pipe, a socket, a device.
    Other,
}

/// What is known of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) kind: Kind,
    /// Who may do what, as for chmod(1).
    pub(crate) mode: u32,
    /// The number of the user who owns it.
    pub(crate) owner: u32,
    pub(crate) bytes: u64,
    /// How many of them the file system has put aside room for, about.
    pub(crate) allocated: u64,
}

/// A file system, and what is left of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Usage {
    pub(crate) file_system: FileSystem,
    /// Whether it is mounted for reading only.
    pub(crate) read_only: bool,
    /// What is free for any user.
    pub(crate) bytes_free: u64,
    /// How many files it can have; zero where that is not limited.
    pub(crate) inodes: u64,
    pub(crate) inodes_free: u64,
}

/// What a kind of file system means for a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Nature {
    /// On a disk of this machine.
    Local,
    /// In memory: gone when the machine stops.
    Memory,
    /// On other machines.
    Network,
    /// The layers of a container, and as a rule gone with it.
    Layers,
    /// A program is behind it, of which nothing is known.
    Program,
    /// Knows no owners and modes.
    Plain,
    Unknown,
}

/// A kind of file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileSystem {
    /// `f_type` of statfs(2).
    pub(crate) number: u64,
    pub(crate) name: &'static str,
    pub(crate) nature: Nature,
}

/// By `f_type`: statfs(2), and `linux/magic.h`.
const KNOWN: [(u64, &str, Nature); 24] = [
    (0xEF53, "ext2/ext3/ext4", Nature::Local),
    (0x5846_5342, "xfs", Nature::Local),
    (0x9123_683E, "btrfs", Nature::Local),
    (0x2FC1_2FC1, "zfs", Nature::Local),
    (0xCA45_1A4E, "bcachefs", Nature::Local),
    (0xF2F5_2010, "f2fs", Nature::Local),
    (0x0102_1994, "tmpfs", Nature::Memory),
    (0x8584_58F6, "ramfs", Nature::Memory),
    (0x794C_7630, "overlay", Nature::Layers),
    (0x6969, "nfs", Nature::Network),
    (0xFF53_4D42, "cifs", Nature::Network),
    (0xFE53_4D42, "smb2", Nature::Network),
    (0x517B, "smb", Nature::Network),
    (0x0102_1997, "9p", Nature::Network),
    (0x00C3_6400, "ceph", Nature::Network),
    (0x0BD0_0BD0, "lustre", Nature::Network),
    (0x4750_4653, "gpfs", Nature::Network),
    (0x5346_414F, "afs", Nature::Network),
    (0x0116_1970, "gfs2", Nature::Network),
    (0x7461_636F, "ocfs2", Nature::Network),
    (0x6573_5546, "fuse", Nature::Program),
    (0x4D44, "vfat", Nature::Plain),
    (0x2011_BAB0, "exfat", Nature::Plain),
    (0x5346_544E, "ntfs", Nature::Plain),
];

impl FileSystem {
    /// The kind of this number.
    pub(crate) fn of(number: u64) -> Self {
        // Where the field has 32 bits, as on some machines, its sign may have been carried on.
        let number = number & 0xFFFF_FFFF;
        let known = KNOWN.iter().find(|(known, ..)| *known == number);
        let (name, nature) =
            known.map_or(("unknown", Nature::Unknown), |(_, name, nature)| (*name, *nature));
        Self { number, name, nature }
    }
}

/// What a disk is asked by nobody who only reads and writes.
pub(crate) trait Inspect {
    /// What stands at the path itself, a link not being followed; `None` if nothing does.
    fn facts(&self, path: &Path) -> Result<Option<Facts>>;
    /// Whether this process may read what stands there, or read and write it; of a directory, use
    /// or change the names in it.
    fn permits(&self, path: &Path, access: Access) -> Result<bool>;
    /// What the file system that holds the path is, and what is left of it.
    fn usage(&self, path: &Path) -> Result<Usage>;
}

/// The unit in which stat(2) counts what is allocated.
const STAT_BLOCK_BYTES: u64 = 512;

impl Inspect for RealDisk {
    fn facts(&self, path: &Path) -> Result<Option<Facts>> {
        let metadata = match fs::symlink_metadata(path) {
            Ok(metadata) => metadata,
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                ) =>
            {
                return Ok(None);
            }
            Err(error) => return Err(Error::from_io(error, "look at the path", path)),
        };
        let kind = match metadata.file_type() {
            file if file.is_file() => Kind::File,
            file if file.is_dir() => Kind::Directory,
            file if file.is_symlink() => Kind::Link,
            _ => Kind::Other,
        };
        Ok(Some(Facts {
            kind,
            mode: metadata.mode() & 0o7777,
            owner: metadata.uid(),
            bytes: metadata.len(),
            allocated: metadata.blocks().saturating_mul(STAT_BLOCK_BYTES),
        }))
    }

    fn permits(&self, path: &Path, access: Access) -> Result<bool> {
        use rustix::fs::Access as Asked;
        use rustix::io::Errno;
        let mut asked = match access {
            Access::Read => Asked::READ_OK,
            Access::Write => Asked::READ_OK | Asked::WRITE_OK,
        };
        if self.entry(path)? == Entry::Directory {
            asked |= Asked::EXEC_OK;
        }
        match rustix::fs::accessat(CWD, path, asked, AtFlags::EACCESS) {
            Ok(()) => Ok(true),
            Err(Errno::ACCESS | Errno::PERM | Errno::ROFS) => Ok(false),
            Err(error) => Err(Error::from_io(error.into(), "ask for permission", path)),
        }
    }

    fn usage(&self, path: &Path) -> Result<Usage> {
        let failed = |error: rustix::io::Errno| {
            Error::from_io(error.into(), "ask for the file system", path)
        };
        let kind = rustix::fs::statfs(path).map_err(failed)?.f_type.cast_unsigned();
        let stat = rustix::fs::statvfs(path).map_err(failed)?;
        Ok(Usage {
            file_system: FileSystem::of(kind),
            read_only: stat.f_flag.contains(StatVfsMountFlags::RDONLY),
            bytes_free: stat.f_bavail.saturating_mul(stat.f_frsize),
            inodes: stat.f_files,
            inodes_free: stat.f_favail,
        })
    }
}
