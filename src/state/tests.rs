//! The state against a plain map.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;
use uuid::Uuid;

use super::base::Base;
use super::checkpoint::{Extent, Plan};
use super::*;
use crate::format::checkpoint::{CHECKPOINT_HEADER_BYTES, CheckpointHeader};
use crate::format::digest::StateDigest;
use crate::format::image::Op;
use crate::sys::mmap::Map;
use crate::time::Timestamp;

const COLLECTION: u32 = 64;

type Model = BTreeMap<Vec<u8>, Head>;

/// Writes a record in a transaction of its own, as the store would.
fn write(state: &mut State, model: &mut Model, key: &[u8], deleted: bool) {
    let lsn = state.lsn.next();
    let position = Position::from_bits(lsn.get());
    let before = model.insert(key.to_vec(), Head::new(position, lsn, deleted));
    let was_live = before.is_some_and(|before| !before.is_deleted());
    let op = match (was_live, deleted) {
        (true, true) => Op::Delete,
        (true, false) => Op::Update,
        (false, false) => Op::Create,
        // Deleting what is not there is no change; here it makes a tombstone out of nothing.
        (false, true) => {
            model.insert(key.to_vec(), Head::new(position, lsn, false));
            Op::Create
        }
    };
    let previous = before.map_or(Position::NONE, |before| before.position);
    apply(state, lsn, [Applied { collection: COLLECTION, key, op, position, previous }]);
}

/// The bytes of a checkpoint.
fn checkpoint_bytes(plan: &Plan<'_>) -> (CheckpointHeader, Vec<u8>) {
    let mut bytes = vec![0; CHECKPOINT_HEADER_BYTES];
    let written = checkpoint::write(plan, |piece| {
        bytes.extend_from_slice(piece);
        Ok(())
    });
    let written = written.expect("written");
    let header = CheckpointHeader {
        store: Uuid::nil(),
        timeline: 1,
        frame_crc: 0,
        lsn: plan.lsn(),
        frame: Position::NONE,
        time: Timestamp::default(),
        digest: StateDigest::default(),
        directory: written.directory,
        directory_length: written.directory_length,
        directory_hash: written.directory_hash,
        below: plan.below(),
    };
    (header, bytes)
}

fn base_of((header, bytes): (CheckpointHeader, Vec<u8>)) -> Base {
    let map = Arc::new(Map::of_bytes(&bytes).expect("memory"));
    map.advance(bytes.len());
    Base::new(Path::new("test.ckpt"), map, header).expect("consistent")
}

/// Writes a checkpoint of what is frozen and so many of the bases, and stands on it.
fn install(state: &mut State, frozen: &Frozen, merged: usize, images: &mut Images) {
    let plan = Plan { frozen, merged: merged.min(frozen.bases.len()) };
    let image = checkpoint_bytes(&plan);
    let below = images.iter().position(|(header, _)| header.lsn == plan.below());
    images.splice(..below.unwrap_or(images.len()), [image.clone()]);
    state.install(base_of(image), plan.merged);
}

/// The checkpoints that a state stands on, as files.
type Images = Vec<(CheckpointHeader, Vec<u8>)>;

/// Writes a checkpoint of everything and stands on it.
fn checkpoint_in_memory(state: &mut State) {
    let frozen = state.freeze();
    install(state, &frozen, usize::MAX, &mut Images::new());
}

/// What happens to a state between two looks at it.
#[derive(Clone, Debug)]
enum Step {
    Write(Vec<u8>, bool),
    /// Writes as a replay does.
    Many(Vec<(Vec<u8>, bool)>),
    Freeze,
    /// Writes a checkpoint that merges so many of the bases.
    Install(usize),
    Reopen,
}

fn key() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(0..3_u8, 1..5),
        prop::collection::vec(0..3_u8, 1..4)
            .prop_map(|tail| [&b"room-number:"[..], &tail].concat()),
        (0..2000_u16).prop_map(|number| vec![(number % 251) as u8, (number % 7) as u8]),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        60 => (key(), any::<bool>()).prop_map(|(key, deleted)| Step::Write(key, deleted)),
        1 => prop::collection::vec((key(), any::<bool>()), 0..300).prop_map(Step::Many),
        1 => Just(Step::Freeze),
        2 => (0..4_usize).prop_map(Step::Install),
        1 => Just(Step::Reopen),
    ]
}

