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

impl Span {
    fn lost_pages(self) -> &'static AtomicUsize {
        let [first, ..] = &LOST_PAGES;
        LOST_PAGES.get(self.start / PAGE_BYTES % LOST_PAGES.len()).unwrap_or(first)
    }
}

/// Bytes of a map are not there any more: somebody cut the file short, or the disk can't read them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Vanished;

/// What a thread touches, and what of it was found gone.
#[derive(Clone, Copy, Debug)]
struct Watch {
    span: Span,
    /// From the first page to behind the last one; nothing if all were there.
    gone: Span,
}

const NOTHING: Span = Span { start: 0, end: 0 };
/// So often what was read is read again, because meanwhile another thread lost a page.
const ATTEMPTS_MAX: u32 = 100;

thread_local! {
    static WATCH: Cell<Watch> = const { Cell::new(Watch { span: NOTHING, gone: NOTHING }) };
}

/// How many pages were gone when they were touched, by where their map begins. While that changes,
/// whoever reads the same pages may see zeros in their place.
static LOST_PAGES: [AtomicUsize; 64] = [const { AtomicUsize::new(0) }; 64];

/// Reads bytes of a map that may not be there.
///
/// Slices that `read` returns can still lose their bytes later: then the kernel ends the process,
/// which is better than lending it zeros. Those of a page that was touched here are in memory, and
/// go away only if the file is cut, or the page is dropped and can't be read again.
#[inline]
pub(crate) fn watch<T>(span: Span, mut read: impl FnMut() -> T) -> Result<T, Vanished> {
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
    struct Watching(Watch);
    impl Drop for Watching {
        #[inline]
        fn drop(&mut self) {
            WATCH.set(self.0);
        }
    }
    let watching = Watching(WATCH.replace(Watch { span, gone: NOTHING }));
    compiler_fence(Ordering::SeqCst);
    let value = touch();
    compiler_fence(Ordering::SeqCst);
    let gone = WATCH.get().gone;
    drop(watching);
    if gone.end == NOTHING.end {
        return Ok(value);
    }
    make_hole(gone);
    Err(Vanished)
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
    let watch = WATCH.get();
    if !(watch.span.start..watch.span.end).contains(&address) {
        return false;
    }
    // First, so that whoever sees what is put there sees that something is.
    watch.span.lost_pages().fetch_add(1, Ordering::SeqCst);
    let gone = match watch.gone {
        Span { end: 0, .. } => page,
        known => Span { start: known.start.min(page.start), end: known.end.max(page.end) },
    };
    WATCH.set(Watch { gone, ..watch });
    replace(page)
}
