//! A place for a backup repository in memory, of which tests see and change every byte, and whose
//! requests fail when a test wants it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::StreamExt as _;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore as _, ObjectStoreExt as _, PutPayload};

use crate::RepositoryKey;
use crate::backup::repository::Repository;
use crate::backup::repository::faults::Faults;
pub use crate::backup::repository::faults::When;
use crate::backup::repository::remote::{Attempts, Remote};
use crate::error::Result;

/// A place in memory.
#[derive(Clone, Debug)]
pub struct Memory {
    store: Arc<InMemory>,
    fails: Option<(u64, u64, When)>,
    tries: u32,
    made: Arc<AtomicU64>,
}

impl Default for Memory {
    fn default() -> Self {
        Self { store: Arc::default(), fails: None, tries: 1, made: Arc::default() }
    }
}

impl Memory {
    /// The same place, reached by a connection of its own: the request of this number fails, and
    /// `times - 1` after it; each is made up to `tries` times.
    #[must_use]
    pub fn failing(&self, (first, times): (u64, u64), when: When, tries: u32) -> Self {
        let fails = Some((first, times, when));
        Self { store: self.store.clone(), fails, tries, made: Arc::default() }
    }

    /// How many requests were made.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.made.load(Ordering::SeqCst)
    }

    /// As `Repository::create`.
    ///
    /// # Errors
    /// As there.
    pub fn create(&self, key: Option<&RepositoryKey>) -> Result<Repository> {
        Repository::create_on(self.connect()?, key)
    }

    /// As `Repository::open`.
    ///
    /// # Errors
    /// As there.
    pub fn open(&self, key: Option<&RepositoryKey>) -> Result<Repository> {
        Repository::open_on(self.connect()?, key)
    }

    fn connect(&self) -> Result<Remote> {
        let (first, times, when) = self.fails.unwrap_or((0, 0, When::Before));
        let made = self.made.clone();
        let faults = Faults::new(self.store.clone(), (first, times), when, made);
        let attempts = Attempts { tries: self.tries, wait: Duration::ZERO };
        Remote::new(Arc::new(faults), attempts, None)
    }

    /// Every name with its bytes.
    #[must_use]
    pub fn contents(&self) -> BTreeMap<String, Vec<u8>> {
        wait(async {
            let mut found = BTreeMap::new();
            let mut names = self.store.list(None);
            while let Some(Ok(meta)) = names.next().await {
                let Ok(result) = self.store.get(&meta.location).await else { continue };
                let Ok(bytes) = result.bytes().await else { continue };
                found.insert(meta.location.to_string(), bytes.to_vec());
            }
            found
        })
    }

    /// Puts bytes there, whatever there was.
    pub fn overwrite(&self, name: &str, bytes: &[u8]) {
        let payload = PutPayload::from(bytes.to_vec());
        wait(async { drop(self.store.put(&Path::from(name), payload).await) });
    }

    /// Takes away what is there.
    pub fn remove(&self, name: &str) {
        wait(async { drop(self.store.delete(&Path::from(name)).await) });
    }
}

/// What is in memory never waits for anything.
fn wait<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    loop {
        if let std::task::Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return value;
        }
    }
}
