//! A small store, damaged in every way there is, and what came of it.
//!
//! Nothing that is damaged may be believed: either it is found, or everything reads as before.

#![expect(clippy::expect_used, reason = "a broken promise fails the test that uses this")]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::crash::{Bench, Operation};
use crate::error::Result;
use crate::format::control::Control;
use crate::format::image::{CodecId, Image};
use crate::format::names;
use crate::store::{Durability, KeyRange, Options, Store};
use crate::sys::sim::SimDisk;
use crate::verify::VerifyDepth;

/// Bytes of a block, as disks lose, double and misplace them.
pub(super) const BLOCK: usize = 512;

/// What is done to the files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Damage {
    /// A bit of a file is flipped: the file's number, the bit's.
    Bit(usize, usize),
    /// A byte is set.
    Byte(usize, usize, u8),
    /// A file ends early.
    Cut(usize, usize),
    /// Something follows the end of a file.
    Appended(usize, u8, usize),
    /// A block is zeroed.
    Zeroed(usize, usize),
    /// A block holds what belongs to another one of the file.
    Misplaced(usize, usize, usize),
    /// A block is as it was earlier.
    Lost(usize, usize),
    /// A file is as it was earlier, or not there if it was not.
    Older(usize),
    /// A file is not there.
    Missing(usize),
    /// A file holds what belongs to another one.
    Swapped(usize, usize),
    /// A file is that of another store.
    Foreign(usize),
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// A typed error named it: opening, reading or verifying did.
    Detected,
    /// Everything reads as before; a notice or a warning says what was wrong.
    Repaired,
    /// Everything reads as before, and nothing was said: the bytes mean nothing, or say what others
    /// say as well.
    Harmless,
    /// The last transaction, for which nothing vouches, was taken for a write that a crash has
    /// interrupted.
    CutOff,
}

/// A file by its name in the store.
pub(super) type File = (PathBuf, Vec<u8>);

/// A store to be damaged.
#[derive(Debug)]
pub struct Sweep {
    files: Vec<File>,
    older: Vec<File>,
    foreign: Vec<File>,
    expected: Logical,
    /// How many transactions the beacon vouches for.
    beacon: usize,
}

/// Everything that can be asked of a store, from its first transaction on.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Logical {
    pub(super) transactions: Vec<String>,
    records: Vec<String>,
}

const HISTORY: [Operation; 12] = [
    Operation::Put,
    Operation::Batch,
    Operation::Large,
    Operation::Update,
    Operation::Whole,
    Operation::Delete,
    Operation::Large,
    Operation::Batch,
    Operation::Layer,
    Operation::Update,
    Operation::Put,
    Operation::Delete,
];

impl Sweep {
    /// A store with several segments and layers of checkpoints; closed, or as a killed process
    /// leaves it.
    #[must_use]
    pub fn new(closed: bool) -> Self {
        let (files, older) = files_of(1, closed);
        let (foreign, _) = files_of(2, closed);
        let store = open(&files, true).expect("the store is sound");
        let expected = Logical::of(&store).expect("the store is readable");
        let control = files.iter().find(|(name, _)| name.ends_with(names::CONTROL));
        let control = control.and_then(|(_, bytes)| Control::newest(bytes).ok());
        let beacon = control.map_or(0, |control| control.durable_lsn.get());
        let beacon = usize::try_from(beacon).expect("few transactions");
        Self { files, older, foreign, expected, beacon }
    }

