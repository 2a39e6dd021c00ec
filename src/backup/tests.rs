//! Building a store from slices on a disk that fails or loses power.

use std::path::Path;
use std::sync::Arc;

use super::{Slice, Target, rebuild_on};
use crate::error::{ErrorKind, Result};
use crate::format::image::{CodecId, Image};
use crate::lsn::Lsn;
use crate::store::{Author, Durability, Options, Transaction};
use crate::sys::sim::{Fault, SimDisk};
use crate::sys::{Disk as _, Entry};

const TARGET: &str = "/built.store";

fn options(disk: &Arc<SimDisk>) -> Options {
    let disk = Arc::<SimDisk>::clone(disk);
    Options::default().segment_bytes(4096).durability(Durability::Process).disk(disk)
}

/// Slices of a store of some segments.
fn slices() -> Vec<Slice> {
    let store = options(&Arc::new(SimDisk::default())).open("/sim.store").expect("opened");
    for turn in 0..12_u8 {
        let image = vec![turn; 1000];
        let put = |tx: &mut Transaction<'_>| {
            tx.put_image("things", &[turn % 5], Image::new(&image, CodecId::Raw))
        };
        store.write(put).expect("put");
    }
    store.sync().expect("durable");
    let cut = |after| Slice::take(&store, Lsn::new(after), Lsn::new(after + 4), usize::MAX);
    [0, 4, 8].map(|after| cut(after).expect("taken")).to_vec()
}

fn build(disk: &Arc<SimDisk>, slices: &[Slice]) -> Result<()> {
    let target = Target { to: Lsn::new(11), directory: Path::new(TARGET), by: &Author::default() };
    let mut slices = slices.iter().cloned().map(Ok);
    rebuild_on(&options(disk), &mut slices, &target, &mut |_| {}).map(drop)
}

/// Nothing stands where the store is to be, or the whole store; says which.
fn is_built(disk: &Arc<SimDisk>, slices: &[Slice]) -> bool {
    if disk.entry(Path::new(TARGET)).expect("the disk is sound") == Entry::Nothing {
        return false;
    }
    let store = options(disk).create(false).open(TARGET).expect("what stands there is whole");
    assert_eq!(store.head(), Lsn::new(12), "eleven, and the note of where they come from");
    let last = slices.last().expect("slices");
    assert_eq!(store.forks().last().map(|fork| fork.store), Some(last.store()));
    assert!(store.verify(crate::verify::VerifyDepth::Deep, &mut |_| {}).expect("looked").valid);
    true
}

#[test]
fn whatever_call_fails_nothing_half_built_gets_the_name() {
    let slices = slices();
    for errno in [libc::ENOSPC, libc::EIO] {
        let mut after = 0;
        loop {
            let disk = Arc::new(SimDisk::default());
            disk.fail(Fault { after, forever: after % 2 == 0, errno, torn: true });
            let built = build(&disk, &slices);
            let failed = disk.has_failed();
            disk.heal();
            let stands = is_built(&disk, &slices);
            match built {
                Ok(()) => assert!(stands),
                Err(error) => {
                    let kinds = [ErrorKind::Io, ErrorKind::Full, ErrorKind::Poisoned];
                    assert!(kinds.contains(&error.kind()), "{error:?}");
                    if !stands {
                        build(&disk, &slices).expect("tried again");
                    }
                }
            }
            if !failed {
                break;
            }
            after += 1;
        }
        assert!(after > 30, "{after} calls were made to fail");
    }
}

#[test]
fn whenever_the_power_is_cut_the_store_is_there_or_nothing_is() {
    let slices = slices();
    let disk = Arc::new(SimDisk::default());
    disk.record();
    build(&disk, &slices).expect("built");
    let states = disk.recorded();
    let (count, mut built) = (states.len(), 0);
    assert!(count > 30, "{count}");
    for (index, state) in states.into_iter().enumerate() {
        for seed in 0..4 {
            let cut = Arc::new(state.crash(seed));
            let is_built = is_built(&cut, &slices);
            built += u64::from(is_built);
            assert!(is_built || index + 1 < count, "it was said to be built");
            if !is_built {
                build(&cut, &slices).expect("tried again");
            }
        }
    }
    assert!(built >= 4);
}
