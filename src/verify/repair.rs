//! Repair: a store made anew from every transaction that is sound, on both sides of the damage.
//!
//! Numbers stay: a transaction that is lost leaves its number to a record in `$audit` that says so.
//! What a lost transaction made of a record is known if a later one changed that record, whose
//! before image it is; that is put back in the place of the last lost one. Whether the state is
//! then what it was is proved by the digest that every transaction carries.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::sound::{Hole, Step, walk};
use super::{VerifyDepth, VerifyReport};
use crate::error::{Error, ErrorKind, Result, code};
use crate::format::change::Change;
use crate::format::digest::StateDigest;
use crate::format::frame::Frame;
use crate::format::image::{Image, OwnedImage};
use crate::format::names;
use crate::format::segment::{SEGMENT_HEADER_BYTES, SegmentHeader};
use crate::format::store_header::{Fork, StoreHeader};
use crate::journal::beacon::Beacon;
use crate::lsn::Lsn;
use crate::store::{
    AUDIT, Author, COLLECTIONS, CatalogueRecord, Durability, FIRST_USER_ID, Options, Progress,
    Store, Transaction, create_files, create_header, read_identity, remove_partial,
};
use crate::sys::{self, Access, Disk, Entry};
use crate::time::Timestamp;

/// Transactions that are lost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LostTransactions {
    /// The first one.
    pub first_lsn: Lsn,
    /// The last one.
    pub last_lsn: Lsn,
    /// When the transaction before them was committed; they were not earlier.
    pub not_before_us: Option<i64>,
    /// When the transaction behind them was committed; they were not later.
    pub not_after_us: Option<i64>,
    /// Records that they changed, of which the outcome is known from what follows.
    pub recovered: Vec<RecordName>,
}

/// A record by collection and key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RecordName {
    /// The collection.
    pub collection: String,
    /// The key, as text where it is text.
    pub key: String,
}

/// What a repair has done, or would do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RepairReport {
    /// The store.
    pub store: PathBuf,
    /// Where the damaged one is kept; nothing if nothing was done.
    pub kept: Option<PathBuf>,
    /// How many transactions are sound, and taken over.
    pub transactions: u64,
    /// What can't be read.
    pub holes: Vec<Hole>,
    /// What is lost with it.
    pub lost: Vec<LostTransactions>,
    /// The last transaction, sound or lost.
    pub head_lsn: Lsn,
    /// Whether the state is proved to be what it was at the last sound transaction; `None` before
    /// the repair is done.
    pub state_proved: Option<bool>,
    /// The digest of the state; that of the last sound transaction before the repair is done.
    pub state_digest: StateDigest,
}

/// Makes the store in this directory anew from everything in its journal that is sound, and keeps
/// the damaged one beside it. A store without damage is left as it is. With `dry_run` nothing is
/// written.
///
/// # Errors
/// `NotFound` if there is no store; `Locked` if a process is writing to it; `Corrupt` if neither
/// the STORE file nor any segment tells what it is; `Full`, `Io`. Then everything is as it was.
pub fn repair(
    path: impl AsRef<Path>,
    by: &Author,
    dry_run: bool,
    progress: &mut dyn FnMut(Progress),
) -> Result<RepairReport> {
    repair_on(&Options::default(), path.as_ref(), by, dry_run, progress)
}

