use super::{BackupState, Catalogue, Listed, TimeMoment};
use crate::backup::manifest::tests::{STORE, at, base, manifest, slice};
use crate::backup::manifest::{Label, Manifest, Mark, MarkKind};
use crate::backup::object::ObjectName;
use crate::error::{ErrorKind, code};
use crate::lsn::Lsn;

/// All that these manifests and marks name, as a repository would list it.
pub(in crate::backup) fn listed(manifests: &[Manifest], marks: &[Mark]) -> Vec<Listed> {
    let mut listed = Vec::new();
    for manifest in manifests {
        let modified = manifest.finished;
        for (name, bytes) in manifest.objects() {
            listed.push(Listed { name: name.to_string(), bytes, modified });
        }
        let name = ObjectName::Manifest(manifest.label.clone()).to_string();
        listed.push(Listed { name, bytes: 100, modified });
    }
    for mark in marks {
        listed.push(Listed { name: mark.name().to_string(), bytes: 50, modified: mark.at });
    }
    listed
}

pub(in crate::backup) fn catalogue(manifests: &[Manifest], marks: &[Mark]) -> Catalogue {
    Catalogue::new(STORE, listed(manifests, marks), manifests.to_vec(), marks).unwrap()
}

pub(in crate::backup) fn mark(of: &Manifest, number: u32, seconds: i64, kind: MarkKind) -> Mark {
    Mark { label: of.label.clone(), number, at: at(seconds), actor: None, kind }
}

fn three() -> Vec<Manifest> {
    vec![
        manifest(100, vec![slice(1, 50)], Some(base(50, 70))),
        manifest(200, vec![slice(51, 80)], None),
        manifest(300, vec![slice(81, 90)], Some(base(90, 80))),
    ]
}

fn windows(catalogue: &Catalogue) -> String {
    catalogue.line(1).unwrap().windows().to_string()
}

#[test]
fn complete_backups_are_listed_the_oldest_first() {
    let mut backups = three();
    backups.reverse();
    let catalogue = catalogue(&backups, &[]);
    let rows: Vec<_> = catalogue.rows().collect();
    assert_eq!(rows.iter().map(|row| row.last_lsn.get()).collect::<Vec<_>>(), [50, 80, 90]);
    assert_eq!(
        serde_json::to_string(&rows[1]).unwrap(),
        "{\"label\":\"20260101-000000F_20260101-000320I\",\"kind\":\"auto\",\
         \"type\":\"incremental\",\"timeline\":1,\"first_lsn\":51,\"last_lsn\":80,\
         \"ts_us\":1767225800000000,\"bytes\":300,\"description\":null,\"annotations\":{},\
         \"pinned\":false,\"not_covered\":[]}"
    );
    assert_eq!(windows(&catalogue), "0 to 90");
    assert_eq!(catalogue.latest().unwrap().manifest.last_lsn, Lsn::new(90));
}

#[test]
fn a_backup_whose_objects_are_lost_is_not_complete() {
    let backups = three();
    let name = slice(51, 80).name();
    let mut objects = listed(&backups, &[]);
    objects.retain(|object| object.name != name.to_string());
    let lost = Catalogue::new(STORE, objects, backups.clone(), &[]).unwrap();
    assert_eq!(lost.backups()[1].state, BackupState::Damaged(vec![name.clone()]));
    assert_eq!(windows(&lost), "0 to 50, 90");
    let mut objects = listed(&backups, &[]);
    objects.iter_mut().filter(|o| o.name == name.to_string()).for_each(|o| o.bytes -= 1);
    let short = Catalogue::new(STORE, objects, backups, &[]).unwrap();
    assert_eq!(short.backups()[1].state, BackupState::Damaged(vec![name]));
}

#[test]
fn what_expired_is_told_from_what_is_lost() {
    let backups = three();
    let marks = [mark(&backups[0], 1, 400, MarkKind::Delete)];
    let mut objects = listed(&backups, &marks);
    objects.retain(|object| object.name != base(50, 70).name().to_string());
    let catalogue = Catalogue::new(STORE, objects, backups, &marks).unwrap();
    assert_eq!(catalogue.backups()[0].state, BackupState::Deleted { at: at(400), gone: 1 });
    // The incremental one still has its way back over the slice of the deleted one.
    assert!(catalogue.backups()[1].is_complete());
    assert!(catalogue.needed().contains(&slice(1, 50).name()));
    assert_eq!(windows(&catalogue), "0 to 90");
}

