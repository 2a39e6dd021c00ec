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
