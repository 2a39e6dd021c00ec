//! Change events out and in.

use std::collections::BTreeMap;

use afterimage::json::Tree;
use afterimage::{
    CodecId, EventSource, HistoryExport, Image, ImportOptions, ImportReport, KeyRange, LogQuery,
    Lsn, Result, Runner, Store, Timestamp, VerifyDepth, code, export_state,
};
use proptest::prelude::*;

use crate::common::{Place, fires};

fn import(store: &Store, lines: &str) -> Result<ImportReport> {
    import_with(store, lines, &ImportOptions::default())
}

fn import_with(store: &Store, lines: &str, options: &ImportOptions) -> Result<ImportReport> {
    store.import(&mut lines.as_bytes(), options, &mut |_| {})
}

pub(crate) fn history(store: &Store) -> String {
    let source = EventSource { store: store.id() };
    let export = HistoryExport::new(Vec::new(), source, Vec::new(), Lsn::ZERO);
    let mut runner = Runner::new(store, export);
    runner.catch_up().expect("exported");
    String::from_utf8(runner.into_projection().into_output()).expect("text")
}

pub(crate) fn state(store: &Store) -> String {
    let mut out = Vec::new();
    let source = EventSource { store: store.id() };
    export_state(&store.snapshot(), &[], source, &mut out).expect("exported");
    String::from_utf8(out).expect("text")
}

pub(crate) fn digest(store: &Store) -> String {
    store.snapshot().digest().expect("readable").to_string()
}

#[derive(Clone, Debug)]
pub(crate) enum Value {
    Json(String),
    Bytes(Vec<u8>, CodecId, u32),
}

fn json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("1.10".to_owned()),
        Just("123456789012345678901234567890".to_owned()),
        Just(r#"{"$bytes":"AAEC"}"#.to_owned()),
        Just(r#"{"$json":null}"#.to_owned()),
        any::<String>().prop_map(|text| serde_json::Value::from(text).to_string()),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4)
                .prop_map(|items| format!("[{}]", items.join(","))),
            ("[a-z$]{0,6}", inner).prop_map(|(name, value)| format!("{{\"{name}\":{value}}}")),
        ]
    })
}

pub(crate) fn value() -> impl Strategy<Value = Value> {
    let codec = prop_oneof![Just(CodecId::Raw), Just(CodecId::Bincode), Just(CodecId::Rkyv)];
    prop_oneof![
        3 => json().prop_map(Value::Json),
        1 => (prop::collection::vec(any::<u8>(), 0..64), codec, 0..3_u32)
            .prop_map(|(bytes, codec, schema)| Value::Bytes(bytes, codec, schema)),
    ]
}

pub(crate) fn key() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        Just(b"k".to_vec()),
        "\\PC{1,8}".prop_map(String::into_bytes),
        prop::collection::vec(any::<u8>(), 1..6),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn an_export_imports_with_an_equal_digest_at_every_lsn(
        steps in prop::collection::vec((key(), prop::option::weighted(0.8, value())), 1..25)
    ) {
        let place = Place::new();
        let store = place.open();
        for (key, value) in &steps {
            let mut tx = store.begin().expect("begun");
            tx.actor("tester").attribute("n", 1);
            match value {
                Some(Value::Json(text)) => {
                    let text = afterimage::json::normalise(text.as_bytes()).expect("JSON");
                    tx.put_image("c", key, Image::new(text.as_bytes(), CodecId::Json))
                }
                Some(Value::Bytes(bytes, codec, schema)) => {
                    tx.put_image("c", key, Image::new(bytes, *codec).with_schema(*schema))
                }
                None => tx.delete_record("c", key).map(drop),
            }
            .expect("written");
            tx.commit().expect("committed");
        }
        let lines = history(&store);
        let copy = Place::new();
        let copied = copy.open();
        let options = ImportOptions { keep_times: true, ..ImportOptions::default() };
        import_with(&copied, &lines, &options).expect("imported");
        prop_assert_eq!(copied.head(), store.head());
        for lsn in 1..=store.head().get() {
            let (a, b) = (store.transaction(Lsn::new(lsn)), copied.transaction(Lsn::new(lsn)));
            let (a, b) = (a.expect("kept"), b.expect("kept"));
            prop_assert_eq!(a.digest(), b.digest());
            prop_assert_eq!(a.time(), b.time());
            prop_assert_eq!(&a.metadata().actor, &b.metadata().actor);
        }
        let of_state = Place::new();
        let from_state = of_state.open();
        import(&from_state, &state(&store)).expect("imported");
        prop_assert_eq!(digest(&from_state), digest(&store));
    }
}

