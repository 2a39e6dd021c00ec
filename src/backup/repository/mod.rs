//! The repository that backups are kept in: objects that are created once and never changed.
//!
//! What is promised of an object, whatever holds it:
//! * once written it is durable, and reading it gives what was written, or an error that names it;
//! * writing it again is no error if it is the same, so that an interrupted run is just repeated;
//! * another object never takes its place.
//!
//! Reading order: `address` (where it is), `remote` (requests) and `directory`, `crypt`, `secret`
//! and `header` (encryption and what opens it), and the envelope in `format/envelope.rs`.

mod address;
mod crypt;
mod directory;
#[cfg(any(test, feature = "testing"))]
pub(crate) mod faults;
mod header;
mod object;
pub(crate) mod remote;
mod secret;
#[cfg(test)]
mod tests;

use parking_lot::Mutex;
use uuid::Uuid;

use crate::error::{Error, Result, code};
use crate::format::object_name::{
    BACKUPS, BASES, ContentHash, KEYS, Label, MARKS, ObjectName, REPOSITORY_FILE, SLICES, key_set,
    key_set_number,
};
use crate::sys::file::RealDisk;
use crate::sys::{Disk as _, thread};
use address::Missing;
use crypt::{Cipher, KeyBytes, random_key};
use header::{Header, KeySet, TEXT_BYTES_MAX, WrappedKey};
use remote::{Created, Remote};

pub use header::KEYS_MAX;
pub use secret::{PassphraseCost, RepositoryKey, SECRET_BYTES_MAX, Secret};

/// At most so many requests are made at a time.
pub const PARALLEL_MAX: usize = 16;
/// A listing tells at most so many names that are none of a repository.
const FOREIGN_MAX: usize = 1000;

/// A backup repository: where objects are put and read back, and nothing else.
///
/// An address is a path, `file:///path`, `s3://bucket/prefix`, `gs://bucket/prefix` or
/// `az://container/prefix`; credentials are taken from the usual environment variables. A
/// repository of this address `memory://` is gone when it is dropped.
///
/// All methods wait, and may be called by several threads at once. Async programs call them through
/// `spawn_blocking`.
///
/// ```
/// use afterimage::{ObjectKind, ObjectName, Repository};
/// let repository = Repository::create("memory://", None)?;
/// let hash = repository.content_hash(b"records");
/// let name = ObjectName {
///     store: "01a1f48d-0583-7016-a723-9482dabcec34".parse()?,
///     kind: ObjectKind::Base { lsn: afterimage::Lsn::new(42), hash },
/// };
/// repository.put(&name, b"records")?;
/// repository.put(&name, b"records")?; // the same again is no error
/// assert_eq!(repository.get(&name)?, b"records");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Repository {
    remote: Remote,
    id: Uuid,
    encryption: Option<Encrypted>,
}

#[derive(Debug)]
struct Encrypted {
    cipher: Cipher,
    master: Master,
    /// What opens the repository now.
    keys: Mutex<Keys>,
}

struct Master(KeyBytes);

impl std::fmt::Debug for Master {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Master(…)")
    }
}

/// A set of keys and its number; that in `afterimage.json` is number zero.
#[derive(Debug)]
struct Keys {
    number: u32,
    wrapped: Vec<WrappedKey>,
}

/// A part of a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Folder {
    /// All of it.
    Everything,
    /// What belongs to a store.
    Store(Uuid),
    /// A store's slices.
    Slices(Uuid),
    /// A store's bases.
    Bases(Uuid),
    /// A store's manifests.
    Manifests(Uuid),
    /// A store's marks.
    Marks(Uuid),
    /// The marks of one of its backups.
    MarksOf(Uuid, Label),
}

/// What is in a part of a repository.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// The objects with their lengths as stored, in the order of their names.
    pub objects: Vec<(ObjectName, u64)>,
    /// The first thousand names that are none of a repository. Nothing is ever done with them.
    pub foreign: Vec<String>,
    /// How many such names there are.
    pub foreign_count: usize,
}

