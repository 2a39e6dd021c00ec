//! The state against a plain map.

use std::collections::BTreeMap;
use std::ops::Bound;

use proptest::prelude::*;

use super::*;
use crate::format::checkpoint::StateImage;
use crate::format::image::Op;

fn applied(key: &[u8], deleted: bool, position: u64) -> Applied<'_> {
    Applied {
        collection: 64,
        key,
        op: if deleted { Op::Delete } else { Op::Update },
        position: Position::from_bits(position),
    }
}

proptest! {
    #[test]
    fn a_state_equals_a_plain_map_before_and_after_a_checkpoint(
        writes in prop::collection::vec(
            (prop::collection::vec(0..4_u8, 1..4), any::<bool>()),
            0..60,
        ),
        from in prop::collection::vec(0..4_u8, 0..3),
        to in prop::collection::vec(0..4_u8, 0..3),
    ) {
        let mut state = State::default();
        let mut model = BTreeMap::new();
        for (index, (key, deleted)) in writes.iter().enumerate() {
            let lsn = Lsn::new(index as u64 + 1);
            apply(&mut state, lsn, [applied(key, *deleted, lsn.get())]);
            model.insert(key.clone(), Head::new(Position::from_bits(lsn.get()), lsn, *deleted));
        }
        let bytes = state.to_image().encode().expect("encode");
        let archived = StateImage::access(&bytes).expect("valid");
        let reread = State::from_image(archived, state.lsn).expect("consistent");
        let range = (Bound::Included(&from[..]), Bound::Excluded(&to[..]));
        for state in [&state, &reread] {
            let live = model.values().filter(|head| !head.is_deleted()).count();
            prop_assert_eq!(state.live(64), live as u64);
            prop_assert_eq!(state.len(), model.len() as u64);
            let found = state.page(64, range, false, usize::MAX);
            let expected: Vec<_> = model
                .iter()
                .filter(|(key, _)| **key >= from && **key < to)
                .map(|(key, head)| (key.clone().into_boxed_slice(), *head))
                .collect();
            prop_assert_eq!(&found, &expected);
            let mut backwards = state.page(64, range, true, usize::MAX);
            backwards.reverse();
            prop_assert_eq!(&backwards, &expected);
            for (key, head) in &model {
                prop_assert_eq!(state.head(64, key), Some(*head));
            }
        }
    }
}

#[test]
fn a_checkpoint_that_contradicts_itself_is_refused() {
    let mut state = State::default();
    apply(&mut state, Lsn::new(1), [applied(b"a", false, 1), applied(b"b", false, 2)]);
    let broken = |change: fn(&mut crate::format::checkpoint::CollectionImage)| {
        let mut image = state.to_image();
        image.collections.iter_mut().for_each(change);
        let bytes = image.encode().expect("encode");
        State::from_image(StateImage::access(&bytes).expect("valid"), state.lsn).err()
    };
    assert_eq!(broken(|_| {}), None);
    assert!(broken(|image| image.keys.reverse()).is_some());
    assert!(broken(|image| image.key_ends = vec![1, 9]).is_some());
    assert!(broken(|image| image.key_ends = vec![0, 2]).is_some());
    assert!(broken(|image| image.versions = vec![4, 4]).is_some());
    assert!(broken(|image| image.versions.clear()).is_some());
}

#[test]
#[should_panic(expected = "in order, each once")]
fn a_transaction_is_never_applied_twice() {
    let mut state = State::default();
    apply(&mut state, Lsn::new(1), []);
    apply(&mut state, Lsn::new(1), []);
}
