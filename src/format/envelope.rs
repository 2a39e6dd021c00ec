//! The first bytes of an object of a backup repository: what it is, how long, and for which name.
//!
//! The seal binds them to repository and name, so that an object that is sound but stands in the
//! wrong place is found before anything of it is used. It is a checksum and no proof of origin:
//! that is what encryption brings.

use uuid::Uuid;

use super::cursor::{Cursor, Malformed, Scratch};

/// 8 bytes: [`ENVELOPE_MAGIC_BYTES`].
pub(crate) const ENVELOPE_MAGIC: usize = 0;
/// u32: version of the repository's format.
pub(crate) const ENVELOPE_VERSION: usize = 8;
/// u32: [`COMPRESSED`], [`ENCRYPTED`].
pub(crate) const FLAGS: usize = 12;
/// u64: bytes of the content.
pub(crate) const CONTENT_BYTES: usize = 16;
/// u64: bytes of the payload, which ends the object.
pub(crate) const PAYLOAD_BYTES: usize = 24;
/// 32 bytes: hash of the content; keyed if it is encrypted.
pub(crate) const CONTENT_HASH: usize = 32;
/// 32 bytes: BLAKE3 of the payload.
pub(crate) const PAYLOAD_HASH: usize = 64;
/// 32 bytes: BLAKE3 of the repository's id, all bytes before, and the object's name.
pub(crate) const SEAL: usize = 96;
/// Bytes before the payload.
pub(crate) const ENVELOPE_BYTES: usize = 128;

/// The first bytes of an object.
pub(crate) const ENVELOPE_MAGIC_BYTES: [u8; 8] = *b"AFTIMBKP";
/// The version of the repository's format.
pub(crate) const REPOSITORY_VERSION: u32 = 1;
/// The payload, once decrypted, is one frame of zstd.
pub(crate) const COMPRESSED: u32 = 1;
/// The payload begins with a wrapped key and is encrypted.
pub(crate) const ENCRYPTED: u32 = 2;

/// Content of one object is at most this long. Who has more writes several objects: each is held
/// in memory whole, so that it is sent again or used only after it is known to be sound.
pub const OBJECT_BYTES_MAX: usize = 64 << 20;
/// Stored, it is at most this long: a wrapped key, and a tag for each chunk.
pub(crate) const STORED_BYTES_MAX: usize = OBJECT_BYTES_MAX + (1 << 20);

const SEAL_CONTEXT: &str = "afterimage backup repository 1: seal of an envelope";

/// What stands before the payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Envelope {
    pub(crate) flags: u32,
    pub(crate) content_bytes: u64,
    pub(crate) payload_bytes: u64,
    pub(crate) content_hash: [u8; 32],
}

/// Where an object stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    pub(crate) repository: Uuid,
    pub(crate) name: &'a str,
}

/// Why bytes are no object for this place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotAnObject {
    /// Written by a later release.
    Newer(u32),
    /// Anything else.
    Damaged(&'static str),
}

impl From<Malformed> for NotAnObject {
    fn from(malformed: Malformed) -> Self {
        Self::Damaged(malformed.what)
    }
}

impl Envelope {
    /// What encryption binds the content to: repository, name, and all that is said of it here.
    pub(crate) fn binding(&self, place: Place<'_>) -> Vec<u8> {
        let mut bound = place.repository.as_bytes().to_vec();
        bound.extend_from_slice(self.start().as_slice());
        bound.extend_from_slice(place.name.as_bytes());
        bound
    }

    fn start(&self) -> Scratch<ENVELOPE_BYTES> {
        let mut out = Scratch::new();
        out.field(ENVELOPE_MAGIC, &ENVELOPE_MAGIC_BYTES);
        out.field(ENVELOPE_VERSION, &REPOSITORY_VERSION.to_le_bytes());
        out.field(FLAGS, &self.flags.to_le_bytes());
        out.field(CONTENT_BYTES, &self.content_bytes.to_le_bytes());
        out.field(PAYLOAD_BYTES, &self.payload_bytes.to_le_bytes());
        out.field(CONTENT_HASH, &self.content_hash);
        out
    }

    /// The whole object.
    pub(crate) fn seal(&self, place: Place<'_>, payload: &[u8]) -> Vec<u8> {
        assert_eq!(self.payload_bytes, payload.len() as u64, "the envelope is of this payload");
        let mut out = self.start();
        out.field(PAYLOAD_HASH, blake3::hash(payload).as_bytes());
        let seal = seal(place, out.as_slice());
        out.field(SEAL, &seal);
        [out.as_slice(), payload].concat()
    }

    /// Takes an object apart into envelope and payload, which is what it was when it was sealed.
    pub(crate) fn parse<'a>(
        bytes: &'a [u8],
        place: Place<'_>,
    ) -> Result<(Self, &'a [u8]), NotAnObject> {
        let mut cursor = Cursor::new(bytes);
        if cursor.array()? != ENVELOPE_MAGIC_BYTES {
            return Err(NotAnObject::Damaged("it does not begin as an object does"));
        }
        let version = cursor.u32()?;
        if version > REPOSITORY_VERSION {
            return Err(NotAnObject::Newer(version));
        }
        let flags = cursor.u32()?;
        let (content_bytes, payload_bytes) = (cursor.u64()?, cursor.u64()?);
        let (content_hash, payload_hash): ([u8; 32], [u8; 32]) = (cursor.array()?, cursor.array()?);
        let sealed = Cursor::new(bytes).take(SEAL)?;
        if cursor.array()? != seal(place, sealed) {
            return Err(NotAnObject::Damaged("its envelope is not one of this name"));
        }
        if version != REPOSITORY_VERSION || flags & !(COMPRESSED | ENCRYPTED) != 0 {
            return Err(NotAnObject::Damaged("its version or flags are unknown"));
        }
        if content_bytes > OBJECT_BYTES_MAX as u64 {
            return Err(NotAnObject::Damaged("it claims more than an object may hold"));
        }
        let payload = cursor.rest();
        if payload_bytes != payload.len() as u64 {
            return Err(NotAnObject::Damaged("it has another length"));
        }
        if *blake3::hash(payload).as_bytes() != payload_hash {
            return Err(NotAnObject::Damaged("its checksum differs"));
        }
        Ok((Self { flags, content_bytes, payload_bytes, content_hash }, payload))
    }
}

fn seal(place: Place<'_>, sealed: &[u8]) -> [u8; 32] {
    *blake3::Hasher::new_derive_key(SEAL_CONTEXT)
        .update(place.repository.as_bytes())
        .update(sealed)
        .update(place.name.as_bytes())
        .finalize()
        .as_bytes()
}
