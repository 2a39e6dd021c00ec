//! The texts that say what a repository is and what opens it: `afterimage.json`, which never
//! changes, and sets of keys, of which the newest counts.
//!
//! Each is read only in the very form in which it is written, so that no byte of it can change
//! unseen.

use serde::{Deserialize, Serialize};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::crypt::{KeyBytes, unwrap, wrap};
use super::secret::{KeyKind, PassphraseCost, RepositoryKey, hex, stretched, unhex};
use crate::error::{Error, Result, code};
use crate::format::envelope::REPOSITORY_VERSION;
use crate::sys::Disk as _;
use crate::sys::file::RealDisk;

/// These texts are at most this long.
pub(super) const TEXT_BYTES_MAX: usize = 65_536;
/// So many keys may open a repository at a time; each is tried.
pub const KEYS_MAX: usize = 16;

const REPOSITORY: &str = "backup repository";
const KEY_SET: &str = "keys of a backup repository";
const CIPHER: &str = "AES-256-GCM";
const WRAP_CONTEXT: &[u8] = b"afterimage backup repository 1: master key";
const SALT_BYTES: usize = 16;

/// A text with its checksum, the BLAKE3 of the text with nothing in the checksum's place.
trait Checked: Serialize + for<'a> Deserialize<'a> {
    fn checksum(&mut self) -> &mut String;
}

/// `afterimage.json`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Header {
    afterimage: String,
    format: u32,
    pub(super) repository: Uuid,
    pub(super) encryption: Option<Encryption>,
    blake3: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Encryption {
    cipher: String,
    pub(super) keys: Vec<WrappedKey>,
}

/// `keys/….json`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KeySet {
    afterimage: String,
    format: u32,
    repository: Uuid,
    number: u32,
    pub(super) keys: Vec<WrappedKey>,
    blake3: String,
}

/// The master key, as one key opens it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "kebab-case", deny_unknown_fields)]
pub(super) enum WrappedKey {
    Argon2id { memory_kib: u32, passes: u32, salt: String, wrapped: String },
    KeyFile { wrapped: String },
}

impl Checked for Header {
    fn checksum(&mut self) -> &mut String {
        &mut self.blake3
    }
}

impl Checked for KeySet {
    fn checksum(&mut self) -> &mut String {
        &mut self.blake3
    }
}

impl Header {
    pub(super) fn new(repository: Uuid, keys: Option<Vec<WrappedKey>>) -> Self {
        Self {
            afterimage: REPOSITORY.to_owned(),
            format: REPOSITORY_VERSION,
            repository,
            encryption: keys.map(|keys| Encryption { cipher: CIPHER.to_owned(), keys }),
            blake3: String::new(),
        }
    }

    pub(super) fn encode(self) -> Result<Vec<u8>> {
        encode(self)
    }

    pub(super) fn parse(text: &[u8], name: &str) -> Result<Self> {
        let header: Self = parse(text, name)?;
        let cipher = header.encryption.as_ref().map_or(CIPHER, |encryption| &encryption.cipher);
        if header.afterimage != REPOSITORY || cipher != CIPHER {
            return Err(damaged("it is of another kind", name));
        }
        Ok(header)
    }
}

impl KeySet {
    pub(super) fn new(repository: Uuid, number: u32, keys: Vec<WrappedKey>) -> Self {
        Self {
            afterimage: KEY_SET.to_owned(),
            format: REPOSITORY_VERSION,
            repository,
            number,
            keys,
            blake3: String::new(),
        }
    }

    pub(super) fn encode(self) -> Result<Vec<u8>> {
        encode(self)
    }

    pub(super) fn parse(text: &[u8], repository: Uuid, number: u32, name: &str) -> Result<Self> {
        let set: Self = parse(text, name)?;
        if set.afterimage != KEY_SET || set.repository != repository || set.number != number {
            return Err(damaged("it belongs to another place", name));
        }
        Ok(set)
    }
}

/// What of a text every release understands.
#[derive(Deserialize)]
struct Versioned {
    format: u32,
}

fn encode<T: Checked>(mut text: T) -> Result<Vec<u8>> {
    text.checksum().clear();
    let checksum = blake3::hash(&written(&text)?);
    *text.checksum() = checksum.to_hex().to_string();
    written(&text)
}

fn written<T: Serialize>(text: &T) -> Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec_pretty(text)
        .map_err(|error| Error::new(&code::ENCODE, "a text is not JSON").with_source(error))?;
    bytes.push(b'\n');
    Ok(bytes)
}

