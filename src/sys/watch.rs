//! Reading mapped bytes that may not be there: somebody has cut the file short, or the disk can't
//! read them. The kernel then sends `SIGBUS`, which ends a process, but not one that said before
//! what it is about to touch.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering, compiler_fence};

use super::mmap::{PAGE_BYTES, make_hole};

/// Where a map lies.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    pub(super) start: usize,
    pub(super) end: usize,
}

/// Bytes of a map are not there any more: somebody cut the file short, or the disk can't read them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Vanished;

const NOTHING: Span = Span { start: 0, end: 0 };
/// So often what was read is read again, because meanwhile another thread lost a page.
const ATTEMPTS_MAX: u32 = 100;

thread_local! {
    /// What the thread touches.
    static WATCHED: Cell<Span> = const { Cell::new(NOTHING) };
    /// What of it was found gone last: pages that lie side by side.
    static GONE: Cell<Span> = const { Cell::new(NOTHING) };
}

/// How many pages were gone when they were touched: of all maps, and by where a map begins. While
/// that changes, whoever reads the same pages may see zeros in their place.
static LOST_PAGES: AtomicUsize = AtomicUsize::new(0);
static LOST_PAGES_OF: [AtomicUsize; 64] = [const { AtomicUsize::new(0) }; 64];

impl Span {
    fn lost_pages(self) -> &'static AtomicUsize {
        let [first, ..] = &LOST_PAGES_OF;
        LOST_PAGES_OF.get(self.start / PAGE_BYTES % LOST_PAGES_OF.len()).unwrap_or(first)
    }
}

/// Reads bytes of a map that may not be there.
///
/// Slices that `read` returns can still lose their bytes later: then the kernel ends the process,
/// which is better than lending it zeros. Those of a page that was touched here are in memory, and
/// go away only if the file is cut, or the page is dropped and can't be read again.
#[inline]
pub(crate) fn watch<T>(span: Span, mut read: impl FnMut() -> T) -> Result<T, Vanished> {
    let lost_before = LOST_PAGES.load(Ordering::Acquire);
    let value = watch_once(span, &mut read)?;
    if LOST_PAGES.load(Ordering::Acquire) == lost_before {
        return Ok(value);
    }
    watch_again(span, read)
}

/// Somebody lost pages meanwhile, perhaps of this map: reads until nobody does.
#[cold]
fn watch_again<T>(span: Span, mut read: impl FnMut() -> T) -> Result<T, Vanished> {
    for _ in 0..ATTEMPTS_MAX {
        let lost_before = span.lost_pages().load(Ordering::Acquire);
        let value = watch_once(span, &mut read)?;
        if span.lost_pages().load(Ordering::Acquire) == lost_before {
            return Ok(value);
        }
    }
    Err(Vanished)
}

/// Touches bytes of a map that may not be there: to write, which can't be done twice.
#[inline]
pub(crate) fn watch_once<T>(span: Span, touch: impl FnOnce() -> T) -> Result<T, Vanished> {
    let watching = Watching::begin(span);
    let value = touch();
    let is_whole = lost_nothing();
    drop(watching);
    if is_whole { Ok(value) } else { Err(Vanished) }
}

/// Whether everything that this thread touched was there.
#[inline]
fn lost_nothing() -> bool {
    compiler_fence(Ordering::SeqCst);
    GONE.get().end == NOTHING.end
}

/// As long as it lives, the thread may touch bytes of a map that are not there. For short ways that
/// can be left for a longer one; else see [`watch`].
#[derive(Debug)]
#[must_use]
pub(crate) struct Watching {
    outer: Span,
    lost_before: usize,
}

impl Watching {
    #[inline]
    pub(crate) fn begin(span: Span) -> Self {
        let lost_before = LOST_PAGES.load(Ordering::Acquire);
        let outer = WATCHED.replace(span);
        compiler_fence(Ordering::SeqCst);
        Self { outer, lost_before }
    }

    /// Whether everything that was touched was there, and no other thread lost a page meanwhile.
    #[inline]
    pub(crate) fn ends_whole(self) -> bool {
        if !lost_nothing() {
            return false;
        }
        WATCHED.set(self.outer);
        let is_whole = LOST_PAGES.load(Ordering::Acquire) == self.lost_before;
        // All that dropping it would do is done.
        std::mem::forget(self);
        is_whole
    }
}

impl Drop for Watching {
    #[inline]
    fn drop(&mut self) {
        let is_whole = lost_nothing();
        WATCHED.set(self.outer);
        // Who watches around this one has lost it, too, and is to know.
        if !is_whole && self.outer.end == NOTHING.end {
            forget_gone();
        }
    }
}

#[cold]
fn forget_gone() {
    make_hole(GONE.replace(NOTHING));
}

/// Touches each page that a slice lies in, so that what is gone is found where it is watched for.
#[inline]
pub(crate) fn touch(bytes: &[u8]) {
    let Some(first) = bytes.first() else { return };
    std::hint::black_box(*first);
    let start = bytes.as_ptr().addr();
    if start / PAGE_BYTES != (start + bytes.len() - 1) / PAGE_BYTES {
        let second_page = PAGE_BYTES - start % PAGE_BYTES;
        for byte in bytes.get(second_page..).unwrap_or_default().iter().step_by(PAGE_BYTES) {
            std::hint::black_box(*byte);
        }
    }
}

/// Called by the handler of the signal: if the thread has said that it touches this address, puts
/// something in the place of the page by `replace`, and notes that it is gone.
pub(super) fn lose(address: usize, page: Span, replace: impl Fn(Span) -> bool) -> bool {
    let watched = WATCHED.get();
    if !(watched.start..watched.end).contains(&address) {
        return false;
    }
    // First, so that whoever sees what is put there sees that something is.
    watched.lost_pages().fetch_add(1, Ordering::SeqCst);
    LOST_PAGES.fetch_add(1, Ordering::SeqCst);
    GONE.set(match GONE.get() {
        known if page.end == known.start => Span { start: page.start, end: known.end },
        known if page.start == known.end => Span { start: known.start, end: page.end },
        known => {
            // What lies between is there, and stays.
            if known.end != NOTHING.end {
                make_hole(known);
            }
            page
        }
    });
    replace(page)
}
