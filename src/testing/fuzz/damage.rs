//! Any bytes as damage to the files of a small store, with checksums that are right again for a
//! part of the inputs.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use super::bytes::Bytes;
use super::fixed;
use crate::error::Result;
use crate::format::digest::{CollectionSeed, StateDigest};
use crate::format::image::{CodecId, Image};
use crate::format::names;
use crate::format::store_header::StoreHeader;
use crate::lsn::Lsn;
use crate::store::{Author, KeyRange, Options, SEGMENT_BYTES_MIN, Store};
use crate::sys::sim::SimDisk;
use crate::testing::sweep::{BLOCK, Damage, File, Logical, Sweep};
use crate::verify::VerifyDepth;
use crate::verify::repair::repair_on;

const ROOT: &str = "/damaged.store";
/// One input must be fast.
const MUTATIONS_MAX: usize = 16;
/// Segments of a mutated STORE file may be this large: each is allocated.
const SEGMENT_BYTES_MAX: u64 = 4 * SEGMENT_BYTES_MIN;

/// How much of what a mutation has broken is mended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mended {
    Nothing,
    /// Each part's own checksum.
    Checksums,
    /// Also what the parts say of each other.
    Links,
}

/// Damages a store and opens it in every way there is. What is read without an error is what was
/// written, unless the checksums were made to say so; and then it has the digest that was recorded.
///
/// # Panics
/// When damage is believed.
pub fn segment_store(data: &[u8]) {
    let mut bytes = Bytes::new(data);
    let choice = bytes.byte();
    let sweep = store(choice & 1 == 0);
    let mended = match choice / 2 % 4 {
        0 | 1 => Mended::Nothing,
        2 => Mended::Checksums,
        _ => Mended::Links,
    };
    let mut files = sweep.files().to_vec();
    for _ in 0..MUTATIONS_MAX {
        if bytes.is_empty() {
            break;
        }
        mutate(&mut bytes, sweep, &mut files, mended);
    }
    if mended != Mended::Nothing {
        fixed::checksums(&mut files, mended == Mended::Links);
    }
    let known = (mended == Mended::Nothing).then_some(sweep);
    let reader = options(&files).read_only(true);
    judge(reader.clone().open(ROOT), known);
    judge(reader.clone().salvage(true).open(ROOT), known);
    drop(repair_on(&reader, Path::new(ROOT), &Author::default(), true, &mut |_| {}));
    if segments_are_small(&files) {
        recover(&files, known);
    }
}

/// Recovery, and a transaction behind what it has left.
fn recover(files: &[File], known: Option<&Sweep>) {
    let writer = options(files);
    judge(writer.clone().open(ROOT), known);
    let Ok(store) = writer.open(ROOT) else { return };
    let put =
        |key: &[u8]| store.write(|tx| tx.put_image("things", key, Image::new(b"v", CodecId::Raw)));
    drop((put(b"new-1"), put(b"more"), store.checkpoint(), store.close()));
}

/// The store that is damaged: one that was closed, or one that a killed process left.
fn store(closed: bool) -> &'static Sweep {
    static STORES: [OnceLock<Sweep>; 2] = [const { OnceLock::new() }; 2];
    let [killed, sound] = &STORES;
    if closed { sound } else { killed }.get_or_init(|| Sweep::new(closed))
}

fn mutate(bytes: &mut Bytes<'_>, sweep: &Sweep, files: &mut Vec<File>, mended: Mended) {
    let choice = bytes.byte() % 16;
    let file = bytes.below(sweep.files().len());
    let length = sweep.files().get(file).map_or(0, |(_, content)| content.len());
    let blocks = length.div_ceil(BLOCK);
    let damage = match choice {
        0 | 1 => Damage::Bit(file, bytes.below(length) * 8 + bytes.below(8)),
        2 | 3 => Damage::Byte(file, bytes.below(length), bytes.byte()),
        4 => Damage::Cut(file, bytes.below(length)),
        5 => Damage::Appended(file, bytes.byte(), 1 << bytes.below(13)),
        6 => Damage::Zeroed(file, bytes.below(blocks)),
        7 => Damage::Misplaced(file, bytes.below(blocks), bytes.below(blocks)),
        8 => Damage::Lost(file, bytes.below(blocks)),
        9 => Damage::Swapped(file, bytes.below(sweep.files().len())),
        10 => Damage::Missing(file),
        11 => return number(files, file, bytes),
        12 => return repeat(files, file, bytes),
        // Without checksums of its own an input could be one that somebody forged.
        _ if mended != Mended::Nothing => return overwrite(files, file, bytes),
        _ => Damage::Byte(file, bytes.below(length), bytes.byte()),
    };
    sweep.apply(&damage, files);
}

