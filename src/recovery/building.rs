//! A store that is built from the journal of another, beside its place, and gets its name when it
//! has proved to be what it must be.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result, code};
use crate::format::digest::StateDigest;
use crate::format::names;
use crate::format::store_header::{Fork, StoreHeader};
use crate::journal::beacon::{Beacon, Chain};
use crate::journal::segment::Tail;
use crate::lsn::Lsn;
use crate::store::{Author, Durability, Options, Store, create_header, remove_partial};
use crate::sys::{self, Disk, Entry};

/// A store that has no name yet. Whoever builds it writes segments into its journal.
#[derive(Debug)]
pub(crate) struct Building<'a> {
    /// With what disk and what clock.
    options: &'a Options,
    directory: &'a Path,
    partial: PathBuf,
}

/// What a journal holds that was built.
#[derive(Debug)]
pub(crate) struct Built<'a> {
    /// The store that the journal was taken from.
    pub(crate) origin: &'a StoreHeader,
    pub(crate) tail: Tail,
    /// The last segment is that of the chain.
    pub(crate) chain: Chain,
    /// The digest that the origin had there.
    pub(crate) digest: StateDigest,
}

/// What has become of it.
#[derive(Debug)]
pub(crate) struct Proved {
    pub(crate) store: String,
    pub(crate) timeline: u32,
    pub(crate) records: u64,
}

/// Refuses a place where something stands: a store is only made in a directory that is new or
/// empty.
///
/// # Errors
/// `Invalid` if it is not.
pub(crate) fn check_free(disk: &dyn Disk, directory: &Path) -> Result<()> {
    match disk.entry(directory)? {
        Entry::Nothing => Ok(()),
        Entry::Directory if disk.list(directory)?.is_empty() => Ok(()),
        Entry::Directory => Err(Error::new(
            &code::DIRECTORY_NOT_EMPTY,
            "a store is only restored into a directory that is new or empty",
        )
        .at_path(directory)),
        Entry::File => {
            Err(Error::new(&code::NOT_A_DIRECTORY, "a file stands there").at_path(directory))
        }
    }
}

impl<'a> Building<'a> {
    /// Begins to build; what an earlier attempt has left is removed.
    pub(crate) fn begin(options: &'a Options, directory: &'a Path) -> Result<Self> {
        let disk = &*options.disk;
        check_free(disk, directory)?;
        let partial = names::partial(directory);
        remove_partial(disk, &partial)?;
        disk.create_dir(&partial)?;
        disk.create_dir(&partial.join(names::JOURNAL))?;
        disk.create_dir(&partial.join(names::STATE))?;
        Ok(Self { options, directory, partial })
    }

    pub(crate) fn disk(&self) -> &dyn Disk {
        &*self.options.disk
    }

    /// Where the segment of this number belongs.
    pub(crate) fn segment(&self, number: u32) -> PathBuf {
        names::segment(&self.partial, number)
    }

    /// Where the base of this number belongs.
    pub(crate) fn base(&self, number: u32) -> PathBuf {
        names::base(&self.partial, number)
    }

    /// Gives the store an identity of its own, opens it, which replays and checks every
    /// transaction, compares its digest, notes in `$audit` where it comes from, and renames it.
    ///
    /// # Errors
    /// `Corrupt` if it does not prove equal; then it has no name.
    pub(crate) fn finish(
        self,
        built: &Built<'_>,
        by: &Author,
        audit: &serde_json::Value,
    ) -> Result<Proved> {
        self.identify(built)?;
        let copy = self
            .options
            .clone()
            .create(false)
            .durability(Durability::Process)
            .open(&self.partial)?;
        let found = copy.snapshot_at(built.tail.lsn)?.digest()?;
        if found != built.digest {
            let expected = built.digest;
            return Err(Error::new(
                &code::DIGEST_MISMATCH,
                format!("the copy has the state digest {found}, the original had {expected}"),
            )
            .at_path(&self.partial)
            .at_lsn(built.tail.lsn));
        }
        let proved = Proved {
            store: copy.id().to_string(),
            timeline: copy.timeline(),
            records: copy.status()?.records,
        };
        record(&copy, by, audit)?;
        copy.close()?;
        self.disk().rename(&self.partial, self.directory)?;
        sys::sync_parent(self.disk(), self.directory)?;
        Ok(proved)
    }

    /// Writes CONTROL and STORE, as of a store that was closed properly.
    fn identify(&self, built: &Built<'_>) -> Result<()> {
        let disk = self.disk();
        disk.sync_dir(&self.partial.join(names::JOURNAL))?;
        let origin = built.origin;
        let mut forks = origin.forks.clone();
        forks.push(Fork {
            store: origin.store,
            timeline: origin.timeline,
            lsn: built.tail.lsn,
            segment: built.chain.segment,
        });
        let header = create_header(disk, &*self.options.clock, origin.segment_bytes, forks);
        Beacon::create(disk, &self.partial, &header, &built.tail, built.chain)?;
        let text = header.encode();
        sys::atomic::publish(disk, &self.partial.join(names::STORE), &[text.as_bytes()])?;
        sys::sync_parent(disk, &self.partial)
    }
}

/// What `$audit` says of where a store comes from.
pub(crate) fn audit_entry(origin: &StoreHeader, to: Lsn) -> serde_json::Value {
    serde_json::json!({
        "action": "restore",
        "source": origin.store.to_string(),
        "source_timeline": origin.timeline,
        "target_lsn": to,
    })
}

/// Leaves the restore in the copy's `$audit`.
fn record(copy: &Store, by: &Author, audit: &serde_json::Value) -> Result<()> {
    let mut tx = copy.begin()?;
    tx.sign(by);
    tx.note_in_audit("restore", audit)?;
    tx.commit()?;
    Ok(())
}
