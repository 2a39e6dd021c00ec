//! What users store: an image (bytes with a codec and a schema version) and the operations on it.

use std::fmt;
use std::str::FromStr;

use super::cursor::Malformed;

/// How a value's bytes are to be read.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CodecId {
    /// Bytes that mean nothing to the engine.
    Raw,
    /// JSON text, compact, UTF-8.
    Json,
    /// bincode 2, `config::standard()`.
    Bincode,
    /// An rkyv 0.8 archive: little-endian, 32-bit offsets, unaligned.
    Rkyv,
}

impl CodecId {
    pub(crate) const fn number(self) -> u8 {
        match self {
            Self::Raw => 1,
            Self::Json => 2,
            Self::Bincode => 3,
            Self::Rkyv => 4,
        }
    }

    pub(crate) const fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Raw),
            2 => Some(Self::Json),
            3 => Some(Self::Bincode),
            4 => Some(Self::Rkyv),
            _ => None,
        }
    }

    /// The name, as in change events: `raw`, `json`, `bincode`, `rkyv`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Json => "json",
            Self::Bincode => "bincode",
            Self::Rkyv => "rkyv",
        }
    }
}

impl fmt::Display for CodecId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The name is none of `raw`, `json`, `bincode`, `rkyv`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownCodec;

impl fmt::Display for UnknownCodec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a codec is one of raw, json, bincode, rkyv")
    }
}

impl std::error::Error for UnknownCodec {}

impl FromStr for CodecId {
    type Err = UnknownCodec;

    fn from_str(name: &str) -> Result<Self, UnknownCodec> {
        [Self::Raw, Self::Json, Self::Bincode, Self::Rkyv]
            .into_iter()
            .find(|codec| codec.as_str() == name)
            .ok_or(UnknownCodec)
    }
}

/// A record's value at one moment: bytes, how to read them, and the version of their shape.
///
/// ```
/// use afterimage::{CodecId, Image};
/// let image = Image::new(br#"{"room":204}"#, CodecId::Json).with_schema(2);
/// assert_eq!(image.schema(), 2);
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Image<'a> {
    bytes: &'a [u8],
    codec: CodecId,
    schema: u32,
}

impl<'a> Image<'a> {
    /// An image of schema version 0, which means: never versioned.
    #[must_use]
    pub const fn new(bytes: &'a [u8], codec: CodecId) -> Self {
        Self { bytes, codec, schema: 0 }
    }

    /// The same image with this schema version.
    #[must_use]
    pub const fn with_schema(self, schema: u32) -> Self {
        Self { schema, ..self }
    }

    /// The bytes; of an image that was read, straight from the mapped journal.
    #[must_use]
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// How to read the bytes.
    #[must_use]
    pub const fn codec(&self) -> CodecId {
        self.codec
    }

    /// The version of the value's shape.
    #[must_use]
    pub const fn schema(&self) -> u32 {
        self.schema
    }
}

impl fmt::Debug for Image<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Image({}, schema {}, {} bytes)", self.codec, self.schema, self.bytes.len())
    }
}

/// An image of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnedImage {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// How to read them.
    pub codec: CodecId,
    /// The version of the value's shape.
    pub schema: u32,
}

impl OwnedImage {
    /// The image, borrowed.
    #[must_use]
    pub fn as_image(&self) -> Image<'_> {
        Image::new(&self.bytes, self.codec).with_schema(self.schema)
    }
}

impl From<Image<'_>> for OwnedImage {
    fn from(image: Image<'_>) -> Self {
        Self { bytes: image.bytes().to_vec(), codec: image.codec(), schema: image.schema() }
    }
}

/// What a change did to its record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Op {
    /// The record came to be; there is no before image.
    Create,
    /// The record's value was replaced.
    Update,
    /// The record ceased to be; there is no after image.
    Delete,
    /// The record was carried over from an older journal or a backup.
    Read,
}

impl Op {
    pub(crate) const fn number(self) -> u8 {
        match self {
            Self::Create => 1,
            Self::Update => 2,
            Self::Delete => 3,
            Self::Read => 4,
        }
    }

    pub(crate) const fn from_number(number: u8) -> Result<Self, Malformed> {
        match number {
            1 => Ok(Self::Create),
            2 => Ok(Self::Update),
            3 => Ok(Self::Delete),
            4 => Ok(Self::Read),
            _ => Err(Malformed { offset: 0, what: "unknown operation" }),
        }
    }

    /// The letter of change events: `c`, `u`, `d`, `r`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Create => "c",
            Self::Update => "u",
            Self::Delete => "d",
            Self::Read => "r",
        }
    }
}

/// The word: `create`, `update`, `delete`, `read`.
impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::Read => "read",
        })
    }
}
