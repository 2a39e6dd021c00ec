//! How a store is opened: every default stands here.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::error::{Error, Result, code};
use crate::sys::Disk;
use crate::sys::file::RealDisk;
use crate::time::{Clock, SystemClock};

/// Bytes of a segment, unless the store was created with another size.
pub const SEGMENT_BYTES: u64 = 64 << 20;
/// Segments are at least this large: a header, a seal and a few small transactions.
pub const SEGMENT_BYTES_MIN: u64 = 4096;
/// Segments are at most this large, so that an offset in one fits into 32 bits.
pub const SEGMENT_BYTES_MAX: u64 = 1 << 30;
/// A checkpoint is written in the background after this many bytes of journal, or as many changes
/// as take as long to replay (one for each 512 bytes).
pub const CHECKPOINT_BYTES: u64 = 96 << 20;

/// When a commit returns, and so what a power cut can take back. A killed process loses nothing
/// with any of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// After the sync that covers it, shared with all commits that wait: a power cut loses nothing
    /// that was acknowledged.
    #[default]
    Sync,
    /// At once; synced this often in the background: a power cut loses at most that much.
    Interval(Duration),
    /// At once; the kernel writes when it likes.
    Process,
}

/// How bytes reach a segment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AppendMethod {
    /// Through a map where the file system makes that safe, else by writing.
    #[default]
    Auto,
    /// Through a memory map.
    Map,
    /// By `pwrite`, for file systems that may refuse space to a page already allocated.
    Pwrite,
}

/// How to open a store.
///
/// ```
/// use afterimage::{Durability, Store};
///
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("hotel.store");
/// let store = Store::options().durability(Durability::Process).open(&path)?;
/// store.close()?;
/// let reader = Store::options().read_only(true).open(&path)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub struct Options {
    pub(crate) create: bool,
    pub(crate) create_new: bool,
    pub(crate) read_only: bool,
    pub(crate) salvage: bool,
    pub(crate) durability: Durability,
    pub(crate) segment_bytes: u64,
    pub(crate) append: AppendMethod,
    pub(crate) checkpoint_bytes: u64,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) disk: Arc<dyn Disk>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            create: true,
            create_new: false,
            read_only: false,
            salvage: false,
            durability: Durability::Sync,
            segment_bytes: SEGMENT_BYTES,
            append: AppendMethod::Auto,
            checkpoint_bytes: CHECKPOINT_BYTES,
            clock: Arc::new(SystemClock),
            disk: Arc::new(RealDisk),
        }
    }
}

impl Options {
    /// Whether a store that does not exist is created. Default: yes.
    pub fn create(mut self, create: bool) -> Self {
        self.create = create;
        self
    }

    /// Whether the store must not exist yet. Default: no.
    pub fn create_new(mut self, create_new: bool) -> Self {
        self.create_new = create_new;
        self
    }

    /// Only reads: takes no lock, changes no file, works beside a writer. Default: no.
    pub fn read_only(mut self, read_only: bool) -> Self {
        self.read_only = read_only;
        self
    }

    /// Of a damaged journal, serve what stands before the damage; only together with
    /// [`read_only`](Self::read_only). Default: no.
    pub fn salvage(mut self, salvage: bool) -> Self {
        self.salvage = salvage;
        self
    }

    /// When commits return. Default: [`Durability::Sync`].
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// Bytes of a segment of a store that is created; others keep theirs. Default:
    /// [`SEGMENT_BYTES`].
    pub fn segment_bytes(mut self, segment_bytes: u64) -> Self {
        self.segment_bytes = segment_bytes;
        self
    }

    /// How bytes reach a segment. Default: [`AppendMethod::Auto`].
    pub fn append(mut self, append: AppendMethod) -> Self {
        self.append = append;
        self
    }

    /// After how many bytes of journal a checkpoint is written in the background. Default:
    /// [`CHECKPOINT_BYTES`].
    pub fn checkpoint_every(mut self, bytes: u64) -> Self {
        self.checkpoint_bytes = bytes;
        self
    }

    /// Where commit times come from. Default: the system's clock.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn disk(mut self, disk: Arc<dyn Disk>) -> Self {
        self.disk = disk;
        self
    }

    /// Whether a store in this directory would be appended to through a map.
    pub(crate) fn appends_by_map(&self, root: &Path) -> Result<bool> {
        match self.append {
            AppendMethod::Map => Ok(true),
            AppendMethod::Pwrite => Ok(false),
            AppendMethod::Auto => self.disk.may_append_by_map(root),
        }
    }

    /// Refuses values that can't be.
    pub(crate) fn check(&self) -> Result<()> {
        let wrong = |message: String| Err(Error::new(&code::INVALID_OPTION, message));
        if !(SEGMENT_BYTES_MIN..=SEGMENT_BYTES_MAX).contains(&self.segment_bytes) {
            return wrong(format!(
                "segment_bytes is {}, it must be between {SEGMENT_BYTES_MIN} and \
                 {SEGMENT_BYTES_MAX}",
                self.segment_bytes
            ));
        }
        if !self.segment_bytes.is_multiple_of(4096) {
            return wrong("segment_bytes must be a multiple of 4096".to_owned());
        }
        if self.salvage && !self.read_only {
            return wrong("salvage only reads, so it goes with read_only".to_owned());
        }
        if self.durability == Durability::Interval(Duration::ZERO) {
            return wrong("the interval of Durability::Interval must not be zero".to_owned());
        }
        Ok(())
    }
}