/// What has become of an object that was put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its length as stored.
    pub bytes: u64,
    /// Whether it was there already.
    pub existed: bool,
}

impl Repository {
    /// Makes a repository at this address, encrypted if there is a key, and opens it.
    ///
    /// # Errors
    /// Invalid if there is one already or the address is not understood; Remote if nothing answers.
    pub fn create(address: &str, key: Option<&RepositoryKey>) -> Result<Self> {
        Self::create_on(address::connect(address, Missing::Create)?, key)
    }

    /// Opens the repository at this address.
    ///
    /// # Errors
    /// `NotFound` if there is none; `WrongKey` if the key does not open it, or if only one of both,
    /// repository and caller, knows of encryption; Corrupt if what describes it is damaged; Remote
    /// if nothing answers.
    pub fn open(address: &str, key: Option<&RepositoryKey>) -> Result<Self> {
        Self::open_on(address::connect(address, Missing::Refuse)?, key)
    }

    pub(crate) fn create_on(remote: Remote, key: Option<&RepositoryKey>) -> Result<Self> {
        let mut random = [0; 16];
        RealDisk.entropy(&mut random);
        let id = uuid::Builder::from_random_bytes(random).into_uuid();
        let encryption = key.map(|key| Encrypted::new(key, id)).transpose()?;
        let keys = encryption.as_ref().map(|encrypted| encrypted.keys.lock().wrapped.clone());
        let text = Header::new(id, keys).encode()?;
        if create_text(&remote, REPOSITORY_FILE, &text)? {
            Ok(Self { remote, id, encryption })
        } else {
            Err(Error::new(&code::REPOSITORY_EXISTS, "a backup repository exists already"))
        }
    }

    pub(crate) fn open_on(remote: Remote, key: Option<&RepositoryKey>) -> Result<Self> {
        let text = remote.read(REPOSITORY_FILE, TEXT_BYTES_MAX).map_err(|error| {
            if error.code() == &code::OBJECT_MISSING {
                let message = "no backup repository at this place".to_owned();
                error.reworded(&code::REPOSITORY_NOT_FOUND, message)
            } else {
                error
            }
        })?;
        let header = Header::parse(&text, REPOSITORY_FILE)?;
        let id = header.repository;
        let encryption = match (header.encryption, key) {
            (None, None) => None,
            (Some(encryption), Some(key)) => {
                let first = Keys { number: 0, wrapped: encryption.keys };
                let keys = newest_keys(&remote, id)?.unwrap_or(first);
                let master = header::open_with(key, &keys.wrapped, id)?;
                Some(Encrypted::of(master, keys))
            }
            (Some(_), None) => return Err(wrong_key("the backup repository is encrypted")),
            (None, Some(_)) => return Err(wrong_key("the backup repository is not encrypted")),
        };
        Ok(Self { remote, id, encryption })
    }

    /// The repository's own id.
    #[must_use]
    pub fn id(&self) -> Uuid {
        self.id
    }

