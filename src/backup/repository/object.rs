//! Between content and what is stored: compressed, encrypted, in its envelope; and back, believing
//! nothing.

use std::io::Read as _;

use uuid::Uuid;

use super::crypt::Cipher;
use crate::error::{Error, Result, code};
use crate::format::envelope::{
    COMPRESSED, ENCRYPTED, Envelope, NotAnObject, OBJECT_BYTES_MAX, Place,
};
use crate::format::object_name::{ContentHash, ObjectName};

pub(super) use crate::format::envelope::STORED_BYTES_MAX;

/// The level of zstd.
const LEVEL: i32 = 3;
/// What unpacking may take beside the content: 8 MiB, which no level of so much content exceeds.
const WINDOW_LOG_MAX: u32 = 23;

/// The hash of content: its BLAKE3, keyed where it is encrypted.
pub(super) fn hash(cipher: Option<&Cipher>, content: &[u8]) -> [u8; 32] {
    cipher.map_or_else(|| *blake3::hash(content).as_bytes(), |cipher| cipher.hash(content))
}

pub(super) fn encode(
    cipher: Option<&Cipher>,
    repository: Uuid,
    name: &ObjectName,
    content: &[u8],
) -> Result<Vec<u8>> {
    let text = name.to_string();
    if content.len() > OBJECT_BYTES_MAX {
        let message = format!("{text} is over the limit of {OBJECT_BYTES_MAX} bytes");
        return Err(Error::new(&code::INVALID_OPTION, message));
    }
    let content_hash = hash(cipher, content);
    if name.content_hash().is_some_and(|named| named != ContentHash::of(&content_hash)) {
        let message = format!("{text} names other content");
        return Err(Error::new(&code::INVALID_OPTION, message));
    }
    let packed = zstd::bulk::compress(content, LEVEL).map_err(|error| {
        Error::new(&code::ENCODE, format!("could not compress {text}")).with_source(error)
    })?;
    // What does not become smaller stays as it is.
    let is_smaller = packed.len() < content.len();
    let body = if is_smaller { packed.as_slice() } else { content };
    let payload_bytes = cipher.map_or(body.len(), |_| Cipher::sealed_bytes(body.len()));
    let envelope = Envelope {
        flags: if is_smaller { COMPRESSED } else { 0 } | cipher.map_or(0, |_| ENCRYPTED),
        content_bytes: content.len() as u64,
        payload_bytes: payload_bytes as u64,
        content_hash,
    };
    let place = Place { repository, name: &text };
    Ok(match cipher {
        Some(cipher) => envelope.seal(place, &cipher.seal(body, &envelope.binding(place))),
        None => envelope.seal(place, body),
    })
}

pub(super) fn decode(
    cipher: Option<&Cipher>,
    repository: Uuid,
    name: &ObjectName,
    stored: &[u8],
) -> Result<Vec<u8>> {
    let text = name.to_string();
    let damaged =
        |what: &str| Error::new(&code::OBJECT_DAMAGED, format!("{text} is damaged: {what}"));
    let place = Place { repository, name: &text };
    let (envelope, payload) = Envelope::parse(stored, place).map_err(|error| match error {
        NotAnObject::Newer(version) => {
            let message = format!("{text} has format {version} of a backup repository");
            Error::new(&code::FORMAT_TOO_NEW, message)
        }
        NotAnObject::Damaged(what) => damaged(what),
    })?;
    let body = match (cipher, envelope.flags & ENCRYPTED != 0) {
        (Some(cipher), true) => {
            let opened = cipher.open(payload, &envelope.binding(place));
            opened.map_err(|_| damaged("it was not encrypted here"))?
        }
        (None, false) => payload.to_vec(),
        // Who can write to the repository could else put there what needs no key.
        (Some(_), false) => return Err(damaged("it is not encrypted")),
        (None, true) => return Err(damaged("it is encrypted, and the repository is not")),
    };
    let content = if envelope.flags & COMPRESSED == 0 {
        body
    } else {
        unpack(&body, envelope.content_bytes).ok_or_else(|| damaged("it does not unpack"))?
    };
    let is_whole = content.len() as u64 == envelope.content_bytes;
    if !is_whole || hash(cipher, &content) != envelope.content_hash {
        return Err(damaged("its content is not what it was"));
    }
    if name.content_hash().is_some_and(|named| named != ContentHash::of(&envelope.content_hash)) {
        return Err(damaged("its name is one of other content"));
    }
    Ok(content)
}

/// One frame of zstd; `None` if it is none, or holds more than `content_bytes`. Memory grows with
/// what really comes out.
fn unpack(body: &[u8], content_bytes: u64) -> Option<Vec<u8>> {
    let mut decoder = zstd::stream::read::Decoder::with_buffer(body).ok()?.single_frame();
    decoder.window_log_max(WINDOW_LOG_MAX).ok()?;
    let mut content = Vec::new();
    decoder.by_ref().take(content_bytes.saturating_add(1)).read_to_end(&mut content).ok()?;
    let is_all = content.len() as u64 == content_bytes && decoder.finish().is_empty();
    is_all.then_some(content)
}
