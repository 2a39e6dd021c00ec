//! How typed values become images and back.

use crate::error::{Error, Result, code};
use crate::format::image::{CodecId, Image};

/// Turns values of type `T` into bytes and back.
///
/// Implemented by [`Json`], [`Bincode`], [`Rkyv`] and [`Raw`] for the types they can hold; not
/// meant to be implemented elsewhere, since the codec's number is part of the format.
pub trait Codec<T: ?Sized> {
    /// What reading gives: the value itself, or a view of the mapped bytes.
    type View<'a>;
    /// What is noted beside the bytes.
    const ID: CodecId;

    /// The bytes of a value.
    ///
    /// # Errors
    /// `Invalid` if the codec can't hold the value.
    fn encode(value: &T) -> Result<Vec<u8>>;

    /// The value of bytes that this codec wrote.
    ///
    /// # Errors
    /// `Invalid` if the bytes are those of another type.
    fn decode(bytes: &[u8]) -> Result<Self::View<'_>>;
}

/// Values as JSON text, by serde.
#[derive(Clone, Copy, Debug)]
pub struct Json;

/// Values as bincode 2, by serde; compact. The default of typed collections. Needs the feature
/// `bincode`.
#[derive(Clone, Copy, Debug)]
pub struct Bincode;

/// Values as rkyv archives, read straight from the mapped journal without copying. Needs the
/// feature `rkyv`.
#[derive(Clone, Copy, Debug)]
pub struct Rkyv;

/// Bytes as they are, read straight from the mapped journal without copying.
#[derive(Clone, Copy, Debug)]
pub struct Raw;

impl<T: serde::Serialize + serde::de::DeserializeOwned> Codec<T> for Json {
    type View<'a> = T;
    const ID: CodecId = CodecId::Json;

    fn encode(value: &T) -> Result<Vec<u8>> {
        serde_json::to_vec(value).map_err(|source| encode_error(CodecId::Json).with_source(source))
    }

    fn decode(bytes: &[u8]) -> Result<T> {
        serde_json::from_slice(bytes)
            .map_err(|source| decode_error(CodecId::Json).with_source(source))
    }
}

#[cfg(feature = "bincode")]
impl<T: serde::Serialize + serde::de::DeserializeOwned> Codec<T> for Bincode {
    type View<'a> = T;
    const ID: CodecId = CodecId::Bincode;

    fn encode(value: &T) -> Result<Vec<u8>> {
        bincode::serde::encode_to_vec(value, bincode::config::standard())
            .map_err(|source| encode_error(CodecId::Bincode).with_source(source))
    }

    fn decode(bytes: &[u8]) -> Result<T> {
        // Without a limit, a damaged length could ask for any amount of memory.
        let config =
            bincode::config::standard().with_limit::<{ crate::format::change::IMAGE_BYTES_MAX }>();
        let (value, read) = bincode::serde::decode_from_slice(bytes, config)
            .map_err(|source| decode_error(CodecId::Bincode).with_source(source))?;
        if read == bytes.len() { Ok(value) } else { Err(decode_error(CodecId::Bincode)) }
    }
}

#[cfg(feature = "rkyv")]
type Validator<'a> = rkyv::api::high::HighValidator<'a, rkyv::rancor::Error>;

#[cfg(feature = "rkyv")]
impl<T> Codec<T> for Rkyv
where
    T: rkyv::Archive
        + for<'a> rkyv::Serialize<
            rkyv::api::high::HighSerializer<
                rkyv::util::AlignedVec,
                rkyv::ser::allocator::ArenaHandle<'a>,
                rkyv::rancor::Error,
            >,
        > + 'static,
    T::Archived: rkyv::Portable + for<'a> rkyv::bytecheck::CheckBytes<Validator<'a>>,
{
    type View<'a> = &'a T::Archived;
    const ID: CodecId = CodecId::Rkyv;

    fn encode(value: &T) -> Result<Vec<u8>> {
        rkyv::to_bytes::<rkyv::rancor::Error>(value)
            .map(rkyv::util::AlignedVec::into_vec)
            .map_err(|source| encode_error(CodecId::Rkyv).with_source(source))
    }

    fn decode(bytes: &[u8]) -> Result<&T::Archived> {
        rkyv::access::<T::Archived, rkyv::rancor::Error>(bytes)
            .map_err(|source| decode_error(CodecId::Rkyv).with_source(source))
    }
}

impl Codec<[u8]> for Raw {
    type View<'a> = &'a [u8];
    const ID: CodecId = CodecId::Raw;

    fn encode(value: &[u8]) -> Result<Vec<u8>> {
        Ok(value.to_vec())
    }

    fn decode(bytes: &[u8]) -> Result<&[u8]> {
        Ok(bytes)
    }
}

/// Decodes an image with a codec; refuses one that another codec wrote.
pub(crate) fn decode<T: ?Sized, C: Codec<T>>(image: Image<'_>) -> Result<C::View<'_>> {
    if image.codec() == C::ID {
        return C::decode(image.bytes());
    }
    Err(Error::new(
        &code::DECODE,
        format!("the value was stored as {} and is read as {}", image.codec(), C::ID),
    ))
}

fn encode_error(codec: CodecId) -> Error {
    Error::new(&code::ENCODE, format!("the value can't be written as {codec}"))
}

fn decode_error(codec: CodecId) -> Error {
    Error::new(&code::DECODE, format!("the stored {codec} does not hold a value of this type"))
}
