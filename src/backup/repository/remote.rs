//! Requests to what holds the objects: carried on by threads of their own, so that callers need no
//! runtime, asked again when they fail for a while, and their errors in our terms.

use std::collections::BTreeSet;
use std::error::Error as StdError;
use std::future::Future;
use std::io;
use std::path::{Path as FilePath, PathBuf};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use futures_util::StreamExt as _;
use object_store::path::Path;
use object_store::{
    Error as StoreError, GetOptions, ObjectMeta, ObjectStore, PutMode, PutOptions, PutPayload,
};
use parking_lot::Mutex;
use tokio::runtime::Runtime;

use super::directory;
use crate::error::{Error, Result, code};
use crate::sys::file::RealDisk;
use crate::sys::{Access, Disk as _, thread};

/// A listing is at most this long.
const LISTED_MAX: usize = 4_000_000;

/// How often a request is made before it has failed, and how long is waited between.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attempts {
    pub(crate) tries: u32,
    /// The wait after the first; each further one is twice as long.
    pub(crate) wait: Duration,
}

impl Attempts {
    /// Some 12 seconds, beside what the requests take.
    pub(crate) const OF_A_SERVER: Self = Self { tries: 7, wait: Duration::from_millis(200) };
    /// What a disk refuses it refuses again, and a sync that failed must not be tried again.
    pub(crate) const OF_A_DISK: Self = Self { tries: 1, wait: Duration::ZERO };
}

/// What holds the objects.
pub(crate) struct Remote {
    store: Arc<dyn ObjectStore>,
    attempts: Attempts,
    /// The directory that holds them, if it is one of this machine.
    directory: Option<PathBuf>,
    /// The directories in it whose names, and those above, are known to be durable.
    settled: Mutex<BTreeSet<PathBuf>>,
    /// Only `drop` takes it.
    runtime: Option<Runtime>,
}

impl std::fmt::Debug for Remote {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Remote").field("directory", &self.directory).finish_non_exhaustive()
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        // Nobody waits for a request any more; and waiting is not allowed in an async caller.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// What a request of creation found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Created {
    Now,
    /// Something of that name is there already, perhaps of this very request.
    Before,
}

/// What is read.
enum Fetched {
    Bytes(Vec<u8>),
    TooLong(u64),
}

impl Remote {
    pub(crate) fn new(
        store: Arc<dyn ObjectStore>,
        attempts: Attempts,
        directory: Option<PathBuf>,
    ) -> Result<Self> {
        let runtime = Some(thread::runtime("backup")?);
        Ok(Self { store, attempts, directory, settled: Mutex::default(), runtime })
    }

    /// Creates an object, which is durable then, unless one of the name is there.
    pub(super) fn create(&self, name: &str, bytes: Vec<u8>) -> Result<Created> {
        let payload = PutPayload::from(bytes);
        let path = Path::from(name);
        let outcome = self.run(move |store| {
            let (path, payload) = (path.clone(), payload.clone());
            async move {
                let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
                store.put_opts(&path, payload, options).await
            }
        });
        match outcome {
            Ok(_) => self.settle_names(name).map(|()| Created::Now),
            Err(Failed {
                error: StoreError::AlreadyExists { .. } | StoreError::Precondition { .. },
                ..
            }) => Ok(Created::Before),
            // Objects need no folder, so it is what holds them that is not there.
            Err(Failed { error: error @ StoreError::NotFound { .. }, .. }) => {
                let message = "the bucket or container of the repository does not exist";
                Err(Error::new(&code::REPOSITORY_NOT_FOUND, message).with_source(error))
            }
            Err(failed) => Err(self.told(failed, "write", name)),
        }
    }

    /// Makes an object durable of which it is not known how it came to be there: another run may
    /// have been killed before it had synced it. What is read then is what the disk has.
    pub(super) fn settle(&self, name: &str) -> Result<()> {
        let Some(directory) = &self.directory else { return Ok(()) };
        let path = directory.join(name);
        let file = RealDisk.open(&path, Access::Read)?;
        file.sync()?;
        file.drop_cache()?;
        if let Some(parent) = path.parent() {
            RealDisk.sync_dir(parent)?;
        }
        self.settle_names(name)
    }

