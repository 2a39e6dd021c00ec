//! A store that is built beside its place, and renamed when it is whole.

use std::path::Path;

use crate::error::{Error, Result, code};
use crate::format::names;
use crate::sys::{Disk, Entry};

/// What an interrupted building may have left: nothing else is ever removed.
const NAMES: [&str; 6] =
    [names::STORE, names::LOCK, names::CONTROL, names::JOURNAL, names::STATE, names::QUARANTINE];

/// Removes what an interrupted restore or repair left behind: nothing refers to it.
///
/// # Errors
/// `Invalid` if anything stands there that they do not make; then nothing is removed.
pub(crate) fn remove_partial(disk: &dyn Disk, partial: &Path) -> Result<()> {
    match disk.entry(partial)? {
        Entry::Nothing => return Ok(()),
        Entry::File => return Err(foreign(partial)),
        Entry::Directory => {}
    }
    let names = disk.list(partial)?;
    let is_ours = |name: &&String| NAMES.contains(&name.strip_suffix(".tmp").unwrap_or(name));
    if let Some(other) = names.iter().find(|name| !is_ours(name)) {
        return Err(foreign(&partial.join(other)));
    }
    for name in names {
        let path = partial.join(name);
        if disk.entry(&path)? == Entry::Directory {
            for name in disk.list(&path)? {
                disk.remove(&path.join(name))?;
            }
        }
        disk.remove(&path)?;
    }
    disk.remove(partial)
}

fn foreign(path: &Path) -> Error {
    let message = "this is where the store is to be built, and it is no remainder of that";
    Error::new(&code::DIRECTORY_NOT_EMPTY, message).at_path(path)
}
