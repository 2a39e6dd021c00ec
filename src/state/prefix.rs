//! Eight bytes of a key as a number: most keys are told apart by them, without being looked at.

/// Bytes of a key in a word.
const WORD_BYTES: usize = size_of::<u64>();

/// The bytes behind `common`, as a number that orders as the keys do: a lesser number is a lesser
/// key. Equal numbers say nothing. A key that does not begin with `common` stands below or above
/// all that do.
pub(super) fn prefix(common: &[u8], key: &[u8]) -> u64 {
    words(common, key).0
}

/// The prefix, and the eight bytes behind it; all ones for a key that is not to be told by them.
pub(super) fn words(common: &[u8], key: &[u8]) -> (u64, u64) {
    let rest = if common.is_empty() { Some(key) } else { key.strip_prefix(common) };
    match rest {
        Some(rest) => (word(rest), word(rest.get(WORD_BYTES..).unwrap_or(&[]))),
        None if key < common => (0, u64::MAX),
        None => (u64::MAX, u64::MAX),
    }
}

/// The first eight bytes as a number, filled up with zeros.
#[expect(clippy::big_endian_bytes, reason = "the first byte of a key weighs most")]
pub(super) fn word(key: &[u8]) -> u64 {
    if let Some(bytes) = key.first_chunk::<WORD_BYTES>() {
        return u64::from_be_bytes(*bytes);
    }
    let mut bytes = [0; WORD_BYTES];
    bytes.iter_mut().zip(key).for_each(|(to, from)| *to = *from);
    u64::from_be_bytes(bytes)
}

/// Ascending prefixes that never change, and for each of as many even steps where it begins among
/// them: where keys are spread evenly, a search looks at one or two places and not at the logarithm
/// of all.
#[derive(Debug, Default)]
pub(super) struct Fences {
    prefixes: Box<[u64]>,
    least: u64,
    /// A step is two to this power.
    step: u32,
    starts: Box<[u32]>,
}

impl Fences {
    /// Takes in prefixes, which must be ascending.
    pub(super) fn new(prefixes: Box<[u64]>) -> Self {
        let least = prefixes.first().copied().unwrap_or_default();
        let span = prefixes.last().map_or(0, |last| last - least);
        let steps = prefixes.len().next_power_of_two() as u64;
        let step = (u64::BITS - span.leading_zeros()).saturating_sub(steps.trailing_zeros());
        let mut starts = Vec::with_capacity(prefixes.len() + 2);
        for (index, prefix) in prefixes.iter().enumerate() {
            let reached = Self::step_of(prefix - least, step) + 1;
            while starts.len() < reached {
                starts.push(u32::try_from(index).unwrap_or(u32::MAX));
            }
        }
        starts.push(u32::try_from(prefixes.len()).unwrap_or(u32::MAX));
        Self { prefixes, least, step, starts: starts.into_boxed_slice() }
    }

    fn step_of(distance: u64, step: u32) -> usize {
        let steps = distance.checked_shr(step).unwrap_or(0);
        usize::try_from(steps).unwrap_or(usize::MAX)
    }

    pub(super) const fn len(&self) -> usize {
        self.prefixes.len()
    }

    /// Where `wanted` stands: the prefixes before it, and those equal to it.
    pub(super) fn locate(&self, wanted: u64) -> (usize, usize) {
        let Some(distance) = wanted.checked_sub(self.least) else { return (0, 0) };
        let step = Self::step_of(distance, self.step);
        let start = |step: usize| self.starts.get(step).map(|start| *start as usize);
        let (Some(from), Some(to)) = (start(step), start(step.saturating_add(1))) else {
            return (self.len(), self.len());
        };
        let (before, behind) = locate(self.prefixes.get(from..to).unwrap_or_default(), wanted);
        (from + before, from + behind)
    }
}

/// Where `wanted` stands among ascending prefixes: those before it, and those equal to it.
pub(super) fn locate(prefixes: &[u64], wanted: u64) -> (usize, usize) {
    let before = prefixes.partition_point(|prefix| *prefix < wanted);
    let rest = prefixes.get(before..).unwrap_or_default();
    let equal = match rest.first() {
        Some(first) if *first == wanted => rest.partition_point(|prefix| *prefix == wanted),
        Some(_) | None => 0,
    };
    (before, before + equal)
}

/// The last place of `equal`, an ascending stretch, whose key is not greater than the one sought,
/// else the place before the stretch; `None` if there is none.
pub(super) fn last_not_greater(
    (before, behind): (usize, usize),
    mut is_greater: impl FnMut(usize) -> bool,
) -> Option<usize> {
    let (mut low, mut high) = (before, behind);
    while low < high {
        let middle = usize::midpoint(low, high);
        if is_greater(middle) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    low.checked_sub(1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn fences_locate_as_a_search_does(
            mut prefixes in prop_oneof![
                prop::collection::vec(any::<u64>(), 0..200),
                prop::collection::vec(0..50_u64, 0..200),
                prop::collection::vec((0..9_u64).prop_map(|n| u64::MAX - n), 0..9),
                prop::collection::vec(any::<u64>().prop_map(|n| n >> (n % 64)), 0..200),
            ],
            others in prop::collection::vec(any::<u64>(), 0..20),
        ) {
            prefixes.sort_unstable();
            let fences = Fences::new(prefixes.clone().into_boxed_slice());
            let near = prefixes.iter().flat_map(|n| [n.saturating_sub(1), *n, n.saturating_add(1)]);
            for wanted in near.chain(others).chain([0, u64::MAX]) {
                prop_assert_eq!(fences.locate(wanted), locate(&prefixes, wanted));
            }
        }
    }
}
