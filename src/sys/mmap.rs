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
//! What remains is that nobody else changes the file. The engine holds the store's lock while it
//! writes, allocates before it maps, never shortens a file below the published mark, and files are
//! its owner's alone. Where the bytes go away all the same, because somebody cuts the file or the
//! disk can't read them, the kernel sends `SIGBUS`: [`watch`](super::watch) makes an error of it.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::slice;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use libc::{c_int, c_void, siginfo_t};
use memmap2::{Advice, MmapMut, MmapOptions, MmapRaw, UncheckedAdvice};

use super::watch::{self, Span};

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
        HANDLER.get_or_init(Handler::install);
        Self {
            raw,
            length,
            published: AtomicUsize::new(0),
            access,
            claimed: AtomicBool::new(false),
        }
    }

    /// Where the map lies, to watch those who touch it.
    #[inline]
    pub(crate) fn span(&self) -> Span {
        let start = self.raw.as_ptr().addr();
        Span { start, end: start + self.length }
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

/// Has pages that were found gone send the signal again, to whoever touches them next.
pub(super) fn make_hole(gone: Span) {
    if let Some(empty) = HANDLER.get().and_then(|handler| handler.empty.as_ref()) {
        // If it fails, the zeros stay: of a page that was gone for this process before.
        Handler::map_over(gone, 0, empty.as_raw_fd());
    }
}

static HANDLER: OnceLock<Handler> = OnceLock::new();

/// What answers `SIGBUS`.
struct Handler {
    /// What the process did about it before.
    before: libc::sigaction,
    page_bytes: usize,
    /// A file of no length: a map of it sends the signal again, whoever touches it.
    empty: Option<OwnedFd>,
}

impl Handler {
    /// Answers the signal from now on, for as long as the process lives.
    fn install() -> Self {
        // SAFETY: [signal-zeroed] a `sigaction` of zeros is a valid one: default action, no flags.
        let mut before: libc::sigaction = unsafe { std::mem::zeroed() };
        let mut ours = before;
        ours.sa_sigaction = on_signal as *const () as usize;
        ours.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        if cfg!(miri) {
            return Self { before, page_bytes: PAGE_BYTES, empty: None };
        }
        // SAFETY: [signal-install] both point to valid structs; the handler does only what a signal
        // handler may, and passes on what is none of its business.
        let installed = unsafe { libc::sigaction(libc::SIGBUS, &raw const ours, &raw mut before) };
        assert_eq!(installed, 0, "only a wrong number or address makes it fail");
        let empty = rustix::fs::memfd_create("afterimage-gone", rustix::fs::MemfdFlags::CLOEXEC);
        Self { before, page_bytes: rustix::param::page_size(), empty: empty.ok() }
    }

    /// Puts zeros in the place of a page that is gone, so that whoever touched it gets on, and
    /// learns of it at the end.
    fn replace(page: Span) -> bool {
        Self::map_over(page, libc::MAP_ANONYMOUS, -1)
    }

    fn map_over(gone: Span, kind: c_int, file: c_int) -> bool {
        let access = libc::PROT_READ | libc::PROT_WRITE;
        let start = std::ptr::without_provenance_mut::<c_void>(gone.start);
        let kind = kind | libc::MAP_PRIVATE | libc::MAP_FIXED | libc::MAP_NORESERVE;
        let length = gone.end - gone.start;
        // SAFETY: [map-gone] the pages lie inside a map that is watched, and so alive; the kernel
        // has just said that there is nothing behind them, so no byte that could be read changes.
        let mapped = unsafe { libc::mmap(start, length, access, kind, file, 0) };
        mapped != libc::MAP_FAILED
    }

    /// Does what the process would have done without this handler.
    fn pass_on(&self, signal: c_int, info: *mut siginfo_t, context: *mut c_void) {
        type Simple = extern "C" fn(c_int);
        type Informed = extern "C" fn(c_int, *mut siginfo_t, *mut c_void);
        let before = self.before.sa_sigaction;
        if before == libc::SIG_DFL || before == libc::SIG_IGN {
            // The instruction is tried again, and the kernel ends the process.
            // SAFETY: [signal-default] as when it was installed; the kernel told what was before.
            unsafe { libc::sigaction(signal, &raw const self.before, std::ptr::null_mut()) };
        } else if self.before.sa_flags & libc::SA_SIGINFO == 0 {
            // SAFETY: [signal-simple] a handler without `SA_SIGINFO` is a function of one number.
            let handler = unsafe { std::mem::transmute::<usize, Simple>(before) };
            handler(signal);
        } else {
            // SAFETY: [signal-informed] a handler with `SA_SIGINFO` is a function of these three.
            let handler = unsafe { std::mem::transmute::<usize, Informed>(before) };
            handler(signal, info, context);
        }
    }
}

/// Called by the kernel, in the thread that touched what is not there. Does nothing that could wait
/// or allocate.
extern "C" fn on_signal(signal: c_int, info: *mut siginfo_t, context: *mut c_void) {
    let Some(handler) = HANDLER.get() else { return };
    // SAFETY: [signal-info] the kernel hands a valid one to a handler with `SA_SIGINFO`.
    let told = unsafe { &*info };
    // SAFETY: [signal-address] of this signal, sent by the kernel, that field is the address.
    let address = unsafe { told.si_addr() }.addr();
    let start = address - address % handler.page_bytes;
    let page = Span { start, end: start + handler.page_bytes };
    let is_fault = told.si_code > 0;
    if !(is_fault && watch::lose(address, page, Handler::replace)) {
        handler.pass_on(signal, info, context);
    }
}
