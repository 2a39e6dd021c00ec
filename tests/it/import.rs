//! Modes and formats of an import, other names, and the steps before and after.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use afterimage::{
    CodecId, CsvTypes, EventSource, Image, ImportComparison, ImportFormat, ImportMapping,
    ImportMode, ImportOptions, ImportReport, KeyRange, LogQuery, Lsn, RecordShape, Result, Store,
    analyze_import, code, export_csv, export_json, export_state,
};
use proptest::prelude::*;

use crate::common::Place;
use crate::exchange::{Value, digest, history, key, state, value};

fn import(store: &Store, input: &str, options: &ImportOptions) -> Result<ImportReport> {
    store.import(&mut input.as_bytes(), options, &mut |_| {})
}

fn compare(store: &Store, input: &str, options: &ImportOptions) -> ImportComparison {
    store.compare_import(&mut input.as_bytes(), options, &mut |_| {}).expect("compared")
}

fn mode(mode: ImportMode) -> ImportOptions {
    ImportOptions { mode, ..ImportOptions::default() }
}

fn shape(collection: &str) -> RecordShape {
    RecordShape { collection: collection.into(), key: "id".into(), drop_key: false }
}

fn json() -> ImportOptions {
    ImportOptions { format: ImportFormat::Json(shape("c")), ..ImportOptions::default() }
}

fn csv(types: CsvTypes) -> ImportOptions {
    ImportOptions { format: ImportFormat::Csv(shape("c"), types), ..ImportOptions::default() }
}

fn put(store: &Store, collection: &str, key: &str, json: &str) {
    let image = Image::new(json.as_bytes(), CodecId::Json);
    store.write(|tx| tx.put_image(collection, key.as_bytes(), image)).expect("written");
}

/// The records of a collection as text.
fn all(store: &Store, collection: &str) -> BTreeMap<String, String> {
    let snapshot = store.snapshot();
    let scan = snapshot.scan(collection, KeyRange::all()).expect("a collection");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    scan.map(|record| record.expect("readable"))
        .map(|record| (text(record.key()), text(record.image().bytes())))
        .collect()
}

fn records<const N: usize>(expected: [(&str, &str); N]) -> BTreeMap<String, String> {
    expected.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

/// Writes random records, some of them JSON with a schema version.
fn fill(store: &Store, steps: &[(Vec<u8>, Option<Value>)]) {
    for (number, (key, value)) in (0..).zip(steps) {
        let collection = if number % 3 == 0 { "b" } else { "a" };
        let mut tx = store.begin().expect("begun");
        match value {
            Some(Value::Json(text)) => {
                let text = afterimage::json::normalise(text.as_bytes()).expect("JSON");
                let image = Image::new(text.as_bytes(), CodecId::Json).with_schema(number % 2);
                tx.put_image(collection, key, image)
            }
            Some(Value::Bytes(bytes, codec, schema)) => {
                tx.put_image(collection, key, Image::new(bytes, *codec).with_schema(*schema))
            }
            None => tx.delete_record(collection, key).map(drop),
        }
        .expect("written");
        tx.commit().expect("committed");
    }
}

fn steps() -> impl Strategy<Value = Vec<(Vec<u8>, Option<Value>)>> {
    prop::collection::vec((key(), prop::option::weighted(0.8, value())), 1..16)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10, ..ProptestConfig::default() })]

    #[test]
    fn every_export_comes_back_with_an_equal_digest(ours in steps(), theirs in steps()) {
        let place = Place::new();
        let store = place.open();
        fill(&store, &ours);
        let source = EventSource { store: store.id() };
        for lsn in 1..=store.head().get() {
            let snapshot = store.snapshot_at(Lsn::new(lsn)).expect("kept");
            let mut out = Vec::new();
            export_state(&snapshot, &[], source, &mut out).expect("exported");
            let copy = Place::new();
            let copied = copy.open();
            let text = String::from_utf8(out).expect("text");
            import(&copied, &text, &ImportOptions::default()).expect("imported");
            prop_assert_eq!(digest(&copied), snapshot.digest().expect("readable").to_string());
        }
        let copy = Place::new();
        let copied = copy.open();
        for info in store.snapshot().collections().expect("readable") {
            if info.is_system() {
                continue;
            }
            let mut out = Vec::new();
            export_json(&store.snapshot(), &info.name, &mut out).expect("exported");
            let text = String::from_utf8(out).expect("text");
            let format = ImportFormat::Json(shape(&info.name));
            let options = ImportOptions { format, ..ImportOptions::default() };
            import(&copied, &text, &options).expect("imported");
            prop_assert!(compare(&copied, &text, &options).equal);
        }
        prop_assert_eq!(digest(&copied), digest(&store));
        for (text, replace_bytes) in [(state(&store), 1 << 20), (history(&store), 300)] {
            let other = Place::new();
            let other = other.open();
            fill(&other, &theirs);
            let names = vec!["a".to_owned(), "b".to_owned()];
            let options =
                ImportOptions { collections: names, replace_bytes, ..mode(ImportMode::Replace) };
            let dry = ImportOptions { dry_run: true, ..options.clone() };
            let expected = import(&other, &text, &dry).expect("rehearsed");
            let report = import(&other, &text, &options).expect("imported");
            prop_assert_eq!(digest(&other), digest(&store));
            prop_assert_eq!(
                (expected.changes, expected.transactions),
                (report.changes, report.transactions)
            );
            prop_assert!(compare(&other, &text, &options).equal);
        }
    }
}

