//! A disk in memory whose power can be cut, for tests that use the public API alone.

use std::path::Path;
use std::sync::Arc;

use crate::error::Result;
use crate::state::checkpoint::Extent;
use crate::store::{CheckpointInfo, Options, Store};
use crate::sys::Disk;
use crate::sys::sim::SimDisk;

/// The disk; every store on it is closed or gone before it is used again as another one.
#[derive(Debug)]
pub struct PowerDisk(Arc<SimDisk>);

impl PowerDisk {
    /// An empty disk.
    ///
    /// # Errors
    /// None; the calls are those of any disk.
    pub fn new() -> Result<Self> {
        let disk = SimDisk::default();
        disk.create_dir(Path::new("/"))?;
        disk.sync_dir(Path::new(""))?;
        Ok(Self(Arc::new(disk)))
    }

    /// Options that open stores on it.
    pub fn give(&self, options: Options) -> Options {
        let disk: Arc<dyn Disk> = Arc::<SimDisk>::clone(&self.0);
        options.disk(disk)
    }

    /// The disk as a power cut now could leave it; the seed chooses which of the possible ways.
    #[must_use]
    pub fn cut(&self, seed: u64) -> Self {
        Self(Arc::new(self.0.crash(seed)))
    }

    /// The disk as it is when the process is killed now: with all that was written.
    #[must_use]
    pub fn kill(&self) -> Self {
        Self(Arc::new(self.0.copy()))
    }
}

/// Writes a checkpoint of what changed since the newest one, as the background thread does when
/// one is due.
///
/// # Errors
/// As [`Store::checkpoint`].
pub fn checkpoint_layer(store: &Store) -> Result<CheckpointInfo> {
    store.engine.write_checkpoint(Extent::Layer)
}
