use std::collections::BTreeMap;

use proptest::prelude::*;
use uuid::Uuid;

use super::{BackupCounts, BackupKind, BackupType, Label, Manifest, Mark, MarkKind, Standing};
use crate::backup::object::{BaseRef, ObjectHash, SliceRef};
use crate::error::{ErrorKind, code};
use crate::format::digest::StateDigest;
use crate::lsn::Lsn;
use crate::time::Timestamp;

pub(in crate::backup) const STORE: Uuid = Uuid::from_u128(7);

/// Seconds after the beginning of 2026.
pub(in crate::backup) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros((1_767_225_600 + seconds) * 1_000_000)
}

/// A slice of which each transaction has ten bytes, and committed a second after the one before.
pub(in crate::backup) fn slice(first: u64, last: u64) -> SliceRef {
    let mut hash = [1; 32];
    hash[..8].copy_from_slice(&first.to_le_bytes());
    hash[8..16].copy_from_slice(&last.to_le_bytes());
    SliceRef {
        first: Lsn::new(first),
        last: Lsn::new(last),
        hash: ObjectHash::from_bytes(hash),
        bytes: (last - first + 1) * 10,
        first_time: at(i64::try_from(first).unwrap()),
        last_time: at(i64::try_from(last).unwrap()),
    }
}

pub(in crate::backup) fn base(lsn: u64, bytes: u64) -> BaseRef {
    let mut hash = [2; 32];
    hash[..8].copy_from_slice(&lsn.to_le_bytes());
    hash[8..16].copy_from_slice(&bytes.to_le_bytes());
    let time = at(i64::try_from(lsn).unwrap());
    BaseRef { lsn: Lsn::new(lsn), hash: ObjectHash::from_bytes(hash), bytes, time }
}

/// A backup that began this many seconds after the beginning of 2026.
pub(in crate::backup) fn manifest(
    seconds: i64,
    slices: Vec<SliceRef>,
    base: Option<BaseRef>,
) -> Manifest {
    let end = base.map(|base| base.lsn);
    let first_lsn = slices.first().map(|slice| slice.first).or(end).unwrap();
    let last_lsn = slices.last().map(|slice| slice.last).or(end).unwrap();
    let whole = base.is_some() || first_lsn == Lsn::new(1);
    let full = Label::full(at(if whole { seconds } else { 0 }), |_| false).unwrap();
    let label =
        if whole { full } else { Label::incremental(&full, at(seconds), |_| false).unwrap() };
    Manifest {
        label,
        kind: BackupKind::Auto,
        backup_type: if whole { BackupType::Full } else { BackupType::Incremental },
        repository: Uuid::from_u128(1),
        store: STORE,
        timeline: 1,
        first_lsn,
        last_lsn,
        started: at(seconds),
        finished: at(seconds + 1),
        state_digest: StateDigest::from_bits(0xabc),
        description: None,
        annotations: BTreeMap::new(),
        actor: Some("desk-1".into()),
        bytes: slices.iter().map(|s| s.bytes).sum::<u64>() + base.map_or(0, |base| base.bytes),
        slices,
        base,
        not_covered: Vec::new(),
        counts: BackupCounts { transactions: 1, changes: 2, records: 3 },
    }
}

fn sample() -> Manifest {
    let mut manifest = manifest(60, vec![slice(5, 9), slice(8, 12)], Some(base(12, 300)));
    manifest.description = Some("before the update".into());
    manifest.annotations.insert("ticket".into(), "4711".into());
    manifest.not_covered = vec!["sessions".into()];
    manifest
}

