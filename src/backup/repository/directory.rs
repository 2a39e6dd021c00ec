//! Listing a directory of this machine. `LocalFileSystem` would follow links, and end at the first
//! name that is no text, as if nothing stood behind it.

use std::path::Path;

use crate::error::{Error, Result, code};
use crate::sys::facts::{Inspect as _, Kind};
use crate::sys::file::RealDisk;
use crate::sys::{Disk as _, Entry};

/// No object lies deeper than a mark.
const DEPTH_MAX: usize = 4;

/// The names of the files below a folder, with their lengths. What is neither a file nor a
/// directory, or lies too deep, is told by a name that no object has; names that are no text, and
/// files that are being written, are not told.
pub(super) fn files(
    root: &Path,
    folder: Option<&str>,
    files_max: usize,
) -> Result<Vec<(String, u64)>> {
    let mut found = Vec::new();
    let mut open = vec![folder.unwrap_or_default().to_owned()];
    while let Some(directory) = open.pop() {
        let path = root.join(&directory);
        if RealDisk.entry(&path)? != Entry::Directory {
            continue;
        }
        for name in RealDisk.list(&path)? {
            let at = if directory.is_empty() { name } else { format!("{directory}/{name}") };
            let Some(facts) = RealDisk.facts(&root.join(&at))? else { continue };
            match facts.kind {
                Kind::File if is_staged(&at) => {}
                Kind::File => found.push((at, facts.bytes)),
                Kind::Directory if at.split('/').count() < DEPTH_MAX => open.push(at),
                Kind::Directory | Kind::Link | Kind::Other => {
                    found.push((format!("{at} (no file)"), 0));
                }
            }
            if found.len() + open.len() > files_max {
                let message = format!("there are more than {files_max} files");
                return Err(Error::new(&code::INVALID_OPTION, message).at_path(root));
            }
        }
    }
    Ok(found)
}

/// The names of the directories at the top.
pub(super) fn folders(root: &Path) -> Result<Vec<String>> {
    let mut names = RealDisk.list(root)?;
    let mut kinds = Vec::new();
    for name in &names {
        kinds.push(RealDisk.facts(&root.join(name))?.map(|facts| facts.kind));
    }
    let mut kinds = kinds.into_iter();
    names.retain(|_| kinds.next() == Some(Some(Kind::Directory)));
    Ok(names)
}

/// Whether `LocalFileSystem` calls a file so while it is written.
fn is_staged(name: &str) -> bool {
    let digits = name.rsplit_once('#').map(|(_, digits)| digits);
    digits.is_some_and(|digits| {
        !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
    })
}
