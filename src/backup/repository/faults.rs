//! A store whose requests fail when a test wants it, before or after they took effect.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

/// When a request fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Nothing was done.
    Before,
    /// It was done, and only the answer is lost.
    After,
}

/// Fails the request of this number, from 1, and `times - 1` after it.
#[derive(Debug)]
pub(crate) struct Faults {
    store: Arc<dyn ObjectStore>,
    first: u64,
    times: u64,
    when: When,
    made: Arc<AtomicU64>,
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Faults")
    }
}

impl Faults {
    /// `made` counts the requests.
    pub(crate) fn new(
        store: Arc<dyn ObjectStore>,
        (first, times): (u64, u64),
        when: When,
        made: Arc<AtomicU64>,
    ) -> Self {
        Self { store, first, times, when, made }
    }

    /// When this request fails, if it does.
    fn next(&self) -> Option<When> {
        let number = self.made.fetch_add(1, Ordering::SeqCst) + 1;
        let fails = number >= self.first && number - self.first < self.times;
        fails.then_some(self.when)
    }
}

fn lost() -> Error {
    Error::Generic { store: "faults", source: "the connection was lost".into() }
}

/// Makes the request unless it fails before, and loses its answer if it fails after.
async fn made<T>(fails: Option<When>, request: impl Future<Output = Result<T>>) -> Result<T> {
    if fails == Some(When::Before) {
        return Err(lost());
    }
    let answer = request.await;
    if fails == Some(When::After) { Err(lost()) } else { answer }
}

fn streamed<T: Send + 'static>(
    fails: Option<When>,
    answers: BoxStream<'static, Result<T>>,
) -> BoxStream<'static, Result<T>> {
    let error = || stream::iter([Err(lost())]);
    match fails {
        None => answers,
        Some(When::Before) => error().boxed(),
        Some(When::After) => answers.chain(error()).boxed(),
    }
}

#[async_trait]
impl ObjectStore for Faults {
    async fn put_opts(&self, at: &Path, bytes: PutPayload, opts: PutOptions) -> Result<PutResult> {
        made(self.next(), self.store.put_opts(at, bytes, opts)).await
    }

    async fn put_multipart_opts(
        &self,
        at: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        made(self.next(), self.store.put_multipart_opts(at, opts)).await
    }

    async fn get_opts(&self, at: &Path, opts: GetOptions) -> Result<GetResult> {
        made(self.next(), self.store.get_opts(at, opts)).await
    }

    fn delete_stream(
        &self,
        paths: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let fails = self.next();
        let paths = if fails == Some(When::Before) { stream::empty().boxed() } else { paths };
        streamed(fails, self.store.delete_stream(paths))
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        streamed(self.next(), self.store.list(prefix))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        made(self.next(), self.store.list_with_delimiter(prefix)).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, opts: CopyOptions) -> Result<()> {
        made(self.next(), self.store.copy_opts(from, to, opts)).await
    }
}