/// [`repair`] on the disk of these options.
pub(crate) fn repair_on(
    options: &Options,
    path: &Path,
    by: &Author,
    dry_run: bool,
    progress: &mut dyn FnMut(Progress),
) -> Result<RepairReport> {
    // A store is renamed in its parent: `.` has a name there, too.
    let root = &*std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    let disk = &*options.disk;
    if !dry_run {
        finish(disk, root)?;
    }
    let (identity, without) = identity(disk, root)?;
    let _lock = if dry_run { None } else { Some(disk.lock(&root.join(names::LOCK))?) };
    if disk.list(&root.join(names::JOURNAL))?.iter().any(|name| names::parse_base(name).is_some()) {
        let message = "a journal that begins with a base can't be made anew";
        return Err(Error::new(&code::REPAIR_OF_FOLDED, message).at_path(root));
    }
    let mut plan = Plan::of(disk, root)?;
    plan.holes.extend(without);
    match Beacon::read(disk, root, &identity) {
        // What it says was durable and is not there is lost at the end.
        Ok(control) => plan.lose_up_to(control.durable_lsn),
        Err(error) => plan.holes.push(unreadable(&root.join(names::CONTROL), &error)),
    }
    if plan.holes.is_empty() && plan.gaps.is_empty() {
        plan.holes.extend(refusal(options, root));
    }
    let mut report = plan.report(root);
    if dry_run || (report.holes.is_empty() && report.lost.is_empty()) {
        return Ok(report);
    }
    let partial = names::partial(root);
    remove_partial(disk, &partial)?;
    let fork = Fork {
        store: identity.store,
        timeline: identity.timeline,
        lsn: plan.gaps.keys().next().map_or(plan.head, |lsn| lsn.previous()),
        // None of its segments is taken over.
        segment: 0,
    };
    let forks = [&identity.forks[..], &[fork]].concat();
    disk.create_dir(&partial)?;
    let header = create_header(disk, &*options.clock, identity.segment_bytes, forks);
    create_files(disk, &partial, &header)?;
    let copy = options.clone().durability(Durability::Process).open(&partial)?;
    let mut rebuild = Rebuild { copy: &copy, plan: &plan, by, written: 0 };
    walk(disk, root, &mut |step| match step {
        Step::Transaction(frame) => {
            let done = rebuild.written;
            progress(Progress {
                phase: "transactions",
                done,
                total: plan.transactions,
                unit: "transactions",
            });
            rebuild.take(frame)
        }
        Step::Hole(_) => Ok(()),
    })?;
    rebuild.lose(plan.gaps.get(&plan.head.next()))?;
    report.state_digest = copy.snapshot().digest()?;
    report.state_proved = Some(plan.digest == report.state_digest);
    check(&copy)?;
    copy.close()?;
    report.kept = Some(replace(disk, root)?);
    Ok(report)
}

/// Puts the repaired store in the place of the damaged one, and returns where that is kept. At no
/// moment is there no store, where the file system knows how to do that.
fn replace(disk: &dyn Disk, root: &Path) -> Result<PathBuf> {
    let (partial, kept) = (names::partial(root), free_name(disk, root)?);
    disk.rename(&partial, &kept)?;
    if disk.exchange(root, &kept)? {
        sys::sync_parent(disk, root)?;
    } else {
        disk.rename(&kept, &partial)?;
        disk.rename(root, &kept)?;
        finish(disk, root)?;
    }
    Ok(kept)
}

/// Gives the repaired store the name of the damaged one, which was taken away from that one: now,
/// or in an earlier repair that was interrupted right then.
fn finish(disk: &dyn Disk, root: &Path) -> Result<()> {
    let partial = names::partial(root);
    // One that an interrupted restore has left is not proved to be whole.
    let is_repaired = disk.entry(&partial.join(names::STORE))? == Entry::File
        && disk.entry(&kept_name(root, 1))? == Entry::Directory;
    if disk.entry(root)? == Entry::Nothing && is_repaired {
        disk.rename(&partial, root)?;
        sys::sync_parent(disk, root)?;
    }
    Ok(())
}

/// What the store is. Where the STORE file can't be read, its segments tell.
fn identity(disk: &dyn Disk, root: &Path) -> Result<(StoreHeader, Option<Hole>)> {
    let path = root.join(names::STORE);
    let journal = root.join(names::JOURNAL);
    let error = match disk.entry(&path)? {
        Entry::File => match read_identity(disk, root) {
            Err(error) if error.kind() == ErrorKind::Corrupt => error,
            read => return read.map(|header| (header, None)),
        },
        Entry::Nothing | Entry::Directory => {
            Error::new(&code::NOT_A_STORE, "there is no store").at_path(root)
        }
    };
    if disk.entry(&journal)? != Entry::Directory {
        return Err(error);
    }
    let Some(header) = some_segment(disk, root)? else { return Err(error) };
    let hole = unreadable(&path, &error);
    let segment_bytes = Options::default().segment_bytes;
    let SegmentHeader { store, timeline, created, .. } = header;
    Ok((StoreHeader { store, timeline, segment_bytes, created, forks: Vec::new() }, Some(hole)))
}

/// Why a store does not open of which all that can be told is there: where it ends, it was cut.
fn refusal(options: &Options, root: &Path) -> Option<Hole> {
    let refused = options.clone().read_only(true).open(root).err();
    let error = refused.filter(|error| error.kind() == ErrorKind::Corrupt)?;
    let path = error.place().path.clone().unwrap_or_else(|| root.to_path_buf());
    Some(unreadable(&path, &error))
}

/// A file that says nothing any more, though all of the journal may be there.
fn unreadable(path: &Path, error: &Error) -> Hole {
    let what = error.message().to_owned();
    Hole { path: path.to_path_buf(), segment: 0, offset: 0, bytes: 0, what }
}

