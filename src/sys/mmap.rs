//! Memory maps of segments: the only unsafe code of the crate.
//!
//! The promise is kept by two rules that every function here enforces itself:
//!
//! * Bytes below the *published* mark are never written again. A slice is only ever given out over
//!   such bytes, so it can't change under its borrower.
//! * Bytes at or above the mark are written by one [`MapWriter`] alone, of which a map has at most
//!   one, and are read by nobody but it; the exception is a frame's length word, which is read and
//!   written as an atomic.
//!
//! What remains is that nobody else changes or truncates the file. The engine holds the store's
//! lock while it writes, allocates before it maps, never shortens a file below the published mark,
//! and files are its owner's alone; `docs/unsafe.md` says what happens if somebody does it anyway.

use std::fs::File;
use std::io;
use std::slice;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};

use memmap2::{Advice, MmapMut, MmapOptions, MmapRaw, UncheckedAdvice};

/// Bytes of a page, or of the smallest part of a larger one that the kernel keeps account of.
pub(crate) const PAGE_BYTES: usize = 4096;

/// Bytes of a cache line.
#[cfg(all(target_arch = "x86_64", not(miri)))]
const LINE_BYTES: usize = 64;

/// A mapped segment.
#[derive(Debug)]
pub(crate) struct Map {
    raw: MmapRaw,
    length: usize,
    /// How many bytes from the start are published.
    published: AtomicUsize,
    access: Kind,
    /// Whether a [`MapWriter`] exists.
    claimed: AtomicBool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    ReadOnly,
    Shared,
    Beside,
}

impl Map {
    /// Maps a file for reading. Nothing is published yet, see [`Map::advance`].
    pub(crate) fn read_only(file: &File, length: usize) -> io::Result<Self> {
        let raw = MmapOptions::new().len(length).map_raw_read_only(file)?;
        Ok(Self::new(raw, length, Kind::ReadOnly))
    }

    /// Maps a file for appending. Its space must be allocated.
    pub(crate) fn appendable(file: &File, length: usize) -> io::Result<Self> {
        let raw = MmapOptions::new().len(length).map_raw(file)?;
        // Else a fault at the tail has the kernel read pages ahead that nothing was written to yet:
        // it fills them with zeros. Nothing depends on it but speed.
        drop(raw.advise(Advice::Random));
        Ok(Self::new(raw, length, Kind::Shared))
    }

    /// Memory of its own, zeroed, for appending where a map of the file is not safe.
    pub(crate) fn beside(length: usize) -> io::Result<Self> {
        let raw = MmapRaw::from(MmapMut::map_anon(length)?);
        Ok(Self::new(raw, length, Kind::Beside))
    }

