//! Plans: their names, how long they hold, and what they refuse.

use afterimage::{
    ErrorKind, Lsn, OnConflict, Plan, PlanId, Restore, RestoreMode, Scope, Store, Undo, UndoMode,
    code,
};

use super::{by, put, text};
use crate::common::Place;

const STRICT_TO_MERGE: [UndoMode; 5] = [
    UndoMode::Strict,
    UndoMode::Cascade,
    UndoMode::Force,
    UndoMode::Nonconflicting,
    UndoMode::Merge(OnConflict::Fail),
];

/// `rooms/a` and `rooms/b` of LSN 1 are changed by LSN 2, which is what will be undone.
fn store(place: &Place) -> Store {
    let store = place.open();
    for values in [["1", "1"], ["2", "2"]] {
        store
            .write(|tx| {
                tx.put_image("rooms", b"a", super::json(values[0]))?;
                tx.put_image("rooms", b"b", super::json(values[1]))
            })
            .expect("put");
    }
    store
}

fn refused(store: &Store, plan: &Plan<'_>, expected: &str) {
    let head = store.head();
    let error = store.execute(plan, &by("ana")).expect_err("it is refused");
    assert_eq!(error.code().id, expected, "{error}");
    assert_eq!(store.head(), head, "nothing was written");
}

#[test]
fn the_name_of_a_plan_is_read_as_it_was_written() {
    let place = Place::new();
    let store = store(&place);
    let plan = store.plan_undo(&Undo::transaction(Lsn::new(2))).expect("planned");
    let name = plan.id().to_string();
    assert_eq!(name.len(), 32);
    assert_eq!(name.parse::<PlanId>().expect("read"), plan.id());
    assert_eq!(name.to_uppercase().parse::<PlanId>().expect("read"), plan.id());
    assert_eq!(plan.id().head(), Lsn::new(2));
    assert_eq!(store.plan_undo(&Undo::transaction(Lsn::new(2))).expect("again").id(), plan.id());
    let other = format!("{}0{name}", 'g');
    let accent = name.replacen('0', "\u{e9}", 1);
    for garbage in ["", "0", &name[1..], &format!("{name}0"), &other[..32], &accent, "+1"] {
        let error = garbage.parse::<PlanId>().expect_err("no plan");
        assert_eq!(error.kind(), ErrorKind::Invalid, "{garbage}");
    }
}

#[test]
fn a_plan_holds_while_other_records_are_written() {
    let place = Place::new();
    let store = store(&place);
    let undo = store.plan_undo(&Undo::transaction(Lsn::new(2))).expect("planned");
    put(&store, "rooms", "c", "3");
    put(&store, "guests", "a", "3");
    let done = store.execute(&undo, &by("ana")).expect("it holds");
    assert_eq!((done.value().plan, done.value().counts.update), (undo.id(), 2));
    assert_eq!(
        [text(&store, "rooms", "a"), text(&store, "rooms", "c")],
        ["1", "3"].map(|t| Some(t.into()))
    );
    let restore = store.plan_restore(&Restore::to(Lsn::new(2))).expect("planned");
    assert_eq!((restore.counts().update, restore.counts().delete), (2, 2));
    put(&store, "guests", "b", "3");
    let done = store.execute(&restore, &by("ana")).expect("it holds");
    assert_eq!(done.value().counts, restore.counts());
    assert_eq!(text(&store, "guests", "b").as_deref(), Some("3"), "the plan did not know it");
    // Once done, all that it touched has moved.
    refused(&store, &restore, code::STALE_PLAN.id);
    refused(&store, &undo, code::STALE_PLAN.id);
}

