//! The log of a block device: what was written in which order, and what was flushed when.
//!
//! Its layout is that of the kernel's dm-log-writes: a header, then entries, each a sector that
//! says what was done, and behind it what was written.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

/// The first number of the header.
const MAGIC: u64 = 0x006a_7366_7773_6872;
/// A device writes so many bytes whole or not at all.
pub(crate) const SECTOR: u64 = 512;

const FLUSH: u64 = 1;
const FORCED: u64 = 2;
const DISCARD: u64 = 4;

/// One entry: a write, a flush, or both.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    /// Where on the device.
    pub(crate) sector: u64,
    pub(crate) sectors: u64,
    flags: u64,
    /// Where in the log its bytes stand.
    at: u64,
}

impl Entry {
    /// Whether everything before it is durable when it is done.
    pub(crate) const fn flushes(&self) -> bool {
        self.flags & FLUSH != 0
    }

    /// Whether it is durable itself when it is done.
    pub(crate) const fn is_forced(&self) -> bool {
        self.flags & FORCED != 0
    }
}

/// A log that is complete.
pub(crate) struct Log {
    file: File,
    pub(crate) entries: Vec<Entry>,
}

/// The number of entries, which the header tells also while the log is being written.
pub(crate) fn length(path: &Path) -> usize {
    let file = File::open(path).expect("a log");
    let [magic, _, count, _] = numbers(&file, 0);
    assert_eq!(magic, MAGIC, "the log has its header");
    usize::try_from(count).expect("few")
}

/// Four numbers at a place.
fn numbers(file: &File, at: u64) -> [u64; 4] {
    let mut bytes = [0; 32];
    file.read_exact_at(&mut bytes, at).expect("an entry");
    std::array::from_fn(|index| {
        u64::from_le_bytes(bytes[index * 8..index * 8 + 8].try_into().expect("eight bytes"))
    })
}

impl Log {
    pub(crate) fn read(path: &Path) -> Self {
        let file = File::open(path).expect("a log");
        let mut entries = Vec::new();
        let mut at = SECTOR;
        for _ in 0..length(path) {
            let [sector, sectors, flags, _] = numbers(&file, at);
            entries.push(Entry { sector, sectors, flags, at: at + SECTOR });
            // What was discarded has no bytes in the log.
            let written = if flags & DISCARD == 0 { sectors } else { 0 };
            at += SECTOR + written * SECTOR;
        }
        Self { file, entries }
    }

    /// The newest flush among the first `count` entries.
    pub(crate) fn flush_within(&self, count: usize) -> Option<usize> {
        self.entries[..count].iter().rposition(Entry::flushes)
    }

    /// Writes an entry to an image: of its sectors those that are to be kept.
    pub(crate) fn replay(&self, entry: Entry, image: &File, mut keep: impl FnMut(u64) -> bool) {
        if entry.sectors == 0 {
            return;
        }
        let mut bytes = vec![0; usize::try_from(entry.sectors * SECTOR).expect("it fits")];
        if entry.flags & DISCARD == 0 {
            self.file.read_exact_at(&mut bytes, entry.at).expect("the entry is whole");
        }
        let mut from = 0;
        for index in 0..=entry.sectors {
            if index < entry.sectors && keep(entry.sector + index) {
                continue;
            }
            let (begin, end) = (from * SECTOR, index * SECTOR);
            let range =
                usize::try_from(begin).expect("small")..usize::try_from(end).expect("small");
            image.write_all_at(&bytes[range], entry.sector * SECTOR + begin).expect("written");
            from = index + 1;
        }
    }
}