#[test]
fn contradictions_stop_at_their_line_with_nothing_of_their_transaction() {
    let cases = [
        r#"{"op":"c","collection":"a","key":"k","after":2}"#,
        r#"{"op":"r","collection":"a","key":"k","after":2}"#,
        r#"{"op":"u","collection":"a","key":"other","after":2}"#,
        r#"{"op":"d","collection":"a","key":"other"}"#,
        r#"{"collection":"a","key":"other","after":null}"#,
        r#"{"op":"u","collection":"a","key":"k","before":7,"after":2}"#,
        r#"{"op":"u","collection":"a","key":"k","before":{"$bytes":"MQ=="},"after":2}"#,
    ];
    for case in cases {
        let place = Place::new();
        let store = place.open();
        let before =
            "{\"collection\":\"a\",\"key\":\"k\",\"after\":1,\"transaction\":{\"id\":1}}\n";
        let fine = "{\"collection\":\"a\",\"key\":\"new\",\"after\":1}\n";
        let error = import(&store, &format!("{before}{fine}\n{case}\n")).expect_err(case);
        assert_eq!(error.code().id, code::IMPORT_CONTRADICTION.id, "{case}");
        assert!(error.message().starts_with("line 4: "), "{error}");
        assert_eq!(store.head(), Lsn::new(1), "the transaction before stays, its own does not");
        let upsert = ImportOptions { upsert: true, ..ImportOptions::default() };
        import_with(&store, case, &upsert).expect("taken as the truth");
    }
}

#[test]
fn malformed_lines_are_named() {
    let place = Place::new();
    let store = place.open();
    let cases: [&[u8]; 9] = [
        b"{",
        b"[]",
        b"{\"collection\":\"a\",\"key\":\"k\"}",
        b"{\"op\":\"x\",\"collection\":\"a\",\"key\":\"k\",\"after\":1}",
        b"{\"op\":\"c\",\"collection\":\"a\",\"key\":1,\"after\":1}",
        b"{\"op\":\"c\",\"collection\":\"a\",\"key\":{\"$bytes\":\"?\"},\"after\":1}",
        b"{\"op\":\"c\",\"collection\":\"a\",\"key\":\"k\",\"after\":\"\\ud800\"}",
        b"{\"op\":\"d\",\"collection\":\"a\",\"key\":\"k\",\"after\":1}",
        b"\xff\xfe",
    ];
    for case in cases {
        let mut lines = b"\n".to_vec();
        lines.extend_from_slice(case);
        let imported = store.import(&mut &lines[..], &ImportOptions::default(), &mut |_| {});
        let error = imported.expect_err("refused");
        assert_eq!(error.code().id, code::INVALID_EVENT.id, "{error:?}");
        assert!(error.message().starts_with("line 2: "), "{error}");
    }
    assert_eq!(store.head(), Lsn::ZERO);
}

#[test]
fn lines_are_grouped_by_transaction_or_by_batch() {
    let place = Place::new();
    let store = place.open();
    let line = |key: u32, group: &str| {
        format!("{{\"collection\":\"a\",\"key\":\"{key}\",\"after\":{key}{group}}}\n")
    };
    let mut lines = String::new();
    for key in 0..3 {
        lines += &line(key, ",\"transaction\":{\"id\":\"t1\",\"actor\":\"ana\"}");
    }
    lines += &line(3, ",\"transaction\":{\"lsn\":7}");
    for key in 4..9 {
        lines += &line(key, "");
    }
    let options = ImportOptions { batch: 2, ..ImportOptions::default() };
    let report = import_with(&store, &lines, &options).expect("imported");
    assert_eq!((report.transactions, report.changes, report.created), (5, 9, 9));
    let first = store.transaction(Lsn::new(1)).expect("kept");
    assert_eq!(first.metadata().actor.as_deref(), Some("ana"));
    assert_eq!(first.metadata().attributes["id"], "t1");
}

