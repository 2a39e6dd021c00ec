//! The one place that starts threads, so that each has a name.

use std::thread::JoinHandle;

use crate::error::{Error, Result, code};

/// Starts a thread of this name.
pub(crate) fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>> {
    std::thread::Builder::new().name(name.to_owned()).spawn(body).map_err(|source| {
        Error::new(&code::IO, format!("could not start the thread {name}")).with_source(source)
    })
}

/// Runs `body`, and `helper` on a thread beside it where the machine has a core for it; returns
/// when both have ended. `helper` must not be needed for anything but speed.
pub(crate) fn beside<T>(name: &str, helper: impl FnOnce() + Send, body: impl FnOnce() -> T) -> T {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    if cores == 1 {
        // What waits for the helper must see that it is gone.
        drop(helper);
        return body();
    }
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name(name.to_owned());
        // Without the helper it only takes longer.
        drop(thread.spawn_scoped(scope, helper));
        body()
    })
}

/// Runs `body` for every number below `count`, on so many threads, until one has failed.
#[cfg(feature = "backup")]
pub(crate) fn each(
    name: &str,
    threads: usize,
    count: usize,
    body: impl Fn(usize) -> Result<()> + Sync,
) -> Result<()> {
    use std::sync::atomic::{AtomicUsize, Ordering};
    let next = AtomicUsize::new(0);
    let failed = parking_lot::Mutex::new(None);
    let work = || {
        while failed.lock().is_none() {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= count {
                break;
            }
            if let Err(error) = body(number) {
                failed.lock().get_or_insert(error);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads.min(count) {
            let thread = std::thread::Builder::new().name(name.to_owned());
            // With fewer threads it only takes longer.
            drop(thread.spawn_scoped(scope, work));
        }
        work();
    });
    failed.into_inner().map_or(Ok(()), Err)
}

/// Threads that carry on what waits for a file system or a server.
#[cfg(feature = "backup")]
pub(crate) fn runtime(name: &str) -> Result<tokio::runtime::Runtime> {
    /// More requests than this to a file system wait for each other.
    const BLOCKING_MAX: usize = 16;
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .max_blocking_threads(BLOCKING_MAX)
        .thread_name(name)
        .enable_all()
        .build()
        .map_err(|source| {
            Error::new(&code::IO, format!("could not start the threads {name}")).with_source(source)
        })
}
