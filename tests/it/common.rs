//! What several modules need.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use afterimage::{CodecId, Durability, Image, ImportOptions, Lsn, Options, Store};
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
        Store::options().segment_bytes(8192).durability(Durability::Process)
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
pub(crate) fn put(store: &Store, key: &str, value: &str) -> Lsn {
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

/// Puts one record of JSON into a collection.
pub(crate) fn put_json(store: &Store, collection: &str, key: &str, text: &str) -> Lsn {
    let image = Image::new(text.as_bytes(), CodecId::Json);
    let put = store.write(|tx| tx.put_image(collection, key.as_bytes(), image));
    put.expect("the record is put").lsn()
}

/// A store of the real change events, if their file is at hand.
pub(crate) fn fires(place: &Place) -> Option<Store> {
    let Some(path) = std::env::var_os("AFTERIMAGE_CA_FIRES") else {
        crate::skipped::skipped("AFTERIMAGE_CA_FIRES does not name the file of real change events");
        return None;
    };
    let events = fs::read(path).expect("the unpacked file of change events");
    let options = Store::options().durability(Durability::Process);
    let store = options.open(place.path()).expect("the store opens");
    let options = ImportOptions { keep_times: true, ..ImportOptions::default() };
    let report = store.import(&mut &events[..], &options, &mut |_| {}).expect("imported");
    assert_eq!((report.transactions, report.changes), (2581, 6923));
    Some(store)
}

/// Prints how long something takes.
#[expect(clippy::disallowed_methods, reason = "it measures for people, and decides nothing")]
pub(crate) fn timed<T>(what: &str, body: impl FnOnce() -> T) -> T {
    let start = std::time::Instant::now();
    let result = body();
    say(&format!("{what}: {:?}", start.elapsed()));
    result
}

/// Says something past the test harness.
pub(crate) fn say(text: &str) {
    drop(writeln!(io::stderr(), "{text}"));
}

/// What a killed process would leave of a store that is open, copied to where `target` says.
pub(crate) fn killed_copy(store: &Path, mut target: impl FnMut() -> PathBuf) -> PathBuf {
    // Once more if a file went away meanwhile: a crash would have left it, or the one that took
    // its place.
    loop {
        let copied = target();
        match copy_dir(store, &copied) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            done => break done.map(|()| copied).expect("copied"),
        }
    }
}

/// Copies a directory, files before folders and what is newest first: the background threads may
/// be sealing segments or writing a checkpoint. CONTROL or a checkpoint that is newer than the
/// journal, or a seal behind a segment that has none, is what no crash can bring about.
fn copy_dir(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir(to)?;
    let mut names = Vec::new();
    for entry in fs::read_dir(from)? {
        names.push(entry?.file_name());
    }
    names.sort_by(|a, b| b.cmp(a));
    let (folders, files): (Vec<_>, Vec<_>) =
        names.into_iter().partition(|name| from.join(name).is_dir());
    for name in files {
        fs::copy(from.join(&name), to.join(&name))?;
    }
    folders.into_iter().try_for_each(|name| copy_dir(&from.join(&name), &to.join(&name)))
}
