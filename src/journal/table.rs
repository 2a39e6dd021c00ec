//! A table that only ever grows: a reference to an entry lives as long as the table, and finding
//! one takes no lock. Holds the segments of a journal by number, and the collections by id, so that
//! bytes and names can be lent out for as long as the store is open.

use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

const CHUNK: usize = 256;
/// A table has at most this many entries: 64 TiB of segments of the usual size.
pub(crate) const ENTRIES_MAX: usize = 1 << 20;

type Chunk<T> = Box<[OnceLock<T>]>;

/// Entries by number, from 1.
pub(crate) struct GrowingTable<T> {
    chunks: Box<[OnceLock<Chunk<T>>]>,
    newest: AtomicU32,
}

/// The entries alone: most of the table is empty.
impl<T: fmt::Debug> fmt::Debug for GrowingTable<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<T> GrowingTable<T> {
    pub(crate) fn new() -> Self {
        Self {
            chunks: (0..ENTRIES_MAX / CHUNK).map(|_| OnceLock::new()).collect(),
            newest: AtomicU32::new(0),
        }
    }

    #[inline]
    pub(crate) fn get(&self, number: u32) -> Option<&T> {
        let number = number as usize;
        self.chunks.get(number / CHUNK)?.get()?.get(number % CHUNK)?.get()
    }

    /// The highest number taken; zero if the table is empty.
    pub(crate) fn newest(&self) -> u32 {
        self.newest.load(Ordering::Acquire)
    }

    /// Sets an entry; `false` if the number is taken or beyond the table.
    pub(crate) fn set(&self, number: u32, entry: T) -> bool {
        let Some(chunk) = self.chunks.get(number as usize / CHUNK) else { return false };
        let chunk = chunk.get_or_init(|| (0..CHUNK).map(|_| OnceLock::new()).collect());
        let Some(place) = chunk.get(number as usize % CHUNK) else { return false };
        let set = place.set(entry).is_ok();
        if set {
            self.newest.fetch_max(number, Ordering::AcqRel);
        }
        set
    }

    /// All entries in the order of their numbers.
    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &T> {
        (1..=self.newest()).filter_map(|number| self.get(number))
    }
}
