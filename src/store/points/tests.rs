//! What is kept, and for how long.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use super::*;
use crate::error::ErrorKind;
use crate::format::image::{CodecId, Image};
use crate::store::Durability;
use crate::time::Clock;

#[derive(Debug, Default)]
struct Scripted(AtomicI64);

impl Scripted {
    fn turn(&self, days: i64) {
        self.0.fetch_add(days * MICROS_OF_A_DAY, Ordering::SeqCst);
    }
}

impl Clock for Scripted {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.load(Ordering::SeqCst))
    }
}

struct Kept {
    store: Store,
    clock: Arc<Scripted>,
    _place: tempfile::TempDir,
}

impl Kept {
    fn new() -> Self {
        let place = tempfile::tempdir().expect("a directory");
        let clock = Arc::new(Scripted::default());
        let options = Store::options().durability(Durability::Process);
        let options = options.segment_bytes(8192).clock(Arc::<Scripted>::clone(&clock));
        let store = options.open(place.path().join("x.store")).expect("opened");
        Self { store, clock, _place: place }
    }

    fn change(tx: &mut Transaction<'_>) -> Result<()> {
        tx.put_image("things", b"k", Image::new(b"1", CodecId::Raw))
    }

    fn mark(&self, what: &'static str, kind: PointKind) -> String {
        let marked = self.store.write(|tx| {
            Self::change(tx)?;
            tx.mark_before(what, kind, Some("a note"))
        });
        marked.expect("committed").into_value()
    }

    fn names(&self) -> Vec<(String, u64)> {
        let points = self.store.points().expect("readable").into_iter();
        points.map(|point| (point.name, point.lsn.get())).collect()
    }
}

fn nobody() -> Author {
    Author::default()
}

#[test]
fn a_transaction_names_the_moment_before_itself() {
    let kept = Kept::new();
    assert_eq!(kept.mark("undo", PointKind::Automatic), "before-undo-0");
    assert_eq!(kept.mark("undo", PointKind::Automatic), "before-undo-1");
    let point = kept.store.point("before-undo-1").expect("there");
    assert_eq!(
        (point.lsn, point.kind, point.protected),
        (Lsn::new(1), PointKind::Automatic, false)
    );
    assert_eq!(point.note.as_deref(), Some("a note"));
    assert_eq!(kept.store.resolve("point:before-undo-1").expect("there"), Lsn::new(1));
    assert_eq!(kept.store.head(), Lsn::new(2), "no transaction of its own");
    // Its record does not say the moment; once it is written anew, it must.
    kept.store.protect_point("before-undo-1", true, &nobody()).expect("protected");
    let later = kept.store.point("before-undo-1").expect("there");
    assert_eq!(later, RestorePoint { protected: true, ..point });
}

#[test]
fn a_name_that_is_taken_gets_a_number_and_one_that_is_taken_meanwhile_a_conflict() {
    let kept = Kept::new();
    kept.store.create_point("before-undo-1", Lsn::ZERO, None, &nobody()).expect("named");
    assert_eq!(kept.mark("undo", PointKind::Automatic), "before-undo-1-2");
    let mut tx = kept.store.begin().expect("begun");
    let name = tx.mark_before("undo", PointKind::Automatic, None).expect("marked");
    assert_eq!(
        tx.mark_before("undo", PointKind::Automatic, None).expect("marked"),
        "before-undo-2-2"
    );
    kept.store.create_point(&name, Lsn::ZERO, None, &nobody()).expect("named");
    let error = tx.commit().expect_err("taken meanwhile");
    assert_eq!(error.code().id, code::CONFLICT.id, "which is tried again");
}

#[test]
fn the_newest_ten_automatic_points_are_kept_and_all_others_stay() {
    let kept = Kept::new();
    kept.store.create_point("mine", Lsn::ZERO, None, &nobody()).expect("named");
    let first = kept.mark("import", PointKind::Automatic);
    kept.store.protect_point(&first, true, &nobody()).expect("protected");
    kept.mark("migration", PointKind::PreMigration);
    let names: Vec<_> = (0..15).map(|_| kept.mark("undo", PointKind::Automatic)).collect();
    let there: Vec<_> = kept.names().into_iter().map(|(name, _)| name).collect();
    for (index, name) in names.iter().enumerate() {
        assert_eq!(there.contains(name), index >= 15 - AUTOMATIC_POINTS_KEPT, "{name}");
    }
    for name in ["mine", &first, "before-migration-3"] {
        assert!(there.contains(&name.to_owned()), "{name}");
    }
    kept.store.protect_point(&first, false, &nobody()).expect("unprotected");
    kept.mark("undo", PointKind::Automatic);
    kept.store.point(&first).expect_err("not protected any more");
}

