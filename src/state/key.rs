//! A key as a block holds it: what all keys of the block begin with, and the rest.

use std::cmp::Ordering;

/// A key in two pieces, one behind the other.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Key<'a> {
    pub(super) start: &'a [u8],
    pub(super) rest: &'a [u8],
}

impl<'a> Key<'a> {
    /// A key in one piece.
    pub(super) const fn whole(key: &'a [u8]) -> Self {
        Self { start: &[], rest: key }
    }

    pub(super) fn compare(&self, other: &Self) -> Ordering {
        let both = self.start.len().min(other.start.len());
        let ((a, a_behind), (b, b_behind)) =
            (self.start.split_at(both), other.start.split_at(both));
        // One of the two is used up.
        a.cmp(b).then_with(|| {
            if a_behind.is_empty() {
                compare_to_pieces(self.rest, b_behind, other.rest)
            } else {
                compare_to_pieces(other.rest, a_behind, self.rest).reverse()
            }
        })
    }

    pub(super) fn append_to(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(self.start);
        bytes.extend_from_slice(self.rest);
    }

    pub(super) fn to_vec(self) -> Vec<u8> {
        [self.start, self.rest].concat()
    }
}

fn compare_to_pieces(whole: &[u8], start: &[u8], rest: &[u8]) -> Ordering {
    let (head, tail) = whole.split_at(start.len().min(whole.len()));
    head.cmp(start).then_with(|| tail.cmp(rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pieces() -> impl Strategy<Value = (Vec<u8>, usize)> {
        prop::collection::vec(0..2_u8, 0..6).prop_flat_map(|key| (Just(key.clone()), 0..=key.len()))
    }

    proptest! {
        #[test]
        fn keys_in_pieces_compare_as_whole_ones((a, at) in pieces(), (b, bt) in pieces()) {
            let key = |bytes, at| {
                let (start, rest) = <[u8]>::split_at(bytes, at);
                Key { start, rest }
            };
            prop_assert_eq!(key(&a, at).compare(&key(&b, bt)), a.cmp(&b));
            prop_assert_eq!(key(&a, at).to_vec(), a);
        }
    }
}