    /// Whether its objects are encrypted.
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        self.encryption.is_some()
    }

    /// The hash that the names of slices and bases carry.
    #[must_use]
    pub fn content_hash(&self, content: &[u8]) -> ContentHash {
        ContentHash::of(&object::hash(self.cipher(), content))
    }

    /// Writes an object, which is durable then.
    ///
    /// # Errors
    /// Conflict if another object has the name; Invalid if the content is longer than
    /// [`OBJECT_BYTES_MAX`](crate::OBJECT_BYTES_MAX) or is not what the name says; Corrupt if what
    /// stands there is damaged; Remote if nothing answers.
    pub fn put(&self, name: &ObjectName, content: &[u8]) -> Result<Stored> {
        let text = name.to_string();
        let stored = object::encode(self.cipher(), self.id, name, content)?;
        let bytes = stored.len() as u64;
        match self.remote.create(&text, stored)? {
            Created::Now => Ok(Stored { bytes, existed: false }),
            Created::Before => {
                self.remote.settle(&text)?;
                if self.get(name)? != content {
                    let message = format!("another object has the name {text}");
                    return Err(Error::new(&code::OBJECT_DIFFERS, message));
                }
                // Encrypted or compressed otherwise it may be of another length.
                let bytes = self.remote.bytes(&text)?.unwrap_or(bytes);
                Ok(Stored { bytes, existed: true })
            }
        }
    }

    /// The content of an object, as it was put.
    ///
    /// # Errors
    /// `NotFound` if there is none; Corrupt if it is not what was put under this name; Remote if
    /// nothing answers.
    pub fn get(&self, name: &ObjectName) -> Result<Vec<u8>> {
        let stored = self.remote.read(&name.to_string(), object::STORED_BYTES_MAX)?;
        object::decode(self.cipher(), self.id, name, &stored)
    }

    /// How long an object is as stored; `None` if there is none.
    ///
    /// # Errors
    /// Remote if nothing answers.
    pub fn size(&self, name: &ObjectName) -> Result<Option<u64>> {
        self.remote.bytes(&name.to_string())
    }

    /// What is in a part of the repository. What was put is listed at once.
    ///
    /// # Errors
    /// Remote if nothing answers.
    pub fn list(&self, folder: &Folder) -> Result<Listing> {
        let mut listing = Listing::default();
        for (name, bytes) in self.remote.list(folder.path().as_deref())? {
            if let Ok(object) = name.parse() {
                listing.objects.push((object, bytes));
            } else if name != REPOSITORY_FILE && key_set_number(&name).is_none() {
                listing.foreign_count += 1;
                if listing.foreign.len() < FOREIGN_MAX {
                    listing.foreign.push(name);
                }
            }
        }
        Ok(listing)
    }

    /// The stores of which there are backups, or remains of such.
    ///
    /// # Errors
    /// Remote if nothing answers.
    pub fn stores(&self) -> Result<Vec<Uuid>> {
        let id = |name: &String| name.parse().ok().filter(|id: &Uuid| id.to_string() == *name);
        Ok(self.remote.folders()?.iter().filter_map(id).collect())
    }

    /// Removes an object; it is no error if there is none.
    ///
    /// # Errors
    /// Remote if nothing answers.
    pub fn delete(&self, name: &ObjectName) -> Result<()> {
        self.remote.delete(&name.to_string())
    }

    /// Writes objects, `parallel` of them at a time (at most [`PARALLEL_MAX`]).
    ///
    /// # Errors
    /// The first error of [`put`](Self::put); what was begun is ended, the rest is left.
    pub fn put_many(&self, objects: &[(ObjectName, Vec<u8>)], parallel: usize) -> Result<()> {
        thread::each("backup-put", parallel.clamp(1, PARALLEL_MAX), objects.len(), |index| {
            objects.get(index).map_or(Ok(()), |(name, content)| self.put(name, content).map(drop))
        })
    }

    /// The contents of objects, in the order of the names, read `parallel` at a time (at most
    /// [`PARALLEL_MAX`]). All of them are in memory in the end.
    ///
    /// # Errors
    /// The first error of [`get`](Self::get).
    pub fn get_many(&self, names: &[ObjectName], parallel: usize) -> Result<Vec<Vec<u8>>> {
        let contents: Vec<_> = names.iter().map(|_| Mutex::new(Vec::new())).collect();
        thread::each("backup-get", parallel.clamp(1, PARALLEL_MAX), names.len(), |index| {
            if let (Some(name), Some(content)) = (names.get(index), contents.get(index)) {
                *content.lock() = self.get(name)?;
            }
            Ok(())
        })?;
        Ok(contents.into_iter().map(Mutex::into_inner).collect())
    }

    /// Has these keys open the repository from now on, and no others. Who has a copy of the
    /// repository as it was before opens that copy, and reads the objects of this one, with an old
    /// key: the master key stays, and with it all objects.
    ///
    /// # Errors
    /// Invalid if the repository is not encrypted, or there are no keys or more than [`KEYS_MAX`];
    /// Conflict if somebody else changed the keys meanwhile.
    pub fn rekey(&self, keys: &[&RepositoryKey]) -> Result<()> {
        let encrypted = self.encrypted()?;
        let wrapped = header::wrap_for(keys, &encrypted.master.0, self.id)?;
        self.write_keys(&mut encrypted.keys.lock(), wrapped)
    }

    /// Has this key open the repository too.
    ///
    /// # Errors
    /// As for [`rekey`](Self::rekey).
    pub fn add_key(&self, key: &RepositoryKey) -> Result<()> {
        let encrypted = self.encrypted()?;
        let added = header::wrap_for(&[key], &encrypted.master.0, self.id)?;
        let mut keys = encrypted.keys.lock();
        let wrapped = [keys.wrapped.as_slice(), &added].concat();
        if wrapped.len() > KEYS_MAX {
            let message = format!("a repository is opened by 1 to {KEYS_MAX} keys");
            return Err(Error::new(&code::INVALID_OPTION, message));
        }
        self.write_keys(&mut keys, wrapped)
    }

    fn write_keys(&self, keys: &mut Keys, wrapped: Vec<WrappedKey>) -> Result<()> {
        let number = keys.number.saturating_add(1);
        let text = KeySet::new(self.id, number, wrapped.clone()).encode()?;
        if create_text(&self.remote, &key_set(number), &text)? {
            *keys = Keys { number, wrapped };
            Ok(())
        } else {
            let message = "somebody else changed the keys of the backup repository meanwhile";
            Err(Error::new(&code::OBJECT_DIFFERS, message))
        }
    }

    fn encrypted(&self) -> Result<&Encrypted> {
        self.encryption.as_ref().ok_or_else(|| {
            let message = "the backup repository is not encrypted, so no key opens it";
            Error::new(&code::INVALID_OPTION, message)
        })
    }

    fn cipher(&self) -> Option<&Cipher> {
        self.encryption.as_ref().map(|encrypted| &encrypted.cipher)
    }
}

