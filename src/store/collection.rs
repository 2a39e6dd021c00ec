//! Typed names of collections, and ranges of keys.

use std::marker::PhantomData;
use std::ops::Bound;

use super::codec::Bincode;
use crate::error::{Error, Result, code};
use crate::format::change::{IMAGE_BYTES_MAX, KEY_BYTES_MAX};
use crate::format::image::Image;

/// Collection names are at most this many bytes.
pub const COLLECTION_NAME_BYTES_MAX: usize = 255;

/// The name of a collection with the type of its values and their codec; a constant.
///
/// ```
/// use afterimage::{Collection, Json, Raw};
///
/// #[derive(serde::Serialize, serde::Deserialize)]
/// struct Guest { name: String }
///
/// const GUESTS: Collection<Guest, Json> = Collection::new("guests");
/// const PHOTOS: Collection<[u8], Raw> = Collection::new("photos");
/// assert_eq!(GUESTS.name(), "guests");
/// ```
#[derive(Debug)]
pub struct Collection<T: ?Sized, C = Bincode> {
    name: &'static str,
    types: PhantomData<fn(&T) -> C>,
}

impl<T: ?Sized, C> Clone for Collection<T, C> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: ?Sized, C> Copy for Collection<T, C> {}

impl<T: ?Sized, C> Collection<T, C> {
    /// The collection of this name. It is created by the first transaction that writes to it.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        Self { name, types: PhantomData }
    }

    /// The name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }
}

/// A range of keys.
///
/// ```
/// use afterimage::KeyRange;
/// let rooms_of_floor_2 = KeyRange::prefix(b"room-2");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRange {
    start: Bound<Vec<u8>>,
    end: Bound<Vec<u8>>,
}

impl KeyRange {
    /// All keys.
    #[must_use]
    pub const fn all() -> Self {
        Self { start: Bound::Unbounded, end: Bound::Unbounded }
    }

    /// The keys that begin with these bytes.
    #[must_use]
    pub fn prefix(prefix: &[u8]) -> Self {
        // The first key behind them: the last byte that can grow, grown.
        let mut end = prefix.to_vec();
        while end.last() == Some(&u8::MAX) {
            end.pop();
        }
        let end = match end.last_mut() {
            Some(last) => {
                *last += 1;
                Bound::Excluded(end)
            }
            None => Bound::Unbounded,
        };
        Self { start: Bound::Included(prefix.to_vec()), end }
    }

    /// The keys between two bounds.
    #[must_use]
    pub const fn from_bounds(start: Bound<Vec<u8>>, end: Bound<Vec<u8>>) -> Self {
        Self { start, end }
    }

    /// Whether the range holds this key.
    #[must_use]
    pub fn contains(&self, key: &[u8]) -> bool {
        self.begins_before(key) && self.ends_behind(key)
    }

    /// Whether the range begins with this key, or before it.
    pub(crate) fn begins_before(&self, key: &[u8]) -> bool {
        match &self.start {
            Bound::Unbounded => true,
            Bound::Included(start) => key >= &start[..],
            Bound::Excluded(start) => key > &start[..],
        }
    }

    /// Whether the range ends with this key, or behind it.
    pub(crate) fn ends_behind(&self, key: &[u8]) -> bool {
        match &self.end {
            Bound::Unbounded => true,
            Bound::Included(end) => key <= &end[..],
            Bound::Excluded(end) => key < &end[..],
        }
    }

    pub(crate) fn as_bounds(&self) -> (Bound<&[u8]>, Bound<&[u8]>) {
        (self.start.as_ref().map(Vec::as_slice), self.end.as_ref().map(Vec::as_slice))
    }

    /// Leaves out what stands up to this key, the key included.
    pub(crate) fn start_behind(&mut self, key: &[u8]) {
        self.start = Bound::Excluded(key.to_vec());
    }

    /// Leaves out what stands from this key on, the key included.
    pub(crate) fn end_before(&mut self, key: &[u8]) {
        self.end = Bound::Excluded(key.to_vec());
    }
}

/// Whether the name may be that of a user's collection.
pub(crate) fn check_name(name: &str) -> Result<()> {
    let shown: String = name.chars().take(40).flat_map(char::escape_debug).collect();
    if name.starts_with('$') {
        return Err(Error::new(
            &code::SYSTEM_COLLECTION,
            format!("the collection `{shown}` is the store's own"),
        ));
    }
    if name.is_empty()
        || name.len() > COLLECTION_NAME_BYTES_MAX
        || name.chars().any(|c| c == '/' || c.is_control())
    {
        let bytes = name.len();
        return Err(Error::new(
            &code::INVALID_COLLECTION_NAME,
            format!("`{shown}`, of {bytes} bytes, is no name for a collection"),
        ));
    }
    Ok(())
}

/// Whether the key is within its limits.
pub(crate) fn check_key(key: &[u8]) -> Result<()> {
    match key.len() {
        0 => Err(Error::new(&code::INVALID_KEY, "the key is empty")),
        1..=KEY_BYTES_MAX => Ok(()),
        bytes => Err(Error::new(&code::KEY_TOO_LARGE, format!("the key takes {bytes} bytes"))),
    }
}

/// Whether the image is within its limits.
pub(crate) fn check_image(image: Image<'_>) -> Result<()> {
    let bytes = image.bytes().len();
    if bytes <= IMAGE_BYTES_MAX {
        return Ok(());
    }
    Err(Error::new(&code::IMAGE_TOO_LARGE, format!("the value takes {bytes} bytes")))
}
