//! Opening a store, start to end: identity, lock, journal, checkpoint, replay, threads.

use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use super::Store;
use super::background::Behind;
use super::catalogue::Catalogue;
use super::engine::{Background, Engine, Handle, Parts, Section, Writing};
use super::maintenance::{self, Doubts, Loaded};
use super::options::{Durability, Options};
use super::replay::replay;
use crate::error::{Error, ErrorKind, Result, code};
use crate::format::names;
use crate::format::store_header::{Fork, NotAStoreFile, STORE_BYTES_MAX, StoreHeader};
use crate::journal::beacon::{Beacon, Chain};
use crate::journal::prepare::{Keeper, Mould};
use crate::journal::recover::{self, Notice, Opened};
use crate::journal::segment::Tail;
use crate::journal::writer::{Start, Writer};
use crate::journal::{Flusher, Journal};
use crate::lsn::Lsn;
use crate::sys::lock::Lock;
use crate::sys::mmap::Ready;
use crate::sys::{self, Disk, Entry, MapAccess};
use crate::time::Clock;

impl Options {
    /// Opens the store in this directory.
    ///
    /// # Errors
    /// `NotFound` if there is none and none is to be created, `Invalid` if something else stands
    /// there, `Locked` if another process is writing, `Corrupt` if acknowledged data is damaged or
    /// missing, `Format` if a later release wrote it, `Full`, `Denied`, `Io`.
    pub fn open(&self, path: impl AsRef<Path>) -> Result<Store> {
        self.check()?;
        open(self, path.as_ref())
    }
}

fn open(options: &Options, root: &Path) -> Result<Store> {
    let disk = &*options.disk;
    match disk.entry(root)? {
        Entry::File => {
            return Err(Error::new(&code::NOT_A_DIRECTORY, "a file stands there").at_path(root));
        }
        Entry::Directory if disk.entry(&root.join(names::STORE))? == Entry::File => {
            if options.create_new {
                return Err(Error::new(&code::STORE_EXISTS, "there is a store").at_path(root));
            }
        }
        Entry::Directory | Entry::Nothing => {
            if options.read_only || !(options.create || options.create_new) {
                return Err(Error::new(&code::NOT_A_STORE, "there is no store").at_path(root));
            }
            create(options, root)?;
        }
    }
    let identity = read_identity(disk, root)?;
    if options.read_only {
        open_for_reading(options, root, identity)
    } else {
        open_for_writing(options, root, identity)
    }
}

/// Creates an empty store. STORE is written last: before that, there is no store.
fn create(options: &Options, root: &Path) -> Result<()> {
    let disk = &*options.disk;
    match disk.entry(root)? {
        Entry::Nothing => {
            disk.create_dir(root)?;
            sys::sync_parent(disk, root)?;
        }
        Entry::Directory if is_free(disk, root)? => {}
        Entry::Directory | Entry::File => {
            return Err(Error::new(&code::DIRECTORY_NOT_EMPTY, "the directory holds other files")
                .at_path(root));
        }
    }
    let header = create_header(disk, &*options.clock, options.segment_bytes, Vec::new());
    create_files(disk, root, &header)
}

/// Makes an empty store of this identity in a directory.
pub(crate) fn create_files(disk: &dyn Disk, root: &Path, header: &StoreHeader) -> Result<()> {
    for name in [names::JOURNAL, names::STATE] {
        let path = root.join(name);
        if disk.entry(&path)? == Entry::Nothing {
            disk.create_dir(&path)?;
        }
    }
    Beacon::create(disk, root, header, &Tail::EMPTY, Chain::default())?;
    sys::atomic::publish(disk, &root.join(names::STORE), &[header.encode().as_bytes()])
}

