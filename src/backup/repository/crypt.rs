//! Encryption of objects: a fresh key for each, wrapped by one that follows from the master key.
//!
//! A key is never used for two contents, so the nonces of its chunks may begin at zero. What an
//! object is bound to (repository, name, envelope) is authenticated with each chunk.

use aead_stream::{DecryptorBE32, EncryptorBE32};
use aes_gcm::aead::{Aead as _, KeyInit as _, Payload};
use aes_gcm::{Aes256Gcm, Key, Nonce};
use zeroize::Zeroizing;

use crate::format::cursor::Cursor;
use crate::sys::Disk as _;
use crate::sys::file::RealDisk;

/// Content is encrypted in pieces of this length; the last one may be shorter.
pub(super) const CHUNK_BYTES: usize = 64 << 10;
/// Each piece, and each wrapped key, is this much longer.
const TAG_BYTES: usize = 16;
const NONCE_BYTES: usize = 12;
/// A nonce and a wrapped key.
pub(super) const WRAPPED_BYTES: usize = NONCE_BYTES + 32 + TAG_BYTES;
/// The part of a chunk's nonce that its number does not take.
const STREAM_NONCE_BYTES: usize = 7;

const WRAP_CONTEXT: &str = "afterimage backup repository 1: wrapping of data keys";
const HASH_CONTEXT: &str = "afterimage backup repository 1: hash of content";

/// 32 bytes nobody may know, overwritten when they are not needed any more.
pub(super) type KeyBytes = Zeroizing<[u8; 32]>;

/// What opened is not what was sealed, or was sealed with another key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refused;

/// What follows from the master key.
pub(super) struct Cipher {
    wrap: KeyBytes,
    hash: KeyBytes,
}

impl std::fmt::Debug for Cipher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Cipher")
    }
}

pub(super) fn random_key() -> KeyBytes {
    let mut key = Zeroizing::new([0; 32]);
    RealDisk.entropy(&mut *key);
    key
}

impl Cipher {
    pub(super) fn new(master: &KeyBytes) -> Self {
        let derive = |context| Zeroizing::new(blake3::derive_key(context, &**master));
        Self { wrap: derive(WRAP_CONTEXT), hash: derive(HASH_CONTEXT) }
    }

    /// The hash of content, which without the key tells nothing of it.
    pub(super) fn hash(&self, content: &[u8]) -> [u8; 32] {
        *blake3::keyed_hash(&self.hash, content).as_bytes()
    }

    /// How long so many bytes become.
    pub(super) const fn sealed_bytes(length: usize) -> usize {
        let last = if length == 0 { 1 } else { length.div_ceil(CHUNK_BYTES) };
        WRAPPED_BYTES + length + last * TAG_BYTES
    }

    pub(super) fn seal(&self, content: &[u8], binding: &[u8]) -> Vec<u8> {
        let key = random_key();
        let mut out = Vec::with_capacity(Self::sealed_bytes(content.len()));
        out.extend_from_slice(&wrap(&self.wrap, &key, binding));
        let mut stream = EncryptorBE32::from_aead(cipher(&key), &[0; STREAM_NONCE_BYTES].into());
        let mut rest = content;
        while let Some((chunk, more)) = rest.split_at_checked(CHUNK_BYTES)
            && !more.is_empty()
        {
            out.extend(sealed(stream.encrypt_next(Payload { msg: chunk, aad: binding })));
            rest = more;
        }
        out.extend(sealed(stream.encrypt_last(Payload { msg: rest, aad: binding })));
        out
    }

    pub(super) fn open(&self, sealed: &[u8], binding: &[u8]) -> Result<Vec<u8>, Refused> {
        let mut cursor = Cursor::new(sealed);
        let wrapped = cursor.take(WRAPPED_BYTES).map_err(|_| Refused)?;
        let key = unwrap(&self.wrap, wrapped, binding)?;
        let mut stream = DecryptorBE32::from_aead(cipher(&key), &[0; STREAM_NONCE_BYTES].into());
        let mut rest = cursor.rest();
        let mut out = Vec::with_capacity(rest.len());
        while let Some((chunk, more)) = rest.split_at_checked(CHUNK_BYTES + TAG_BYTES)
            && !more.is_empty()
        {
            let chunk = stream.decrypt_next(Payload { msg: chunk, aad: binding });
            out.extend(chunk.map_err(|_| Refused)?);
            rest = more;
        }
        let last = stream.decrypt_last(Payload { msg: rest, aad: binding });
        out.extend(last.map_err(|_| Refused)?);
        Ok(out)
    }
}

/// A key, sealed by another: nonce, key, tag.
pub(super) fn wrap(by: &KeyBytes, key: &KeyBytes, binding: &[u8]) -> Vec<u8> {
    let mut nonce = [0; NONCE_BYTES];
    RealDisk.entropy(&mut nonce);
    let payload = Payload { msg: &**key, aad: binding };
    let mut out = nonce.to_vec();
    out.extend(sealed(cipher(by).encrypt(&Nonce::from(nonce), payload)));
    out
}

pub(super) fn unwrap(by: &KeyBytes, wrapped: &[u8], binding: &[u8]) -> Result<KeyBytes, Refused> {
    let mut cursor = Cursor::new(wrapped);
    let nonce: [u8; NONCE_BYTES] = cursor.array().map_err(|_| Refused)?;
    let payload = Payload { msg: cursor.rest(), aad: binding };
    let opened = cipher(by).decrypt(&Nonce::from(nonce), payload).map_err(|_| Refused)?;
    let opened = Zeroizing::new(opened);
    let key: [u8; 32] = opened.as_slice().try_into().map_err(|_| Refused)?;
    Ok(Zeroizing::new(key))
}

fn cipher(key: &KeyBytes) -> Aes256Gcm {
    Aes256Gcm::new(&Key::<Aes256Gcm>::from(**key))
}

#[expect(
    clippy::expect_used,
    reason = "AES-GCM refuses only lengths far above those that are here"
)]
fn sealed<E: std::fmt::Debug>(sealed: Result<Vec<u8>, E>) -> Vec<u8> {
    sealed.expect("a piece is far shorter than AES-GCM can take")
}