    /// A read-only map of bytes of its own, for a disk that has no files.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn of_bytes(bytes: &[u8]) -> io::Result<Self> {
        let mut memory = MmapMut::map_anon(bytes.len())?;
        memory.copy_from_slice(bytes);
        Ok(Self::new(MmapRaw::from(memory), bytes.len(), Kind::ReadOnly))
    }

    fn new(raw: MmapRaw, length: usize, access: Kind) -> Self {
        assert!(length <= raw.len(), "the map must hold what it promises");
        Self {
            raw,
            length,
            published: AtomicUsize::new(0),
            access,
            claimed: AtomicBool::new(false),
        }
    }

    /// Bytes of the map.
    pub(crate) const fn length(&self) -> usize {
        self.length
    }

    /// How many bytes from the start may be read.
    #[inline]
    pub(crate) fn published(&self) -> usize {
        self.published.load(Ordering::Acquire)
    }

    /// All published bytes.
    #[inline]
    pub(crate) fn bytes(&self) -> &[u8] {
        self.load(0, self.published()).unwrap_or_default()
    }

    /// Published bytes; `None` if they are not all published.
    #[inline]
    pub(crate) fn load(&self, offset: usize, length: usize) -> Option<&[u8]> {
        let end = offset.checked_add(length)?;
        if end > self.published() {
            return None;
        }
        // SAFETY: [map-offset] offset <= published <= length, so the pointer stays in the map.
        let start = unsafe { self.raw.as_mut_ptr().add(offset) };
        // SAFETY: [map-load] the bytes lie below the published mark: initialised (a map is), never
        // written again, and mapped for as long as `self` is borrowed.
        Some(unsafe { slice::from_raw_parts(start, length) })
    }

    /// The number at `offset`, which another process may be about to publish; `None` beyond the
    /// map or off alignment.
    pub(crate) fn load_length_word(&self, offset: usize) -> Option<u32> {
        Some(u32::from_le(self.length_word(offset)?.load(Ordering::Acquire)))
    }

    #[expect(
        clippy::cast_ptr_alignment,
        reason = "the offset was checked, and maps begin at pages"
    )]
    fn length_word(&self, offset: usize) -> Option<&AtomicU32> {
        let fits = offset.checked_add(size_of::<u32>()).is_some_and(|end| end <= self.length);
        if !fits || !offset.is_multiple_of(align_of::<AtomicU32>()) {
            return None;
        }
        // SAFETY: [map-word-offset] the word lies inside the map, as was just checked.
        let word = unsafe { self.raw.as_mut_ptr().add(offset) }.cast::<u32>();
        // SAFETY: [map-word] aligned, mapped while `self` is borrowed; unpublished words are only
        // accessed as atomics, published ones are never written again.
        Some(unsafe { AtomicU32::from_ptr(word) })
    }

    /// Publishes what another process appended, or what a sealed file holds, up to `end`.
    ///
    /// # Panics
    /// On a map for appending: there only its writer publishes.
    pub(crate) fn advance(&self, end: usize) {
        assert_eq!(self.access, Kind::ReadOnly, "only the writer publishes what it appends");
        assert!(end <= self.length, "published bytes lie inside the map");
        self.published.fetch_max(end, Ordering::AcqRel);
    }

    /// The one writer of this map; `None` if there is one or the map is for reading.
    pub(crate) fn claim(self: &Arc<Self>) -> Option<MapWriter> {
        if self.access == Kind::ReadOnly || self.claimed.swap(true, Ordering::AcqRel) {
            return None;
        }
        Some(MapWriter { map: Arc::clone(self) })
    }

    /// Brings pages into memory, so that appending hardly faults: ready to be written, or only
    /// filled with zeros and clean, so that a sync that comes before the data does not write them.
    /// Kernels before 5.14 can't; then the first store to each page faults instead.
    pub(crate) fn populate(&self, offset: usize, length: usize, ready: Ready) {
        let end = offset.saturating_add(length).min(self.length);
        if self.access == Kind::Shared && offset < end {
            let advice = match ready {
                Ready::ToWrite => Advice::PopulateWrite,
                Ready::Clean => Advice::PopulateRead,
            };
            // Nothing depends on it but speed.
            drop(self.raw.advise_range(advice, offset, end - offset));
        }
    }

    /// Takes pages out of this process's page tables, before the file is synced. Writing back a
    /// page that a process may write interrupts the other cores that run threads of it, once for
    /// each page; taking them out does so once for all. When next touched they come from the page
    /// cache again.
    pub(crate) fn detach(&self, offset: usize, length: usize) {
        let end = offset.saturating_add(length).min(self.length);
        if self.access == Kind::Shared && offset < end {
            // SAFETY: [map-detach] the map is a shared one of a file: its bytes stay in the page
            // cache, written ones too, and come from there again when they are next touched. No
            // byte changes, so slices over published bytes stay what they were.
            let detached = unsafe {
                self.raw.unchecked_advise_range(UncheckedAdvice::DontNeed, offset, end - offset)
            };
            // Nothing depends on it but speed.
            drop(detached);
        }
    }

    /// Notes that nothing is appended any more: from now on the kernel may read pages ahead.
    pub(crate) fn end_appending(&self) {
        // Nothing depends on it but speed.
        drop(self.raw.advise(Advice::Normal));
    }
}