#[test]
fn an_incremental_backup_without_a_way_back_is_unreachable() {
    let backups = three().split_off(1);
    let catalogue = catalogue(&backups, &[]);
    assert_eq!(catalogue.backups()[0].state, BackupState::Unreachable);
    assert_eq!(catalogue.rows().count(), 1);
    assert_eq!(windows(&catalogue), "90");
}

#[test]
fn a_deleted_backup_promises_nothing() {
    let backups = three();
    let marks: Vec<Mark> =
        backups[..2].iter().map(|backup| mark(backup, 1, 400, MarkKind::Delete)).collect();
    let catalogue = catalogue(&backups, &marks);
    assert_eq!(windows(&catalogue), "90");
    assert_eq!(catalogue.needed().len(), 2);
}

#[test]
fn what_no_manifest_names_is_unreferenced_and_what_has_no_name_is_strange() {
    let mut objects = listed(&three(), &[]);
    let name = slice(91, 95).name();
    for text in [name.to_string(), "../../etc/passwd".into()] {
        objects.push(Listed { name: text, bytes: 1, modified: at(0) });
    }
    let catalogue = Catalogue::new(STORE, objects, three(), &[]).unwrap();
    assert_eq!(catalogue.unreferenced(), [name]);
    assert_eq!(catalogue.strange().len(), 1);
    assert_eq!(windows(&catalogue), "0 to 90");
}

#[test]
fn a_manifest_or_mark_that_was_not_read_is_named() {
    let backups = three();
    let marks = [mark(&backups[0], 1, 400, MarkKind::Pin)];
    let objects = listed(&backups, &marks);
    let catalogue = Catalogue::new(STORE, objects, backups[..2].to_vec(), &[]).unwrap();
    let unread = [ObjectName::Manifest(backups[2].label.clone()), marks[0].name()];
    assert_eq!(catalogue.unreadable(), unread);
    assert!(catalogue.has_label(&backups[2].label));
    assert!(!catalogue.has_label(&Label::parse("20300101-000000F").unwrap()));
}

#[test]
fn stores_and_timelines_are_not_mixed() {
    let mut backups = three();
    backups[1].timeline = 2;
    let mixed = catalogue(&backups, &[]);
    assert_eq!(mixed.timelines().collect::<Vec<_>>(), [1, 2]);
    assert_eq!(mixed.backups()[1].state, BackupState::Unreachable);
    backups[1].store = uuid::Uuid::from_u128(8);
    let error = Catalogue::new(STORE, listed(&backups, &[]), backups.clone(), &[]).unwrap_err();
    assert_eq!(error.code().id, code::WRONG_STORE.id);
    let twice = vec![backups[0].clone(), backups[0].clone()];
    assert_eq!(
        Catalogue::new(STORE, Vec::new(), twice, &[]).unwrap_err().kind(),
        ErrorKind::Corrupt
    );
}

#[test]
fn a_time_is_the_last_transaction_until_then() {
    // Transaction n committed n seconds after the beginning; the slices began and end so too.
    let backups = vec![
        manifest(55, vec![slice(1, 50)], None),
        manifest(85, vec![slice(51, 80)], None),
        manifest(300, vec![slice(101, 110)], Some(base(110, 80))),
    ];
    let catalogue = catalogue(&backups, &[]);
    let line = catalogue.line(1).unwrap();
    let moment = |seconds| line.moment_at(at(seconds)).ok();
    assert_eq!(moment(0), Some(TimeMoment::At(Lsn::ZERO)));
    assert_eq!(moment(-500), Some(TimeMoment::At(Lsn::ZERO)));
    assert_eq!(moment(20), Some(TimeMoment::Within(slice(1, 50))));
    assert_eq!(moment(50), Some(TimeMoment::At(Lsn::new(50))));
    assert_eq!(moment(70), Some(TimeMoment::Within(slice(51, 80))));
    // What committed between 80 and 101 is in no backup.
    assert_eq!(moment(81), None);
    // To what is inside the last slice nothing leads but the base at its end.
    assert_eq!(moment(105), None);
    assert_eq!(moment(110), Some(TimeMoment::At(Lsn::new(110))));
    assert_eq!(moment(300), Some(TimeMoment::At(Lsn::new(110))));
    let error = line.moment_at(at(301)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutsideWindow);
    assert!(error.message().contains("0 to 80, 110"), "{error}");
}
