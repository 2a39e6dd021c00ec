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