#[test]
fn a_manifest_that_is_written_is_the_manifest_that_is_read() {
    let manifest = sample();
    let bytes = manifest.encode().unwrap();
    assert_eq!(Manifest::decode(&manifest.label, &bytes).unwrap(), manifest);
    let text = String::from_utf8(bytes).unwrap();
    assert!(
        text.starts_with(r#"{"format":1,"label":"20260101-000100F","kind":"auto","type":"full","#)
    );
}

#[test]
fn fields_that_are_not_known_are_passed_over() {
    let text = String::from_utf8(sample().encode().unwrap()).unwrap();
    let more = text.replacen('{', r#"{"of a later release":[1,{"x":2}],"#, 1);
    assert_eq!(Manifest::decode(&sample().label, more.as_bytes()).unwrap(), sample());
}

#[test]
fn a_newer_format_is_told_from_damage() {
    let newer = br#"{"format":2,"everything":"else is different"}"#;
    let error = Manifest::decode(&sample().label, newer).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Format);
    for damaged in
        [&b"{\"format\":0}"[..], b"", b"[]", b"{\"format\":1}", b"{\"format\":-1}", b"\xff"]
    {
        let error = Manifest::decode(&sample().label, damaged).unwrap_err();
        assert_eq!(error.code().id, code::BACKUP_DAMAGED.id, "{damaged:?}");
    }
}

#[test]
fn a_manifest_under_another_label_is_refused() {
    let bytes = sample().encode().unwrap();
    let other = Label::parse("20260101-000101F").unwrap();
    assert_eq!(Manifest::decode(&other, &bytes).unwrap_err().kind(), ErrorKind::Corrupt);
}

#[test]
fn parts_that_do_not_fit_together_are_refused() {
    type Damage = fn(&mut Manifest);
    let wrong: [(&str, Damage); 19] = [
        ("gap", |m| m.slices[1].first = Lsn::new(11)),
        ("order", |m| m.slices.reverse()),
        ("empty slice", |m| m.slices[0].last = Lsn::new(4)),
        ("slice 0", |m| m.slices[0].first = Lsn::ZERO),
        ("end", |m| m.last_lsn = Lsn::new(13)),
        ("beginning", |m| m.first_lsn = Lsn::new(4)),
        ("window", |m| m.first_lsn = Lsn::new(13)),
        ("no slices", |m| m.slices.clear()),
        ("huge", |m| m.last_lsn = Lsn::new(u64::MAX)),
        ("base behind", |m| m.base = Some(base(13, 300))),
        ("base before", |m| m.base = Some(base(3, 300))),
        ("no base", |m| m.base = None),
        ("size", |m| m.bytes += 1),
        ("overflow", |m| m.slices[0].bytes = u64::MAX),
        ("times", |m| m.finished = at(59)),
        ("slice times", |m| m.slices[0].last_time = at(0)),
        ("type", |m| m.backup_type = BackupType::Incremental),
        ("actor", |m| m.actor = Some("a\nb".into())),
        ("annotation", |m| drop(m.annotations.insert("a=b".into(), String::new()))),
    ];
    for (name, damage) in wrong {
        let mut manifest = sample();
        damage(&mut manifest);
        let error = manifest.encode().expect_err(name);
        assert_eq!(error.code().id, code::BACKUP_DAMAGED.id, "{name}");
    }
    let mut long = sample();
    long.description = Some("x".repeat(super::DESCRIPTION_BYTES_MAX + 1));
    assert!(long.check().is_err());
    long.description = None;
    long.not_covered = vec![String::new()];
    assert!(long.check().is_err());
}

#[test]
fn what_is_promised_is_what_a_kept_backup_can_restore() {
    let promised = |manifest: Manifest| {
        manifest.check().unwrap();
        let (from, to) = manifest.promised();
        (from.get(), to.get())
    };
    assert_eq!(promised(manifest(1, vec![slice(1, 9)], None)), (0, 9));
    assert_eq!(promised(manifest(1, vec![slice(1, 9)], Some(base(9, 1)))), (0, 9));
    assert_eq!(promised(manifest(1, vec![slice(5, 9)], Some(base(9, 1)))), (9, 9));
    assert_eq!(promised(manifest(1, vec![slice(5, 9)], Some(base(4, 1)))), (4, 9));
    assert_eq!(promised(manifest(1, vec![slice(5, 9)], None)), (5, 9));
    assert_eq!(promised(manifest(1, vec![], Some(base(9, 1)))), (9, 9));
}

#[test]
fn labels_are_those_of_pgbackrest() {
    for good in ["20261121-151500F", "20261121-151500F_20261121-161500I"] {
        assert_eq!(Label::parse(good).unwrap().as_str(), good);
    }
    let wrong = [
        "",
        "F",
        "20261121-151500",
        "20261121-151500I",
        "20261121-151500D",
        "20261321-151500F",
        "20260230-151500F",
        "20261121-251500F",
        "20261121-151500F_",
        "20261121-151500F_20261121-161500F",
        "20261121-151500F_20261121-161500I_20261121-161500I",
        "2026112 -151500F",
        "+0261121-151500F",
        "20261121-151500F/..",
        "../20261121-151500F",
        "20261121-151560F",
    ];
    for wrong in wrong {
        assert_eq!(Label::parse(wrong), None, "{wrong}");
    }
}

#[test]
fn a_label_that_is_taken_gives_way_to_the_next_second() {
    let full = Label::full(at(0), |_| false).unwrap();
    assert_eq!(full.as_str(), "20260101-000000F");
    let second = Label::full(at(0), |label| *label == full).unwrap();
    assert_eq!(second.as_str(), "20260101-000001F");
    let incremental = Label::incremental(&full, at(59), |_| false).unwrap();
    assert_eq!(incremental.as_str(), "20260101-000000F_20260101-000059I");
    let next = Label::incremental(&incremental, at(60), |_| false).unwrap();
    assert_eq!(next.as_str(), "20260101-000000F_20260101-000100I");
    assert!(Label::full(Timestamp::from_micros(i64::MAX), |_| false).is_err());
    assert!(Label::full(Timestamp::from_micros(-80_000_000_000_000_000), |_| false).is_err());
}

fn mark(number: u32, kind: MarkKind) -> Mark {
    let at = at(i64::from(number));
    Mark { label: sample().label, number, at, actor: Some("desk-2".into()), kind }
}

#[test]
fn a_mark_that_is_written_is_the_mark_that_is_read() {
    let annotations = [("a".to_owned(), Some("1".to_owned())), ("b".to_owned(), None)];
    let note = MarkKind::Note { description: Some("x".into()), annotations: annotations.into() };
    for kind in [note, MarkKind::Pin, MarkKind::Unpin, MarkKind::Delete, MarkKind::Undelete] {
        let mark = mark(3, kind);
        let bytes = mark.encode().unwrap();
        assert_eq!(Mark::decode(&mark.label, 3, &bytes).unwrap(), mark);
        assert_eq!(Mark::decode(&mark.label, 4, &bytes).unwrap_err().kind(), ErrorKind::Corrupt);
    }
}

#[test]
fn of_marks_that_contradict_the_newest_counts() {
    let note = |description: &str, name: &str, value: Option<&str>| MarkKind::Note {
        description: Some(description.into()),
        annotations: [(name.into(), value.map(Into::into))].into(),
    };
    let marks = [
        mark(4, MarkKind::Unpin),
        mark(1, note("one", "a", Some("1"))),
        mark(3, MarkKind::Pin),
        mark(2, note("", "ticket", None)),
        mark(5, MarkKind::Delete),
        mark(6, MarkKind::Delete),
    ];
    let standing = Standing::of(&sample(), &marks);
    assert_eq!(standing.description, None);
    assert_eq!(standing.annotations, [("a".to_owned(), "1".to_owned())].into());
    assert!(!standing.pinned);
    assert_eq!(standing.deleted, Some(at(5)));
    assert_eq!(standing.next_mark, 7);
    let back = Standing::of(&sample(), marks.iter().chain([&mark(7, MarkKind::Undelete)]));
    assert_eq!(back.deleted, None);
}

proptest! {
    #[test]
    fn any_bytes_are_a_manifest_or_a_typed_error(
        place in 0usize..800,
        length in 0usize..8,
        with in proptest::collection::vec(any::<u8>(), 0..8),
    ) {
        let mut bytes = sample().encode().unwrap();
        let place = place.min(bytes.len());
        let end = (place + length).min(bytes.len());
        bytes.splice(place..end, with);
        if let Ok(manifest) = Manifest::decode(&sample().label, &bytes) {
            prop_assert!(manifest.check().is_ok());
        }
    }
}