    /// Makes the directories above an object durable. `LocalFileSystem` syncs those that it makes;
    /// but another thread, or a run that was killed, may have made them and not synced them yet.
    fn settle_names(&self, name: &str) -> Result<()> {
        let Some(directory) = &self.directory else { return Ok(()) };
        let path = directory.join(name);
        let Some(parent) = path.parent() else { return Ok(()) };
        if self.settled.lock().contains(parent) {
            return Ok(());
        }
        let inside = |at: &&FilePath| at.starts_with(directory);
        parent.ancestors().skip(1).take_while(inside).try_for_each(|at| RealDisk.sync_dir(at))?;
        self.settled.lock().insert(parent.to_path_buf());
        Ok(())
    }

    /// The bytes of an object of at most `bytes_max` bytes.
    pub(super) fn read(&self, name: &str, bytes_max: usize) -> Result<Vec<u8>> {
        let path = Path::from(name);
        let fetched = self.run(move |store| {
            let path = path.clone();
            async move { fetch(&*store, &path, bytes_max).await }
        });
        match fetched.map_err(|failed| self.told(failed, "read", name))? {
            Fetched::Bytes(bytes) => Ok(bytes),
            Fetched::TooLong(length) => Err(Error::new(
                &code::OBJECT_DAMAGED,
                format!("{name} is damaged: {length} bytes are more than it may have"),
            )),
        }
    }

    /// How long an object is; `None` if there is none.
    pub(super) fn bytes(&self, name: &str) -> Result<Option<u64>> {
        let path = Path::from(name);
        let found = self.run(move |store| {
            let path = path.clone();
            async move {
                let options = GetOptions { head: true, ..GetOptions::default() };
                store.get_opts(&path, options).await.map(|result| result.meta.size)
            }
        });
        match found {
            Ok(bytes) => Ok(Some(bytes)),
            Err(Failed { error: StoreError::NotFound { .. }, .. }) => Ok(None),
            Err(failed) => Err(self.told(failed, "look at", name)),
        }
    }

    /// The names below a folder, with their lengths, sorted.
    pub(super) fn list(&self, folder: Option<&str>) -> Result<Vec<(String, u64)>> {
        let mut names = match &self.directory {
            Some(directory) => directory::files(directory, folder, LISTED_MAX)?,
            None => self.list_at_server(folder)?,
        };
        names.sort_unstable();
        Ok(names)
    }

    fn list_at_server(&self, folder: Option<&str>) -> Result<Vec<(String, u64)>> {
        let path = folder.map(Path::from);
        let listed = self.run(move |store| {
            let path = path.clone();
            async move { listed(&*store, path.as_ref()).await }
        });
        listed.map_err(|failed| self.told(failed, "list", folder.unwrap_or("the repository")))
    }

    /// The names of the folders at the top, sorted.
    pub(super) fn folders(&self) -> Result<Vec<String>> {
        if let Some(directory) = &self.directory {
            return directory::folders(directory);
        }
        let result = self
            .run(|store| async move { store.list_with_delimiter(None).await })
            .map_err(|failed| self.told(failed, "list", "the repository"))?;
        let mut names: Vec<_> =
            result.common_prefixes.into_iter().map(|path| path.to_string()).collect();
        names.sort_unstable();
        Ok(names)
    }

    /// Removes an object; it is no error if there is none.
    pub(super) fn delete(&self, name: &str) -> Result<()> {
        let path = Path::from(name);
        let deleted = self.run(move |store| {
            let path = path.clone();
            async move {
                let mut deleted =
                    store.delete_stream(futures_util::stream::iter([Ok(path)]).boxed());
                while let Some(outcome) = deleted.next().await {
                    outcome?;
                }
                Ok(())
            }
        });
        match deleted {
            Ok(()) | Err(Failed { error: StoreError::NotFound { .. }, .. }) => Ok(()),
            Err(failed) => Err(self.told(failed, "delete", name)),
        }
    }

