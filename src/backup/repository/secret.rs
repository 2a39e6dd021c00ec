//! Secrets, where they come from, and what they open: nothing prints them, and nothing takes them
//! from an argument, which every user of the machine could read.

use std::fmt;
use std::path::Path;

use argon2::{Algorithm, Argon2, Params, Version};
use zeroize::Zeroizing;

use super::crypt::{KeyBytes, random_key};
use crate::error::{Error, Result, code};
use crate::sys::facts::{Inspect as _, Kind};
use crate::sys::file::RealDisk;
use crate::sys::{Access, Disk as _, process, read_range, sync_parent};

/// A secret is at most this long.
pub const SECRET_BYTES_MAX: usize = 65_536;
/// Bits of a file's mode by which others than its owner may use it.
const OTHERS: u32 = 0o077;

/// A passphrase, or what a key file holds: overwritten when it is dropped, and never shown.
#[derive(Clone)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl Secret {
    /// A secret that the program has by other means.
    ///
    /// # Errors
    /// Invalid if it is empty or longer than [`SECRET_BYTES_MAX`].
    pub fn new(bytes: Vec<u8>) -> Result<Self> {
        let secret = Self(Zeroizing::new(bytes));
        match secret.0.len() {
            0 => Err(invalid("the secret is empty")),
            length if length > SECRET_BYTES_MAX => Err(invalid("the secret is too long")),
            _ => Ok(secret),
        }
    }

    /// What a file holds, without a line feed at its end.
    ///
    /// # Errors
    /// Invalid if there is no such file, if it is a link, or if others than its owner may use it.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let wrong = |message: &str| invalid(message).at_path(path);
        match RealDisk.facts(path)? {
            Some(facts) if facts.kind != Kind::File => {
                return Err(wrong("the secret's file is no regular file"));
            }
            Some(facts) if facts.mode & OTHERS != 0 => {
                return Err(wrong("others may use the secret's file"));
            }
            Some(_) => {}
            None => return Err(wrong("the secret's file does not exist")),
        }
        let file = RealDisk.open(path, Access::Read)?;
        Self::of_text(read_range(&*file, 0, SECRET_BYTES_MAX + 2)?).map_err(|e| e.at_path(path))
    }

    /// The value of an environment variable.
    ///
    /// # Errors
    /// Invalid if it is not set, or empty.
    pub fn from_env(variable: &str) -> Result<Self> {
        match std::env::var_os(variable) {
            Some(value) => Self::of_text(value.into_encoded_bytes()),
            None => Err(invalid(&format!("the environment variable {variable} is not set"))),
        }
    }

    /// What a command prints, run by `sh -c`, without a line feed at its end.
    ///
    /// # Errors
    /// Invalid if the command fails or prints nothing.
    pub fn from_command(command: &str) -> Result<Self> {
        let printed = process::output(command, SECRET_BYTES_MAX + 2)
            .map_err(|error| invalid("the command for the secret failed").with_source(error))?;
        Self::of_text(printed)
    }

    fn of_text(mut bytes: Vec<u8>) -> Result<Self> {
        if bytes.last() == Some(&b'\n') {
            bytes.pop();
            bytes.pop_if(|byte| *byte == b'\r');
        }
        Self::new(bytes)
    }
}

/// What it costs to try a passphrase: memory and passes of Argon2id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PassphraseCost {
    /// Memory in KiB, from 19,456 to 1,048,576.
    pub memory_kib: u32,
    /// Passes over it, from 2 to 64.
    pub passes: u32,
}

impl Default for PassphraseCost {
    /// 64 MiB, three passes.
    fn default() -> Self {
        Self { memory_kib: 65_536, passes: 3 }
    }
}

impl PassphraseCost {
    pub(super) fn is_allowed(self) -> bool {
        (19_456..=1_048_576).contains(&self.memory_kib) && (2..=64).contains(&self.passes)
    }
}

/// What opens an encrypted repository: a passphrase or a key file. Nothing prints it.
#[derive(Clone)]
pub struct RepositoryKey(pub(super) KeyKind);

#[derive(Clone)]
pub(super) enum KeyKind {
    Passphrase(Secret, PassphraseCost),
    File(KeyBytes),
}

impl fmt::Debug for RepositoryKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.0 {
            KeyKind::Passphrase(..) => "RepositoryKey(passphrase)",
            KeyKind::File(_) => "RepositoryKey(file)",
        })
    }
}

impl RepositoryKey {
    /// A passphrase.
    #[must_use]
    pub fn passphrase(secret: Secret) -> Self {
        Self(KeyKind::Passphrase(secret, PassphraseCost::default()))
    }

    /// A passphrase, which costs more or less to try than by default. That counts when a repository
    /// is given this key; one that has it knows the cost.
    ///
    /// # Errors
    /// Invalid if the cost is outside its bounds.
    pub fn passphrase_at_cost(secret: Secret, cost: PassphraseCost) -> Result<Self> {
        if cost.is_allowed() {
            Ok(Self(KeyKind::Passphrase(secret, cost)))
        } else {
            Err(Error::new(
                &code::INVALID_OPTION,
                "the cost of a passphrase is 19456 to 1048576 KiB and 2 to 64 passes",
            ))
        }
    }

    /// What a key file holds: 64 hexadecimal digits.
    ///
    /// # Errors
    /// Invalid if the secret is anything else.
    pub fn key_file(secret: &Secret) -> Result<Self> {
        let malformed = || invalid("a key file holds 64 hexadecimal digits");
        let key = unhex(&secret.0).ok_or_else(malformed)?;
        let key: [u8; 32] = key.as_slice().try_into().map_err(|_| malformed())?;
        Ok(Self(KeyKind::File(Zeroizing::new(key))))
    }

    /// Writes a new key file, which only its owner may read. Without it, or a copy, the backups
    /// that it opens are lost.
    ///
    /// # Errors
    /// Io or Denied if there is something at the path, or it can't be written.
    pub fn create_key_file(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let key = random_key();
        let mut text = Zeroizing::new(hex(&*key));
        text.push('\n');
        let file = RealDisk.create(path, text.len() as u64)?;
        file.write_at(0, text.as_bytes())?;
        file.sync()?;
        sync_parent(&RealDisk, path)?;
        Ok(Self(KeyKind::File(key)))
    }
}

/// The key that follows from a passphrase.
pub(super) fn stretched(secret: &Secret, salt: &[u8], cost: PassphraseCost) -> Result<KeyBytes> {
    let failed = |error| invalid(&format!("the passphrase can't be used: {error}"));
    let params = Params::new(cost.memory_kib, cost.passes, 1, Some(32)).map_err(failed)?;
    let mut key = Zeroizing::new([0; 32]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(&secret.0, salt, &mut *key)
        .map_err(failed)?;
    Ok(key)
}

pub(super) fn hex(bytes: &[u8]) -> String {
    let digit = |half: u8| char::from_digit(u32::from(half), 16);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).flatten().collect()
}

pub(super) fn unhex(text: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let mut bytes = Zeroizing::new(Vec::with_capacity(text.len() / 2));
    for pair in text.chunks(2) {
        let [high, low] = pair else { return None };
        bytes.push(digit(*high)? << 4 | digit(*low)?);
    }
    Some(bytes)
}

fn invalid(message: &str) -> Error {
    Error::new(&code::INVALID_SECRET, message)
}
