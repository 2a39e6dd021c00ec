//! A disk in memory that knows what is durable, for the tests.
//!
//! Fault model. At a crash, what was not synced is there in units of 512 or of 4096 bytes, each as
//! it was after any of the writes since the last sync; each creation, renaming and removal that its
//! directory was not synced after happened or did not; a file's length is that of the last sync or
//! a later one. Any changing call can be made to fail, once or from then on, a write also in its
//! middle; a sync that fails loses what it should have written, and the next one says ok, as Linux
//! does. Not modelled: a disk that lies about syncs, and bits that rot.

#![expect(clippy::expect_used, reason = "only tests use it, on files that they made small")]

mod choice;
mod contents;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::barrier::Barrier;
use super::facts::{Facts, FileSystem, Inspect, Kind, Usage};
use super::lock::Lock;
use super::mmap::Map;
use super::{Access, Disk, DiskFile, Entry, MapAccess, process};
use crate::error::{Error, Result};
pub(crate) use choice::{AtRandom, Choose, EveryWay};
use contents::Contents;

/// The units in which disks write.
const UNITS: [usize; 2] = [512, 4096];

/// The simulated disk.
#[derive(Debug, Default)]
pub(crate) struct SimDisk {
    world: Arc<Mutex<World>>,
    taken: Arc<AtomicBool>,
}

#[derive(Clone, Debug, Default)]
struct World {
    files: Vec<Contents>,
    /// Names as the running system sees them.
    names: BTreeMap<PathBuf, Node>,
    /// Names as they are on the disk.
    durable: BTreeMap<PathBuf, Node>,
    /// Changes of names that no sync of a directory covers yet.
    pending: Vec<(PathBuf, Change)>,
    calls: u64,
    fault: Option<Fault>,
    entropy: AtRandom,
    /// What the test noted last.
    note: u64,
    /// The disk before each changing call, if it is recorded.
    tape: Option<Vec<World>>,
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

/// Calls that fail.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fault {
    /// How many calls go well before.
    pub(crate) after: u64,
    /// Whether all later ones fail, too.
    pub(crate) forever: bool,
    /// The operating system's error.
    pub(crate) errno: i32,
    /// Whether a write that fails has written its first half.
    pub(crate) torn: bool,
}

impl World {
    /// Counts a call that changes something; fails if it is one that is to fail.
    fn call(&mut self, what: &str, path: &Path) -> Result<()> {
        if let Some(mut tape) = self.tape.take() {
            tape.push(self.clone());
            self.tape = Some(tape);
        }
        self.calls += 1;
        match self.fault {
            Some(Fault { after, forever, errno, .. })
                if after + 1 == self.calls || (forever && after < self.calls) =>
            {
                Err(Error::from_io(io::Error::from_raw_os_error(errno), what, path))
            }
            _ => Ok(()),
        }
    }

    fn file(&mut self, index: usize) -> &mut Contents {
        self.files.get_mut(index).expect("files are never forgotten")
    }

    /// In how many ways a crash can leave it.
    fn ways(&self, unit: usize) -> u64 {
        let names = 1_u64.checked_shl(u32::try_from(self.pending.len()).unwrap_or(u32::MAX));
        let files = self.files.iter().map(|file| file.ways(unit));
        files.fold(names.unwrap_or(u64::MAX), u64::saturating_mul)
    }

    fn crash(&self, unit: usize, choices: &mut dyn Choose) -> Self {
        let mut durable = self.durable.clone();
        for (_, change) in &self.pending {
            if choices.choose(2) == 1 {
                apply(&mut durable, change);
            }
        }
        let files = self.files.iter().map(|file| file.crash(unit, choices)).collect();
        Self { files, names: durable.clone(), durable, note: self.note, ..Self::default() }
    }
}

impl SimDisk {
    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn of(world: World) -> Self {
        Self { world: Arc::new(Mutex::new(world)), taken: Arc::default() }
    }

