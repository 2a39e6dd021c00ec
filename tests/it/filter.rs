//! Filters in the language of jq, through the public API.

use afterimage::json::Tree;
use afterimage::{CodecId, ErrorKind, Filter, Image, code};
use proptest::prelude::*;
use serde_json::json;

proptest! {
    #[test]
    fn what_goes_in_comes_out(
        fields in prop::collection::btree_map(any::<String>(), any::<(i64, f64, String)>(), 0..9),
    ) {
        let text = json!([fields, null, {"deep": [[], {}, true]}]).to_string();
        let tree = Tree::parse(text.as_bytes()).expect("JSON");
        let outputs = Filter::compile(".").expect("understood").run(&tree).expect("it runs");
        prop_assert_eq!(outputs.iter().map(Tree::to_string).collect::<Vec<_>>(), [text]);
    }

    #[test]
    fn a_condition_is_what_it_says(a in any::<i64>(), b in any::<i64>(), s in any::<String>()) {
        let text = json!({"a": a, "b": b, "s": s}).to_string();
        let image = Image::new(text.as_bytes(), CodecId::Json);
        let holds = |filter: &str| {
            Filter::compile(filter).expect("understood").is_true(image).expect("it runs")
        };
        prop_assert_eq!(holds(".a < .b"), a < b);
        prop_assert_eq!(holds(".a == .b or .a > .b"), a >= b);
        prop_assert_eq!(holds(".s | length > 3"), s.chars().count() > 3);
        let same = format!(".s == ({} | fromjson)", json!(json!(s).to_string()));
        prop_assert!(holds(&same));
        prop_assert!(!holds(".none"));
    }
}

#[test]
fn errors_have_codes_and_kinds() {
    let error = Filter::compile(".a | {").expect_err("refused");
    assert_eq!((error.code().id, error.kind()), (code::INVALID_FILTER.id, ErrorKind::Invalid));
    let failing = Filter::compile("error(\"no room\")").expect("understood");
    let error = failing.is_true(Image::new(b"1", CodecId::Json)).expect_err("it fails");
    assert_eq!((error.code().id, error.kind()), (code::FILTER_FAILED.id, ErrorKind::Invalid));
    assert_eq!(std::error::Error::source(&error).expect("a cause").to_string(), "no room");
}