#[test]
fn a_dry_run_sees_what_it_would_have_written_and_writes_nothing() {
    let place = Place::new();
    let store = place.open();
    let of = |op: &str, id: u32| {
        let record = r#""collection":"a","key":"k""#;
        format!("{{\"op\":{op},{record},\"transaction\":{{\"id\":{id}}}}}\n")
    };
    let lines = of("\"c\",\"after\":1", 1)
        + &of("\"u\",\"before\":1,\"after\":2", 2)
        + &of("\"d\",\"before\":2", 3);
    let options = ImportOptions { dry_run: true, ..ImportOptions::default() };
    let report = import_with(&store, &lines, &options).expect("fits");
    assert_eq!((report.created, report.updated, report.deleted), (1, 1, 1));
    assert_eq!((report.transactions, store.head()), (3, Lsn::ZERO));
}

#[test]
fn a_dry_run_counts_and_refuses_as_the_run_does() {
    let event = |op: &str, rest: &str, id: u32| {
        let record = r#""collection":"a","key":"k""#;
        format!("{{\"op\":\"{op}\",{record}{rest},\"transaction\":{{\"id\":{id}}}}}\n")
    };
    // The first transaction leaves nothing behind, the last one is what the others must add up to.
    let lines = event("c", r#","after":{"a":1,"b":[{"c":1,"d":2}]}"#, 1)
        + &event("d", "", 1)
        + &event("c", r#","after":{"a":1,"b":[{"c":1,"d":2}]}"#, 2)
        + &event("u", r#","before":{"b":[{"d":2,"c":1}],"a":1},"after":{"$bytes":"AAEC"}"#, 3);
    let wrong = [
        lines.clone() + &event("c", ",\"after\":1", 4),
        lines.clone() + &event("u", r#","before":{"a":1},"after":1"#, 4),
        lines.clone() + &event("d", r#","before":{"$bytes":"AAED"}"#, 4),
        lines.clone() + &event("d", "", 4) + &event("d", "", 5),
    ];
    let run = |lines: &str, dry_run| {
        let place = Place::new();
        let options = ImportOptions { dry_run, ..ImportOptions::default() };
        import_with(&place.open(), lines, &options)
            .map(|r| (r.transactions, r.changes, r.created, r.updated, r.deleted))
            .map_err(|error| error.to_string())
    };
    assert_eq!(run(&lines, true), Ok((2, 4, 2, 1, 1)));
    assert_eq!(run(&lines, false), Ok((2, 4, 2, 1, 1)));
    for lines in wrong {
        let dry = run(&lines, true).expect_err("refused");
        let refused = run(&lines, false).expect_err("refused");
        let more = refused.strip_prefix(&dry).expect("the same refusal");
        assert!(more.starts_with("; LSN 1 to "), "{more}");
        assert!(more.ends_with(" are imported, point:before-import-0 is the moment before"));
    }
}

#[test]
fn transactions_of_others_are_never_merged() {
    let place = Place::new();
    let store = place.open();
    let line = |key: u32, transaction: &str| {
        format!(
            "{{\"collection\":\"a\",\"key\":\"{key}\",\"after\":1,\
             \"transaction\":{{{transaction}}}}}\n"
        )
    };
    // As floats these two are the same number.
    let ids = line(1, r#""id":100000000000000000000000001"#)
        + &line(2, r#""id":100000000000000000000000002"#);
    assert_eq!(import(&store, &ids).expect("imported").transactions, 2);
    let kinds = line(3, r#""id":7"#) + &line(4, r#""lsn":7"#) + &line(5, r#""id":"7""#);
    assert_eq!(import(&store, &kinds).expect("imported").transactions, 3);
    let authors = line(6, r#""actor":"ana""#) + &line(7, r#""actor":"bo""#);
    assert_eq!(import(&store, &authors).expect("imported").transactions, 2);
    let log = store.log(&LogQuery::default()).expect("log").take(2);
    let actors: Vec<_> =
        log.map(|entry| entry.expect("readable").transaction.metadata().actor.clone()).collect();
    assert_eq!(actors, [Some("bo".to_owned()), Some("ana".to_owned())]);
}

#[test]
fn what_typed_json_holds_comes_back_with_the_same_digest() {
    const NOTES: afterimage::Collection<String, afterimage::Json> =
        afterimage::Collection::new("notes");
    let (place, copy) = (Place::new(), Place::new());
    let (store, copied) = (place.open(), copy.open());
    let all: String = (0..0x80_u8).map(char::from).chain(['\u{e9}', '\u{1f600}']).collect();
    store.write(|tx| tx.put(&NOTES, "k", &all)).expect("put");
    import(&copied, &history(&store)).expect("imported");
    assert_eq!(digest(&copied), digest(&store));
}

/// The byte level takes any bytes under any codec; whatever they are, the export can be read again.
#[test]
fn bytes_stored_as_json_that_an_import_would_refuse_are_exported_as_bytes() {
    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    let exact = [r#""\ud800""#, "not json", "{\"a\":\n1}", "", &deep];
    let by_value = [" null", r#"{                 "$bytes":"AAAA"}"#, r#"{"a": 1}"#, r#""\/""#];
    for (text, is_exact) in
        exact.map(|text| (text, true)).into_iter().chain(by_value.map(|text| (text, false)))
    {
        let (place, copy) = (Place::new(), Place::new());
        let (store, copied) = (place.open(), copy.open());
        let image = Image::new(text.as_bytes(), CodecId::Json);
        store.write(|tx| tx.put_image("c", b"k", image)).expect("put");
        import(&copied, &history(&store)).expect(text);
        let snapshot = copied.snapshot();
        let found = snapshot.record("c", b"k").expect("readable").expect("there").image();
        assert_eq!(found.codec(), CodecId::Json);
        if is_exact {
            assert_eq!(found.bytes(), text.as_bytes());
        } else {
            let tree = |bytes| Tree::parse(bytes).expect("JSON");
            assert_eq!(tree(found.bytes()), tree(text.as_bytes()));
        }
    }
}

#[test]
fn a_source_of_another_system_is_let_be_and_one_of_a_later_release_is_refused() {
    let place = Place::new();
    let store = place.open();
    let line = |key: u32, source: &str| {
        format!(
            "{{\"collection\":\"a\",\"key\":\"{key}\",\"after\":{{\"$bytes\":\"AAEC\"}},\
             \"source\":{source}}}\n"
        )
    };
    let foreign =
        [r#""crm""#, "null", r#"{"connector":"postgresql","schema":"public","codec":"utf8"}"#];
    for (key, source) in (0..).zip(foreign) {
        import(&store, &line(key, source)).expect("imported");
        let snapshot = store.snapshot();
        let record = snapshot.record("a", key.to_string().as_bytes()).expect("readable");
        assert_eq!(record.expect("there").image(), Image::new(&[0, 1, 2], CodecId::Raw));
    }
    for source in [
        r#"{"connector":"afterimage","codec":"cbor"}"#,
        r#"{"connector":"afterimage","codec":"raw","schema":4294967296}"#,
    ] {
        let error = import(&store, &line(9, source)).expect_err("refused");
        assert_eq!(error.code().id, code::INVALID_EVENT.id);
    }
}

#[test]
fn a_time_outside_the_calendar_does_not_become_the_stores() {
    let place = Place::new();
    let store = place.open();
    let line = "{\"collection\":\"a\",\"key\":\"k\",\"after\":1,\"ts_us\":9223372036854775807}";
    let options = ImportOptions { keep_times: true, ..ImportOptions::default() };
    let error = import_with(&store, line, &options).expect_err("refused");
    assert_eq!(error.code().id, code::INVALID_EVENT.id);
    import(&store, line).expect("kept as an attribute");
}

#[test]
fn a_collection_named_twice_is_exported_once() {
    let place = Place::new();
    let store = place.open();
    crate::common::put(&store, "k", "v");
    let names = ["things".to_owned(), "things".to_owned()];
    let source = EventSource { store: store.id() };
    let count = export_state(&store.snapshot(), &names, source, &mut Vec::new());
    assert_eq!(count.expect("exported"), 1);
}

/// What its README says of the public register of fires: at which transactions it was emptied, and
/// how many records were lost.
const OUTAGES: [(u64, &str, usize); 6] = [
    (341, "2021-02-04T19:23:52Z", 0),
    (351, "2021-03-08T03:54:06Z", 0),
    (355, "2021-03-08T18:35:02Z", 0),
    (410, "2021-04-26T11:49:03Z", 1),
    (829, "2021-07-22T15:44:30Z", 11),
    (2581, "2023-03-04T05:09:26Z", 0),
];

#[test]
fn the_real_register_shows_each_outage_and_comes_back() {
    let place = Place::new();
    let Some(store) = fires(&place) else { return };
    let count = |lsn: u64| {
        let snapshot = store.snapshot_at(Lsn::new(lsn)).expect("kept");
        snapshot.scan("incidents", KeyRange::all()).expect("scan").count()
    };
    for (lsn, time, lost) in OUTAGES {
        assert_eq!((count(lsn - 1), count(lsn)), (lost, 0), "at LSN {lsn}");
        assert_eq!(store.resolve(time).expect("kept"), Lsn::new(lsn));
        let change = store.transaction(Lsn::new(lsn)).expect("kept").changes().last();
        let after = change.expect("changes").expect("readable").after().expect("an update");
        let bytes = Tree::parse(after.bytes()).expect("JSON");
        assert_eq!(bytes.get("bytes"), Some(&Tree::Number("0".into())), "at LSN {lsn}");
    }
    assert_eq!((count(411), count(830)), (1, 10));
    the_great_outage(&store);
    restored_before_it(&store, &place);
    let deep = store.verify(VerifyDepth::Deep, &mut |_| {}).expect("looked");
    assert!(deep.valid, "{deep:?}");
    assert_eq!(deep.changes, 6923 + 4, "and the catalogue's two, and the import's two");
}

fn records(store: &Store, lsn: u64) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let snapshot = store.snapshot_at(Lsn::new(lsn)).expect("kept");
    let scan = snapshot.scan("incidents", KeyRange::all()).expect("scan");
    let own = |record: Result<afterimage::Record<'_>>| {
        let record = record.expect("readable");
        (record.key().to_vec(), record.image().bytes().to_vec())
    };
    scan.map(own).collect()
}

/// Of the eleven, nine came back equal, one changed, and one did not.
fn the_great_outage(store: &Store) {
    let (before, after) = (records(store, 828), records(store, 830));
    let equal = after.iter().filter(|(key, value)| before.get(*key) == Some(value)).count();
    assert_eq!((before.len(), after.len(), equal), (11, 10, 9));
    let chicken = b"35d04cb5-0455-4d36-b857-d7952670aef0".to_vec();
    assert!(before.contains_key(&chicken) && !after.contains_key(&chicken));
    let query = LogQuery {
        collection: Some("incidents".into()),
        key: Some(chicken.clone()),
        ..LogQuery::default()
    };
    let log: Vec<_> = store.log(&query).expect("log").map(|e| e.expect("readable")).collect();
    assert_eq!(log[0].transaction.lsn(), Lsn::new(829));
    let versions = store.record_history("incidents", &chicken).expect("history").count();
    assert_eq!(log.len(), versions);
}

fn restored_before_it(store: &Store, place: &Place) {
    let directory = place.beside("restored.store");
    let by = afterimage::Author::default();
    let report = store.restore_into(Lsn::new(828), &directory, &by, &mut |_| {});
    assert_eq!(report.expect("restored").transactions, 828);
    let restored = Store::options().read_only(true).open(&directory).expect("open");
    assert_eq!(records(&restored, 828), records(store, 828));
    let time = Timestamp::from_micros(1_626_968_669_000_000);
    assert_eq!(restored.lsn_at(time).expect("kept"), Lsn::new(828));
}

#[test]
fn lines_without_a_transaction_keep_their_own_times() {
    let place = Place::new();
    let store = place.open();
    let line =
        |n| format!("{{\"collection\":\"a\",\"key\":\"{n}\",\"after\":1,\"ts_us\":{n}000}}\n");
    let lines = [1, 2, 3].map(line).concat();
    let options = ImportOptions { keep_times: true, ..ImportOptions::default() };
    import_with(&store, &lines, &options).expect("imported");
    let times: Vec<_> = store
        .transactions(..)
        .expect("transactions")
        .map(|transaction| transaction.expect("readable").time().as_micros())
        .collect();
    assert_eq!(times, [1000, 2000, 3000]);
    let batched = Place::new();
    let batched = batched.open();
    import(&batched, &lines).expect("imported");
    assert_eq!(batched.head(), Lsn::new(1), "one batch, where times are not kept");
}