    /// A disk that holds these files below a directory, all durable.
    pub(crate) fn with(root: &Path, files: &[(PathBuf, Vec<u8>)]) -> Self {
        let mut world = World::default();
        for (name, bytes) in files {
            let path = root.join(name);
            for directory in path.ancestors().skip(1) {
                world.names.insert(directory.to_path_buf(), Node::Directory);
            }
            world.names.insert(path, Node::File(world.files.len()));
            world.files.push(Contents::durable(bytes.clone()));
        }
        world.durable = world.names.clone();
        Self::of(world)
    }

    /// The same disk once more.
    pub(crate) fn copy(&self) -> Self {
        Self::of(self.world().clone())
    }

    /// The disk as a power cut now could leave it; the seed chooses which of the possible ways.
    pub(crate) fn crash(&self, seed: u64) -> Self {
        let mut random = AtRandom::new(seed);
        let unit = UNITS.get(random.choose(UNITS.len())).copied().unwrap_or_default();
        Self::of(self.world().crash(unit, &mut random))
    }

    /// The disk in every way in which a power cut now could leave it, if these are no more than
    /// `most`; else in `most` ways that the seed chooses. Says whether it was every way.
    pub(crate) fn crashes(&self, most: u64, seed: u64, mut each: impl FnMut(Self)) -> bool {
        let world = self.world().clone();
        let mut all = true;
        for unit in UNITS {
            if world.ways(unit) <= most {
                let mut every = EveryWay::default();
                loop {
                    each(Self::of(world.crash(unit, &mut every)));
                    if !every.advance() {
                        break;
                    }
                }
            } else {
                all = false;
                let mut random = AtRandom::new(seed);
                (0..most).for_each(|_| each(Self::of(world.crash(unit, &mut random))));
            }
        }
        all
    }

    /// From here on the disk is kept as it is before each changing call.
    pub(crate) fn record(&self) {
        self.world().tape = Some(Vec::new());
    }

    /// The disk before each changing call since [`record`](Self::record), and as it is now.
    pub(crate) fn recorded(&self) -> Vec<Self> {
        let mut world = self.world();
        let mut worlds = world.tape.take().unwrap_or_default();
        worlds.push(world.clone());
        worlds.into_iter().map(Self::of).collect()
    }

    /// Has the disk remember a number, which crashes and recordings keep.
    pub(crate) fn set_note(&self, note: u64) {
        self.world().note = note;
    }

    pub(crate) fn note(&self) -> u64 {
        self.world().note
    }

    /// Every file below a directory, by its path there.
    pub(crate) fn contents(&self, root: &Path) -> Vec<(PathBuf, Vec<u8>)> {
        let world = self.world();
        let inside = world.names.iter().filter_map(|(path, node)| match node {
            Node::File(index) => {
                let name = path.strip_prefix(root).ok()?.to_path_buf();
                Some((name, world.files.get(*index)?.now().to_vec()))
            }
            Node::Directory => None,
        });
        inside.collect()
    }

    /// Makes later calls fail, counted from here.
    pub(crate) fn fail(&self, fault: Fault) {
        let mut world = self.world();
        world.fault = Some(Fault { after: world.calls + fault.after, ..fault });
    }

    /// Whether a call has failed as was asked for.
    pub(crate) fn has_failed(&self) -> bool {
        let world = self.world();
        world.fault.is_some_and(|fault| fault.after < world.calls)
    }