#[test]
fn a_plan_is_stale_once_a_record_that_it_touches_has_moved() {
    type Move = fn(&Store);
    let moves: [(&str, Move); 5] = [
        ("another value", |store| {
            put(store, "rooms", "a", "3");
        }),
        ("the same value", |store| {
            put(store, "rooms", "a", "2");
        }),
        ("deleted", |store| drop(store.write(|tx| tx.delete_record("rooms", b"a")))),
        ("deleted and created anew", |store| {
            store.write(|tx| tx.delete_record("rooms", b"a")).expect("deleted");
            put(store, "rooms", "a", "2");
        }),
        ("undone by somebody else", |store| {
            store.undo(&Undo::transaction(Lsn::new(2)), &by("bo")).expect("undone");
        }),
    ];
    for (what, move_it) in moves {
        let place = Place::new();
        let store = store(&place);
        let undo = store.plan_undo(&Undo::transaction(Lsn::new(2))).expect("planned");
        let restore = store.plan_restore(&Restore::to(Lsn::new(1))).expect("planned");
        let merge = Restore::to(Lsn::new(1)).mode(RestoreMode::Merge);
        let nothing = store.plan_restore(&merge).expect("planned");
        move_it(&store);
        assert_eq!(code::STALE_PLAN.id, "AF0050");
        println!("{what}");
        refused(&store, &undo, code::STALE_PLAN.id);
        refused(&store, &restore, code::STALE_PLAN.id);
        let done = store.execute(&nothing, &by("ana")).expect("nothing to do");
        assert!(done.is_empty() && done.value().point.is_none());
    }
}

#[test]
fn a_record_that_came_to_be_after_the_plan_is_not_overwritten() {
    let place = Place::new();
    let store = store(&place);
    store.write(|tx| tx.delete_record("rooms", b"a")).expect("deleted");
    let plan = store.plan_undo(&Undo::transaction(Lsn::new(3))).expect("planned");
    put(&store, "rooms", "a", "2");
    refused(&store, &plan, code::STALE_PLAN.id);
    let replanned = store.undo(&Undo::transaction(Lsn::new(3)), &by("ana")).expect("done");
    assert!(replanned.is_empty(), "it is back already");
}

#[test]
fn plans_that_do_something_else_have_other_names() {
    let place = Place::new();
    let store = store(&place);
    put(&store, "rooms", "b", "3");
    let only =
        |key: &[u8]| Scope { records: vec![("rooms".into(), key.to_vec())], ..Scope::default() };
    let two = Undo::transaction(Lsn::new(2));
    let undos = [
        two.clone(),
        two.clone().mode(UndoMode::Force),
        two.clone().mode(UndoMode::Nonconflicting),
        two.clone().of(only(b"a")),
        Undo::everything().between(Lsn::new(1), Lsn::new(3)),
        Undo::transaction(Lsn::new(3)),
    ];
    let mut names: Vec<_> =
        undos.iter().map(|undo| store.plan_undo(undo).expect("planned").id().to_string()).collect();
    for restore in [
        Restore::to(Lsn::new(1)),
        Restore::to(Lsn::new(2)),
        Restore::to(Lsn::new(1)).of(only(b"b")),
    ] {
        names.push(store.plan_restore(&restore).expect("planned").id().to_string());
    }
    let mut different = names.clone();
    different.sort();
    different.dedup();
    assert_eq!(different.len(), names.len(), "{names:?}");
    let cascade = store.plan_undo(&two.mode(UndoMode::Cascade)).expect("planned").id();
    assert_eq!(cascade.to_string(), names[4], "the same in other words");
}

#[test]
fn a_plan_for_another_store_is_refused_and_has_another_name() {
    let place = Place::new();
    let store = store(&place);
    let twin = place.beside("twin.store");
    store.restore_into(Lsn::new(2), &twin, &by("ana"), &mut |_| {}).expect("restored");
    let twin = Place::options().open(&twin).expect("opened");
    let undo = Undo::transaction(Lsn::new(2)).as_of(Lsn::new(2));
    let [own, other] = [&store, &twin].map(|store| store.plan_undo(&undo).expect("planned"));
    assert_eq!(own.counts(), other.counts());
    assert_ne!(own.id(), other.id(), "a name that was shown for one means nothing to the other");
    refused(&twin, &own, code::INVALID_OPTION.id);
    refused(&store, &other, code::INVALID_OPTION.id);
}

