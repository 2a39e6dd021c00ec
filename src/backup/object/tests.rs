use super::{ObjectHash, ObjectName};
use crate::backup::manifest::Label;
use crate::lsn::Lsn;

fn hash() -> ObjectHash {
    ObjectHash::from_bytes([0xa7; 32])
}

#[test]
fn a_name_that_is_printed_is_the_name_that_is_read() {
    let label = Label::parse("20261121-151500F").unwrap();
    let names = [
        ObjectName::Slice { first: Lsn::new(1), last: Lsn::new(1000), hash: hash() },
        ObjectName::Base { lsn: Lsn::new(77), hash: hash() },
        ObjectName::Manifest(label.clone()),
        ObjectName::Mark { label, number: 3 },
        ObjectName::Lease("0192-abc".into()),
    ];
    for name in names {
        assert_eq!(ObjectName::parse(&name.to_string()), Some(name));
    }
}

#[test]
fn names_sort_like_what_they_name() {
    let name =
        |first| ObjectName::Slice { first: Lsn::new(first), last: Lsn::new(900), hash: hash() };
    assert!(name(9).to_string() < name(10).to_string());
}

#[test]
fn what_is_not_printed_exactly_so_is_no_name() {
    let good =
        ObjectName::Slice { first: Lsn::new(2), last: Lsn::new(9), hash: hash() }.to_string();
    let wrong = [
        good.replace("slices/", "slices//"),
        good.replace("slices/", "../slices/"),
        good.replace("a7", "A7"),
        good.replace("00000000000000000002", "2"),
        good.replace("00000000000000000002", "+0000000000000000002"),
        good.replace("00000000000000000002", "00000000000000000000"),
        good.replace("00000000000000000002", "00000000000000000010"),
        good.replace("00000000000000000009", "18446744073709551615"),
        format!("{good}/x"),
        "backups/../../etc/passwd.json".into(),
        "backups/20261121-151500F.json ".into(),
        "marks/20261121-151500F/000000.json".into(),
        "marks/20261121-151500F/1.json".into(),
        "leases/.json".into(),
        "leases/a/b.json".into(),
        String::new(),
        "slices".into(),
    ];
    for name in wrong {
        assert_eq!(ObjectName::parse(&name), None, "{name}");
    }
}
