//! The writer's lock: held by the kernel for as long as the process lives, so a file that a dead
//! process left behind blocks nothing.

use std::collections::BTreeSet;
use std::fs::{File, TryLockError};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::error::{Error, Result, code};

/// Files locked by this process, by device and inode: some network file systems give a second
/// lock to the process that has the first.
static HELD: Mutex<BTreeSet<(u64, u64)>> = Mutex::new(BTreeSet::new());

/// A reader that looks who holds the lock holds it shared for an instant, so a writer tries again.
const ATTEMPTS_MAX: u32 = 10;
const ATTEMPT_PAUSE: Duration = Duration::from_millis(5);

/// The lock, until dropped.
#[derive(Debug)]
pub(crate) struct Lock {
    held: Held,
}

#[derive(Debug)]
enum Held {
    File {
        _file: File,
        identity: (u64, u64),
    },
    #[cfg(any(test, feature = "testing"))]
    Simulated(std::sync::Arc<std::sync::atomic::AtomicBool>),
}

impl Lock {
    /// Locks an open file and writes this process's id into it.
    pub(crate) fn acquire(mut file: File, path: &Path) -> Result<Self> {
        let io = |action: &'static str| move |source| Error::from_io(source, action, path);
        let metadata = file.metadata().map_err(io("look at the lock file"))?;
        let identity = (metadata.dev(), metadata.ino());
        for attempt in 1.. {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if attempt < ATTEMPTS_MAX => {
                    std::thread::sleep(ATTEMPT_PAUSE);
                }
                Err(TryLockError::WouldBlock) => return Err(refused(&mut file, path)),
                Err(TryLockError::Error(source)) => return Err(io("lock the store")(source)),
            }
        }
        if !registry().insert(identity) {
            return Err(refused(&mut file, path));
        }
        let lock = Self { held: Held::File { _file: clone(&file, path)?, identity } };
        let pid = format!("{}\n", std::process::id());
        file.set_len(0).map_err(io("write the lock file"))?;
        file.seek(SeekFrom::Start(0)).map_err(io("write the lock file"))?;
        file.write_all(pid.as_bytes()).map_err(io("write the lock file"))?;
        Ok(lock)
    }

    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn simulated(
        taken: std::sync::Arc<std::sync::atomic::AtomicBool>,
        path: &Path,
    ) -> Result<Self> {
        if taken.swap(true, std::sync::atomic::Ordering::SeqCst) {
            return Err(Error::new(&code::LOCKED, "another writer has the store").at_path(path));
        }
        Ok(Self { held: Held::Simulated(taken) })
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        match &self.held {
            Held::File { identity, .. } => {
                registry().remove(identity);
            }
            #[cfg(any(test, feature = "testing"))]
            Held::Simulated(taken) => taken.store(false, std::sync::atomic::Ordering::SeqCst),
        }
    }
}

/// The pid of the process that holds the lock, if one does.
pub(crate) fn holder(mut file: File, path: &Path) -> Result<Option<u32>> {
    match file.try_lock_shared() {
        Ok(()) => Ok(None),
        Err(TryLockError::WouldBlock) => Ok(Some(pid(&mut file).unwrap_or(0))),
        Err(TryLockError::Error(source)) => {
            Err(Error::from_io(source, "look at the writer's lock", path))
        }
    }
}

fn registry() -> MutexGuard<'static, BTreeSet<(u64, u64)>> {
    HELD.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The kernel's lock belongs to the open file, so a clone keeps it.
fn clone(file: &File, path: &Path) -> Result<File> {
    file.try_clone().map_err(|source| Error::from_io(source, "keep the lock file open", path))
}

fn refused(file: &mut File, path: &Path) -> Error {
    let who = match pid(file) {
        Some(pid) => format!("the store is being written by process {pid}"),
        None => "the store is being written by another process".to_owned(),
    };
    Error::new(&code::LOCKED, who).at_path(path)
}

fn pid(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    let read = file.seek(SeekFrom::Start(0)).and_then(|_| file.take(32).read_to_string(&mut text));
    match read {
        Ok(_) => text.trim().parse().ok(),
        // The pid is for people; who can't read it still learns that the lock is held.
        Err(_) => None,
    }
}