#[test]
fn a_refused_plan_names_every_conflict_and_writes_nothing() {
    let place = Place::new();
    let store = store(&place);
    store
        .write(|tx| {
            tx.actor("bo");
            tx.put_image("rooms", b"a", super::json("3"))
        })
        .expect("put");
    put(&store, "rooms", "a", "4");
    put(&store, "rooms", "b", "4");
    let plan = store.plan_undo(&Undo::transaction(Lsn::new(2))).expect("planned");
    assert!(plan.is_refused());
    refused(&store, &plan, code::UNDO_CONFLICT.id);
    let error = store.undo(&Undo::transaction(Lsn::new(2)), &by("ana")).expect_err("refused");
    assert!(error.message().contains("LSN 3"), "{error}");
    let conflicts: Vec<_> = error.conflicts().iter().map(|c| (&c.key[..], c.lsn.get())).collect();
    assert_eq!(conflicts, [(&b"a"[..], 3), (b"b", 5)]);
    let conflict = plan.changes()[0].conflict().expect("in conflict");
    assert_eq!(
        (conflict.lsn, conflict.later, conflict.later_actor.as_deref()),
        (Lsn::new(2), Lsn::new(3), Some("bo"))
    );
}

#[test]
fn a_change_before_that_of_the_actor_was_told_as_one_that_came_again_after_it() {
    let place = Place::new();
    let store = store(&place);
    for actor in ["bo", "ana"] {
        let value = super::json(if actor == "bo" { "3" } else { "4" });
        let put = store.write(|tx| {
            tx.actor(actor);
            tx.put_image("rooms", b"a", value)
        });
        put.expect("put");
    }
    let restore = Restore::to(Lsn::new(2)).by_actor("ana");
    let plan = store.plan_restore(&restore).expect("planned");
    let conflict = plan.changes()[0].conflict().expect("in conflict");
    assert_eq!((conflict.lsn, conflict.later), (Lsn::new(4), Lsn::new(3)));
    let error = store.restore(&restore, &by("ana")).expect_err("refused");
    assert!(error.message().contains("was changed by LSN 3 too"), "{error}");
}

#[test]
fn the_record_of_what_was_done_did_not_say_for_which_records() {
    let place = Place::new();
    let store = store(&place);
    let scope = Scope {
        collections: vec!["rooms".into()],
        records: vec![("rooms".into(), b"a".to_vec())],
        prefixes: vec![("rooms".into(), b"\xff".to_vec())],
        condition: None,
    };
    let ours = UndoMode::Merge(OnConflict::Ours);
    let undo = Undo::transaction(Lsn::new(2)).with_attribute("batch", 7);
    assert!(store.undo(&undo, &by("ana")).expect("nothing to do").is_empty());
    let undo = Undo::transaction(Lsn::new(2)).of(scope.clone()).mode(ours);
    store.undo(&undo, &by("ana")).expect("undone");
    store.restore(&Restore::to(Lsn::new(2)).of(scope), &by("ana")).expect("restored");
    let snapshot = store.snapshot();
    let mut audit = snapshot.scan("$audit", afterimage::KeyRange::all()).expect("scan");
    // By name, so restore comes before undo.
    for on_conflict in ["fail", "ours"] {
        let record = audit.next().expect("a record").expect("readable");
        let noted: serde_json::Value =
            serde_json::from_slice(record.image().bytes()).expect("JSON");
        let request = &noted["request"];
        assert_eq!(request["on_conflict"], on_conflict, "{noted}");
        let scope = serde_json::json!({
            "collections": ["rooms"], "records": ["rooms/a"], "prefixes": ["rooms/\u{fffd}"],
            "condition": false,
        });
        assert_eq!(request["scope"], scope, "{noted}");
    }
}

#[test]
fn a_plan_is_made_as_if_what_came_later_were_not_there() {
    let place = Place::new();
    let store = store(&place);
    let undo = Undo::transaction(Lsn::new(2)).as_of(Lsn::new(2));
    let name = store.plan_undo(&undo).expect("planned").id();
    let restore = Restore::to(Lsn::new(1)).as_of(Lsn::new(2));
    let restore_name = store.plan_restore(&restore).expect("planned").id();
    put(&store, "rooms", "a", "3");
    put(&store, "rooms", "c", "3");
    assert_eq!(store.plan_undo(&undo).expect("planned").id(), name);
    assert_eq!(store.plan_restore(&restore).expect("planned").id(), restore_name);
    let one = Scope { records: vec![("rooms".into(), b"a".to_vec())], ..Scope::default() };
    let plan = store.plan_restore(&restore.of(one)).expect("planned");
    assert_eq!(plan.changes()[0].before().expect("there").bytes(), b"2");
}

