//! Slices that are not what was taken: nothing is made of them.

use std::path::Path;

use afterimage::{Error, Lsn, SLICE_BYTES, Slice, code};

use super::{build, by, cut, fill, take};
use crate::common::{Place, put};
use crate::number::number;
use crate::random::Random;

/// A slice that continues another, over the end of a segment.
fn sample() -> Vec<u8> {
    let place = Place::new();
    let store = place.open();
    fill(&store, 12);
    store.sync().expect("durable");
    let slice = take(&store, 7, 12);
    assert!(slice.journal_bytes() > 1000);
    slice.encode()
}

fn refused(bytes: Vec<u8>, what: &str) -> Error {
    let error = match Slice::decode(bytes) {
        Ok(slice) => panic!("{what} was believed: {slice:?}"),
        Err(error) => error,
    };
    let codes = [code::SLICE_DAMAGED.id, code::FORMAT_TOO_NEW.id];
    assert!(codes.contains(&error.code().id), "{what}: {error:?}");
    error
}

#[test]
fn no_flipped_bit_of_a_slice_is_believed() {
    let bytes = sample();
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << bit;
            refused(flipped, &format!("bit {bit} of byte {at}"));
        }
    }
}

#[test]
fn no_part_of_a_slice_is_taken_for_it() {
    let bytes = sample();
    for length in 0..bytes.len() {
        refused(bytes[..length].to_vec(), &format!("{length} bytes"));
        refused(bytes[length + 1..].to_vec(), &format!("all but {length} bytes"));
    }
    for more in [&[0][..], &[0; 4], &[0xff; 64], &bytes] {
        refused([&bytes, more].concat(), "something behind it");
    }
}

#[test]
fn damage_behind_the_head_names_the_transactions() {
    let mut bytes = sample();
    *bytes.last_mut().expect("bytes") ^= 1;
    let error = refused(bytes, "the last byte");
    assert!(error.message().contains("LSN 8 to 12"), "{error}");
}

#[test]
fn random_mutations_are_refused() {
    let bytes = sample();
    let mut random = Random(number("AFTERIMAGE_SLICE_FIRST", 1));
    for turn in 0..number("AFTERIMAGE_SLICE_MUTATIONS", 3000) {
        let mut mutated = bytes.clone();
        let below = |random: &mut Random, bound: usize| {
            usize::try_from(random.below(bound.max(1) as u64)).expect("small")
        };
        for _ in 0..=below(&mut random, 4) {
            let at = below(&mut random, mutated.len());
            let end = (at + 1 + below(&mut random, 64)).min(mutated.len());
            match random.below(5) {
                0 => mutated[at..end].fill(0),
                1 => mutated[at..end].fill(0xff),
                2 => drop(mutated.drain(at..end)),
                3 => {
                    let part = mutated[at..end].to_vec();
                    drop(mutated.splice(at..at, part));
                }
                _ => mutated[at] ^= 1 << random.below(8),
            }
            if mutated.is_empty() {
                break;
            }
        }
        if mutated != bytes {
            refused(mutated, &format!("mutation {turn}"));
        }
    }
}

fn not_built(slices: &[Slice], to: u64, directory: &Path, named: &str) {
    let error = build(slices, to, directory).expect_err(named);
    assert_eq!(error.code().id, code::SLICE_CHAIN.id, "{error:?}");
    assert!(error.message().contains(named), "{error} does not name {named}");
    assert!(!directory.exists());
}

#[test]
fn slices_that_do_not_continue_one_another_make_no_store() {
    let place = Place::new();
    let store = place.open();
    fill(&store, 20);
    let (slices, directory) = (cut(&store, 4), place.beside("copy.store"));
    let only = |wanted: &[usize]| -> Vec<Slice> {
        wanted.iter().map(|index| slices[*index].clone()).collect()
    };
    not_built(&only(&[1, 2]), 12, &directory, "LSN 5 to 8");
    not_built(&only(&[0, 2]), 12, &directory, "LSN 9 to 12");
    not_built(&only(&[0, 1, 1]), 12, &directory, "LSN 5 to 8");
    not_built(&only(&[0, 1, 3, 2]), 20, &directory, "LSN 13 to 16");
    let overlapping = take(&store, 3, 8);
    not_built(&[slices[0].clone(), overlapping], 8, &directory, "LSN 4 to 8");
    let twin = Place::new();
    let other = twin.open();
    fill(&other, 20);
    let foreign = cut(&other, 4);
    not_built(&[slices[0].clone(), foreign[1].clone()], 8, &directory, "LSN 5 to 8");
    build(&slices, 20, &directory).expect("over what was begun and not finished");
    not_built_from_another_line(&place, &slices);
}

/// Two stores that were built from the same slices have the same numbers and other transactions.
fn not_built_from_another_line(place: &Place, slices: &[Slice]) {
    let [one, other] = ["one.store", "other.store"].map(|name| {
        let directory = place.beside(name);
        build(slices, 20, &directory).expect("built");
        let store = Place::options().open(directory).expect("opened");
        for n in 0..4 {
            put(&store, "k", &format!("{name} {n}"));
        }
        cut(&store, 21)
    });
    let directory = place.beside("mixed.store");
    let mixed = [one[0].clone(), other[1].clone()];
    not_built(&mixed, 25, &directory, "LSN 22 to 25");
}

#[test]
fn an_error_of_the_source_ends_the_building() {
    let place = Place::new();
    let store = place.open();
    fill(&store, 9);
    let slices = cut(&store, 3);
    let directory = place.beside("copy.store");
    let gone = || Err(Error::new(&code::IO, "the disk was pulled out"));
    let mut source = slices.into_iter().take(2).map(Ok).chain(std::iter::once_with(gone));
    let built = afterimage::rebuild(&mut source, Lsn::new(9), &directory, &by(), &mut |_| {});
    assert_eq!(built.expect_err("refused").message(), "the disk was pulled out");
    assert!(!directory.exists());
}

#[test]
fn a_damaged_journal_gives_no_slice() {
    let place = Place::new();
    let store = place.open();
    fill(&store, 30);
    let head = store.sync().expect("durable");
    let path = place.path().join("journal/00000001.seg");
    let mut bytes = std::fs::read(&path).expect("read");
    bytes[700] ^= 1;
    std::fs::write(&path, bytes).expect("written");
    let error = Slice::take(&store, Lsn::ZERO, head, SLICE_BYTES).expect_err("refused");
    assert_eq!(error.code().id, code::FRAME_DAMAGED.id);
    assert_eq!(error.place().path.as_deref(), Some(&*path));
    assert!(error.place().lsn.is_some());
}

#[test]
fn damage_with_right_checksums_makes_a_whole_store_or_none() {
    let mut random = Random(number("AFTERIMAGE_SLICE_FIRST", 1));
    for _ in 0..number("AFTERIMAGE_SLICE_MUTATIONS", 3000) / 10 {
        let length = 2 + random.below(24);
        let input: Vec<u8> = (0..length).map(|_| random.below(256).to_le_bytes()[0]).collect();
        afterimage::testing::fuzz::slice_decode(&input);
    }
}
