use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::error::code;

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<i32>().prop_map(|n| Value::from(f64::from(n) / 8.0)),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(any::<String>(), inner, 0..40)
                .prop_map(|map| Value::from(map.into_iter().collect::<serde_json::Map<_, _>>())),
        ]
    })
}

proptest! {
    #[test]
    fn what_serde_json_writes_is_read_and_written_equal(value in value()) {
        for text in [value.to_string(), serde_json::to_string_pretty(&value).expect("text")] {
            let tree = Tree::parse(text.as_bytes()).expect("valid");
            for written in [tree.to_string(), format!("{tree:#}")] {
                prop_assert_eq!(&serde_json::from_str::<Value>(&written).expect("valid"), &value);
                prop_assert_eq!(&Tree::parse(written.as_bytes()).expect("valid"), &tree);
            }
            prop_assert!(!tree.to_string().contains('\n'));
        }
    }

    #[test]
    fn what_serde_json_writes_is_normal_already(value in value()) {
        let text = value.to_string();
        prop_assert_eq!(normalise(text.as_bytes()).expect("valid"), text);
    }

    #[test]
    fn any_bytes_are_read_or_refused_as_serde_json_does(
        text in prop_oneof![
            "[\\[\\]{}\",:0-9eE+.\\-a-z\\\\ ]{0,24}".boxed(),
            any::<String>().boxed(),
        ]
    ) {
        let ours = Tree::parse(text.as_bytes());
        let theirs = serde_json::from_str::<Value>(&text);
        // A number too large for serde_json is a number to us; serde_json stops there, so that only
        // its grammar, which passes over numbers and escapes unread, judges what follows.
        if theirs.as_ref().err().is_some_and(|e| e.to_string().contains("out of range")) {
            let grammar = serde_json::from_str::<serde::de::IgnoredAny>(&text);
            prop_assert!(grammar.is_ok() || ours.is_err(), "{:?}", text);
        } else {
            prop_assert_eq!(ours.is_ok(), theirs.is_ok(), "{:?}", text);
        }
    }
}

#[test]
fn a_number_too_large_for_a_float_does_not_hide_what_follows_it() {
    assert!(Tree::parse(b"1E1000").is_ok());
    assert!(Tree::parse(b"1E1000}").is_err());
    assert!(Tree::parse(b"[1E1000,\"\\ud800\"]").is_err());
}

#[test]
fn numbers_are_kept_to_the_digit() {
    let text = "[1.10,1e400,-0,123456789012345678901234567890,0.1000]";
    assert_eq!(normalise(text.as_bytes()).expect("valid"), text);
}

#[test]
fn an_object_is_equal_in_any_order_and_the_last_double_counts() {
    let parse = |text: &str| Tree::parse(text.as_bytes()).expect("valid");
    assert_eq!(parse(r#"{"a":1,"b":2}"#), parse(r#"{"b":2,"a":1}"#));
    assert_ne!(parse(r#"{"a":1,"b":2}"#), parse(r#"{"a":1,"c":2}"#));
    assert_eq!(parse(r#"{"a":1,"b":2,"a":3}"#).to_string(), r#"{"a":3,"b":2}"#);
}

#[test]
fn control_characters_are_escaped_as_serde_json_does() {
    for byte in 0..=0x7f_u8 {
        let text = Value::from(char::from(byte).to_string()).to_string();
        assert_eq!(normalise(text.as_bytes()).expect("valid"), text);
    }
}

/// Compared twice at each level, this would take 2^100 steps.
#[test]
fn deep_values_that_differ_are_compared_in_time() {
    let nested = |leaf: &str| {
        let text = format!("{}{leaf}{}", "{\"a\":".repeat(100), "}".repeat(100));
        Tree::parse(text.as_bytes()).expect("valid")
    };
    assert_ne!(nested("1"), nested("2"));
    assert_eq!(nested("1"), nested("1"));
}

#[test]
fn wide_values_in_another_order_are_compared_in_time() {
    let wide = |names: &mut dyn Iterator<Item = u32>| {
        Tree::Object(names.map(|n| (n.to_string(), Tree::Null)).collect())
    };
    assert_eq!(wide(&mut (0..100_000)), wide(&mut (0..100_000).rev()));
    assert_ne!(wide(&mut (0..100_000)), wide(&mut (1..100_001).rev()));
}

#[test]
fn what_cannot_be_kept_is_refused_with_its_offset() {
    let offset = |text: &[u8]| {
        let error = Tree::parse(text).expect_err("refused");
        assert_eq!(error.code().id, code::INVALID_JSON.id);
        error.place().offset
    };
    assert_eq!(offset(br#"["\ud800"]"#), Some(8));
    assert_eq!(offset(b"[1,]"), Some(3));
    assert_eq!(offset(b"{\"a\":\xff}"), Some(5));
    assert_eq!(offset(b"1 2"), Some(2));
    assert_eq!(offset(b""), Some(0));
    let deep = "[".repeat(JSON_DEPTH_MAX + 1);
    assert_eq!(offset(deep.as_bytes()), Some(JSON_DEPTH_MAX as u64));
}

#[test]
fn a_path_leads_through_objects_and_arrays() {
    let tree = Tree::parse(br#"{"rooms":[{"no":204},{"no":206}]}"#).expect("valid");
    assert_eq!(tree.at_path("rooms.1.no"), Some(&Tree::Number("206".into())));
    assert_eq!(tree.at_path("rooms.2.no"), None);
    assert_eq!(tree.at_path("rooms.no"), None);
}

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
            Tree::Object(vec![
                ("id".into(), Tree::Number(id.to_string())),
                ("value".into(), value),
            ])
        });
        let keyed = prop::collection::vec(element, 0..4).prop_map(Tree::Array);
        prop_oneof![3 => object, 2 => keyed, 1 => prop::collection::vec(inner, 0..3).prop_map(Tree::Array)]
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
            for (name, value) in past.iter().filter(|(name, _)| now.iter().all(|(n, _)| n != name)) {
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
    let expected = r#"{"items":[{"id":1,"n":2},{"id":2,"n":7},{"id":5},{"id":4}]}"#;
    assert_eq!((merged.to_string().as_str(), &conflicts[..]), (expected, &[][..]));
    let (_, conflicts) =
        merge_three(&base, &ours, &tree(r#"{"items":[{"id":1,"n":3}]}"#), Side::Ours);
    assert_eq!(conflicts.len(), 1, "element 1 was changed by both; 2 and 3 were deleted by one");
    assert_eq!(conflicts[0].path, "items.1.n");
}