#[test]
fn a_time_at_which_a_plan_is_made_anew_names_nothing_newer_than_the_plan() {
    let place = Place::new();
    let store = store(&place);
    put(&store, "rooms", "c", "3");
    let head = Lsn::new(2);
    assert_eq!(store.resolve_at("now", head).expect("a moment"), head);
    assert_eq!(store.resolve_at("9999-01-01T00:00:00Z", head).expect("a moment"), head);
    assert_eq!(store.resolve_at("now^", head).expect("a moment"), head.previous());
    assert_eq!(store.resolve_range_at("..now", head).expect("a range").1, head);
}

#[test]
fn what_lies_outside_of_what_is_kept_is_refused_before_any_work() {
    let place = Place::new();
    let store = store(&place);
    for lsn in [3, 99, u64::MAX] {
        let lsn = Lsn::new(lsn);
        let kinds = [
            store.plan_undo(&Undo::transaction(lsn)).map(drop),
            store.plan_undo(&Undo::everything().between(Lsn::new(1), lsn)).map(drop),
            store.plan_undo(&Undo::everything().as_of(lsn)).map(drop),
            store.plan_restore(&Restore::to(lsn)).map(drop),
            store.plan_restore(&Restore::to(Lsn::new(1)).as_of(lsn)).map(drop),
        ];
        for kind in kinds {
            assert_eq!(kind.expect_err("outside").kind(), ErrorKind::OutsideWindow, "{lsn}");
        }
    }
    let empty = store.plan_undo(&Undo::transaction(Lsn::ZERO));
    assert_eq!(empty.expect_err("none").kind(), ErrorKind::OutsideWindow);
    let backwards = Undo::everything().between(Lsn::new(2), Lsn::new(1));
    let refused = store.plan_undo(&backwards).expect_err("backwards");
    assert_eq!(refused.code().id, code::INVALID_REVISION.id);
    let late = Restore::to(Lsn::new(2)).as_of(Lsn::new(1));
    assert_eq!(store.plan_restore(&late).expect_err("later").kind(), ErrorKind::OutsideWindow);
}

#[test]
fn an_undo_of_nobody_is_nothing_to_do() {
    let place = Place::new();
    for store in [place.open(), store(&Place::new())] {
        for mode in STRICT_TO_MERGE {
            let undo = Undo::everything().by_actor("nobody").mode(mode);
            let done = store.undo(&undo, &by("ana")).expect("nothing to do");
            assert!(done.is_empty() && done.value().point.is_none());
        }
    }
}

