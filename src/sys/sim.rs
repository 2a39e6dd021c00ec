//! A disk in memory that knows what is durable, for the tests.
//!
//! Fault model. At a crash, of what was not synced, each sector of 512 bytes is kept or lost by
//! itself; each creation, renaming and removal that its directory was not synced after happened or
//! did not; a file's length is kept or lost with its last sync. Any changing call can be made to
//! fail; a sync that fails loses what it should have written, and the next one says ok, as Linux
//! does. Not modelled: a sector that is half written, a disk that lies about syncs, bits that rot.

#![expect(clippy::expect_used, reason = "only tests use it, on files that they made small")]

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::lock::Lock;
use super::mmap::Map;
use super::{Access, Disk, DiskFile, Entry, MapAccess};
use crate::error::{Error, Result};

const SECTOR: usize = 512;

/// The simulated disk.
#[derive(Debug, Default)]
pub(crate) struct SimDisk {
    world: Arc<Mutex<World>>,
    taken: Arc<AtomicBool>,
}

#[derive(Debug, Default)]
struct World {
    files: Vec<Contents>,
    /// Names as the running system sees them.
    names: BTreeMap<PathBuf, Node>,
    /// Names as they are on the disk.
    durable: BTreeMap<PathBuf, Node>,
    /// Changes of names that no sync of a directory covers yet.
    pending: Vec<(PathBuf, Change)>,
    calls: u64,
    /// The call that fails, and how.
    fault: Option<(u64, i32)>,
    random: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Node {
    Directory,
    File(usize),
}

#[derive(Clone, Debug)]
enum Change {
    Set(PathBuf, Node),
    Remove(PathBuf),
    Rename(PathBuf, PathBuf, Node),
}

#[derive(Clone, Debug, Default)]
struct Contents {
    now: Vec<u8>,
    durable: Vec<u8>,
    dirty: BTreeSet<usize>,
}

impl World {
    fn next(&mut self) -> u64 {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        self.random >> 33
    }

    /// Counts a call that changes something; fails if it is the one to fail.
    fn call(&mut self, what: &str, path: &Path) -> Result<()> {
        self.calls += 1;
        match self.fault {
            Some((at, errno)) if at == self.calls => {
                Err(Error::from_io(io::Error::from_raw_os_error(errno), what, path))
            }
            _ => Ok(()),
        }
    }

    fn file(&mut self, index: usize) -> &mut Contents {
        let count = self.files.len();
        assert!(index < count, "files are never forgotten");
        self.files.get_mut(index).expect("files are never forgotten")
    }
}

impl Contents {
    fn write(&mut self, offset: usize, bytes: &[u8]) {
        let end = offset + bytes.len();
        if self.now.len() < end {
            self.now.resize(end, 0);
        }
        self.now.splice(offset..end, bytes.iter().copied());
        self.dirty.extend(offset / SECTOR..end.div_ceil(SECTOR));
    }

    /// Keeps, of what was not synced, the sectors that `keep` chooses.
    fn crash(&mut self, mut keep: impl FnMut() -> bool) {
        let mut left = self.durable.clone();
        if keep() {
            left.resize(self.now.len(), 0);
        }
        for sector in &self.dirty {
            let range = sector * SECTOR..(sector + 1) * SECTOR;
            let range = range.start..range.end.min(self.now.len()).min(left.len());
            if keep()
                && let Some(bytes) = self.now.get(range.clone())
            {
                left.splice(range, bytes.iter().copied());
            }
        }
        *self = Self { now: left.clone(), durable: left, dirty: BTreeSet::new() };
    }
}

impl SimDisk {
    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The disk as a power cut now could leave it; the seed chooses which of the possible ways.
    pub(crate) fn crash(&self, seed: u64) -> Self {
        let mut world = {
            let world = self.world();
            World {
                files: world.files.clone(),
                names: BTreeMap::new(),
                durable: world.durable.clone(),
                pending: world.pending.clone(),
                random: seed.wrapping_mul(2).wrapping_add(1),
                ..World::default()
            }
        };
        for (_, change) in std::mem::take(&mut world.pending) {
            if world.next().is_multiple_of(2) {
                apply(&mut world.durable, &change);
            }
        }
        world.names = world.durable.clone();
        for index in 0..world.files.len() {
            let mut random = world.next();
            let mut contents = std::mem::take(world.file(index));
            contents.crash(|| {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (random >> 40).is_multiple_of(2)
            });
            *world.file(index) = contents;
        }
        Self { world: Arc::new(Mutex::new(world)), taken: Arc::default() }
    }

