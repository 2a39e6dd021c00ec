use proptest::prelude::*;

use super::*;

/// Few names and few leaves, so that the sides often touch the same.
fn mergeable() -> impl Strategy<Value = Tree> {
    let leaf = prop_oneof![
        Just(Tree::Null),
        (0..3_u8).prop_map(|n| Tree::Number(n.to_string())),
        Just(Tree::String("x".into())),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        let field = ("[a-d]", inner.clone());
        let object = prop::collection::btree_map(field.0, field.1, 0..4)
            .prop_map(|fields| Tree::Object(fields.into_iter().collect()));
        let element = (0..4_u8, inner.clone()).prop_map(|(id, value)| {
            Tree::Object(vec![("id".into(), Tree::Number(id.to_string())), ("value".into(), value)])
        });
        let keyed = prop::collection::vec(element, 0..4).prop_map(Tree::Array);
        let list = prop::collection::vec(inner, 0..3).prop_map(Tree::Array);
        prop_oneof![3 => object, 2 => keyed, 1 => list]
    })
}

proptest! {
    #[test]
    fn a_merge_with_one_side_unchanged_is_the_other_side(base in mergeable(), one in mergeable()) {
        for prefer in [Side::Ours, Side::Theirs] {
            prop_assert_eq!(merge_three(&base, &one, &base, prefer), (one.clone(), vec![]));
            prop_assert_eq!(merge_three(&base, &base, &one, prefer), (one.clone(), vec![]));
            prop_assert_eq!(merge_three(&base, &one, &one, prefer), (one.clone(), vec![]));
        }
    }

    #[test]
    fn the_sides_of_a_merge_are_in_conflict_at_the_same_places(
        base in mergeable(), ours in mergeable(), theirs in mergeable()
    ) {
        let (_, there) = merge_three(&base, &ours, &theirs, Side::Ours);
        let (_, back) = merge_three(&base, &theirs, &ours, Side::Ours);
        let places = |conflicts: &[FieldConflict]| {
            let mut paths: Vec<_> = conflicts.iter().map(|found| found.path.clone()).collect();
            paths.sort();
            paths
        };
        prop_assert_eq!(places(&there), places(&back));
        for conflict in &there {
            prop_assert_ne!(&conflict.ours, &conflict.theirs);
            prop_assert_ne!(&conflict.base, &conflict.ours);
            prop_assert_ne!(&conflict.base, &conflict.theirs);
        }
    }

    #[test]
    fn what_is_brought_back_changes_nothing_that_is_there(now in mergeable(), past in mergeable()) {
        let back = bring_back(&now, &past);
        prop_assert_eq!(&bring_back(&now, &now), &now);
        prop_assert_eq!(&bring_back(&back, &past), &back, "once is enough");
        if let (Tree::Object(now), Tree::Object(past)) = (&now, &past) {
            for (name, _) in now.iter().chain(past) {
                prop_assert!(back.get(name).is_some());
            }
            let is_lost = |(name, _): &&(String, Tree)| now.iter().all(|(n, _)| n != name);
            for (name, value) in past.iter().filter(is_lost) {
                prop_assert_eq!(back.get(name), Some(value));
            }
        }
    }
}

#[test]
fn elements_of_lists_are_merged_by_their_key() {
    let tree = |text: &str| Tree::parse(text.as_bytes()).expect("valid");
    let base = tree(r#"{"items":[{"id":1,"n":1},{"id":2,"n":1},{"id":3,"n":1}]}"#);
    let ours = tree(r#"{"items":[{"id":3,"n":1},{"id":1,"n":2},{"id":2,"n":1},{"id":5}]}"#);
    let theirs = tree(r#"{"items":[{"id":1,"n":1},{"id":2,"n":7},{"id":4}]}"#);
    let (merged, conflicts) = merge_three(&base, &ours, &theirs, Side::Ours);
    let expected = r#"{"items":[{"id":1,"n":2},{"id":2,"n":7},{"id":4},{"id":5}]}"#;
    assert_eq!((merged.to_string().as_str(), &conflicts[..]), (expected, &[][..]));
    let (_, conflicts) =
        merge_three(&base, &ours, &tree(r#"{"items":[{"id":1,"n":3}]}"#), Side::Ours);
    assert_eq!(conflicts.len(), 1, "element 1 was changed by both; 2 and 3 were deleted by one");
    assert_eq!(conflicts[0].path, "items.1.n");
}