/// Merging has no order of fields and no form of its own that could be told from what was there.
#[test]
fn json_in_another_form_was_written_anew_by_a_merge_that_changed_nothing() {
    let place = Place::new();
    let store = place.open();
    put(&store, "rooms", "a", r#"{"x": 1}"#);
    put(&store, "rooms", "a", r#"{"x": 2}"#);
    put(&store, "rooms", "a", r#"{"x": 3}"#);
    let ours = UndoMode::Merge(OnConflict::Ours);
    let plan = store.plan_undo(&Undo::transaction(Lsn::new(2)).mode(ours)).expect("planned");
    assert_eq!((plan.counts().update, plan.counts().conflict), (0, 1));
    assert!(store.execute(&plan, &by("ana")).expect("done").is_empty());
    assert_eq!(text(&store, "rooms", "a").as_deref(), Some(r#"{"x": 3}"#));
}

#[test]
fn a_merged_value_was_in_conflict_with_one_of_the_same_meaning() {
    let place = Place::new();
    let store = place.open();
    let write = |actor: &str, value: &str| {
        let value = super::json(value);
        store
            .write(|tx| {
                tx.actor(actor);
                tx.put_image("rooms", b"a", value)
            })
            .expect("put");
    };
    // Ana makes the record and later changes another field than Bo, who turns the fields round.
    write("ana", r#"{"x":1,"y":1}"#);
    write("bo", r#"{"y":1,"x":2}"#);
    write("ana", r#"{"y":2,"x":2}"#);
    write("bo", r#"{"y":2,"x":1}"#);
    let mode = UndoMode::Merge(OnConflict::Fail);
    let plan = store.plan_undo(&Undo::everything().by_actor("ana").mode(mode)).expect("planned");
    assert!(!plan.is_refused(), "{:?}", plan.changes());
    assert_eq!((plan.counts().delete, plan.counts().conflict), (1, 0));
}

#[test]
fn elements_that_came_back_stood_at_the_end_of_their_array() {
    let place = Place::new();
    let store = place.open();
    let array = |items: &[(u64, u64)]| {
        let items = items.iter().map(|(id, v)| format!("{{\"id\":{id},\"v\":{v}}}"));
        format!("[{}]", items.collect::<Vec<_>>().join(","))
    };
    put(&store, "rooms", "a", &array(&[(1, 0), (2, 0), (3, 0), (4, 0)]));
    let removed = put(&store, "rooms", "a", &array(&[(3, 0)]));
    put(&store, "rooms", "a", &array(&[(3, 1)]));
    let mode = UndoMode::Merge(OnConflict::Fail);
    let restore = Restore::to(Lsn::new(1)).mode(RestoreMode::Merge);
    let expected = array(&[(1, 0), (2, 0), (3, 1), (4, 0)]);
    let plans = [
        store.plan_undo(&Undo::transaction(removed).mode(mode)).expect("planned"),
        store.plan_restore(&restore).expect("planned"),
    ];
    for plan in plans {
        let after = plan.changes()[0].after().expect("an update");
        assert_eq!(String::from_utf8_lossy(after.bytes()), expected);
    }
}

#[test]
fn a_chain_of_dependents_was_planned_anew_for_each_of_its_links() {
    let place = Place::new();
    let store = place.open();
    let links = 3000_u64;
    for n in 0..links {
        store
            .write(|tx| {
                for key in [n, n + 1] {
                    let value = format!("[{n}]");
                    tx.put_image("rooms", format!("{key:06}").as_bytes(), super::json(&value))?;
                }
                Ok(())
            })
            .expect("put");
    }
    let undo = Undo::transaction(Lsn::new(1)).mode(UndoMode::Cascade);
    let plan = store.plan_undo(&undo).expect("planned");
    assert_eq!((plan.counts().delete, plan.counts().conflict), (links + 1, 0));
}

#[test]
fn a_record_with_many_conflicts_was_looked_through_for_each_of_them() {
    let place = Place::new();
    let store = place.open();
    let versions = 6000_u64;
    for n in 0..versions {
        let actor = if n % 2 == 0 { "ana" } else { "bo" };
        let value = format!("{{\"x\":{n}}}");
        let value = super::json(&value);
        store
            .write(|tx| {
                tx.actor(actor);
                tx.put_image("rooms", b"a", value)
            })
            .expect("put");
    }
    for mode in [UndoMode::Force, UndoMode::Merge(OnConflict::Theirs)] {
        let plan =
            store.plan_undo(&Undo::everything().by_actor("ana").mode(mode)).expect("planned");
        assert_eq!((plan.counts().delete, plan.counts().conflict), (1, 1));
    }
}

#[test]
fn a_record_that_was_named_twice_was_in_conflict_with_itself() {
    let place = Place::new();
    let store = store(&place);
    let put = |actor: &str, text: Option<&str>| {
        let done = store.write(|tx| {
            tx.actor(actor);
            match text {
                Some(text) => tx.put_image("rooms", b"new", super::json(text)),
                None => tx.delete_record("rooms", b"new").map(drop),
            }
        });
        done.expect("written");
    };
    put("bo", Some("1"));
    put("bo", None);
    put("ana", Some("1"));
    let twice = vec![("rooms".to_owned(), b"new".to_vec()); 2];
    let scope = Scope { records: twice, ..Scope::default() };
    let restore = Restore::to(Lsn::new(2)).by_actor("ana").of(scope);
    let plan = store.plan_restore(&restore).expect("planned");
    assert!(!plan.is_refused());
    assert_eq!((plan.counts().delete, plan.counts().conflict), (1, 0));
}
