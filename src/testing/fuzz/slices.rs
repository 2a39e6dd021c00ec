//! Damage to slices, with their checksums made right again.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use super::bytes::Bytes;
use super::fixed;
use crate::backup::{Slice, Target, rebuild_on};
use crate::format::image::{CodecId, Image};
use crate::lsn::Lsn;
use crate::store::{Author, Durability, Options, Store};
use crate::sys::sim::SimDisk;
use crate::sys::{Disk as _, Entry};
use crate::time::Timestamp;

/// Where a store is built.
const TARGET: &str = "/built.store";

fn options(disk: &Arc<SimDisk>) -> Options {
    let disk = Arc::<SimDisk>::clone(disk);
    Options::default().segment_bytes(4096).durability(Durability::Process).disk(disk)
}

/// Slices of a small store, one behind the other.
fn samples() -> &'static [Vec<u8>] {
    static SAMPLES: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    SAMPLES.get_or_init(|| {
        let store = options(&Arc::new(SimDisk::default())).open("/sim.store");
        let store = store.expect("the disk is sound");
        fill(&store);
        let cut = |range: [u64; 2]| {
            let [after, until] = range.map(Lsn::new);
            Slice::take(&store, after, until, usize::MAX).expect("the journal is sound").encode()
        };
        [[0, 3], [3, 4], [4, 9]].map(cut).to_vec()
    })
}

fn fill(store: &Store) {
    for turn in 0..9_u8 {
        let written = store.write(|tx| {
            tx.at_time(Timestamp::from_micros(i64::from(turn)));
            tx.actor("ana");
            let image = vec![turn; 40 * usize::from(turn) * usize::from(turn)];
            tx.put_image("things", &[turn % 3], Image::new(&image, CodecId::Raw))
        });
        written.expect("the disk is sound");
    }
    store.sync().expect("the disk is sound");
}

/// A slice of these bytes; and slices of a small store, damaged as the bytes say, with their
/// checksums made right again, from which a store is built.
///
/// # Panics
/// If a slice is read and not written equal, or if something stands where building has failed.
pub fn slice_decode(data: &[u8]) {
    if let Ok(slice) = Slice::decode(data.to_vec()) {
        assert!(slice.encode() == data, "a slice is written as it was read");
        let found = slice.find_time(slice.first_time());
        assert!(found.is_some_and(|lsn| lsn >= slice.first()), "the first transaction has a time");
    }
    let mut input = Bytes::new(data);
    let (to, link) = (Lsn::new(u64::from(input.byte() % 12)), input.byte());
    let mut slices = samples().to_vec();
    while !input.is_empty() {
        let which = input.below(slices.len());
        let Some(slice) = slices.get_mut(which) else { break };
        // Most of what a head says stands at its front.
        let in_front = input.byte().is_multiple_of(2);
        let at = input.below(if in_front { 160 } else { slice.len() });
        match (input.byte() % 8, slice.get_mut(at)) {
            (0, _) => slice.truncate(at),
            (1, _) => slice.extend_from_slice(input.take(8)),
            (2, _) => slices.swap(0, which),
            (_, Some(byte)) => *byte = input.byte(),
            (_, None) => {}
        }
    }
    let mut previous = link.is_multiple_of(4).then_some(0);
    for slice in &mut slices {
        fixed::slice(slice, previous.as_mut());
    }
    build(slices, to);
}

fn build(slices: Vec<Vec<u8>>, to: Lsn) {
    let disk = Arc::new(SimDisk::default());
    let (directory, by) = (Path::new(TARGET), &Author::default());
    let mut slices = slices.into_iter().map(Slice::decode);
    let target = Target { to, directory, by };
    let built = rebuild_on(&options(&disk), &mut slices, &target, &mut |_| {});
    let stands = disk.entry(directory).expect("the disk is sound");
    assert_eq!(stands == Entry::Directory, built.is_ok(), "{built:?}");
    if built.is_ok() {
        let store = options(&disk).open(directory).expect("what was built opens");
        assert_eq!(store.head(), to.next(), "it ends with the note of where it comes from");
    }
}