#[test]
fn points_before_migrations_are_kept_for_seven_days_and_the_last_one_for_ever() {
    let kept = Kept::new();
    for _ in 0..7 {
        kept.mark("migration", PointKind::PreMigration);
        kept.clock.turn(2);
    }
    // Written 14, 12, … 2 days ago; the newest was written when three others were in time.
    let lsns: Vec<_> = kept.names().into_iter().map(|(_, lsn)| lsn).collect();
    assert_eq!(lsns, [3, 4, 5, 6]);
    // What is said about a point later does not make it younger.
    kept.store.annotate_point("before-migration-3", Some("old"), &[], &nobody()).expect("noted");
    kept.mark("migration", PointKind::PreMigration);
    let lsns: Vec<_> = kept.names().into_iter().map(|(_, lsn)| lsn).collect();
    assert_eq!(lsns, [4, 5, 6, 8]);
    for _ in 0..6 {
        kept.mark("migration", PointKind::PreMigration);
    }
    assert_eq!(kept.names().len(), PRE_MIGRATION_POINTS_KEPT);
    kept.clock.turn(100);
    assert_eq!(kept.names().len(), PRE_MIGRATION_POINTS_KEPT, "reading forgets nothing");
    kept.mark("migration", PointKind::PreMigration);
    assert_eq!(kept.names().len(), 1);
}

#[test]
fn what_is_said_about_a_point_changes_neither_its_moment_nor_its_author() {
    let kept = Kept::new();
    let by = |actor: &str| Author { actor: Some(actor.into()), message: None };
    let options = PointOptions {
        note: Some("first".into()),
        annotations: BTreeMap::from([("ticket".into(), "17".into())]),
        ..PointOptions::default()
    };
    let at = Lsn::ZERO;
    kept.store.create_point_with("p", at, &options, &by("ana")).expect("named");
    kept.clock.turn(1);
    let set = [("ticket".to_owned(), None), ("build".to_owned(), Some("9".to_owned()))];
    kept.store.annotate_point("p", None, &set, &by("eve")).expect("noted");
    let point = kept.store.point("p").expect("there");
    assert_eq!((point.lsn, point.created.as_micros()), (at, 0));
    assert_eq!((point.actor.as_deref(), point.note.as_deref()), (Some("ana"), Some("first")));
    assert_eq!(point.annotations, BTreeMap::from([("build".to_owned(), "9".to_owned())]));
    let head = kept.store.head();
    assert!(kept.store.annotate_point("p", None, &set, &by("eve")).expect("noted").is_empty());
    assert_eq!(kept.store.head(), head, "nothing to write");
    kept.store.annotate_point("p", Some(""), &[], &by("eve")).expect("noted");
    assert_eq!(kept.store.point("p").expect("there").note, None);
    for (name, value) in [("", "1"), ("a=b", "1"), ("long", &*"x".repeat(4097))] {
        let set = [(name.to_owned(), Some(value.to_owned()))];
        let error = kept.store.annotate_point("p", None, &set, &nobody()).expect_err("refused");
        assert_eq!(error.kind(), ErrorKind::Invalid, "{name}");
    }
    let error = kept.store.annotate_point("q", Some("x"), &[], &nobody()).expect_err("absent");
    assert_eq!(error.code().id, code::NO_SUCH_POINT.id);
}

#[test]
fn a_protected_point_is_not_deleted_and_none_of_those_named_with_it() {
    let kept = Kept::new();
    for name in ["a", "b"] {
        kept.store.create_point(name, Lsn::ZERO, None, &nobody()).expect("named");
    }
    kept.store.protect_point("b", true, &nobody()).expect("protected");
    let error = kept.store.delete_points(&["a", "b"], &nobody()).expect_err("refused");
    assert_eq!((error.code().id, error.kind()), ("AF0055", ErrorKind::Conflict));
    assert_eq!(kept.names().len(), 2);
    kept.store.protect_point("b", false, &nobody()).expect("unprotected");
    kept.store.delete_points(&["a", "b"], &nobody()).expect("deleted");
    assert_eq!(kept.names(), []);
}

#[test]
fn records_of_points_say_no_more_than_they_must() {
    let plain = PointRecord { lsn: Some(3), ..PointRecord::default() };
    assert_eq!(serde_json::to_string(&plain).expect("text"), r#"{"lsn":3}"#);
    let old: PointRecord = serde_json::from_str(r#"{"lsn":3,"note":"n"}"#).expect("readable");
    assert_eq!((old.kind, old.protected), (PointKind::Manual, false));
    let marked = PointRecord { kind: PointKind::PreMigration, ..PointRecord::default() };
    assert_eq!(serde_json::to_string(&marked).expect("text"), r#"{"kind":"pre-migration"}"#);
}