#[test]
fn a_replacement_leaves_what_the_input_says_in_one_transaction() {
    let place = Place::new();
    let store = place.open();
    for (key, value) in [("a", "1"), ("b", "2"), ("c", "3")] {
        put(&store, "c", key, value);
    }
    put(&store, "other", "x", "1");
    let input = "{\"op\":\"r\",\"collection\":\"c\",\"key\":\"a\",\"after\":1}\n\
                 {\"op\":\"r\",\"collection\":\"c\",\"key\":\"b\",\"after\":9,\"ts_us\":7}\n\
                 {\"op\":\"r\",\"collection\":\"c\",\"key\":\"d\",\"after\":4}\n";
    let options = mode(ImportMode::Replace);
    let before = compare(&store, input, &options);
    assert_eq!((before.same, before.different, before.missing, before.unexpected), (1, 1, 1, 1));
    let report = import(&store, input, &options).expect("imported");
    let counts = (report.created, report.updated, report.deleted, report.unchanged);
    assert_eq!((counts, report.changes, report.transactions), ((1, 1, 1, 1), 3, 1));
    assert_eq!(all(&store, "c"), records([("a", "1"), ("b", "9"), ("d", "4")]));
    assert_eq!(all(&store, "other").len(), 1, "a collection that is not named stays");
    assert!(compare(&store, input, &options).equal);
    let head = store.head();
    let again = import(&store, input, &options).expect("imported");
    assert_eq!((again.transactions, again.unchanged, store.head()), (0, 3, head));
    let named = ImportOptions { collections: vec!["c".into()], ..options };
    assert_eq!(import(&store, "", &named).expect("imported").deleted, 3);
}

#[test]
fn a_replacement_that_is_too_large_for_one_transaction_deletes_last() {
    let place = Place::new();
    let store = place.open();
    for key in 0..20 {
        put(&store, "c", &format!("old-{key}"), "1");
    }
    let line = |key: u32| {
        format!("{{\"op\":\"r\",\"collection\":\"c\",\"key\":\"new-{key}\",\"after\":{key}}}\n")
    };
    let input: String = (0..20).map(line).collect();
    let options = ImportOptions { replace_bytes: 2000, ..mode(ImportMode::Replace) };
    let broken = format!("{input}{{\n");
    let error = import(&store, &broken, &options).expect_err("refused");
    assert!(error.message().starts_with("line 21: "), "{error}");
    let found = all(&store, "c");
    let is_old = |key: &&String| key.starts_with("old-");
    assert_eq!(found.keys().filter(is_old).count(), 20, "nothing is deleted yet");
    assert!(found.len() > 20, "it is more than one transaction");
    let report = import(&store, &input, &options).expect("imported");
    assert!(report.transactions > 1, "{report:?}");
    assert_eq!((report.deleted, all(&store, "c").len()), (20, 20));
}

#[test]
fn a_replacement_by_a_history_is_its_net_result() {
    let place = Place::new();
    let store = place.open();
    put(&store, "c", "a", "7");
    put(&store, "c", "gone", "7");
    let of = |op: &str, key: &str, rest: &str, id: u32| {
        format!(
            "{{\"op\":\"{op}\",\"collection\":\"c\",\"key\":\"{key}\"{rest},\
             \"transaction\":{{\"id\":{id},\"actor\":\"somebody\"}}}}\n"
        )
    };
    let input = of("c", "a", ",\"after\":1", 1)
        + &of("c", "gone", ",\"after\":1", 2)
        + &of("u", "a", ",\"before\":1,\"after\":2", 3)
        + &of("d", "gone", ",\"before\":1", 4);
    let options = mode(ImportMode::Replace);
    let report = import(&store, &input, &options).expect("imported");
    let counts = (report.created, report.updated, report.deleted);
    assert_eq!((report.transactions, report.changes, counts), (1, 4, (0, 1, 1)));
    assert_eq!(all(&store, "c"), records([("a", "2")]));
    for (contradiction, what) in
        [(of("c", "a", ",\"after\":1", 5), "twice"), (of("d", "gone", "", 5), "deleted")]
    {
        let head = store.head();
        let error = import(&store, &(input.clone() + &contradiction), &options);
        let error = error.expect_err("refused");
        assert_eq!(error.code().id, code::IMPORT_CONTRADICTION.id);
        assert!(error.message().starts_with("line 5: ") && error.message().contains(what));
        assert_eq!(store.head(), head);
    }
}