/// Gives a file of a segment or a checkpoint another number.
fn number(files: &mut [File], file: usize, bytes: &mut Bytes<'_>) {
    let Some((name, _)) = files.get_mut(file) else { return };
    let number = match bytes.byte() {
        0xff => u32::MAX,
        number => u32::from(number),
    };
    let nowhere = Path::new("");
    if name.starts_with(names::JOURNAL) {
        *name = names::segment(nowhere, number);
    } else if name.starts_with(names::STATE) {
        *name = names::checkpoint(nowhere, Lsn::new(number.into()));
    }
}

/// Writes some bytes of a file once more, before others.
fn repeat(files: &mut [File], file: usize, bytes: &mut Bytes<'_>) {
    let Some((_, content)) = files.get_mut(file) else { return };
    let (from, to) = (bytes.below(content.len()), bytes.below(content.len()));
    let count = 4 * bytes.below(BLOCK / 4);
    let again: Vec<u8> = content.iter().skip(from).take(count).copied().collect();
    let at = to.min(content.len());
    content.splice(at..at, again);
}

/// Writes bytes of the input over those of a file.
fn overwrite(files: &mut [File], file: usize, bytes: &mut Bytes<'_>) {
    let Some((_, content)) = files.get_mut(file) else { return };
    let at = bytes.below(content.len());
    let count = bytes.below(16);
    for (to, from) in content.iter_mut().skip(at).zip(bytes.take(count)) {
        *to = *from;
    }
}

fn options(files: &[File]) -> Options {
    let disk: Arc<dyn crate::sys::Disk> = Arc::new(SimDisk::with(Path::new(ROOT), files));
    Options::default().create(false).segment_bytes(SEGMENT_BYTES_MIN).disk(disk)
}

fn segments_are_small(files: &[File]) -> bool {
    let name = PathBuf::from(names::STORE);
    let identity = files.iter().find(|(other, _)| *other == name);
    let identity = identity.and_then(|(_, text)| StoreHeader::parse(text).ok());
    identity.is_none_or(|identity| identity.segment_bytes <= SEGMENT_BYTES_MAX)
}

/// Reads everything and checks what is believed; `known` is the store before it was damaged, if no
/// checksum was forged.
fn judge(opened: Result<Store>, known: Option<&Sweep>) {
    let Ok(store) = opened else { return };
    let verified = store.verify(VerifyDepth::Deep, &mut |_| {});
    let is_valid = verified.is_ok_and(|report| report.valid);
    let found = Logical::of(&store);
    let digests_agree = digests_agree(&store);
    if let (Ok(found), Some(known)) = (&found, known) {
        assert!(known.began_with(&found.transactions), "{:?}", found.transactions);
    }
    if is_valid {
        assert!(found.is_ok(), "a store is valid and can't be read: {found:?}");
        assert!(digests_agree.as_ref().is_ok_and(|agree| *agree), "{digests_agree:?}");
    }
    if known.is_some() {
        assert!(digests_agree.unwrap_or(true), "records are not those of their transactions");
    }
}

/// Whether the records at each moment have the digest that was recorded then.
fn digests_agree(store: &Store) -> Result<bool> {
    for transaction in store.transactions(..)? {
        let transaction = transaction?;
        let snapshot = store.snapshot_at(transaction.lsn())?;
        let mut digest = StateDigest::default();
        for collection in snapshot.collections()?.iter().filter(|found| !found.is_system()) {
            let seed = CollectionSeed::of(&collection.name);
            for record in snapshot.scan(&collection.name, KeyRange::all())? {
                let record = record?;
                digest = digest.with(seed.record(record.key()), Some(record.image()));
            }
        }
        if digest != transaction.digest() {
            return Ok(false);
        }
    }
    Ok(true)
}
