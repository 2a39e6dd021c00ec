//! Which transaction took a field from one value to another.

use afterimage::json::Tree;
use afterimage::{
    CodecId, Durability, ErrorKind, FieldState, Image, LogQuery, Lsn, Op, SearchQuery, Store,
};
use proptest::prelude::*;
use serde_json::Value;

use crate::cli::Cli;
use crate::common::{Place, fires, put, put_json, timed};
use crate::number::number;

fn query(collection: &str, field: &str, from: Option<&str>, to: Option<&str>) -> SearchQuery {
    let state = |text: &str| text.parse::<FieldState>().expect("always understood");
    SearchQuery {
        changes: LogQuery { collection: Some(collection.into()), ..LogQuery::default() },
        field: (!field.is_empty()).then(|| field.parse().expect("a path")),
        from: from.map(state),
        to: to.map(state),
    }
}

/// The LSNs of what is found, oldest first.
fn found(store: &Store, query: &SearchQuery) -> Vec<u64> {
    let search = store.search(query).expect("a search");
    let lsn = |found: afterimage::Result<afterimage::Transition<'_>>| {
        found.expect("readable").transaction.lsn().get()
    };
    let mut found: Vec<_> = search.map(lsn).collect();
    found.reverse();
    found
}

#[derive(Clone, Debug)]
enum Step {
    Put(u8, String),
    Delete(u8),
}

fn step() -> impl Strategy<Value = Step> {
    // Values in different spellings, with escapes, and what is no JSON at all.
    let value = prop::sample::select(vec![
        "0",
        "0.0",
        "1",
        "null",
        "\"a\"",
        "\"\\u0061\"",
        "\"b\\\"\"",
        "true",
        "[1,{\"s\":0}]",
        "[1.0,{\"s\":\"a\"}]",
        "{\"s\":1}",
        "{}",
    ]);
    let name = prop::sample::select(vec!["s", "\\u0073", "t"]);
    let other = prop::option::of(any::<u8>());
    let object = (name, value.clone(), other).prop_map(|(name, value, other)| match other {
        Some(other) => format!("{{\"other\":{other},\"{name}\":{value}}}"),
        None => format!("{{\"{name}\":{value}}}"),
    });
    let text = prop_oneof![
        6 => object,
        1 => value.prop_map(str::to_owned),
        1 => Just("not JSON".to_owned()),
    ];
    prop_oneof![
        5 => (0..3_u8, text).prop_map(|(key, text)| Step::Put(key, text)),
        1 => (0..3_u8).prop_map(Step::Delete),
    ]
}

/// By another parser, another comparison, and without leaving anything out.
fn model_side(text: Option<&str>, path: &[&str]) -> Option<Value> {
    let mut value: Value = serde_json::from_str(text?).ok()?;
    for step in path {
        value = if let Value::Array(items) = &value {
            items.get(step.parse::<usize>().ok()?)?.clone()
        } else {
            value.get(step)?.clone()
        };
    }
    Some(as_floats(value))
}

fn as_floats(value: Value) -> Value {
    match value {
        Value::Number(number) => number.as_f64().expect("small").into(),
        Value::Array(items) => items.into_iter().map(as_floats).collect(),
        Value::Object(map) => map.into_iter().map(|(name, v)| (name, as_floats(v))).collect(),
        Value::Null | Value::Bool(_) | Value::String(_) => value,
    }
}