/// Asks for the cache line of a value, and does not wait for it. Where the processor can't be
/// asked, nothing happens.
#[inline]
pub(crate) fn prefetch<T>(value: &T) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: [prefetch] a hint: it changes no value and faults at no address, and this one is
        // that of a reference.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(value).cast()) };
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    let _ = value;
}

/// What pages are brought into memory for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ready {
    ToWrite,
    Clean,
}

/// The right to write the unpublished part of a map.
#[derive(Debug)]
pub(crate) struct MapWriter {
    map: Arc<Map>,
}

impl MapWriter {
    pub(crate) fn map(&self) -> &Arc<Map> {
        &self.map
    }

    /// Writes unpublished bytes.
    ///
    /// # Panics
    /// When the bytes are published or lie beyond the map: the caller has counted wrongly.
    pub(crate) fn store(&mut self, offset: usize, bytes: &[u8]) {
        self.check(offset, bytes.len());
        // SAFETY: [map-store-offset] the range lies inside the map, as was just checked.
        let start = unsafe { self.map.raw.as_mut_ptr().add(offset) };
        // SAFETY: [map-store] the target is unpublished, so no slice over it is lent, and `&mut`
        // self of the only writer means that nobody else writes it. `bytes` is a slice, and slices
        // of this map are over published bytes, so the two do not overlap.
        unsafe { start.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
    }

    /// Writes a frame's length, after everything else of the frame: a reader that sees the
    /// length sees the frame.
    pub(crate) fn store_length_word(&mut self, offset: usize, length: u32) {
        self.check(offset, size_of::<u32>());
        if let Some(word) = self.map.length_word(offset) {
            word.store(length.to_le(), Ordering::Release);
        }
    }

    /// Asks for the cache lines that will be written next, and does not wait for them: what comes
    /// after a store to a line that is not there waits for it at the next lock.
    #[inline]
    pub(crate) fn prefetch_ahead(&self, offset: usize, length: usize) {
        let end = offset.saturating_add(length).min(self.map.length);
        #[cfg(all(target_arch = "x86_64", not(miri)))]
        for place in (offset..end).step_by(LINE_BYTES) {
            use std::arch::x86_64::{_MM_HINT_ET0, _mm_prefetch};
            let start = self.map.raw.as_mut_ptr().wrapping_add(place);
            // SAFETY: [prefetch-ahead] a hint: it changes no value and faults at no address.
            unsafe { _mm_prefetch::<_MM_HINT_ET0>(start.cast()) };
        }
    }

    /// Gives everything below `end` to readers, for ever.
    pub(crate) fn publish(&mut self, end: usize) {
        assert!(
            self.map.published() <= end && end <= self.map.length,
            "the published mark only moves forward and stays inside the map"
        );
        self.map.published.store(end, Ordering::Release);
    }

    /// Bytes that were stored and not yet published, to be written to a file beside.
    pub(crate) fn pending(&self, offset: usize, length: usize) -> &[u8] {
        self.check(offset, length);
        // SAFETY: [map-pending-offset] the range lies inside the map, as was just checked.
        let start = unsafe { self.map.raw.as_mut_ptr().add(offset) };
        // SAFETY: [map-pending] unpublished bytes are written through `&mut self` alone, and `self`
        // is borrowed; a map's bytes are initialised.
        unsafe { slice::from_raw_parts(start, length) }
    }

    /// Whether stores must also be written to the file.
    pub(crate) fn is_beside(&self) -> bool {
        self.map.access == Kind::Beside
    }

    fn check(&self, offset: usize, length: usize) {
        let end = offset.checked_add(length);
        assert!(
            offset >= self.map.published() && end.is_some_and(|end| end <= self.map.length),
            "only unpublished bytes inside the map are written"
        );
    }
}

impl Drop for MapWriter {
    fn drop(&mut self) {
        self.map.claimed.store(false, Ordering::Release);
    }
}