fn check(state: &State, model: &Model, from: &[u8], to: &[u8]) {
    let live = model.values().filter(|head| !head.is_deleted()).count();
    assert_eq!(state.live(COLLECTION), live as u64);
    assert_eq!(state.len(), model.len() as u64);
    for (key, head) in model {
        assert_eq!(state.head(COLLECTION, key).expect("sound"), Some(*head));
    }
    assert_eq!(state.head(COLLECTION, from).expect("sound"), model.get(from).copied());
    let absent = [&b"absent"[..], from, to];
    let keys: Vec<&[u8]> = model.keys().map(|key| &key[..]).chain(absent).collect();
    let mut heads = Vec::new();
    state.heads(COLLECTION, &keys, &mut heads).expect("sound");
    let expected: Vec<_> = keys.iter().map(|key| model.get(*key).copied()).collect();
    assert_eq!(heads, expected, "many at once");
    let bounds = [Bound::Unbounded, Bound::Included(from), Bound::Excluded(from)];
    let ends = [Bound::Unbounded, Bound::Included(to), Bound::Excluded(to)];
    for range in bounds.iter().flat_map(|start| ends.iter().map(move |end| (*start, *end))) {
        let inside = |key: &[u8]| {
            let after = match range.0 {
                Bound::Unbounded => true,
                Bound::Included(start) => key >= start,
                Bound::Excluded(start) => key > start,
            };
            after
                && match range.1 {
                    Bound::Unbounded => true,
                    Bound::Included(end) => key <= end,
                    Bound::Excluded(end) => key < end,
                }
        };
        let mut expected: Vec<(&[u8], Head)> =
            model.iter().filter(|(key, _)| inside(key)).map(|(k, h)| (&k[..], *h)).collect();
        for reverse in [false, true] {
            for limit in [usize::MAX, expected.len() / 2] {
                let mut page = Page::new(limit);
                state.page(COLLECTION, range, reverse, &mut page).expect("sound");
                let expected = expected.get(..limit.min(expected.len())).unwrap_or_default();
                let heads: Vec<Head> = expected.iter().map(|(_, head)| *head).collect();
                assert_eq!(page.heads, heads, "{range:?}, reverse: {reverse}");
                if let (Some((key, _)), true) = (expected.last(), expected.len() == limit) {
                    assert_eq!(page.last, *key);
                }
            }
            expected.reverse();
        }
        let middle = Lsn::new(state.lsn.get() / 2);
        let changed = state.changed_since(COLLECTION, range, middle).expect("sound");
        let found = expected.iter().find(|(_, head)| head.lsn() > middle);
        assert_eq!(changed, found.map(|(key, head)| (key.to_vec(), *head)));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn any_layers_of_a_state_equal_a_plain_map(
        steps in prop::collection::vec(step(), 0..400),
        from in key(),
        to in key(),
    ) {
        let (mut state, mut model) = (State::default(), Model::new());
        let (mut frozen, mut images) = (None, Images::new());
        for step in steps {
            match step {
                Step::Write(key, deleted) => write(&mut state, &mut model, &key, deleted),
                Step::Many(writes) => state.apply_many(|state| {
                    for (key, deleted) in writes {
                        write(state, &mut model, &key, deleted);
                    }
                }),
                Step::Freeze => frozen = Some(state.freeze()),
                Step::Install(merged) => {
                    let frozen = frozen.take().unwrap_or_else(|| state.freeze());
                    check(&state, &model, &from, &to);
                    install(&mut state, &frozen, merged, &mut images);
                }
                Step::Reopen => {
                    if let Some(frozen) = frozen.take() {
                        install(&mut state, &frozen, 0, &mut images);
                    }
                    let now = state.freeze();
                    install(&mut state, &now, 0, &mut images);
                    let bases = images.iter().cloned().map(base_of).collect();
                    let reopened = State::from_bases(bases);
                    assert!(state.is_equal(&reopened).expect("sound"));
                    state = reopened;
                }
            }
        }
        check(&state, &model, &from, &to);
    }
}

/// A state of many records in several blocks and leaves.
fn large() -> (State, Model) {
    let (mut state, mut model) = (State::default(), Model::new());
    for number in 0..1500_u32 {
        let key = format!("record-{:08x}", number.wrapping_mul(0x9e37_79b9));
        write(&mut state, &mut model, key.as_bytes(), false);
    }
    (state, model)
}

#[test]
fn many_records_are_found_in_memory_and_in_a_base() {
    let (mut state, mut model) = large();
    check(&state, &model, b"record-3", b"record-7");
    checkpoint_in_memory(&mut state);
    check(&state, &model, b"record-3", b"record-7");
    for number in (0..1500_u32).step_by(7) {
        let key = format!("record-{:08x}", number.wrapping_mul(0x9e37_79b9));
        write(&mut state, &mut model, key.as_bytes(), number % 2 == 0);
    }
    check(&state, &model, b"record-3", b"record-7");
}

/// Checkpoints behind 20,000 new records each: every layer is larger than all newer ones together.
#[test]
fn layers_grow_and_few_records_are_written_again() {
    let (mut state, mut images) = (State::default(), Images::new());
    let (mut written, mut records) = (0, 0_u32);
    for _ in 0..20 {
        for _ in 0..20_000 {
            let key = records.wrapping_mul(0x9e37_79b9).to_le_bytes();
            records += 1;
            let lsn = state.lsn.next();
            let position = Position::from_bits(lsn.get());
            let (op, previous) = (Op::Create, Position::NONE);
            let change = Applied { collection: COLLECTION, key: &key, op, position, previous };
            apply(&mut state, lsn, [change]);
        }
        let frozen = state.freeze();
        let merged = Plan::new(&frozen, Extent::Layer).merged;
        install(&mut state, &frozen, merged, &mut images);
        let entries: Vec<u64> = state.bases.iter().map(|base| base.entries()).collect();
        for (index, entry) in entries.iter().enumerate() {
            assert!(*entry > entries.iter().take(index).sum(), "{entries:?}");
        }
        assert_eq!(state.len(), u64::from(records));
        written += entries[0];
    }
    assert_eq!(
        state.bases.iter().map(|base| base.entries()).collect::<Vec<_>>(),
        [40_000, 120_000, 240_000]
    );
    assert!(written < 4 * u64::from(records), "{written}");
}

#[test]
fn keys_of_the_largest_size_have_a_block_each() {
    let (mut state, mut model) = (State::default(), Model::new());
    for byte in 0..5 {
        write(&mut state, &mut model, &vec![byte; crate::format::change::KEY_BYTES_MAX], false);
        write(&mut state, &mut model, &[byte], false);
    }
    checkpoint_in_memory(&mut state);
    check(&state, &model, &[1], &[3; 9]);
}

#[test]
fn a_flipped_bit_of_a_checkpoint_is_an_error_and_never_another_record() {
    let (mut state, model) = large();
    let frozen = state.freeze();
    let (header, sound) = checkpoint_bytes(&Plan::new(&frozen, Extent::Whole));
    let mut refused = 0;
    for at in (CHECKPOINT_HEADER_BYTES..sound.len()).step_by(397) {
        let mut bytes = sound.clone();
        bytes[at] ^= 1 << (at % 8);
        let map = Arc::new(Map::of_bytes(&bytes).expect("memory"));
        map.advance(bytes.len());
        let Ok(base) = Base::new(Path::new("test.ckpt"), map, header) else {
            refused += 1;
            continue;
        };
        let state = State::from_bases(vec![base]);
        for (key, head) in &model {
            match state.head(COLLECTION, key) {
                Ok(found) => assert_eq!(found, Some(*head)),
                Err(error) => {
                    assert_eq!(error.code().id, crate::error::code::CHECKPOINT_DAMAGED.id);
                    refused += 1;
                }
            }
        }
    }
    assert!(refused > 0);
}

#[test]
#[should_panic(expected = "in order, each once")]
fn a_transaction_is_never_applied_twice() {
    let mut state = State::default();
    apply(&mut state, Lsn::new(1), []);
    apply(&mut state, Lsn::new(1), []);
}
