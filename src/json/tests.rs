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

/// Small values of few names, so that two of them often meet in a field or an element.
fn mergeable() -> impl Strategy<Value = Tree> {
    let leaf = (0..3_u8).prop_map(|n| Tree::Number(n.to_string()));
    leaf.prop_recursive(3, 24, 4, |inner| {
        let named =
            prop::collection::btree_map(prop::sample::select(vec!["a", "b", "id"]), inner, 0..4);
        let object = named.prop_map(|fields| {
            Tree::Object(fields.into_iter().map(|(name, tree)| (name.to_owned(), tree)).collect())
        });
        prop_oneof![prop::collection::vec(object.clone(), 0..4).prop_map(Tree::Array), object]
    })
}

proptest! {
    #[test]
    fn a_merge_takes_what_only_one_side_changed(base in mergeable(), changed in mergeable()) {
        for prefer in [Side::Ours, Side::Theirs] {
            let unchanged = (changed.clone(), Vec::new());
            prop_assert_eq!(&merge_three(&base, &changed, &base, prefer), &unchanged);
            prop_assert_eq!(&merge_three(&base, &base, &changed, prefer), &unchanged);
            prop_assert_eq!(&merge_three(&base, &changed, &changed, prefer), &unchanged);
        }
    }

    #[test]
    fn both_sides_are_in_conflict_in_the_same_places(
        (base, ours, theirs) in (mergeable(), mergeable(), mergeable())
    ) {
        let (own, conflicts) = merge_three(&base, &ours, &theirs, Side::Ours);
        let (other, again) = merge_three(&base, &ours, &theirs, Side::Theirs);
        prop_assert_eq!(&conflicts, &again);
        prop_assert!(!conflicts.is_empty() || own == other);
        let paths = |conflicts: &[FieldConflict]| {
            let mut paths: Vec<_> = conflicts.iter().map(|found| found.path.clone()).collect();
            paths.sort();
            paths
        };
        let (_, turned) = merge_three(&base, &theirs, &ours, Side::Theirs);
        prop_assert_eq!(paths(&turned), paths(&conflicts));
    }

    #[test]
    fn what_is_brought_back_is_brought_back_once((now, past) in (mergeable(), mergeable())) {
        let once = bring_back(&now, &past);
        prop_assert_eq!(&bring_back(&once, &past), &once);
        prop_assert_eq!(&bring_back(&once, &now), &once, "nothing of now was lost");
        prop_assert_eq!(&bring_back(&now, &now), &now);
    }
}
