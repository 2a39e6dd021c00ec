//! An input, taken apart from its front.

/// Bytes of an input that were not used yet; behind their end all are zero.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn byte(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or_default()
    }

    /// One number of so many, or zero if there is none.
    pub(super) fn below(&mut self, count: usize) -> usize {
        let low = usize::from(self.byte());
        // Where one byte suffices, an input does not grow by a second one.
        let high = if count > 256 { usize::from(self.byte()) } else { 0 };
        (low + 256 * high) % count.max(1)
    }

    /// The next bytes; fewer if there are no more.
    pub(super) fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }
}