    /// Bytes of all files.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.files.iter().map(|(_, bytes)| bytes.len()).sum()
    }

    /// The files of the store.
    pub(super) fn files(&self) -> &[File] {
        &self.files
    }

    /// Whether these are the first transactions of the store.
    pub(super) fn began_with(&self, transactions: &[String]) -> bool {
        self.expected.transactions.starts_with(transactions)
    }

    /// Every damage there is, bits first.
    pub fn damages(&self) -> impl Iterator<Item = Damage> + '_ {
        let files = 0..self.files.len();
        let lengths = files.clone().map(|file| (file, self.length(file)));
        let bits = lengths
            .clone()
            .flat_map(|(file, length)| (0..length * 8).map(move |bit| Damage::Bit(file, bit)));
        let bytes = lengths.clone().flat_map(|(file, length)| {
            (0..length).flat_map(move |at| {
                [Damage::Byte(file, at, 0), Damage::Byte(file, at, 0xff), Damage::Cut(file, at)]
            })
        });
        let blocks = lengths.clone().flat_map(|(file, length)| {
            let blocks = 0..length.div_ceil(BLOCK);
            blocks.clone().flat_map(move |block| {
                let others = blocks.clone().map(move |other| Damage::Misplaced(file, block, other));
                others.chain([Damage::Zeroed(file, block), Damage::Lost(file, block)])
            })
        });
        let whole = files.clone().flat_map(move |file| {
            let others = files.clone().map(move |other| Damage::Swapped(file, other));
            let appended = [1, 64, 4096].into_iter().flat_map(move |count| {
                [0, 0xff, b'x'].map(move |byte| Damage::Appended(file, byte, count))
            });
            let single = [Damage::Older(file), Damage::Missing(file), Damage::Foreign(file)];
            others.chain(appended).chain(single)
        });
        bits.chain(bytes).chain(blocks).chain(whole)
    }

    fn length(&self, file: usize) -> usize {
        self.files.get(file).map_or(0, |(_, bytes)| bytes.len())
    }

    /// Damages a copy of the store and looks what comes of it, by reading and, with `writing`, by
    /// opening it for writing; `None` if the damage changes nothing.
    ///
    /// # Panics
    /// When damage is believed, or opening for writing and for reading do not agree.
    #[must_use]
    pub fn outcome(&self, damage: &Damage, writing: bool) -> Option<Outcome> {
        let mut damaged = self.files.clone();
        self.apply(damage, &mut damaged);
        if damaged == self.files {
            return None;
        }
        let outcome = self.judge(damage, open(&damaged, true));
        if writing {
            // Recovery may repair more than a reader does, but must not believe more.
            self.judge(damage, open(&damaged, false));
        }
        Some(outcome)
    }

    fn judge(&self, damage: &Damage, opened: Result<Store>) -> Outcome {
        let Ok(store) = opened else { return Outcome::Detected };
        let Ok(found) = Logical::of(&store) else { return Outcome::Detected };
        let Ok(report) = store.verify(VerifyDepth::Deep, &mut |_| {}) else {
            return Outcome::Detected;
        };
        if !report.valid {
            return Outcome::Detected;
        }
        let told = !report.warnings.is_empty() || !store.notices().is_empty();
        if found == self.expected {
            return if told { Outcome::Repaired } else { Outcome::Harmless };
        }
        let (left, all) = (found.transactions.len(), self.expected.transactions.len());
        let is_prefix = self.expected.transactions.starts_with(&found.transactions);
        assert!(
            is_prefix && left >= self.beacon && left + 1 == all,
            "{damage:?} of {:?} was believed: {left} transactions of {all}, {} vouched for",
            self.file_of(damage),
            self.beacon
        );
        // A block that is lost leaves zeros, as if nothing had been written there.
        let is_local = matches!(damage, Damage::Bit(..) | Damage::Byte(..) | Damage::Appended(..));
        assert!(!is_local || told, "{damage:?} of {:?} was not told", self.file_of(damage));
        Outcome::CutOff
    }

    fn file_of(&self, damage: &Damage) -> Option<&Path> {
        let (Damage::Bit(file, _)
        | Damage::Byte(file, ..)
        | Damage::Cut(file, _)
        | Damage::Appended(file, ..)
        | Damage::Zeroed(file, _)
        | Damage::Misplaced(file, ..)
        | Damage::Lost(file, _)
        | Damage::Older(file)
        | Damage::Missing(file)
        | Damage::Swapped(file, _)
        | Damage::Foreign(file)) = damage;
        self.files.get(*file).map(|(name, _)| name.as_path())
    }

    /// Damages files which are those of the store, or these with other damage already.
    pub(super) fn apply(&self, damage: &Damage, files: &mut Vec<File>) {
        let name = |file: usize| self.files.get(file).map(|(name, _)| name);
        let mut change = |file: usize, change: &dyn Fn(&mut Vec<u8>)| {
            for (_, bytes) in files.iter_mut().filter(|(other, _)| name(file) == Some(other)) {
                change(bytes);
            }
        };
        let block_of = |bytes: &[u8], block: usize| -> Vec<u8> {
            let mut found: Vec<u8> =
                bytes.iter().skip(block * BLOCK).take(BLOCK).copied().collect();
            found.resize(BLOCK, 0);
            found
        };
        let set_block = |bytes: &mut Vec<u8>, block: usize, content: &[u8]| {
            let place = bytes.iter_mut().skip(block * BLOCK);
            place.zip(content).for_each(|(to, from)| *to = *from);
        };
        match *damage {
            Damage::Bit(file, bit) => change(file, &|bytes| {
                bytes.iter_mut().skip(bit / 8).take(1).for_each(|byte| *byte ^= 1 << (bit % 8));
            }),
            Damage::Byte(file, at, value) => change(file, &|bytes| {
                bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte = value);
            }),
            Damage::Cut(file, at) => change(file, &|bytes| bytes.truncate(at)),
            Damage::Appended(file, byte, count) => {
                change(file, &|bytes| bytes.extend(std::iter::repeat_n(byte, count)));
            }
            Damage::Zeroed(file, block) => {
                change(file, &|bytes| set_block(bytes, block, &[0; BLOCK]));
            }
            Damage::Misplaced(file, block, other) => change(file, &|bytes| {
                let content = block_of(bytes, other);
                set_block(bytes, block, &content);
            }),
            Damage::Lost(file, block) => {
                let older = self.named(&self.older, file).map(|bytes| block_of(bytes, block));
                change(file, &|bytes| {
                    set_block(bytes, block, older.as_deref().unwrap_or(&[0; BLOCK]));
                });
            }
            Damage::Swapped(file, other) => {
                let content = self.files.get(other).map(|(_, bytes)| bytes.clone());
                change(file, &|bytes| *bytes = content.clone().unwrap_or_default());
            }
            Damage::Foreign(file) => {
                let content = self.named(&self.foreign, file).cloned();
                change(file, &|bytes| bytes.clone_from(content.as_ref().unwrap_or(&bytes.clone())));
            }
            Damage::Older(file) => match self.named(&self.older, file) {
                Some(content) => change(file, &|bytes| bytes.clone_from(content)),
                None => files.retain(|(other, _)| name(file) != Some(other)),
            },
            Damage::Missing(file) => files.retain(|(other, _)| name(file) != Some(other)),
        }
    }

    /// The file of the same name among others.
    fn named<'a>(&self, others: &'a [File], file: usize) -> Option<&'a Vec<u8>> {
        let (name, _) = self.files.get(file)?;
        others.iter().find(|(other, _)| other == name).map(|(_, bytes)| bytes)
    }
}

