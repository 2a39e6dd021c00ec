//! Every file name of a store, printed and parsed in this one place. Fixed width, so that names
//! sort in the order of what they hold.

use std::path::{Path, PathBuf};

use crate::lsn::Lsn;

/// Identity of the store.
pub(crate) const STORE: &str = "STORE";
/// Held by the one writer.
pub(crate) const LOCK: &str = "LOCK";
/// The beacon.
pub(crate) const CONTROL: &str = "CONTROL";
/// What `verify` has checked already; a cache.
pub(crate) const VERIFIED: &str = "VERIFIED";
/// Folder of the segments.
pub(crate) const JOURNAL: &str = "journal";
/// Folder of the checkpoints.
pub(crate) const STATE: &str = "state";
/// Folder of cut tails and damaged caches, kept for people to look at.
pub(crate) const QUARANTINE: &str = "quarantine";

/// The file of a segment: eight decimal digits or more.
pub(crate) fn segment(store: &Path, number: u32) -> PathBuf {
    store.join(JOURNAL).join(format!("{number:08}.seg"))
}

/// The number of a segment from its file name.
pub(crate) fn parse_segment(name: &str) -> Option<u32> {
    let digits = name.strip_suffix(".seg")?;
    let number = digits.parse().ok().filter(|number| *number > 0)?;
    (format!("{number:08}") == digits).then_some(number)
}

/// The file of the base that takes the place of the segments up to this number.
pub(crate) fn base(store: &Path, number: u32) -> PathBuf {
    store.join(JOURNAL).join(format!("{number:08}.base"))
}

/// The number of a base from its file name.
pub(crate) fn parse_base(name: &str) -> Option<u32> {
    parse_segment(&format!("{}.seg", name.strip_suffix(".base")?))
}

/// The file of a checkpoint: twenty decimal digits.
pub(crate) fn checkpoint(store: &Path, lsn: Lsn) -> PathBuf {
    store.join(STATE).join(format!("{:020}.ckpt", lsn.get()))
}

/// The LSN of a checkpoint from its file name.
pub(crate) fn parse_checkpoint(name: &str) -> Option<Lsn> {
    let digits = name.strip_suffix(".ckpt")?;
    let number: u64 = digits.parse().ok()?;
    (format!("{number:020}") == digits).then_some(Lsn::new(number))
}

/// Where a file being written stands before it is renamed to its name.
pub(crate) fn temporary(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(".tmp");
    path.with_file_name(name)
}

/// The tail that recovery cut off a segment; each attempt at the same cut has a name of its own.
pub(crate) fn cut_tail(segment: u32, offset: u64, attempt: u32) -> String {
    match attempt {
        0 => format!("{segment:08}-{offset:010}.tail"),
        _ => format!("{segment:08}-{offset:010}.tail.{attempt}"),
    }
}

/// Where a restored copy is built before it gets its name.
pub(crate) fn partial(directory: &Path) -> PathBuf {
    let mut name = directory.file_name().unwrap_or_default().to_os_string();
    name.push(".partial");
    directory.with_file_name(name)
}
