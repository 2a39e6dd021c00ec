use super::*;

#[test]
fn an_error_is_one_pointer() {
    assert_eq!(size_of::<Error>(), size_of::<usize>());
}

#[test]
fn display_gives_sentence_and_place() {
    let error = Error::new(&code::FRAME_DAMAGED, "checksum differs")
        .at_path(Path::new("journal/00000001.seg"))
        .at_offset(4096)
        .at_lsn(Lsn::new(17));
    assert_eq!(
        error.to_string(),
        "checksum differs (path=journal/00000001.seg, offset=4096, lsn=17)"
    );
}

#[test]
fn a_full_disk_has_its_own_code() {
    for errno in [28, 27, 122] {
        let error = Error::from_io(
            io::Error::from_raw_os_error(errno),
            "allocate a segment",
            Path::new("x"),
        );
        assert_eq!(error.code().id, code::DISK_FULL.id, "errno {errno}");
        assert_eq!(error.kind().exit_code(), 75);
    }
}

#[test]
fn codes_are_found_by_id_in_any_case() {
    assert_eq!(code::find("af0015").map(|code| code.id), Some("AF0015"));
    assert_eq!(code::find("AF9999"), None);
}
