use super::crypt::{CHUNK_BYTES, Refused};
use super::*;
use crate::format::envelope::{COMPRESSED, ENVELOPE_BYTES, Envelope, OBJECT_BYTES_MAX, Place};
use crate::lsn::Lsn;
use crate::{ErrorKind, ObjectKind};

fn cipher() -> Cipher {
    Cipher::new(&random_key())
}

fn manifest() -> ObjectName {
    let label = Label::new("nightly").unwrap();
    ObjectName { store: Uuid::from_u128(7), kind: ObjectKind::Manifest { label } }
}

/// An object as somebody might make it who knows how.
fn forged(content_bytes: u64, flags: u32, payload: &[u8]) -> Vec<u8> {
    let envelope = Envelope {
        flags,
        content_bytes,
        payload_bytes: payload.len() as u64,
        content_hash: *blake3::hash(payload).as_bytes(),
    };
    envelope.seal(Place { repository: Uuid::nil(), name: &manifest().to_string() }, payload)
}

fn refused(stored: &[u8]) {
    let error = object::decode(None, Uuid::nil(), &manifest(), stored).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    assert!(error.to_string().contains("backups/nightly.json"), "{error}");
}

#[test]
fn chunks_come_back_at_every_length_about_their_edges() {
    let cipher = cipher();
    let content = vec![0x5a; 3 * CHUNK_BYTES + 2];
    for chunks in 0..=3 {
        for length in (chunks * CHUNK_BYTES).saturating_sub(2)..=chunks * CHUNK_BYTES + 2 {
            let sealed = cipher.seal(&content[..length], b"here");
            assert_eq!(sealed.len(), Cipher::sealed_bytes(length), "{length}");
            assert_eq!(cipher.open(&sealed, b"here").unwrap(), &content[..length]);
            assert_eq!(cipher.open(&sealed, b"there"), Err(Refused));
        }
    }
}

#[test]
fn chunks_that_are_cut_off_swapped_or_doubled_do_not_open() {
    let cipher = cipher();
    let sealed = cipher.seal(&vec![0x5a; 3 * CHUNK_BYTES], b"here");
    let chunk = CHUNK_BYTES + 16;
    let (head, body) = sealed.split_at(crypt::WRAPPED_BYTES);
    let parts: Vec<&[u8]> = body.chunks(chunk).collect();
    for order in [&[0, 1][..], &[0], &[], &[1, 0, 2], &[0, 0, 1, 2], &[0, 2], &[0, 1, 2, 2]] {
        let mut forged = head.to_vec();
        for index in order {
            forged.extend_from_slice(parts[*index]);
        }
        assert_eq!(cipher.open(&forged, b"here"), Err(Refused), "{order:?}");
    }
}

#[test]
fn a_bomb_is_refused_before_it_unfolds() {
    let bomb = zstd::bulk::compress(&vec![0; OBJECT_BYTES_MAX + 1], 3).unwrap();
    for claimed in [0, 1, 10, OBJECT_BYTES_MAX as u64] {
        refused(&forged(claimed, COMPRESSED, &bomb));
    }
    for claimed in [OBJECT_BYTES_MAX as u64 + 1, u64::MAX] {
        refused(&forged(claimed, COMPRESSED, &bomb));
        refused(&forged(claimed, 0, b"short"));
    }
    let two = [zstd::bulk::compress(b"one", 3).unwrap(), zstd::bulk::compress(b"two", 3).unwrap()];
    refused(&forged(3, COMPRESSED, &two.concat()));
    refused(&forged(6, COMPRESSED, &two.concat()));
}

#[test]
fn a_window_larger_than_any_content_is_not_allocated() {
    // A frame without a content size, whose window is 2 GiB.
    let frame = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xa8, 0x01, 0x00, 0x00];
    refused(&forged(0, COMPRESSED, &frame));
}

#[test]
fn flags_and_versions_that_are_unknown_are_refused() {
    refused(&forged(1, 4, b"a"));
    refused(&forged(1, crate::format::envelope::ENCRYPTED, b"a"));
    let mut newer = forged(1, 0, b"a");
    newer[8] = 2;
    let error = object::decode(None, Uuid::nil(), &manifest(), &newer).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Format);
}

#[test]
fn what_needs_no_key_is_refused_where_a_key_is_needed() {
    let stored = object::encode(None, Uuid::nil(), &manifest(), b"plain").unwrap();
    let error = object::decode(Some(&cipher()), Uuid::nil(), &manifest(), &stored).unwrap_err();
    assert!(error.to_string().contains("is not encrypted"), "{error}");
    assert!(stored.len() > ENVELOPE_BYTES);
}

#[test]
fn names_are_read_only_as_they_are_written() {
    let cipher = cipher();
    let hash = ContentHash::of(&cipher.hash(b"x"));
    let store = Uuid::from_u128(7);
    let label = Label::new("a.b_c-1").unwrap();
    let (first, last) = (Lsn::new(1), Lsn::new(u64::MAX));
    for kind in [
        ObjectKind::Slice { first, last, hash },
        ObjectKind::Base { lsn: last, hash },
        ObjectKind::Manifest { label: label.clone() },
        ObjectKind::Mark { label: label.clone(), number: 1 },
        ObjectKind::Mark { label, number: u32::MAX },
    ] {
        let name = ObjectName { store, kind };
        let text = name.to_string();
        assert_eq!(text.parse(), Ok(name));
        for wrong in [
            text.to_uppercase(),
            format!("/{text}"),
            format!("{text}/"),
            format!("../{text}"),
            text.replace('/', "//"),
            text.replace('/', "/../"),
            text.replace(".zst", ".zst~").replace(".json", ".jso"),
            text.replace("0000000", "000000"),
        ] {
            assert!(wrong == text || wrong.parse::<ObjectName>().is_err(), "{wrong}");
        }
    }
    for wrong in ["", ".", "..", ".a", "-a", "a/b", "a b", "a\0", "ä", &"a".repeat(101)] {
        assert_eq!(Label::new(wrong), None, "{wrong}");
    }
}

#[test]
fn addresses_with_secrets_or_of_unknown_kinds_are_refused() {
    for address in
        ["s3://key:secret@bucket/x", "ftp://host/x", "s3://", "file://host/x", "s3://b?c"]
    {
        let error = Repository::open(address, None).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{address}: {error}");
        assert!(!error.to_string().contains("secret@"), "{error}");
    }
}
