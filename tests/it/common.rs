//! What several modules need.

use std::path::PathBuf;

use afterimage::{CodecId, Image, Options, Store};
use tempfile::TempDir;

/// A directory for a store, removed at the end.
pub(crate) struct Place {
    directory: TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self { directory: tempfile::tempdir().expect("a temporary directory") }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.directory.path().join("test.store")
    }

    pub(crate) fn beside(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Small segments, so that tests see many.
    pub(crate) fn options() -> Options {
        Store::options().segment_bytes(8192).durability(afterimage::Durability::Process)
    }

    pub(crate) fn open(&self) -> Store {
        self.open_result().expect("the store opens")
    }

    pub(crate) fn open_result(&self) -> afterimage::Result<Store> {
        Self::options().open(self.path())
    }

    pub(crate) fn reader(&self) -> Store {
        Store::options().read_only(true).open(self.path()).expect("the store opens for reading")
    }
}

pub(crate) fn raw(bytes: &[u8]) -> Image<'_> {
    Image::new(bytes, CodecId::Raw)
}

/// Puts one record.
pub(crate) fn put(store: &Store, key: &str, value: &str) -> afterimage::Lsn {
    store
        .write(|tx| tx.put_image("things", key.as_bytes(), raw(value.as_bytes())))
        .expect("the record is put")
        .lsn()
}

/// The value of a record, if it exists.
pub(crate) fn value(store: &Store, key: &str) -> Option<String> {
    let snapshot = store.snapshot();
    let record = snapshot.record("things", key.as_bytes()).expect("the record is read")?;
    Some(String::from_utf8_lossy(record.image().bytes()).into_owned())
}
