//! What the benches share: a temporary store, and records in it.

use std::ops::Range;

use afterimage::{CodecId, Durability, Image, Store};
use tempfile::TempDir;

pub(crate) const COLLECTION: &str = "things";
const VALUE_BYTES: usize = 100;

/// An empty store in a directory that is removed at the end. Checkpoints are written when they are
/// asked for, and not behind the bench's back.
pub(crate) fn store(durability: Durability) -> (TempDir, Store) {
    let directory = tempfile::tempdir().expect("a directory");
    let options = Store::options().durability(durability).checkpoint_every(u64::MAX);
    let store = options.open(directory.path().join("bench.store")).expect("a store");
    (directory, store)
}

/// A bijection that leaves no order: the output function of `SplitMix64`.
pub(crate) fn mixed(number: u64) -> u64 {
    let mut z = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The key of a record: sixteen bytes, in no order.
pub(crate) fn key(index: u64) -> [u8; 16] {
    (u128::from(mixed(index)) | (u128::from(index) << 64)).to_le_bytes()
}

/// Puts these records in one transaction, with values of 100 bytes that differ by `turn`.
pub(crate) fn put(store: &Store, indices: Range<u64>, turn: u64) {
    let mut value = [b'v'; VALUE_BYTES];
    value[..8].copy_from_slice(&turn.to_le_bytes());
    let image = Image::new(&value, CodecId::Raw);
    let committed = store
        .write(|tx| indices.clone().try_for_each(|n| tx.put_image(COLLECTION, &key(n), image)));
    committed.expect("committed");
}

/// Puts so many records, so many a transaction.
pub(crate) fn fill(store: &Store, records: u64, a_transaction: u64) {
    for start in (0..records).step_by(usize::try_from(a_transaction).expect("small")) {
        put(store, start..(start + a_transaction).min(records), start);
    }
}