    /// Makes all later calls go well.
    pub(crate) fn heal(&self) {
        self.world().fault = None;
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
            // What stands in a directory moves with it.
            let inside = names.extract_if(.., |path, _| path.starts_with(from));
            for (path, node) in inside.collect::<Vec<_>>() {
                let rest = path.strip_prefix(from).unwrap_or(&path);
                names.insert(to.join(rest), node);
            }
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
            *byte = world.entropy.next().to_le_bytes()[0];
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
                barrier: Barrier::default(),
            })),
            Some(Node::Directory) | None => Err(Self::missing(path)),
        }
    }

    fn create(&self, path: &Path, bytes: u64) -> Result<Arc<dyn DiskFile>> {
        let length = usize::try_from(bytes).expect("tests make small files");
        let index = {
            let mut world = self.world();
            world.call("allocate space for the file", path)?;
            world.files.push(Contents::allocated(length));
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

    fn exchange(&self, _one: &Path, _other: &Path) -> Result<bool> {
        Ok(false)
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

impl Inspect for SimDisk {
    fn facts(&self, path: &Path) -> Result<Option<Facts>> {
        let mut world = self.world();
        let (kind, mode, bytes) = match world.names.get(path).copied() {
            None => return Ok(None),
            Some(Node::Directory) => (Kind::Directory, 0o700, 0),
            Some(Node::File(index)) => (Kind::File, 0o600, world.file(index).now().len() as u64),
        };
        Ok(Some(Facts { kind, mode, owner: process::user(), bytes, allocated: bytes }))
    }

    fn permits(&self, _path: &Path, _access: Access) -> Result<bool> {
        Ok(true)
    }

    /// It has no end.
    fn usage(&self, _path: &Path) -> Result<Usage> {
        Ok(Usage {
            file_system: FileSystem::of(0),
            read_only: false,
            bytes_free: u64::MAX,
            inodes: 0,
            inodes_free: 0,
        })
    }
}

#[derive(Debug)]
struct SimFile {
    world: Arc<Mutex<World>>,
    index: usize,
    path: PathBuf,
    barrier: Barrier,
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
        Ok(self.world().file(self.index).now().len() as u64)
    }

    fn written_end(&self) -> Result<u64> {
        self.length()
    }

    fn tells_holes(&self) -> bool {
        false
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize> {
        let mut world = self.world();
        let offset = usize::try_from(offset).expect("tests make small files");
        let bytes = world.file(self.index).now().get(offset..).unwrap_or_default();
        let count = bytes.len().min(buffer.len());
        for (to, from) in buffer.iter_mut().zip(bytes) {
            *to = *from;
        }
        Ok(count)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        let mut world = self.world();
        let written = world.call("write the file", &self.path);
        let torn = world.fault.is_some_and(|fault| fault.torn);
        let bytes = match written {
            Ok(()) => bytes,
            Err(_) if torn => bytes.get(..bytes.len() / 2).unwrap_or_default(),
            Err(_) => &[],
        };
        if !bytes.is_empty() {
            let offset = usize::try_from(offset).expect("tests make small files");
            world.file(self.index).write(offset, bytes);
        }
        written
    }

    fn allocate(&self, _bytes: u64) -> Result<()> {
        self.world().call("allocate space for the file", &self.path)
    }

    fn truncate(&self, bytes: u64) -> Result<()> {
        let mut world = self.world();
        world.call("truncate the file", &self.path)?;
        let length = usize::try_from(bytes).expect("tests make small files");
        world.file(self.index).truncate(length);
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        self.barrier.pass(|| {
            let mut world = self.world();
            let called = world.call("sync the file", &self.path);
            let file = world.file(self.index);
            if called.is_ok() {
                file.sync();
            } else {
                file.fail_sync();
            }
            called
        })
    }

    fn drop_cache(&self) -> Result<()> {
        self.world().file(self.index).drop_cache();
        Ok(())
    }

    fn map(&self, bytes: usize, access: MapAccess) -> Result<Arc<Map>> {
        let map = match access {
            MapAccess::Read => {
                let mut world = self.world();
                let content = world.file(self.index).now().get(..bytes).unwrap_or_default();
                Map::of_bytes(content)
            }
            MapAccess::Append | MapAccess::AppendBeside => Map::beside(bytes),
        };
        map.map(Arc::new).map_err(|error| Error::from_io(error, "map the file", &self.path))
    }
}