/// The header of the newest segment that has one.
fn some_segment(disk: &dyn Disk, root: &Path) -> Result<Option<SegmentHeader>> {
    for name in disk.list(&root.join(names::JOURNAL))?.iter().rev() {
        let Some(number) = names::parse_segment(name) else { continue };
        let file = disk.open(&names::segment(root, number), Access::Read)?;
        let bytes = sys::read_range(&*file, 0, SEGMENT_HEADER_BYTES)?;
        if let Ok(header) = SegmentHeader::parse(&bytes) {
            return Ok(Some(header));
        }
    }
    Ok(None)
}

/// A name beside the store that is not taken.
fn free_name(disk: &dyn Disk, root: &Path) -> Result<PathBuf> {
    for attempt in 1_u32.. {
        let kept = kept_name(root, attempt);
        if disk.entry(&kept)? == Entry::Nothing {
            return Ok(kept);
        }
    }
    Err(Error::new(&code::IO, "all names for the damaged store are taken").at_path(root))
}

fn kept_name(root: &Path, attempt: u32) -> PathBuf {
    let mut name = root.file_name().unwrap_or_default().to_os_string();
    name.push(format!(".damaged-{attempt}"));
    root.with_file_name(name)
}

fn check(copy: &Store) -> Result<()> {
    let VerifyReport { valid, errors, .. } = copy.verify(VerifyDepth::Deep, &mut |_| {})?;
    if valid {
        return Ok(());
    }
    let first = errors.first().map_or("", |finding| &finding.message).to_owned();
    Err(Error::new(&code::IMAGE_CHAIN_BROKEN, format!("the repaired store is not sound: {first}"))
        .at_path(copy.path()))
}

/// What is sound, what is lost, and what of that is known all the same.
#[derive(Default)]
struct Plan {
    transactions: u64,
    /// The last sound transaction, its time, and the digest behind it.
    head: Lsn,
    time: Option<Timestamp>,
    digest: StateDigest,
    collections: BTreeMap<u32, String>,
    holes: Vec<Hole>,
    /// How many of the holes belong to the gaps already.
    holes_seen: usize,
    /// What is lost, by the first number that is.
    gaps: BTreeMap<Lsn, Gap>,
}

/// Transactions that are lost.
#[derive(Clone, Debug)]
struct Gap {
    first: Lsn,
    last: Lsn,
    not_before: Option<Timestamp>,
    not_after: Option<Timestamp>,
    holes: std::ops::Range<usize>,
    /// What the lost transactions made of records, as later ones tell.
    known: BTreeMap<(u32, Vec<u8>), Option<OwnedImage>>,
}

impl Plan {
    fn of(disk: &dyn Disk, root: &Path) -> Result<Self> {
        let mut plan = Self::default();
        walk(disk, root, &mut |step| {
            match step {
                Step::Hole(hole) => plan.holes.push(hole),
                Step::Transaction(frame) => plan.take(frame),
            }
            Ok(())
        })?;
        Ok(plan)
    }

    fn take(&mut self, frame: &Frame<'_>) {
        let (lsn, time) = (frame.header.lsn, Some(frame.header.time));
        if lsn > self.head.next() {
            self.lose(lsn.previous(), time);
        }
        for (_, change) in frame.changes().filter_map(std::result::Result::ok) {
            self.learn(&change);
            let lost = self.gaps.values_mut().find(|gap| {
                let holes = self.holes.get(gap.holes.clone()).unwrap_or_default();
                holes.iter().any(|hole| hole.held(change.previous))
            });
            if let Some(gap) = lost {
                let record = (change.collection, change.key.to_vec());
                gap.known.entry(record).or_insert_with(|| change.before.map(OwnedImage::from));
            }
        }
        self.transactions += 1;
        (self.head, self.time, self.digest) = (lsn, time, frame.header.digest);
    }

    fn learn(&mut self, change: &Change<'_>) {
        let Some(image) = change.after.filter(|_| change.collection == COLLECTIONS) else { return };
        let record: Option<CatalogueRecord> = serde_json::from_slice(image.bytes()).ok();
        if let (Some(record), Ok(name)) = (record, std::str::from_utf8(change.key)) {
            self.collections.insert(record.id, name.to_owned());
        }
    }

    fn lose(&mut self, last: Lsn, not_after: Option<Timestamp>) {
        let gap = Gap {
            first: self.head.next(),
            last,
            not_before: self.time,
            not_after,
            holes: self.holes_seen..self.holes.len(),
            known: BTreeMap::new(),
        };
        self.holes_seen = self.holes.len();
        self.gaps.insert(gap.first, gap);
    }

    fn lose_up_to(&mut self, durable: Lsn) {
        if durable > self.head {
            self.lose(durable, None);
        }
    }