fn model_is(sought: Option<&str>, side: Option<&Value>, exists: bool, whole: bool) -> bool {
    match sought {
        None => true,
        Some("absent") => side.is_none() && !(whole && exists),
        Some(text) => {
            let sought = serde_json::from_str(text).unwrap_or_else(|_| Value::from(text));
            side == Some(&as_floats(sought))
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn a_search_finds_what_a_look_at_every_change_finds(
        steps in prop::collection::vec(step(), 1..30),
        path in prop::sample::select(vec!["", "s", "t", "s.0", "s.1.s", "s.s", "0"]),
        from in prop::sample::select(vec![
            None, Some("absent"), Some("0"), Some("a"), Some("null"),
        ]),
        to in prop::sample::select(vec![
            None, Some("absent"), Some("1"), Some("a"), Some("b\""), Some("true"),
            Some("{\"s\":1e0}"),
        ]),
        key in prop::option::of(0..3_u8),
    ) {
        let place = Place::new();
        let store = place.open();
        put_json(&store, "other", "x", "{\"s\":0}");
        let mut live: std::collections::BTreeMap<u8, String> = std::collections::BTreeMap::new();
        let mut expected = Vec::new();
        put_json(&store, "things", "first", "[]");
        let names: Vec<&str> = path.split('.').filter(|name| !name.is_empty()).collect();
        for step in &steps {
            let (changed, after) = match step {
                Step::Put(key, text) => (*key, Some(text.clone())),
                Step::Delete(key) => (*key, None),
            };
            let before = live.get(&changed).cloned();
            if before == after {
                continue;
            }
            let written = store.write(|tx| match &after {
                Some(text) => {
                    let image = Image::new(text.as_bytes(), CodecId::Json);
                    tx.put_image("things", &[changed], image)
                }
                None => tx.delete_record("things", &[changed]).map(drop),
            });
            let lsn = written.expect("written").lsn().get();
            let sides = [before.as_deref(), after.as_deref()].map(|text| model_side(text, &names));
            let whole = names.is_empty();
            let hit = key.is_none_or(|key| key == changed)
                && (whole || sides[0] != sides[1])
                && model_is(from, sides[0].as_ref(), before.is_some(), whole)
                && model_is(to, sides[1].as_ref(), after.is_some(), whole);
            if hit {
                expected.push(lsn);
            }
            match after {
                Some(text) => live.insert(changed, text),
                None => live.remove(&changed),
            };
        }
        let mut query = query("things", path, from, to);
        query.changes.key = key.map(|key| vec![key]);
        // The first record of the collection is not in the model.
        let mut found = found(&store, &query);
        found.retain(|lsn| *lsn > 2);
        prop_assert_eq!(found, expected);
    }
}

#[test]
fn changes_are_chosen_as_in_the_log() {
    let place = Place::new();
    let store = place.open();
    put_json(&store, "guests", "a", r#"{"n":1}"#);
    let image = |text: &'static str| Image::new(text.as_bytes(), CodecId::Json);
    let second = store.write(|tx| {
        tx.actor("ana").message("more").correlation("chk-77").attribute("desk", 2);
        tx.put_image("guests", b"a", image(r#"{"n":2}"#))?;
        tx.put_image("guests", b"b-1", image(r#"{"n":2}"#))
    });
    second.expect("written");
    put_json(&store, "guests", "b-1", r#"{"n":3}"#);
    put(&store, "x", "y");
    let any = || query("guests", "n", None, None);
    let with = |change: &dyn Fn(&mut LogQuery)| {
        let mut query = any();
        change(&mut query.changes);
        found(&store, &query)
    };
    assert_eq!(found(&store, &any()), [1, 2, 2, 3]);
    assert_eq!(with(&|log| log.prefix = Some(b"b-".to_vec())), [2, 3]);
    assert_eq!(with(&|log| log.correlation = Some("chk-77".into())), [2, 2]);
    assert_eq!(with(&|log| log.correlation = Some("chk".into())), [0; 0]);
    assert_eq!(with(&|log| log.attributes = vec![("desk".into(), "2".into())]), [2, 2]);
    assert_eq!(with(&|log| log.attributes = vec![("desk".into(), "3".into())]), [0; 0]);
    assert_eq!(with(&|log| log.actor = Some("ana".into())), [2, 2]);
    assert_eq!(with(&|log| log.grep = Some("mor.".into())), [2, 2]);
    assert_eq!(with(&|log| log.ops = vec![Op::Update]), [2, 3]);
    assert_eq!(with(&|log| log.since = Some(Lsn::new(2))), [3]);
    assert_eq!(with(&|log| log.until = Some(Lsn::new(1))), [1]);
    let everything =
        SearchQuery { field: Some("n".parse().expect("a path")), ..Default::default() };
    assert_eq!(found(&store, &everything), [1, 2, 2, 3]);
    let none = store.search(&query("none", "n", None, None)).expect_err("unknown");
    assert_eq!(none.kind(), ErrorKind::NotFound);
}

#[test]
fn the_command_line_finds_the_moment_and_says_how_to_go_back() {
    let cli = Cli::new();
    cli.ok(&["put", "orders/it's 17", r#"{"status":"paid","n":1}"#]);
    cli.ok(&["put", "orders/it's 17", r#"{"status":"paid","n":2}"#]);
    cli.ok(&["put", "orders/it's 17", r#"{"n":2}"#, "-m", "slip"]);
    cli.ok(&["put", "orders/18", r#"{"status":"absent"}"#]);
    let search = |args: &[&str]| -> Vec<Value> {
        let mut all = vec!["search", "--json"];
        all.extend(args);
        let text = cli.ok(&all);
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    };
    let hits = search(&["orders", "--field", "status", "--from", "paid", "--to", "absent"]);
    assert_eq!(hits.len(), 1);
    let hit = &hits[0];
    assert_eq!((&hit["lsn"], &hit["message"]), (&3.into(), &"slip".into()));
    assert_eq!((&hit["op"], &hit["field"]), (&"u".into(), &"status".into()));
    assert_eq!((&hit["from"], hit.get("to")), (&"paid".into(), None));
    assert_eq!(hit["restore"], r"afterimage restore --to 3^ --key 'orders/it'\''s 17'");
    let lsns = |args: &[&str]| -> Vec<u64> {
        search(args).iter().map(|hit| hit["lsn"].as_u64().expect("a number")).collect()
    };
    assert_eq!(lsns(&["orders", "--field", "status", "--to", "\"absent\""]), [4]);
    assert_eq!(lsns(&["orders", "--field", "status"]), [4, 3, 1]);
    assert_eq!(lsns(&["orders", "--field", "status", "--reverse"]), [1, 3, 4]);
    assert_eq!(lsns(&["orders", "--field", "status", "--reverse", "-n", "2"]), [3, 4]);
    assert_eq!(lsns(&["orders/18"]), [4]);
    assert_eq!(lsns(&["orders", "--from", "absent"]), [4, 1]);
    assert_eq!(lsns(&["orders", "--to", r#"{"n": 2.0}"#]), [3]);
    assert_eq!(lsns(&["orders", "--field", "n", "--from", "-1"]), [0; 0]);
    let text = cli.ok(&["search", "orders", "--field", "status", "--to", "absent"]);
    assert!(text.contains("    - status: \"paid\"\n  afterimage restore --to 3^ --key "), "{text}");
    assert_eq!(cli.fails(&["search", "none"]), (10, "AF0026".into()));
    assert_eq!(cli.fails(&["search", "orders", "--field", "a..b"]), (2, "AF0043".into()));
    assert_eq!(cli.fails(&["search", "orders", "--where-attribute", "x"]), (2, "AF0047".into()));
    let log = cli.ok(&["log", "orders", "--prefix", "18", "--oneline"]);
    assert_eq!(log.lines().count(), 1);
}

#[test]
fn the_six_outages_are_found_and_no_other() {
    let place = Place::new();
    let Some(store) = fires(&place) else { return };
    let outages = [341, 351, 355, 410, 829, 2581];
    assert_eq!(found(&store, &query("scrapes", "bytes", None, Some("0"))), outages);
    let mut of_record = query("scrapes", "bytes", None, Some("0.0"));
    of_record.changes.key = Some(b"incidents.json".to_vec());
    assert_eq!(found(&store, &of_record), outages);
    let back = found(&store, &query("scrapes", "bytes", Some("0"), None));
    assert_eq!(back.len(), 5, "the last was never mended");
    // By reading every value.
    let mut expected = Vec::new();
    for transaction in store.transactions(..).expect("transactions") {
        let transaction = transaction.expect("readable");
        for change in transaction.changes() {
            let change = change.expect("readable");
            let active = |image: Image<'_>| {
                Tree::parse(image.bytes()).ok()?.get("PercentContained").cloned()
            };
            let (from, to) = (change.before().and_then(active), change.after().and_then(active));
            if change.collection() == "incidents"
                && from != to
                && to == Some(Tree::Number("100".into()))
            {
                expected.push(transaction.lsn().get());
            }
        }
    }
    assert_eq!(found(&store, &query("incidents", "PercentContained", None, Some("100"))), expected);
    assert!(!expected.is_empty());
}

/// Prints what a search costs; `AFTERIMAGE_FIND_TRANSACTIONS=1000000` for the figure in
/// docs/commands/search.md.
#[test]
fn a_search_of_many_transactions_finds_the_one() {
    let count = number("AFTERIMAGE_FIND_TRANSACTIONS", 20_000);
    let place = Place::new();
    let options = Store::options().durability(Durability::Process);
    let store = options.open(place.path()).expect("the store opens");
    let filler = "x".repeat(100);
    for n in 1..=count {
        let status = if n == count / 3 { "deleted" } else { "paid" };
        let key = n % 1000;
        let text = format!(
            r#"{{"id":{key},"total":{n},"status":"{status}","guest":{{"name":"{filler}"}}}}"#
        );
        put_json(&store, "orders", &key.to_string(), &text);
    }
    let search = |name: &str, query: &SearchQuery, hits: usize| {
        let what = format!("search of {count} transactions, {name}");
        assert_eq!(timed(&what, || found(&store, query)).len(), hits, "{name}");
    };
    search("status to deleted", &query("orders", "status", None, Some("deleted")), 1);
    search("total to 17", &query("orders", "total", None, Some("17")), 1);
    search("a field that is nowhere", &query("orders", "none", None, None), 0);
    let mut nobody = query("orders", "status", None, None);
    nobody.changes.actor = Some("nobody".into());
    search("another actor", &nobody, 0);
    let mut record = query("orders", "total", None, None);
    record.changes.key = Some(b"17".to_vec());
    let versions = usize::try_from((count - 17) / 1000 + 1).expect("few");
    search("one record", &record, versions);
}
