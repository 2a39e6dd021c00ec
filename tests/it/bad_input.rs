//! Bad input, and the errors it gets.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use afterimage::{ErrorKind, Store, code};

use crate::common::{Place, put};

fn open_error(place: &Place) -> &'static str {
    place.open_result().expect_err("refused").code().id
}

#[test]
fn a_file_in_place_of_a_directory() {
    let place = Place::new();
    fs::write(place.path(), "not a store").expect("written");
    assert_eq!(open_error(&place), code::NOT_A_DIRECTORY.id);
}

#[test]
fn a_directory_that_is_not_a_store() {
    let place = Place::new();
    fs::create_dir(place.path()).expect("created");
    fs::write(place.path().join("mine"), "precious").expect("written");
    assert_eq!(open_error(&place), code::DIRECTORY_NOT_EMPTY.id);
    let without = Store::options().create(false).open(place.path());
    assert_eq!(without.expect_err("none").code().id, code::NOT_A_STORE.id);
    let nothing = Store::options().read_only(true).open(place.beside("nothing"));
    assert_eq!(nothing.expect_err("none").kind(), ErrorKind::NotFound);
    assert!(!place.beside("nothing").exists());
}

#[test]
fn an_interrupted_creation_is_taken_up() {
    let place = Place::new();
    fs::create_dir_all(place.path().join("journal")).expect("created");
    fs::write(place.path().join("STORE.tmp"), "half").expect("written");
    put(&place.open(), "a", "1");
}

#[test]
fn a_damaged_or_newer_store_header() {
    let place = Place::new();
    put(&place.open(), "a", "1");
    let path = place.path().join("STORE");
    let text = fs::read_to_string(&path).expect("read");
    fs::write(&path, text.replace("timeline = 1", "timeline = 9")).expect("written");
    assert_eq!(open_error(&place), code::STORE_HEADER_DAMAGED.id);
    fs::write(&path, "").expect("written");
    assert_eq!(open_error(&place), code::STORE_HEADER_DAMAGED.id);
    let body = text.replace("format = 1", "format = 2");
    let body = &body[..body.find("crc32").expect("the last line")];
    let newer = format!("{body}crc32 = {:08x}\n", crc32fast::hash(body.as_bytes()));
    fs::write(&path, newer).expect("written");
    let error = place.open_result().expect_err("newer");
    assert_eq!((error.code().id, error.kind().exit_code()), (code::FORMAT_TOO_NEW.id, 14));
    fs::write(&path, text).expect("restored");
    place.open();
}

#[test]
fn a_store_without_write_permission() {
    let place = Place::new();
    put(&place.open(), "a", "1");
    let is_root = fs::metadata("/proc/self").is_ok_and(|own| {
        use std::os::unix::fs::MetadataExt as _;
        own.uid() == 0
    });
    if is_root {
        crate::skipped::skipped("a store without write permission: root may write anything");
        return;
    }
    let mut open = vec![place.path()];
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(fs::read_dir(&path).expect("listed").map(|e| e.expect("an entry").path()));
        }
        let mode = if path.is_dir() { 0o500 } else { 0o400 };
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("changed");
    }
    assert_eq!(open_error(&place), code::PERMISSION_DENIED.id);
    assert_eq!(crate::common::value(&place.reader(), "a").as_deref(), Some("1"));
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o700)).expect("changed");
}

#[test]
fn options_out_of_bounds() {
    let place = Place::new();
    for bytes in [0, 1000, 4097, 1 << 40] {
        let error = Store::options().segment_bytes(bytes).open(place.path()).expect_err("refused");
        assert_eq!(error.code().id, code::INVALID_OPTION.id);
    }
    let salvage = Store::options().salvage(true).open(place.path());
    assert_eq!(salvage.expect_err("refused").code().id, code::INVALID_OPTION.id);
    assert!(!place.path().exists());
}

#[test]
fn files_are_their_owners_alone() {
    let place = Place::new();
    let store = place.open();
    put(&store, "a", "1");
    store.checkpoint().expect("a checkpoint");
    let mut open = vec![place.path()];
    while let Some(path) = open.pop() {
        let mode = fs::metadata(&path).expect("there").permissions().mode() & 0o777;
        if path.is_dir() {
            assert_eq!(mode, 0o700, "{}", path.display());
            open.extend(fs::read_dir(&path).expect("listed").map(|e| e.expect("an entry").path()));
        } else {
            assert_eq!(mode, 0o600, "{}", path.display());
        }
    }
}
