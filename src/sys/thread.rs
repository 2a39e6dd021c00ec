//! The one place that starts threads, so that each has a name.

use std::thread::JoinHandle;

use crate::error::{Error, Result, code};

/// Starts a thread of this name.
pub(crate) fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>> {
    std::thread::Builder::new().name(name.to_owned()).spawn(body).map_err(|source| {
        Error::new(&code::IO, format!("could not start the thread {name}")).with_source(source)
    })
}