    /// Makes a request until it succeeds, fails for good, or was made often enough.
    fn run<T, F>(
        &self,
        request: impl Fn(Arc<dyn ObjectStore>) -> F + Send + 'static,
    ) -> Result<T, Failed>
    where
        T: Send + 'static,
        F: Future<Output = object_store::Result<T>> + Send,
    {
        let (store, attempts) = (self.store.clone(), self.attempts);
        let (sender, receiver) = mpsc::sync_channel(1);
        let stopped = || Failed {
            error: StoreError::Generic {
                store: "backup",
                source: "the thread that makes requests has stopped".into(),
            },
            tries: 0,
        };
        let Some(runtime) = &self.runtime else { return Err(stopped()) };
        runtime.spawn(async move {
            let mut wait = attempts.wait;
            let mut tries = 1;
            let outcome = loop {
                let error = match request(store.clone()).await {
                    Ok(value) => break Ok(value),
                    Err(error) => error,
                };
                if tries >= attempts.tries || !passes(&error) {
                    break Err(Failed { error, tries });
                }
                tokio::time::sleep(wait).await;
                (wait, tries) = (wait * 2, tries + 1);
            };
            // Nobody listens only when the caller is gone.
            drop(sender.send(outcome));
        });
        receiver.recv().map_err(|_| stopped())?
    }

    /// The error in our terms.
    #[expect(clippy::wildcard_enum_match_arm, reason = "the errors of a store have no end")]
    fn told(&self, failed: Failed, action: &str, name: &str) -> Error {
        let Failed { error, tries } = failed;
        if let (Some(directory), Some(cause)) = (&self.directory, os_error(&error)) {
            let action = format!("{action} the object");
            return Error::from_io(
                io::Error::from_raw_os_error(cause),
                &action,
                &directory.join(name),
            );
        }
        let code = match &error {
            StoreError::NotFound { .. } => &code::OBJECT_MISSING,
            StoreError::AlreadyExists { .. } | StoreError::Precondition { .. } => {
                &code::OBJECT_DIFFERS
            }
            StoreError::PermissionDenied { .. } | StoreError::Unauthenticated { .. } => {
                &code::PERMISSION_DENIED
            }
            StoreError::InvalidPath { .. }
            | StoreError::NotSupported { .. }
            | StoreError::NotImplemented { .. }
            | StoreError::UnknownConfigurationKey { .. } => &code::INVALID_OPTION,
            _ if self.directory.is_some() => &code::IO,
            _ => &code::REMOTE,
        };
        let often = if tries > 1 { format!(", {tries} times") } else { String::new() };
        Error::new(code, format!("could not {action} {name}{often}")).with_source(error)
    }
}

/// A request that failed, and how often it was made.
struct Failed {
    error: StoreError,
    tries: u32,
}

/// Whether it may be otherwise after a while.
fn passes(error: &StoreError) -> bool {
    matches!(
        error,
        StoreError::Generic { .. } | StoreError::JoinError { .. } | StoreError::NotModified { .. }
    )
}

/// The error of the system call at the bottom, if there is one.
fn os_error(error: &StoreError) -> Option<i32> {
    if matches!(error, StoreError::NotFound { .. } | StoreError::AlreadyExists { .. }) {
        return None;
    }
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(found) = error.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error) {
            return Some(found);
        }
        cause = error.source();
    }
    None
}

async fn fetch(
    store: &dyn ObjectStore,
    path: &Path,
    bytes_max: usize,
) -> object_store::Result<Fetched> {
    let result = store.get_opts(path, GetOptions::default()).await?;
    let size = result.meta.size;
    let Some(length) = usize::try_from(size).ok().filter(|length| *length <= bytes_max) else {
        return Ok(Fetched::TooLong(size));
    };
    let mut bytes = Vec::with_capacity(length);
    let mut stream = result.into_stream();
    while let Some(piece) = stream.next().await {
        let piece = piece?;
        // A server may send more than it said.
        if bytes.len() + piece.len() > bytes_max {
            return Ok(Fetched::TooLong(size));
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(Fetched::Bytes(bytes))
}

async fn listed(
    store: &dyn ObjectStore,
    folder: Option<&Path>,
) -> object_store::Result<Vec<(String, u64)>> {
    let mut names = Vec::new();
    let mut stream = store.list(folder);
    while let Some(found) = stream.next().await {
        // An error ends the listing: what stands behind it would be missing.
        let ObjectMeta { location, size, .. } = found?;
        names.push((location.to_string(), size));
        if names.len() > LISTED_MAX {
            let source = format!("there are more than {LISTED_MAX} objects").into();
            return Err(StoreError::NotSupported { source });
        }
    }
    Ok(names)
}