#[test]
fn a_merge_keeps_what_only_the_store_has() {
    let place = Place::new();
    let store = place.open();
    put(&store, "c", "a", r#"{"name":"Ana","address":{"city":"Lima","street":"x"},"n":1.10}"#);
    put(&store, "c", "b", "[1]");
    put(&store, "c", "c", r#"{"k":1}"#);
    put(&store, "c", "d", "{}");
    let of = |rest: &str| format!("{{\"collection\":\"c\",{rest}}}\n");
    let input = of(r#""key":"a","after":{"address":{"city":"Quito"},"n":null,"new":2}"#)
        + &of(r#""op":"r","key":"b","after":[2]"#)
        + &of(r#""op":"c","key":"c","after":{"k":1}"#)
        + &of(r#""key":"e","after":{"$bytes":"AAEC"}"#);
    let input = &input;
    let options = mode(ImportMode::Merge);
    let before = compare(&store, input, &options);
    assert_eq!((before.same, before.different, before.missing, before.unexpected), (1, 2, 1, 0));
    let dry = ImportOptions { dry_run: true, ..options.clone() };
    let rehearsed = import(&store, input, &dry).expect("rehearsed");
    let report = import(&store, input, &options).expect("imported");
    let counts = |r: &ImportReport| (r.created, r.updated, r.deleted, r.unchanged);
    assert_eq!(counts(&report), (1, 2, 0, 1));
    assert_eq!(counts(&rehearsed), counts(&report));
    let merged = r#"{"name":"Ana","address":{"city":"Quito","street":"x"},"n":null,"new":2}"#;
    let expected =
        [("a", merged), ("b", "[2]"), ("c", "{\"k\":1}"), ("d", "{}"), ("e", "\0\u{1}\u{2}")];
    assert_eq!(all(&store, "c"), records(expected));
    assert!(compare(&store, input, &options).equal);
}

#[test]
fn existing_records_are_skipped_and_new_ones_created() {
    let place = Place::new();
    let store = place.open();
    put(&store, "c", "a", "1");
    let input = "{\"collection\":\"c\",\"key\":\"a\",\"after\":2}\n\
                 {\"collection\":\"c\",\"key\":\"b\",\"after\":2}\n";
    let options = mode(ImportMode::SkipExisting);
    assert_eq!(compare(&store, input, &options).missing, 1);
    let report = import(&store, input, &options).expect("imported");
    assert_eq!((report.created, report.skipped, report.transactions), (1, 1, 1));
    assert_eq!(all(&store, "c"), records([("a", "1"), ("b", "2")]));
    assert!(compare(&store, input, &options).equal);
    let head = store.head();
    let again = import(&store, input, &options).expect("imported");
    assert_eq!((again.transactions, again.skipped, store.head()), (0, 2, head));
}

#[test]
fn modes_refuse_what_they_can_not_do() {
    let place = Place::new();
    let store = place.open();
    put(&store, "c", "a", "1");
    let head = store.head();
    let fine = "{\"collection\":\"c\",\"key\":\"b\",\"after\":2}\n";
    for case in [
        r#"{"op":"u","collection":"c","key":"a","after":2}"#,
        r#"{"op":"d","collection":"c","key":"a"}"#,
        r#"{"collection":"c","key":"a","after":null}"#,
    ] {
        for refusing in [ImportMode::Merge, ImportMode::SkipExisting] {
            let error = import(&store, &format!("{fine}{case}\n"), &mode(refusing));
            let error = error.expect_err(case);
            assert_eq!(error.code().id, code::IMPORT_MODE.id);
            assert!(error.message().starts_with("line 2: "), "{error}");
        }
    }
    let keeping = ImportOptions { keep_times: true, ..mode(ImportMode::Replace) };
    let upserting = ImportOptions { upsert: true, ..mode(ImportMode::Merge) };
    for options in [keeping, upserting] {
        let error = import(&store, fine, &options).expect_err("refused");
        assert_eq!(error.code().id, code::INVALID_OPTION.id);
    }
    assert_eq!(store.head(), head);
}

#[test]
fn documents_are_arrays_of_objects_or_objects_by_key() {
    let place = Place::new();
    let store = place.open();
    let array = "\u{feff} [ {\"id\":\"a\",\"t\":\"},]\\\"\"} ,\n\n {\"id\":7,\"n\":1.10} ] \n";
    let report = import(&store, array, &json()).expect("imported");
    assert_eq!((report.changes, report.transactions), (2, 1));
    let expected = [("7", r#"{"id":7,"n":1.10}"#), ("a", r#"{"id":"a","t":"},]\""}"#)];
    assert_eq!(all(&store, "c"), records(expected));
    let drop_key = RecordShape { drop_key: true, ..shape("d") };
    let options = ImportOptions { format: ImportFormat::Json(drop_key), ..json() };
    import(&store, array, &options).expect("imported");
    assert_eq!(all(&store, "d"), records([("7", "{\"n\":1.10}"), ("a", r#"{"t":"},]\""}"#)]));
    let object = r#"{"a\"b": {"$bytes": "AAEC", "$codec": "bincode", "$schema": 3},
        "0x00ff": null, "s": {"$json": {"$bytes": "AA=="}}, "t": {"$schema": "http://x"}}"#;
    let into = ImportOptions { format: ImportFormat::Json(shape("e")), ..json() };
    import(&store, object, &into).expect("imported");
    let snapshot = store.snapshot();
    let image = |key: &[u8]| {
        let record = snapshot.record("e", key).expect("readable").expect("there");
        (record.image().bytes().to_vec(), record.image().codec(), record.image().schema())
    };
    assert_eq!(image(b"a\"b"), (vec![0, 1, 2], CodecId::Bincode, 3));
    assert_eq!(image(b"\x00\xff"), (b"null".to_vec(), CodecId::Json, 0));
    assert_eq!(image(b"s"), (br#"{"$bytes":"AA=="}"#.to_vec(), CodecId::Json, 0));
    assert_eq!(image(b"t"), (br#"{"$schema":"http://x"}"#.to_vec(), CodecId::Json, 0));
    for empty in ["[]", "{}", " [\n]\n"] {
        assert_eq!(import(&store, empty, &json()).expect("imported").changes, 0);
    }
}

#[test]
fn a_document_that_is_none_is_refused_with_its_line() {
    let cases = [
        ("", 1, "empty"),
        ("7", 1, "neither"),
        ("[1]", 1, "not an object"),
        ("[{\"id\":\"a\"},\n{\"n\":1}]", 2, "no key field `id`"),
        ("[{\"id\":\"a\"},\n\n{\"id\":null}]", 3, "neither a string nor a number"),
        ("[{\"id\":\"a\"},\n{\"id\":\"a\"}]", 2, "line 1 already"),
        ("[{\"id\":\"a\"},\n{\"id\":\"\"}]", 2, "empty"),
        ("[{\"id\":\"a\"},\n{\"id\":\"0x1\"}]", 2, "not hexadecimal"),
        ("[{\"id\":\"a\"},\n{\"id\":\"b\"]", 2, "ends inside"),
        ("[{\"id\":\"a\"},\n{\"id\":\"b\",}]", 2, "name of a field"),
        ("[{\"id\":\"a\"}\n{\"id\":\"b\"}]", 1, "follows"),
        ("[{\"id\":\"a\"},\n]", 2, "value is expected"),
        ("{\"a\":1,\n\"a\":2}", 2, "line 1 already"),
        ("{\"a\":1,\n2:2}", 2, "a key is expected"),
        ("{\"a\" 1}", 1, "colon"),
        ("{\"a\":1}\n{\"a\":2}", 2, "something follows"),
        ("{\"a\":\"\\ud800\"}", 1, "surrogate"),
        ("{\"a\":{\"$bytes\":\"?\"}}", 1, "base64"),
        ("{\"a\":{\"$bytes\":\"\",\"$codec\":\"cbor\"}}", 1, "$codec"),
        ("{\"a\":{\"$json\":1,\"$schema\":99999999999}}", 1, "$schema"),
        ("[{\"id\":\"a\"}", 1, "ends inside"),
        ("[{\"id\":\"a\"},", 1, "ends inside"),
        ("[", 1, "ends inside"),
    ];
    for (text, line, what) in cases {
        let place = Place::new();
        let store = place.open();
        let error = import(&store, text, &json()).expect_err(text);
        assert!(error.message().starts_with(&format!("line {line}: ")), "{text}: {error}");
        assert!(error.message().contains(what), "{text}: {error}");
        assert_eq!(store.head(), Lsn::ZERO, "{text}");
    }
}

#[test]
fn a_table_becomes_strings_or_what_loses_nothing() {
    let place = Place::new();
    let store = place.open();
    let text = "id,zip,n,b,s\r\na,007,1.10,true,\"x, \"\"y\"\"\nz\"\r\nb,-0,1e5,True,\n";
    import(&store, text, &csv(CsvTypes::Strings)).expect("imported");
    let strings = [
        ("a", r#"{"id":"a","zip":"007","n":"1.10","b":"true","s":"x, \"y\"\nz"}"#),
        ("b", r#"{"id":"b","zip":"-0","n":"1e5","b":"True","s":""}"#),
    ];
    assert_eq!(all(&store, "c"), records(strings));
    let shape = RecordShape { drop_key: true, ..shape("d") };
    let format = ImportFormat::Csv(shape, CsvTypes::Auto);
    let auto = ImportOptions { format, ..ImportOptions::default() };
    import(&store, text, &auto).expect("imported");
    let typed = [
        ("a", r#"{"zip":"007","n":1.10,"b":true,"s":"x, \"y\"\nz"}"#),
        ("b", r#"{"zip":-0,"n":1e5,"b":"True","s":null}"#),
    ];
    assert_eq!(all(&store, "d"), records(typed));
}

#[test]
fn a_table_that_is_none_is_refused_with_its_line() {
    let cases: [(&[u8], u64, &str); 14] = [
        (b"", 1, "empty"),
        (b"a,b\n1,2\n", 1, "no column is named `id`"),
        (b"id,a,a\n1,2,3\n", 1, "stands twice"),
        (b"id,a\n1,2\n\n1,3\n", 4, "line 2 already"),
        (b"id,a\n1,2\n2\n", 3, "1 cells"),
        (b"id,a\n\"1\n1\",2\n,2\n", 4, "the key is empty"),
        (b"id,a\n1,2\n2,\xff\n", 3, "UTF-8"),
        (b"\xff,a\n", 1, "UTF-8"),
        (b"id,a\n0x0g,2\n", 2, "not hexadecimal"),
        (b"id,a\r\n1,2\r\n\r\n\"\r\n\",3\r\n1,3\r\n", 6, "line 2 already"),
        (b"\n\r\n\xef\xbb\xbf,a\n1,2\n", 3, "no column"),
        (b"\xef\xbb\xbfid,a\n1,2\n1,3", 3, "line 2 already"),
        (b"\nid,a\n1,2\n1,3", 4, "line 3 already"),
        (b"id\n\"1\n", 2, ""),
    ];
    for (text, line, what) in cases {
        let place = Place::new();
        let store = place.open();
        let shown = String::from_utf8_lossy(text).into_owned();
        let imported = store.import(&mut &*text, &csv(CsvTypes::Strings), &mut |_| {});
        if what.is_empty() {
            // An open quote ends with the text; what it holds is the cell.
            assert_eq!(imported.expect(&shown).changes, 1);
            continue;
        }
        let error = imported.expect_err(&shown);
        assert!(error.message().starts_with(&format!("line {line}: ")), "{shown}: {error}");
        assert!(error.message().contains(what), "{shown}: {error}");
        assert_eq!(store.head(), Lsn::ZERO, "{shown}");
    }
}

#[test]
fn a_table_is_exported_with_a_column_for_each_field() {
    let place = Place::new();
    let store = place.open();
    put(&store, "c", "a", r#"{"name":"x, \"y\"","tags":[1,2]}"#);
    put(&store, "c", "b", r#"{"n":1.10,"name":null,"ok":true}"#);
    let key = [0_u8, 255];
    store.write(|tx| tx.put_image("c", &key, Image::new(b"\x01", CodecId::Raw))).expect("put");
    let mut out = Vec::new();
    assert_eq!(export_csv(&store.snapshot(), "c", &mut out).expect("exported"), 3);
    let text = String::from_utf8(out).expect("text");
    let expected = "_key,_value,name,tags,n,ok\n\
                    0x00ff,\"{\"\"$bytes\"\":\"\"AQ==\"\"}\",,,,\n\
                    a,,\"x, \"\"y\"\"\",\"[1,2]\",,\n\
                    b,,,,1.10,true\n";
    assert_eq!(text, expected);
    let shape = RecordShape { collection: "d".into(), key: "_key".into(), drop_key: true };
    let format = ImportFormat::Csv(shape, CsvTypes::Auto);
    let options = ImportOptions { format, ..ImportOptions::default() };
    assert_eq!(import(&store, &text, &options).expect("imported").created, 3);
    assert!(store.snapshot().record("d", &key).expect("readable").is_some());
    put(&store, "c", "z", r#"{"_key":1}"#);
    let error = export_csv(&store.snapshot(), "c", &mut Vec::new()).expect_err("refused");
    assert_eq!(error.code().id, code::INVALID_OPTION.id);
}

fn mapped(fields: &[(&str, &str)], drop_fields: &[&str]) -> ImportOptions {
    let own = |(old, new): &(&str, &str)| ((*old).to_owned(), (*new).to_owned());
    let mapping = ImportMapping {
        collections: vec![("old".into(), "new".into())],
        fields: fields.iter().map(own).collect(),
        drop_fields: drop_fields.iter().map(|name| (*name).to_owned()).collect(),
    };
    ImportOptions { mapping, ..ImportOptions::default() }
}

#[test]
fn a_mapped_history_is_consistent_and_names_never_met_are_told() {
    let place = Place::new();
    let store = place.open();
    let of = |collection: &str, key: &str, rest: &str| {
        format!("{{\"collection\":\"{collection}\",\"key\":\"{key}\",{rest}}}\n")
    };
    let first = r#"{"x":1,"y":2,"s":{"t":3,"u":4},"z":5}"#;
    let next = r#""after":{"x":7,"s":{"t":3}},"transaction":{"id":2}"#;
    let group = r#""transaction":{"id":3}"#;
    let input =
        of("old", "a", &format!("\"op\":\"c\",\"after\":{first},\"transaction\":{{\"id\":1}}"))
            + &of("old", "a", &format!("\"op\":\"u\",\"before\":{first},{next}"))
            + &of("rest", "a", &format!(r#""after":{{"x":1,"z":{{"$bytes":"AA=="}}}},{group}"#))
            + &of("rest", "b", &format!(r#""after":{{"$bytes":"AA=="}},{group}"#));
    let input = &input;
    let fields =
        [("x", "y"), ("y", "x"), ("old.s.t", "deep.er.t"), ("rest/x", "w"), ("nowhere", "n")];
    let options = mapped(&fields, &["old.z", "no.such"]);
    let report = import(&store, input, &options).expect("imported");
    let warnings = ["no record has a field `no.such`", "no record has a field `nowhere`"];
    assert_eq!(report.warnings, warnings);
    assert_eq!(all(&store, "new"), records([("a", r#"{"y":7,"s":{},"deep":{"er":{"t":3}}}"#)]));
    let first = store.snapshot_at(Lsn::new(1)).expect("kept");
    let record = first.record("new", b"a").expect("readable").expect("there");
    let text = String::from_utf8_lossy(record.image().bytes()).into_owned();
    assert_eq!(text, r#"{"y":1,"x":2,"s":{"u":4},"deep":{"er":{"t":3}}}"#);
    assert_eq!(all(&store, "rest")["a"], r#"{"w":1,"z":{"$bytes":"AA=="}}"#);
    let other = ImportMapping { collections: vec![("a".into(), "b".into())], ..options.mapping };
    let options = ImportOptions { mapping: other, dry_run: true, upsert: true, ..options };
    let warnings = import(&store, input, &options).expect("rehearsed").warnings;
    assert_eq!(warnings[0], "the input has no collection `a`");
}

#[test]
fn a_field_that_can_not_get_its_name_stops_the_import_at_its_line() {
    let place = Place::new();
    let store = place.open();
    let input = "{\"collection\":\"old\",\"key\":\"a\",\"after\":{\"x\":1}}\n\
                 {\"collection\":\"old\",\"key\":\"b\",\"after\":{\"x\":1,\"y\":2}}\n";
    for (field, why) in [(("x", "y"), "is there"), (("x", "y.z"), "no object")] {
        let error = import(&store, input, &mapped(&[field], &[])).expect_err("refused");
        assert_eq!(error.code().id, code::IMPORT_MAPPING.id);
        assert!(error.message().starts_with("line 2: "), "{error}");
        assert!(error.message().contains(why), "{error}");
    }
    let deep = format!("{}{}", "[".repeat(127), "]".repeat(127));
    let deep = format!("{{\"collection\":\"c\",\"key\":\"a\",\"after\":{{\"x\":{deep}}}}}");
    let error = import(&store, &deep, &mapped(&[("x", "y.z")], &[])).expect_err("refused");
    assert_eq!(error.code().id, code::IMPORT_MAPPING.id, "what can't be read again");
    let error = import(&store, input, &mapped(&[("a..b", "c")], &[])).expect_err("refused");
    assert_eq!(error.code().id, code::INVALID_OPTION.id);
    assert_eq!(store.head(), Lsn::ZERO);
}

#[test]
fn an_analysis_tells_all_that_the_input_holds_and_what_is_wrong() {
    let place = Place::new();
    let store = place.open();
    put(&store, "c", "a", "1");
    put(&store, "c", "b", "1");
    let of = |collection: &str, rest: &str| {
        format!("{{\"collection\":\"{collection}\",\"key\":\"a\",{rest}}}\n")
    };
    let ana = r#""transaction":{"id":1,"actor":"ana"}"#;
    let bo = r#""key":"b","transaction":{"id":2,"actor":"bo"}"#;
    let input = of("c", &format!(r#""op":"c","after":{{"n":1,"t":"x"}},"ts_us":5000000,{ana}"#))
        + &of("c", &format!(r#""op":"u","after":{{"n":null}},"ts_us":1000000,{ana}"#))
        + "{\n"
        + &format!("{{\"op\":\"d\",\"collection\":\"c\",{bo}}}\n")
        + &of("c", r#""op":"x","after":1"#)
        + &of("d", r#""op":"r","after":{"$bytes":"AAEC"}"#)
        + &of("d", r#""after":[1]"#);
    let options = ImportOptions::default();
    let analyze = |store| {
        analyze_import(&mut input.as_bytes(), &options, store, &mut |_| {}).expect("analyzed")
    };
    let found = analyze(Some(&store));
    assert_eq!((found.events, found.transactions, found.problems_total), (5, 2, 2));
    let lines: Vec<_> = found.problems.iter().map(|problem| (problem.line, problem.code)).collect();
    assert_eq!(lines, [(3, "AF0033"), (5, "AF0033")]);
    let c = &found.collections["c"];
    assert_eq!((c.records, c.events, c.creates, c.updates, c.deletes), (2, 3, 1, 1, 1));
    let times = (c.first_time.expect("a time"), c.last_time.expect("a time"));
    assert_eq!((times.0.as_micros(), times.1.as_micros()), (1_000_000, 5_000_000));
    assert_eq!(c.actors, BTreeMap::from([("ana".to_owned(), 2), ("bo".to_owned(), 1)]));
    assert_eq!(c.fields["n"].types, BTreeMap::from([("null", 1), ("number", 1)]));
    assert_eq!((c.fields["n"].absent, c.fields["t"].absent, c.objects), (0, 1, 2));
    assert_eq!((c.existing, &c.existing_keys[..]), (1, &["a".to_owned()][..]));
    let d = &found.collections["d"];
    assert_eq!((d.records, d.reads, d.puts, d.value_bytes_max), (1, 1, 1, 3));
    assert_eq!(d.codecs, BTreeMap::from([("json", 1), ("raw", 1)]));
    assert_eq!(analyze(None).collections["c"].existing, 0);
    let many = "{\n".repeat(250);
    let found = analyze_import(&mut many.as_bytes(), &options, None, &mut |_| {});
    let found = found.expect("analyzed");
    assert_eq!((found.problems_total, found.problems.len()), (250, 100));
}

#[test]
fn an_import_is_recorded_with_its_first_transaction() {
    let place = Place::new();
    let store = place.open();
    let line = |key: u32| {
        format!(
            "{{\"collection\":\"c\",\"key\":\"{key}\",\"after\":1,\
             \"transaction\":{{\"id\":{key}}}}}\n"
        )
    };
    let lines: String = (0..3).map(line).collect();
    let options = ImportOptions { file: Some("c.ndjson".into()), ..ImportOptions::default() };
    import(&store, &lines, &options).expect("imported");
    let audit = all(&store, "$audit");
    let key = "import-00000000000000000001";
    let entry = r#"{"action":"import","file":"c.ndjson","format":"changes","mode":"append"}"#;
    assert_eq!(audit, records([(key, entry)]));
    let events: Vec<serde_json::Value> =
        history(&store).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(events.len(), 3, "it is no event");
    for event in &events {
        assert_eq!(
            (&event["transaction"]["order"], &event["transaction"]["changes"]),
            (&0.into(), &1.into())
        );
    }
    let copy = Place::new();
    let copied = copy.open();
    import(&copied, &history(&store), &ImportOptions::default()).expect("imported");
    let source = format!("\"source\":\"{}\"", store.id());
    assert!(all(&copied, "$audit")[key].contains(&source), "it says where it comes from");
    let log = LogQuery { system: true, ..LogQuery::default() };
    assert_eq!(store.log(&log).expect("log").count(), 3);
    let nothing = "{\"op\":\"d\",\"collection\":\"c\",\"key\":\"x\"}\n";
    let upsert = ImportOptions { upsert: true, ..options };
    assert_eq!(import(&store, nothing, &upsert).expect("imported").transactions, 0);
    assert_eq!((all(&store, "$audit").len(), store.head()), (1, Lsn::new(3)));
}

#[test]
fn two_imports_at_the_same_time_are_both_recorded() {
    let place = Place::new();
    let store = place.open();
    std::thread::scope(|scope| {
        for name in ["a", "b", "c"] {
            let store = &store;
            scope.spawn(move || {
                for key in 0..10 {
                    let line =
                        format!("{{\"collection\":\"{name}\",\"key\":\"{key}\",\"after\":1}}");
                    import(store, &line, &ImportOptions::default()).expect("imported");
                }
            });
        }
    });
    assert_eq!((all(&store, "$audit").len(), store.head()), (30, Lsn::new(30)));
}

fn run(store: Option<&Path>, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_afterimage"));
    command.env_remove("AFTERIMAGE_STORE").env("USER", "tester").args(args);
    if let Some(store) = store {
        command.env("AFTERIMAGE_STORE", store);
    }
    command.output().expect("the command runs")
}

fn exit(output: &Output) -> i32 {
    output.status.code().expect("an exit code")
}

fn document(output: &Output) -> serde_json::Value {
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&output.stderr)))
}

/// Every file with its bytes and the time of its last change.
fn contents(directory: &Path) -> BTreeMap<String, (Vec<u8>, std::time::SystemTime)> {
    let mut found = BTreeMap::new();
    let mut open = vec![directory.to_path_buf()];
    while let Some(path) = open.pop() {
        let metadata = fs::metadata(&path).expect("there");
        let mut bytes = Vec::new();
        if metadata.is_dir() {
            let entries = fs::read_dir(&path).expect("listed");
            open.extend(entries.map(|entry| entry.expect("an entry").path()));
        } else {
            bytes = fs::read(&path).expect("read");
        }
        let changed = metadata.modified().expect("a time");
        found.insert(path.to_string_lossy().into_owned(), (bytes, changed));
    }
    found
}

/// As root the mode stops nobody, so what counts is that nothing was changed.
fn make_read_only(directory: &Path, read_only: bool) {
    use std::os::unix::fs::PermissionsExt as _;
    for path in contents(directory).keys().map(Path::new) {
        let mode = match (path.is_dir(), read_only) {
            (true, true) => 0o500,
            (true, false) => 0o700,
            (false, true) => 0o400,
            (false, false) => 0o600,
        };
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("set");
    }
}

#[test]
fn the_steps_around_an_import_leave_every_byte() {
    let place = Place::new();
    let path = place.path();
    let store = Store::open(&path).expect("opened");
    put(&store, "c", "a", "1");
    put(&store, "c", "b", "1");
    store.close().expect("closed");
    let file = place.beside("in.ndjson");
    let file = file.to_str().expect("text");
    fs::write(file, "{\"op\":\"r\",\"collection\":\"c\",\"key\":\"a\",\"after\":2}\n")
        .expect("written");
    make_read_only(&path, true);
    let before = contents(&path);
    let steps: [&[&str]; 6] = [
        &["--analyze"],
        &["--verify"],
        &["--dry-run", "--upsert"],
        &["--dry-run", "--mode", "replace"],
        &["--dry-run", "--mode", "merge"],
        &["--dry-run", "--mode", "skip-existing"],
    ];
    let all_steps = |what: &str| {
        for step in steps {
            let args = [&["import", file, "--json"], step].concat();
            let output = run(Some(&path), &args);
            assert_eq!(exit(&output), 0, "{what}: {}", String::from_utf8_lossy(&output.stderr));
            document(&output);
        }
    };
    all_steps("read-only");
    assert!(contents(&path) == before, "nothing was written");
    make_read_only(&path, false);
    let writer = Store::open(&path).expect("opened");
    all_steps("beside a writer");
    assert_eq!(writer.head(), Lsn::new(2));
}

#[test]
fn analyze_rehearse_import_and_verify_on_the_command_line() {
    let place = Place::new();
    let path = place.path();
    let file = place.beside("rooms.csv");
    let file = file.to_str().expect("text");
    fs::write(file, "number,beds\n204,2\n206,3\n").expect("written");
    let with = |extra: &[&str]| {
        let args = ["import", file, "--format", "csv", "--into", "rooms", "--key", "number"];
        let args = [&args[..], &["--types", "auto", "--json"], extra].concat();
        run(Some(&path), &args)
    };
    let analysis = document(&with(&["--analyze"]));
    assert_eq!(analysis["collections"]["rooms"]["fields"]["beds"]["types"]["number"], 2);
    assert!(!path.exists(), "no store is needed, and none is made");
    assert_eq!(exit(&run(Some(&path), &["init"])), 0);
    assert_eq!(document(&with(&["--dry-run"]))["created"], 2);
    assert_eq!(document(&with(&["--verify"]))["missing"], 2);
    assert_eq!(exit(&with(&["--verify", "--check"])), 4);
    assert_eq!(document(&with(&[]))["created"], 2);
    assert_eq!(exit(&with(&["--verify", "--check"])), 0);
    let unmet = with(&["--map-field", "none=some", "--dry-run", "--mode", "merge"]);
    assert_eq!(document(&unmet)["warnings"][0], "no record has a field `none`");
    assert!(String::from_utf8_lossy(&unmet.stderr).contains("no record has a field `none`"));
    fs::write(file, "number,beds\n204\n,\n").expect("written");
    assert_eq!(document(&with(&["--analyze"]))["problems_total"], 2);
    assert_eq!(exit(&with(&["--analyze", "--check"])), 4);
    for wrong in [
        &["import", file, "--format", "csv"][..],
        &["import", file, "--into", "c"],
        &["import", file, "--check"],
        &["import", file, "--analyze", "--verify"],
        &["import", file, "--map-field", "x"],
        &["export", "--format", "json", "--history"],
    ] {
        assert_eq!(exit(&run(Some(&path), wrong)), 2, "{wrong:?}");
    }
}

#[test]
fn exports_of_a_moment_in_every_form_come_back() {
    let place = Place::new();
    let path = place.path();
    let store = Store::open(&path).expect("opened");
    for n in 1..=3 {
        put(&store, "c", "a", &format!("{{\"n\":{n}}}"));
    }
    put(&store, "d", "x", "1");
    let digests: Vec<_> = (0..=4)
        .map(|lsn| store.snapshot_at(Lsn::new(lsn)).expect("kept").digest().expect("readable"))
        .collect();
    store.close().expect("closed");
    let exported = |args: &[&str]| {
        let output = run(Some(&path), &[&["export"], args].concat());
        assert_eq!(exit(&output), 0, "{args:?}");
        String::from_utf8(output.stdout).expect("text")
    };
    let imported = |text: &str, options: &ImportOptions| {
        let copy = Place::new();
        let store = copy.open();
        import(&store, text, options).expect("imported");
        store.snapshot().digest().expect("readable")
    };
    let plain = ImportOptions::default();
    for (moment, lsn) in [("2", 2), ("HEAD~1", 3), ("HEAD", 4)] {
        for history in [&[][..], &["--history"]] {
            let text = exported(&[&["--as-of", moment], history].concat());
            assert_eq!(imported(&text, &plain), digests[lsn], "{moment} {history:?}");
        }
    }
    assert_eq!(exported(&["--as-of", "2", "--history"]).lines().count(), 2);
    let text = exported(&["--as-of", "2", "--format", "json"]);
    assert_eq!(text, "{\n\"a\":{\"n\":2}\n}\n");
    assert_eq!(imported(&text, &json()), digests[2]);
    let two = run(Some(&path), &["export", "--format", "csv"]);
    assert_eq!((exit(&two), &two.stdout[..]), (2, &b""[..]), "two collections are no table");
    assert_eq!(exported(&["--format", "csv", "--collection", "c"]), "_key,n\na,3\n");
}

#[test]
fn the_real_register_is_exported_and_comes_back_at_several_moments() {
    let Some(path) = std::env::var_os("AFTERIMAGE_CA_FIRES") else {
        crate::skipped::skipped("AFTERIMAGE_CA_FIRES does not name the file of real change events");
        return;
    };
    let text = fs::read_to_string(path).expect("the unpacked file of change events");
    let open = |place: &Place| {
        let options = Store::options().durability(afterimage::Durability::Process);
        options.open(place.path()).expect("open")
    };
    let places = [Place::new(), Place::new(), Place::new()];
    let store = open(&places[0]);
    let kept = ImportOptions { keep_times: true, ..ImportOptions::default() };
    let analysis = analyze_import(&mut text.as_bytes(), &kept, None, &mut |_| {}).expect("read");
    assert_eq!((analysis.events, analysis.transactions, analysis.problems_total), (6923, 2581, 0));
    let incidents = &analysis.collections["incidents"];
    let counts = (incidents.creates, incidents.updates, incidents.deletes, incidents.records);
    assert_eq!(counts, (613, 3116, 613, 402));
    import(&store, &text, &kept).expect("imported");
    assert!(compare(&store, &text, &kept).equal);
    let copied = open(&places[1]);
    import(&copied, &history(&store), &kept).expect("imported");
    assert_eq!((digest(&copied), copied.head()), (digest(&store), store.head()));
    // One store after the other moment, each made what the export says.
    let replaced = open(&places[2]);
    let source = EventSource { store: store.id() };
    for lsn in [828, 829, 830, 1500, 2580, 2581].map(Lsn::new) {
        let snapshot = store.snapshot_at(lsn).expect("kept");
        let mut out = Vec::new();
        export_state(&snapshot, &[], source, &mut out).expect("exported");
        let text = String::from_utf8(out).expect("text");
        let collections = vec!["incidents".to_owned(), "scrapes".to_owned()];
        let options = ImportOptions { collections, ..mode(ImportMode::Replace) };
        let report = import(&replaced, &text, &options).expect("imported");
        assert_eq!(report.transactions, 1);
        assert_eq!(digest(&replaced), snapshot.digest().expect("readable").to_string(), "{lsn}");
        assert!(compare(&replaced, &text, &options).equal);
    }
}