    /// The name of a collection; one whose creation is lost gets a new one.
    fn name(&self, collection: u32) -> String {
        let known = self.collections.get(&collection).cloned();
        known.unwrap_or_else(|| format!("recovered-{collection}"))
    }

    fn report(&self, root: &Path) -> RepairReport {
        let name = |(collection, key): &(u32, Vec<u8>)| RecordName {
            collection: self.name(*collection),
            key: String::from_utf8_lossy(key).into_owned(),
        };
        let lost: Vec<_> = self
            .gaps
            .values()
            .map(|gap| LostTransactions {
                first_lsn: gap.first,
                last_lsn: gap.last,
                not_before_us: gap.not_before.map(Timestamp::as_micros),
                not_after_us: gap.not_after.map(Timestamp::as_micros),
                recovered: gap.known.keys().map(name).collect(),
            })
            .collect();
        RepairReport {
            store: root.to_path_buf(),
            kept: None,
            transactions: self.transactions,
            holes: self.holes.clone(),
            head_lsn: lost.last().map_or(self.head, |lost| lost.last_lsn.max(self.head)),
            lost,
            state_proved: None,
            state_digest: self.digest,
        }
    }
}

/// Writes the new store.
struct Rebuild<'a> {
    copy: &'a Store,
    plan: &'a Plan,
    by: &'a Author,
    written: u64,
}

impl Rebuild<'_> {
    fn take(&mut self, frame: &Frame<'_>) -> Result<()> {
        let lsn = frame.header.lsn;
        self.lose(self.plan.gaps.get(&self.copy.head().next()))?;
        self.written += 1;
        let metadata = frame.metadata().unwrap_or_default();
        self.commit(lsn, |rebuild, tx| {
            tx.at_time(frame.header.time);
            tx.metadata.clone_from(&metadata);
            for (_, change) in frame.changes().filter_map(std::result::Result::ok) {
                rebuild.put(tx, (change.collection, change.key), change.after)?;
            }
            Ok(())
        })
    }

    /// Writes what stands in the place of lost transactions.
    fn lose(&mut self, gap: Option<&Gap>) -> Result<()> {
        let Some(gap) = gap else { return Ok(()) };
        let mut lsn = gap.first;
        while lsn <= gap.last {
            self.commit(lsn, |rebuild, tx| {
                if let Some(time) = gap.not_before.or(gap.not_after) {
                    tx.at_time(time);
                }
                tx.message("lost; put back is what later transactions tell").sign(rebuild.by);
                note(tx, lsn, "lost")?;
                if lsn == gap.last {
                    for ((collection, key), image) in &gap.known {
                        let image = image.as_ref().map(OwnedImage::as_image);
                        rebuild.put(tx, (*collection, key), image)?;
                    }
                }
                Ok(())
            })?;
            lsn = lsn.next();
        }
        Ok(())
    }

    /// Commits a transaction that must get this number.
    fn commit(
        &self,
        lsn: Lsn,
        fill: impl Fn(&Self, &mut Transaction<'_>) -> Result<()>,
    ) -> Result<()> {
        let mut tx = self.copy.begin()?;
        fill(self, &mut tx)?;
        let committed = tx.commit()?;
        if committed.is_empty() {
            // What it did to its records is what they are already.
            let mut tx = self.copy.begin()?;
            note(&mut tx, lsn, "without effect")?;
            tx.commit()?;
        }
        if self.copy.head() == lsn {
            return Ok(());
        }
        let message = format!("transaction {lsn} would become {}", self.copy.head());
        Err(Error::new(&code::JOURNAL_INCOMPLETE, message).at_lsn(lsn))
    }

    fn put(
        &self,
        tx: &mut Transaction<'_>,
        (collection, key): (u32, &[u8]),
        image: Option<Image<'_>>,
    ) -> Result<()> {
        match (collection, image) {
            // Written anew with the first record of each.
            (COLLECTIONS, _) => Ok(()),
            (system, Some(image)) if system < FIRST_USER_ID => {
                tx.put_system(system, key, image.bytes())
            }
            (system, None) if system < FIRST_USER_ID => tx.delete_system(system, key),
            (user, Some(image)) => tx.put_image(&self.plan.name(user), key, image),
            (user, None) => tx.delete_record(&self.plan.name(user), key).map(|_| ()),
        }
    }
}

/// Leaves in `$audit` what became of a transaction.
fn note(tx: &mut Transaction<'_>, lsn: Lsn, what: &str) -> Result<()> {
    let entry = serde_json::json!({ "action": "repair", "lsn": lsn, "what": what });
    let key = format!("repair-{:020}", lsn.get());
    tx.put_system(AUDIT, key.as_bytes(), entry.to_string().as_bytes())
}
