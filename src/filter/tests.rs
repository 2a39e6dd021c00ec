use proptest::prelude::*;

use super::*;
use crate::error::ErrorKind;
use crate::format::image::CodecId;

fn tree(text: &str) -> Tree {
    Tree::parse(text.as_bytes()).expect("JSON")
}

fn run(filter: &str, value: &str) -> Vec<String> {
    let outputs = Filter::compile(filter).expect("understood").run(&tree(value)).expect("it runs");
    outputs.iter().map(Tree::to_string).collect()
}

fn refused(filter: &str) -> (Option<u64>, String) {
    let error = Filter::compile(filter).expect_err("refused");
    assert_eq!((error.code().id, error.kind()), (code::INVALID_FILTER.id, ErrorKind::Invalid));
    let cause = std::error::Error::source(&error).expect("a cause").to_string();
    (error.place().offset, cause)
}

fn failure(filter: &str, value: &str) -> String {
    let filter = Filter::compile(filter).expect("understood");
    let error = filter.run(&tree(value)).expect_err("it fails");
    assert_eq!((error.code().id, error.kind()), (code::FILTER_FAILED.id, ErrorKind::Invalid));
    std::error::Error::source(&error).expect("a cause").to_string()
}

#[test]
fn a_filter_is_the_language_of_jq() {
    let value = r#"{"a":[1,2,{"b":null}],"s":"x-17"}"#;
    assert_eq!(run(".a[]", value), ["1", "2", r#"{"b":null}"#]);
    assert_eq!(run(".s | capture(\"(?<n>[0-9]+)\")", value), [r#"{"n":"17"}"#]);
    assert_eq!(run(".a |= map(numbers) | del(.s)", value), [r#"{"a":[1,2]}"#]);
    assert_eq!(run("def f($x): . + $x; .a[0] | f(2)", value), ["3"]);
    assert_eq!(run("[.a[] | select(type == \"number\")] | add / 2", value), ["1.5"]);
    assert_eq!(run("empty", value), [""; 0]);
    assert_eq!(run("\"2026-11-21T12:00:00Z\" | fromdate", value), ["1795262400"]);
}

#[test]
fn what_is_handed_on_keeps_every_digit_and_the_order_of_fields() {
    let text = concat!(
        r#"{"z":1.10,"a":[123456789012345678901234567890,-0,1E400,"#,
        r#"0.1000,12345678901234567.25]}"#
    );
    assert_eq!(run(".", text), [text]);
    let long = "9".repeat(5000);
    assert_eq!(run(".[0]", &format!("[{long}]")), [long]);
    let sum = run(".[0] + 1", "[123456789012345678901234567890]");
    assert_eq!(sum, ["123456789012345678901234567891"]);
}

#[test]
fn a_filter_holds_by_its_last_output() {
    for (filter, holds) in [
        (".n == 1", true),
        (".n != 1", false),
        (".absent", false),
        ("0", true),
        ("empty", false),
        ("false, true", true),
        ("true, null", false),
    ] {
        let filter = Filter::compile(filter).expect("understood");
        assert_eq!(filter.is_true_of(&tree(r#"{"n":1}"#)).expect("it runs"), holds, "{filter:?}");
    }
}

#[test]
fn a_value_that_is_not_json_is_seen_as_change_events_show_it() {
    let bytes = Filter::compile(r#".["$bytes"] | @base64d == "abc""#).expect("understood");
    for (text, codec, holds) in [
        (&b"abc"[..], CodecId::Raw, true),
        (b"abc", CodecId::Json, true),
        (b"abd", CodecId::Raw, false),
        (b"{}", CodecId::Json, false),
    ] {
        let found = bytes.is_true(Image::new(text, codec));
        // Of `{}` the field is null, which is no base64.
        assert_eq!(found.is_ok_and(|found| found), holds);
    }
    assert_eq!(Filter::input(None), Tree::Null);
}

#[test]
fn what_is_not_understood_is_told_with_its_offset() {
    assert_eq!(refused(".a |"), (Some(4), "term is expected at the end".to_owned()));
    assert_eq!(refused(".a | (.b"), (Some(8), "a closing parenthesis is expected".to_owned()));
    let (offset, cause) = refused(".a | nonsense(1)");
    assert_eq!(offset, Some(5));
    assert_eq!(cause, "there is no filter `nonsense`");
    assert_eq!(refused(". as $x | $y").0, Some(10));
    assert_eq!(refused("").0, Some(0));
}

#[test]
fn nothing_outside_of_the_value_is_reached() {
    for filter in [
        "now",
        "env",
        "$ENV",
        "input",
        "inputs",
        "debug",
        "debug(1)",
        "stderr",
        "halt",
        "halt(1)",
        "halt_error",
        "localtime",
        "0 | strflocaltime(\"%H\")",
        "input_filename",
        "get_search_list",
        "import \"a\" as a; 1",
        "include \"a\"; 1",
        "import \"a\" as $a; $a",
    ] {
        refused(filter);
    }
    assert_eq!(refused("now").1, "`now` reaches outside of the value");
}

#[test]
fn failures_are_told_and_end_nothing() {
    assert_eq!(failure("error(\"no room\")", "1"), "no room");
    assert!(failure(".a + 1", r#"{"a":{}}"#).contains("cannot calculate"));
    assert!(failure(".a[0]", r#"{"a":1}"#).contains("cannot index"));
    assert!(failure("1, error(\"later\")", "1").contains("later"));
    assert!(failure("1 / 0", "1").contains("which JSON has not"));
    assert!(failure("{(1): 1}", "1").contains("no string"));
    assert!(failure("repeat(1)", "1").contains("outputs"));
    assert!(failure("reduce range(1000) as $i (1; [.])", "1").contains("nested too deeply"));
    assert!(failure("error(\"x\" * 1000)", "1").len() < 400);
}

#[test]
fn a_filter_goes_from_thread_to_thread() {
    fn is_shared<T: Send + Sync>() {}
    is_shared::<Filter>();
}

#[test]
fn long_and_deep_filters_are_refused_before_they_overflow_the_stack() {
    for filter in ["(".repeat(4000), "[".repeat(4000), ".|".repeat(3000)] {
        refused(&filter);
    }
    // Without optimisation, jaq takes ten times the stack.
    let stack_bytes = if cfg!(debug_assertions) { 64 << 20 } else { 2 << 20 };
    let body = || {
        for part in
            [".|", "-", "if . then ", ". as $x|", "1+", "1,", "try ", "def f: ", ".a", "\"\\("]
        {
            let fits = |number: &usize| check_size(&format!("{} 1", part.repeat(*number))).is_ok();
            let most = (1..=FILTER_TOKENS_MAX).rev().find(fits).expect("a few are allowed");
            for end in ["", " 1", " end end"] {
                if let Ok(filter) = Filter::compile(&format!("{}{end}", part.repeat(most))) {
                    drop(filter.run(&Tree::Null));
                }
            }
        }
    };
    let thread = std::thread::Builder::new().stack_size(stack_bytes).spawn(body).expect("a thread");
    thread.join().expect("no overflow");
}

proptest! {
    #[test]
    fn any_text_is_a_filter_or_refused(text in "[.a-c\\[\\](){}|,;:\"$0-9 +?/=<>*@\\\\-]{0,40}") {
        if let Ok(filter) = Filter::compile(&text) {
            prop_assert_eq!(filter.text(), text);
        }
    }
}