    /// Every file below a directory, by its path there.
    pub(crate) fn contents(&self, root: &Path) -> Vec<(PathBuf, Vec<u8>)> {
        let world = self.world();
        let inside = world.names.iter().filter_map(|(path, node)| match node {
            Node::File(index) => {
                let name = path.strip_prefix(root).ok()?.to_path_buf();
                Some((name, world.files.get(*index)?.now.clone()))
            }
            Node::Directory => None,
        });
        inside.collect()
    }

    /// How many changing calls there were.
    pub(crate) fn calls(&self) -> u64 {
        self.world().calls
    }

    /// Makes one later call fail with this error of the operating system.
    pub(crate) fn fail_after(&self, calls: u64, errno: i32) {
        let mut world = self.world();
        world.fault = Some((world.calls + calls, errno));
    }

    fn change_name(&self, directory: &Path, change: Change) {
        let mut world = self.world();
        apply(&mut world.names, &change);
        world.pending.push((directory.to_path_buf(), change));
    }

    fn missing(path: &Path) -> Error {
        Error::from_io(io::Error::from(io::ErrorKind::NotFound), "open the file", path)
    }
}

fn apply(names: &mut BTreeMap<PathBuf, Node>, change: &Change) {
    match change {
        Change::Set(path, node) => {
            names.insert(path.clone(), *node);
        }
        Change::Remove(path) => {
            names.remove(path);
        }
        Change::Rename(from, to, node) => {
            names.remove(from);
            names.insert(to.clone(), *node);
        }
    }
}

fn parent(path: &Path) -> PathBuf {
    path.parent().map(Path::to_path_buf).unwrap_or_default()
}

impl Disk for SimDisk {
    fn entropy(&self, bytes: &mut [u8]) {
        let mut world = self.world();
        for byte in bytes {
            *byte = world.next().to_le_bytes()[0];
        }
    }

    fn entry(&self, path: &Path) -> Result<Entry> {
        Ok(match self.world().names.get(path) {
            None => Entry::Nothing,
            Some(Node::Directory) => Entry::Directory,
            Some(Node::File(_)) => Entry::File,
        })
    }

    fn create_dir(&self, path: &Path) -> Result<()> {
        self.world().call("create the directory", path)?;
        self.change_name(&parent(path), Change::Set(path.to_path_buf(), Node::Directory));
        Ok(())
    }

    fn list(&self, directory: &Path) -> Result<Vec<String>> {
        let world = self.world();
        let inside = world.names.keys().filter(|path| path.parent() == Some(directory));
        let name = |path: &PathBuf| Some(path.file_name()?.to_str()?.to_owned());
        Ok(inside.filter_map(name).collect())
    }

    fn open(&self, path: &Path, _access: Access) -> Result<Arc<dyn DiskFile>> {
        match self.world().names.get(path) {
            Some(Node::File(index)) => Ok(Arc::new(SimFile {
                world: Arc::clone(&self.world),
                index: *index,
                path: path.to_path_buf(),
            })),
            Some(Node::Directory) | None => Err(Self::missing(path)),
        }
    }