impl Encrypted {
    fn new(key: &RepositoryKey, repository: Uuid) -> Result<Self> {
        let master = random_key();
        let wrapped = header::wrap_for(&[key], &master, repository)?;
        Ok(Self::of(master, Keys { number: 0, wrapped }))
    }

    fn of(master: KeyBytes, keys: Keys) -> Self {
        let cipher = Cipher::new(&master);
        Self { cipher, master: Master(master), keys: Mutex::new(keys) }
    }
}

impl Folder {
    fn path(&self) -> Option<String> {
        match self {
            Self::Everything => None,
            Self::Store(store) => Some(store.to_string()),
            Self::Slices(store) => Some(format!("{store}/{SLICES}")),
            Self::Bases(store) => Some(format!("{store}/{BASES}")),
            Self::Manifests(store) => Some(format!("{store}/{BACKUPS}")),
            Self::Marks(store) => Some(format!("{store}/{MARKS}")),
            Self::MarksOf(store, label) => Some(format!("{store}/{MARKS}/{label}")),
        }
    }
}

/// Writes a text that nobody else may have written; `false` if somebody has.
fn create_text(remote: &Remote, name: &str, text: &[u8]) -> Result<bool> {
    if remote.create(name, text.to_vec())? == Created::Now {
        return Ok(true);
    }
    // Random numbers in it tell ours, of a request that seemed to fail, from anybody else's.
    remote.settle(name)?;
    Ok(remote.read(name, TEXT_BYTES_MAX)? == text)
}

fn newest_keys(remote: &Remote, repository: Uuid) -> Result<Option<Keys>> {
    let names = remote.list(Some(KEYS))?;
    let Some(number) = names.iter().filter_map(|(name, _)| key_set_number(name)).max() else {
        return Ok(None);
    };
    let name = key_set(number);
    let text = remote.read(&name, TEXT_BYTES_MAX)?;
    let wrapped = KeySet::parse(&text, repository, number, &name)?.keys;
    Ok(Some(Keys { number, wrapped }))
}

fn wrong_key(message: &str) -> Error {
    Error::new(&code::WRONG_KEY, message)
}