/// The files of a store, and what they were in the middle of its history.
fn files_of(seed: u64, closed: bool) -> (Vec<File>, Vec<File>) {
    let mut bench = Bench::new(seed, Durability::Sync).expect("the disk is sound");
    let (first, second) = HISTORY.split_at(HISTORY.len() / 2);
    for operation in first {
        bench.operate(*operation);
    }
    let older = bench.files();
    for operation in second {
        bench.operate(*operation);
    }
    if closed {
        bench.close();
    }
    (bench.files(), older)
}

fn open(files: &[File], read_only: bool) -> Result<Store> {
    let root = Path::new("/sweep.store");
    let disk: Arc<dyn crate::sys::Disk> = Arc::new(SimDisk::with(root, files));
    let options = Options::default().segment_bytes(4096).durability(Durability::Sync);
    options.read_only(read_only).create(false).disk(disk).open(root)
}

impl Logical {
    pub(super) fn of(store: &Store) -> Result<Self> {
        let mut transactions = Vec::new();
        for transaction in store.transactions(..)? {
            let transaction = transaction?;
            let mut text = format!(
                "{} {} {} {:?}",
                transaction.lsn(),
                transaction.time(),
                transaction.digest(),
                transaction.metadata()
            );
            for change in transaction.changes() {
                let change = change?;
                let (before, after) = (bytes_of(change.before()), bytes_of(change.after()));
                let record = (change.collection(), change.key(), change.op());
                write!(text, " {record:?} {before:?} {after:?}").expect("memory");
            }
            transactions.push(text);
        }
        let mut records = Vec::new();
        let snapshot = store.snapshot();
        for collection in snapshot.collections()? {
            for record in snapshot.scan(&collection.name, KeyRange::all())? {
                let record = record?;
                let image = bytes_of(Some(record.image()));
                records.push(format!("{:?} {} {image:?}", record.key(), record.lsn()));
            }
        }
        Ok(Self { transactions, records })
    }
}

/// An image with all its bytes, which it does not print by itself.
fn bytes_of(image: Option<Image<'_>>) -> Option<(CodecId, u32, &[u8])> {
    image.map(|image| (image.codec(), image.schema(), image.bytes()))
}
