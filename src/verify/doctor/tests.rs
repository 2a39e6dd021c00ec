//! What needs a disk that is simulated, or an error made by hand.

use std::path::Path;
use std::sync::Arc;

use super::*;
use crate::sys::sim::SimDisk;

#[test]
fn a_store_on_a_simulated_disk_is_healthy() {
    let disk = Arc::new(SimDisk::default());
    disk.create_dir(Path::new("/d")).expect("made");
    let options = Options::default().segment_bytes(4096).disk(disk);
    let path = "/d/test.store";
    options.open(path).expect("opens").close().expect("closes");
    let checkup = doctor(path, &options);
    assert!(checkup.healthy, "{checkup:?}");
    assert_eq!((checkup.exit_code(), checkup.checks.len()), (0, CHECKS.len()));
}

#[test]
fn the_words_of_an_error_may_quote_a_key_and_are_not_in_the_bare_telling() {
    let error = Error::new(&code::IMAGE_CHAIN_BROKEN, "the before image of CANARY is wrong")
        .at_path(Path::new("/d/journal/00000001.seg"))
        .at_lsn(crate::lsn::Lsn::new(7))
        .with_source(Error::new(&code::DECODE, "CANARY"));
    assert!(told(&error).contains("CANARY is wrong"));
    let bare = told_bare(&error);
    assert!(!bare.contains("CANARY"), "{bare}");
    assert!(bare.starts_with("[AF0013] a before image") && bare.contains("lsn=7"), "{bare}");
}

#[test]
fn amounts_and_lists_are_short() {
    let shown = [0, 1, 1023, 1024, 1536, 67_108_864, u64::MAX].map(amount);
    let expected =
        ["0 bytes", "1 byte", "1023 bytes", "1.0 KiB", "1.5 KiB", "64.0 MiB", "17179869183.9 GiB"];
    assert_eq!(shown, expected);
    let names: Vec<_> = (1..=7).map(|n: u32| n.to_string()).collect();
    assert_eq!(listing(&names), "1; 2; 3; 4; 5; and 2 more");
    assert_eq!(listing(&names[..5]), "1; 2; 3; 4; 5");
}

#[test]
fn checks_have_names_of_their_own() {
    let names: std::collections::BTreeSet<_> = CHECKS.iter().map(|(name, _)| name).collect();
    assert_eq!(names.len(), CHECKS.len());
}