/// Whether a directory holds nothing, or only what an interrupted creation left behind.
fn is_free(disk: &dyn Disk, root: &Path) -> Result<bool> {
    let temporary = |name: &str| names::temporary(Path::new(name));
    let ours = [names::JOURNAL, names::STATE, names::CONTROL];
    for name in disk.list(root)? {
        let unfinished = [names::STORE, names::CONTROL]
            .iter()
            .any(|ours| temporary(ours).as_os_str() == name.as_str());
        if !unfinished && !ours.contains(&name.as_str()) {
            return Ok(false);
        }
    }
    for name in [names::JOURNAL, names::STATE] {
        let path = root.join(name);
        if disk.entry(&path)? == Entry::Directory && !disk.list(&path)?.is_empty() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The identity of a new store. One that takes over another's journal is on the next timeline.
pub(crate) fn create_header(
    disk: &dyn Disk,
    clock: &dyn Clock,
    segment_bytes: u64,
    forks: Vec<Fork>,
) -> StoreHeader {
    let mut random = [0; 10];
    disk.entropy(&mut random);
    let created = clock.now();
    let millis = u64::try_from(created.as_micros() / 1000).unwrap_or(0);
    StoreHeader {
        store: uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid(),
        timeline: forks.last().map_or(1, |fork| fork.timeline.saturating_add(1)),
        segment_bytes,
        created,
        forks,
    }
}

/// What the STORE file says.
pub(crate) fn read_identity(disk: &dyn Disk, root: &Path) -> Result<StoreHeader> {
    let path = root.join(names::STORE);
    let text = sys::read_file(disk, &path, STORE_BYTES_MAX)?;
    StoreHeader::parse(&text).map_err(|why| {
        match why {
            NotAStoreFile::Newer(version) => {
                Error::new(&code::FORMAT_TOO_NEW, format!("the store has format {version}"))
            }
            NotAStoreFile::Damaged(what) => Error::new(
                &code::STORE_HEADER_DAMAGED,
                format!("the STORE file is damaged: {what}"),
            ),
        }
        .at_path(&path)
    })
}

fn mould(options: &Options, root: &Path, identity: &StoreHeader) -> Result<Mould> {
    // Who only reads appends nothing, and need not ask.
    let by_map = !options.read_only && options.appends_by_map(root)?;
    Ok(Mould {
        disk: Arc::clone(&options.disk),
        root: root.to_path_buf(),
        identity: identity.clone(),
        access: if by_map { MapAccess::Append } else { MapAccess::AppendBeside },
    })
}

/// The state folded from an opened journal. To salvage, up to the first damage.
fn fold(options: &Options, opened: &Opened, identity: StoreHeader) -> Result<Parts> {
    let journal = &opened.journal;
    let catalogue = Catalogue::new();
    let mut doubts = Doubts::new(!options.read_only);
    let mut tail = opened.tail;
    let mut notices = opened.notices.clone();
    let (state, loaded_lsn, passed) = loop {
        let Loaded { mut state, digest, lsn } =
            maintenance::load(journal, &catalogue, &mut doubts)?;
        match replay(journal, &catalogue, &mut state, digest, tail.lsn) {
            Err(error) if error.code().id == code::CHECKPOINT_DAMAGED.id => {
                doubts.add(journal, lsn, &error)?;
            }
            Err(error) if options.salvage && error.kind() == ErrorKind::Corrupt => {
                tail = sound_part(journal, lsn, tail.lsn, error, &mut notices)?;
            }
            passed => break (state, lsn, passed?),
        }
    };
    notices.extend(doubts.notices);
    Ok(Parts {
        root: opened.journal.mould.root.clone(),
        identity,
        journal: Arc::clone(&opened.journal),
        catalogue,
        state,
        tail,
        durability: options.durability,
        notices,
        behind: Behind::new(options.checkpoint_bytes, loaded_lsn, passed),
        writing: None,
    })
}

/// Where the transactions behind `from` end that are sound, of those up to `to`, which are not all.
fn sound_part(
    journal: &Journal,
    from: Lsn,
    to: Lsn,
    error: Error,
    notices: &mut Vec<Notice>,
) -> Result<Tail> {
    let sound = journal.frames(from.next(), to).map_while(Result::ok).last();
    let mut last = sound.map_or(from, |frame| frame.header.lsn);
    if let Some(wrong) = error.place().lsn {
        // The frame may be whole, and what it says wrong.
        last = last.min(wrong.previous());
    }
    if last >= to || last < from {
        return Err(error);
    }
    notices.push(recover::salvaged(&error, last));
    match last {
        Lsn::ZERO => Ok(Tail::EMPTY),
        last => Ok(Tail::after(&journal.find(last)?)),
    }
}

fn open_for_reading(options: &Options, root: &Path, identity: StoreHeader) -> Result<Store> {
    let mould = mould(options, root, &identity)?;
    let opened = recover::open_read_only(mould, Arc::clone(&options.clock), options.salvage)?;
    let engine = Engine::new(fold(options, &opened, identity)?);
    Ok(Store { engine: Arc::new(Handle::new(Arc::new(engine))) })
}

fn open_for_writing(options: &Options, root: &Path, identity: StoreHeader) -> Result<Store> {
    let lock = options.disk.lock(&root.join(names::LOCK))?;
    let mould = mould(options, root, &identity)?;
    let mut opened = recover::open_for_writing(mould, &options.clock)?;
    let active = opened.active.take().ok_or_else(|| {
        Error::new(&code::IO, "recovery left no segment to write to").at_path(root)
    })?;
    let mut parts = fold(options, &opened, identity)?;
    let ready = match options.durability {
        Durability::Process => Ready::ToWrite,
        // Else a sync would write them as zeros, and another one as data.
        Durability::Sync | Durability::Interval(_) => Ready::Clean,
    };
    let keeper = Keeper::start(&opened.journal, opened.chain, ready)?;
    let (segment, changes) = active;
    let start = Start { segment, tail: opened.tail, changes };
    let writer = Writer::new(&opened.journal, keeper, start);
    parts.writing = Some(writing(options, &opened, writer, lock)?);
    let engine = Arc::new(Engine::new(parts));
    // Made first: what fails from here on closes the store again.
    let handle = Handle::new(Arc::clone(&engine));
    #[cfg(feature = "tokio")]
    listen(&engine);
    let checkpointer = maintenance::start_checkpointer(&engine)?;
    if let Some(writing) = engine.writing.as_ref() {
        super::engine::lock(&writing.background).checkpointer = Some(checkpointer);
    }
    Ok(Store { engine: Arc::new(handle) })
}

/// Has subscribers told what becomes durable, whoever waits for it.
#[cfg(feature = "tokio")]
fn listen(engine: &Arc<Engine>) {
    let listener = Arc::downgrade(engine);
    if engine.durability == Durability::Sync {
        engine.journal.sync.listen(move || {
            if let Some(engine) = listener.upgrade() {
                engine.announce();
            }
        });
    }
}

fn writing(options: &Options, opened: &Opened, writer: Writer, lock: Lock) -> Result<Writing> {
    let interval = match options.durability {
        Durability::Interval(interval) => Some(interval),
        Durability::Sync | Durability::Process => None,
    };
    Ok(Writing {
        section: parking_lot::Mutex::new(Section {
            writer,
            positions: Vec::new(),
            metadata: Vec::new(),
            heads: Vec::new(),
            spare: Vec::new(),
        }),
        closed: AtomicBool::new(false),
        background: Mutex::new(Background {
            flusher: Some(Flusher::start(&opened.journal, interval)?),
            checkpointer: None,
            lock: Some(lock),
        }),
    })
}