fn parse<T: Checked>(bytes: &[u8], name: &str) -> Result<T> {
    let malformed = |_| damaged("it is not the text that was written", name);
    let Versioned { format } = serde_json::from_slice(bytes).map_err(malformed)?;
    if format > REPOSITORY_VERSION {
        let message = format!("the backup repository has format {format}");
        return Err(Error::new(&code::FORMAT_TOO_NEW, message));
    }
    let again = encode(serde_json::from_slice::<T>(bytes).map_err(malformed)?)?;
    if format != REPOSITORY_VERSION || again != bytes {
        return Err(damaged("it is not the text that was written", name));
    }
    serde_json::from_slice(bytes).map_err(malformed)
}

fn damaged(what: &str, name: &str) -> Error {
    Error::new(&code::OBJECT_DAMAGED, format!("{name} is damaged: {what}"))
}

/// The master key, for each of the keys.
pub(super) fn wrap_for(
    keys: &[&RepositoryKey],
    master: &KeyBytes,
    repository: Uuid,
) -> Result<Vec<WrappedKey>> {
    if keys.is_empty() || keys.len() > KEYS_MAX {
        let message = format!("a repository is opened by 1 to {KEYS_MAX} keys");
        return Err(Error::new(&code::INVALID_OPTION, message));
    }
    keys.iter().map(|key| wrap_one(key, master, repository)).collect()
}

fn wrap_one(key: &RepositoryKey, master: &KeyBytes, repository: Uuid) -> Result<WrappedKey> {
    let binding = binding(repository);
    Ok(match &key.0 {
        KeyKind::Passphrase(secret, cost) => {
            let mut salt = [0; SALT_BYTES];
            RealDisk.entropy(&mut salt);
            let stretched = stretched(secret, &salt, *cost)?;
            WrappedKey::Argon2id {
                memory_kib: cost.memory_kib,
                passes: cost.passes,
                salt: hex(&salt),
                wrapped: hex(&wrap(&stretched, master, &binding)),
            }
        }
        KeyKind::File(key) => WrappedKey::KeyFile { wrapped: hex(&wrap(key, master, &binding)) },
    })
}

/// The master key, if the key is one of those that open it.
///
/// # Errors
/// `WrongKey`, and nothing is told of which part did not fit; Corrupt if what is stored could not
/// have been written.
pub(super) fn open_with(
    key: &RepositoryKey,
    keys: &[WrappedKey],
    repository: Uuid,
) -> Result<KeyBytes> {
    if keys.is_empty() || keys.len() > KEYS_MAX {
        return Err(damaged("it holds no keys, or too many", "the set of keys"));
    }
    for wrapped in keys {
        if let Some(master) = try_one(key, wrapped, repository)? {
            return Ok(master);
        }
    }
    Err(Error::new(&code::WRONG_KEY, "the key does not open the backup repository"))
}

fn try_one(
    key: &RepositoryKey,
    wrapped: &WrappedKey,
    repository: Uuid,
) -> Result<Option<KeyBytes>> {
    let malformed = || damaged("a wrapped key is malformed", "the set of keys");
    let bytes = |text: &str| unhex(text.as_bytes()).ok_or_else(malformed);
    let (by, wrapped) = match (&key.0, wrapped) {
        (
            KeyKind::Passphrase(secret, _),
            WrappedKey::Argon2id { memory_kib, passes, salt, wrapped },
        ) => {
            let cost = PassphraseCost { memory_kib: *memory_kib, passes: *passes };
            let salt = bytes(salt)?;
            // Who may write to the repository must not choose how much memory that takes.
            if !cost.is_allowed() || salt.len() != SALT_BYTES {
                return Err(malformed());
            }
            (stretched(secret, &salt, cost)?, bytes(wrapped)?)
        }
        (KeyKind::File(key), WrappedKey::KeyFile { wrapped }) => {
            (Zeroizing::new(**key), bytes(wrapped)?)
        }
        (KeyKind::Passphrase(..), WrappedKey::KeyFile { .. })
        | (KeyKind::File(_), WrappedKey::Argon2id { .. }) => return Ok(None),
    };
    // Another key is all that this can mean: the text around it was found to be what was written.
    Ok(unwrap(&by, &wrapped, &binding(repository)).ok())
}

fn binding(repository: Uuid) -> Vec<u8> {
    [WRAP_CONTEXT, repository.as_bytes()].concat()
}
