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

#[test]
fn numbers_are_the_same_by_value() {
    let same = |a: &str, b: &str| {
        let tree =
            |text: &str| Tree::parse(format!("{{\"n\":[{text}]}}").as_bytes()).expect("valid");
        tree(a).same_value(&tree(b))
    };
    for (a, b) in [
        ("1", "1.0"),
        ("1.50", "15e-1"),
        ("-0", "0"),
        ("0e5", "0.00"),
        ("1E400", "10e399"),
        ("120", "1.2e+2"),
        ("0.001", "1e-3"),
        ("100000000000000000000", "1e20"),
    ] {
        assert!(same(a, b) && same(b, a), "{a} {b}");
    }
    for (a, b) in [
        ("1", "-1"),
        ("1", "1.01"),
        ("10", "1"),
        ("0.1", "0.01"),
        ("1e99999999999999999999", "1"),
        ("9007199254740993", "9007199254740992"),
        ("1", "\"1\""),
    ] {
        assert!(!same(a, b) && !same(b, a), "{a} {b}");
    }
}

#[test]
fn a_path_is_read_as_it_is_shown() {
    for (text, steps, shown) in [
        ("a", vec!["a"], "a"),
        (".a.0", vec!["a", "0"], "a.0"),
        (r#""a.b".c"#, vec!["a.b", "c"], r#""a.b".c"#),
        (r#"a."\u0062\"""#, vec!["a", "b\""], r#"a."b\"""#),
        (r#""".x"#, vec!["", "x"], r#""".x"#),
    ] {
        let path: FieldPath = text.parse().expect("a path");
        assert_eq!(path.steps(), steps);
        assert_eq!(path.to_string(), shown);
        assert_eq!(shown.parse::<FieldPath>().expect("a path"), path);
    }
    for text in ["", ".", "a..b", "a.", r#"a"b"#, r#""a"#, r#""a"b"#, r#""a\x""#] {
        assert!(text.parse::<FieldPath>().is_err(), "{text}");
    }
    assert!("a.".repeat(1000).parse::<FieldPath>().is_err());
}