    fn create(&self, path: &Path, bytes: u64) -> Result<Arc<dyn DiskFile>> {
        let length = usize::try_from(bytes).expect("tests make small files");
        let index = {
            let mut world = self.world();
            world.call("allocate space for the file", path)?;
            world.files.push(Contents { now: vec![0; length], ..Contents::default() });
            world.files.len() - 1
        };
        self.change_name(&parent(path), Change::Set(path.to_path_buf(), Node::File(index)));
        self.open(path, Access::Write)
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        self.world().call("rename the file", from)?;
        let node = self.world().names.get(from).copied();
        let node = node.ok_or_else(|| Self::missing(from))?;
        let change = Change::Rename(from.to_path_buf(), to.to_path_buf(), node);
        self.change_name(&parent(to), change);
        Ok(())
    }

    fn remove(&self, path: &Path) -> Result<()> {
        self.world().call("remove the file", path)?;
        self.change_name(&parent(path), Change::Remove(path.to_path_buf()));
        Ok(())
    }

    fn link(&self, _from: &Path, _to: &Path) -> Result<bool> {
        Ok(false)
    }

    fn sync_dir(&self, directory: &Path) -> Result<()> {
        let mut world = self.world();
        world.call("sync the directory", directory)?;
        let pending = std::mem::take(&mut world.pending);
        for (of, change) in pending {
            if of == directory {
                apply(&mut world.durable, &change);
            } else {
                world.pending.push((of, change));
            }
        }
        Ok(())
    }

    fn lock(&self, path: &Path) -> Result<Lock> {
        Lock::simulated(Arc::clone(&self.taken), path)
    }

    fn lock_holder(&self, _path: &Path) -> Result<Option<u32>> {
        let taken = self.taken.load(std::sync::atomic::Ordering::SeqCst);
        Ok(taken.then(std::process::id))
    }

    fn may_append_by_map(&self, _path: &Path) -> Result<bool> {
        Ok(false)
    }
}

#[derive(Debug)]
struct SimFile {
    world: Arc<Mutex<World>>,
    index: usize,
    path: PathBuf,
}

impl SimFile {
    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl DiskFile for SimFile {
    fn path(&self) -> &Path {
        &self.path
    }

    fn length(&self) -> Result<u64> {
        Ok(self.world().file(self.index).now.len() as u64)
    }

    fn written_end(&self) -> Result<u64> {
        self.length()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize> {
        let mut world = self.world();
        let offset = usize::try_from(offset).expect("tests make small files");
        let bytes = world.file(self.index).now.get(offset..).unwrap_or_default();
        let count = bytes.len().min(buffer.len());
        for (to, from) in buffer.iter_mut().zip(bytes) {
            *to = *from;
        }
        Ok(count)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        let mut world = self.world();
        world.call("write the file", &self.path)?;
        let offset = usize::try_from(offset).expect("tests make small files");
        world.file(self.index).write(offset, bytes);
        Ok(())
    }

    fn truncate(&self, bytes: u64) -> Result<()> {
        let mut world = self.world();
        world.call("truncate the file", &self.path)?;
        let length = usize::try_from(bytes).expect("tests make small files");
        world.file(self.index).now.resize(length, 0);
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        let mut world = self.world();
        let failed = world.call("sync the file", &self.path);
        let file = world.file(self.index);
        file.dirty.clear();
        if failed.is_ok() {
            file.durable = file.now.clone();
        }
        failed
    }

    fn drop_cache(&self) -> Result<()> {
        let mut world = self.world();
        let file = world.file(self.index);
        if file.dirty.is_empty() {
            file.now = file.durable.clone();
        }
        Ok(())
    }

    fn map(&self, bytes: usize, access: MapAccess) -> Result<Arc<Map>> {
        let map = match access {
            MapAccess::Read => {
                let mut world = self.world();
                let content = world.file(self.index).now.get(..bytes).unwrap_or_default();
                Map::of_bytes(content)
            }
            MapAccess::Append | MapAccess::AppendBeside => Map::beside(bytes),
        };
        map.map(Arc::new).map_err(|error| Error::from_io(error, "map the file", &self.path))
    }
}
