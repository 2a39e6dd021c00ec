//! Every structure: what is written is read again, and no other bytes do harm.

use proptest::prelude::*;
use uuid::Uuid;

use super::change::{CHANGE_HEADER_BYTES_MAX, Change};
use super::checkpoint::CheckpointHeader;
use super::control::{CONTROL_BYTES, Control, SLOT_STRIDE};
use super::cursor::{Cursor, put_varint};
use super::digest::{CollectionSeed, StateDigest};
use super::frame::{Frame, FrameHeader, FrameKind, HEADER_BYTES, assemble};
use super::image::{CodecId, Image, Op};
use super::metadata::Metadata;
use super::names;
use super::seal::{Seal, TableEntry};
use super::segment::{Content, NotAHeader, SegmentHeader};
use super::store_header::{Fork, NotAStoreFile, StoreHeader};
use crate::lsn::{Lsn, Position};
use crate::time::Timestamp;

fn codec() -> impl Strategy<Value = CodecId> {
    prop_oneof![
        Just(CodecId::Raw),
        Just(CodecId::Json),
        Just(CodecId::Bincode),
        Just(CodecId::Rkyv)
    ]
}

type OwnImage = (Vec<u8>, CodecId, u32);

fn image() -> impl Strategy<Value = OwnImage> {
    (prop::collection::vec(any::<u8>(), 0..300), codec(), prop_oneof![Just(0), any::<u32>()])
}

fn borrowed(image: &OwnImage) -> Image<'_> {
    Image::new(&image.0, image.1).with_schema(image.2)
}

proptest! {
    #[test]
    fn a_varint_is_read_as_it_was_written(value in any::<u64>()) {
        let mut bytes = Vec::new();
        put_varint(&mut bytes, value);
        prop_assert_eq!(Cursor::new(&bytes).varint(), Ok(value));
        bytes.pop();
        prop_assert!(Cursor::new(&bytes).varint().is_err());
    }

    #[test]
    fn a_frame_is_read_as_it_was_written(
        key in prop::collection::vec(any::<u8>(), 1..100),
        before in prop::option::of(image()),
        after in prop::option::of(image()),
        collection in any::<u32>(),
        distance in 1..1_u64 << 40,
        actor in prop::option::of(any::<String>()),
        seed in any::<u32>(),
        damage in any::<prop::sample::Index>(),
        bit in 0..8_u32,
    ) {
        prop_assume!(before.is_some() || after.is_some());
        let position = Position::new(1 << 20, 4096);
        let op = match (&before, &after) {
            (None, _) => Op::Create,
            (Some(_), Some(_)) => Op::Update,
            (Some(_), None) => Op::Delete,
        };
        let change = Change {
            op,
            collection,
            previous: Position::from_bits(position.bits() - distance),
            key: &key,
            before: before.as_ref().map(borrowed),
            after: after.as_ref().map(borrowed),
        };
        let metadata = Metadata { actor, ..Metadata::default() };
        let bytes = frame(position, &metadata, &[change], seed);
        let frame = Frame::verified(&bytes, seed, position).expect("genuine");
        prop_assert_eq!(frame.metadata(), Ok(metadata));
        let changes: Vec<_> = frame.changes().map(|found| found.expect("readable")).collect();
        prop_assert_eq!(&changes, &[(changes[0].0, change)]);
        prop_assert!(Frame::verified(&bytes, seed ^ 1, position).is_err(), "another segment");
        let mut damaged = bytes.clone();
        let at = damage.index(bytes.len());
        damaged[at] ^= 1 << bit;
        let passed = Frame::verified(&damaged, seed, position).is_ok();
        prop_assert!(!passed, "bit {} of byte {}", bit, at);
    }

    #[test]
    fn any_bytes_as_a_change_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..120)) {
        let frame = Position::new(1, 128);
        let mut cursor = Cursor::at(&bytes, 0);
        while Change::parse(&mut cursor, frame).is_ok() && cursor.left() > 0 {}
        drop(Metadata::decode(&bytes));
        drop(Seal::parse(&bytes));
    }

    #[test]
    fn the_digest_does_not_depend_on_the_order_of_changes(
        records in prop::collection::btree_map(
            prop::collection::vec(any::<u8>(), 1..8), image(), 0..12)
    ) {
        let seed = CollectionSeed::of("things");
        let add = |digest: StateDigest, key: &[u8], image: &OwnImage| {
            digest.replaced(seed.record(key), None, Some(borrowed(image)))
        };
        let forwards = records.iter().fold(StateDigest::default(), |d, (k, v)| add(d, k, v));
        let backwards = records.iter().rev().fold(StateDigest::default(), |d, (k, v)| add(d, k, v));
        prop_assert_eq!(forwards, backwards);
        let emptied = records.iter().fold(forwards, |digest, (key, image)| {
            digest.replaced(seed.record(key), Some(borrowed(image)), None)
        });
        prop_assert_eq!(emptied, StateDigest::default());
    }
}

/// The bytes of a frame, put together as the writer does.
fn frame(position: Position, metadata: &Metadata, changes: &[Change<'_>], seed: u32) -> Vec<u8> {
    let mut body = Vec::new();
    metadata.encode(&mut body);
    let metadata_length = u16::try_from(body.len()).expect("short");
    for change in changes {
        let back = HEADER_BYTES + body.len();
        let own = Position::from_bits(position.bits() + back as u64);
        let header = change.header(own, u32::try_from(back).expect("short"));
        assert!(header.as_slice().len() <= CHANGE_HEADER_BYTES_MAX);
        body.extend_from_slice(header.as_slice());
        body.extend_from_slice(change.key);
        for image in [change.before, change.after].into_iter().flatten() {
            body.extend_from_slice(image.bytes());
        }
    }
    body.resize(body.len().next_multiple_of(4), 0);
    let header = FrameHeader {
        length: u32::try_from(HEADER_BYTES + body.len()).expect("short"),
        crc: 0,
        previous_crc: 7,
        kind: FrameKind::Transaction,
        metadata_length,
        lsn: Lsn::new(3),
        time: Timestamp::from_micros(-5),
        digest: StateDigest::from_bits(u128::MAX - 3),
        durable_lag: FrameHeader::durable_lag(Lsn::new(3), Lsn::new(2)),
        changes: u32::try_from(changes.len()).expect("few"),
    };
    assemble(&header, &body, seed)
}

#[test]
fn a_frame_that_claims_more_changes_than_it_has_room_for_is_refused() {
    let (seed, position) = (7, Position::new(1, 128));
    let bytes = frame(position, &Metadata::default(), &[], seed);
    let genuine = Frame::verified(&bytes, seed, position).expect("genuine");
    for (changes, fits) in [(1, true), (7, true), (8, false), (u32::MAX, false)] {
        let header = FrameHeader { changes, ..genuine.header };
        let forged = assemble(&header, genuine.payload(), seed);
        assert_eq!(Frame::verified(&forged, seed, position).is_ok(), fits, "{changes}");
    }
}

#[test]
fn a_watermark_never_claims_more_than_it_knows() {
    let claims = |lsn: u64, durable: u64| {
        let bytes = frame(Position::new(1, 128), &Metadata::default(), &[], 0);
        let header = FrameHeader {
            lsn: Lsn::new(lsn),
            durable_lag: FrameHeader::durable_lag(Lsn::new(lsn), Lsn::new(durable)),
            ..FrameHeader::parse(&bytes).expect("a header")
        };
        header.durable().get()
    };
    assert_eq!(claims(10, 9), 9);
    assert_eq!(claims(10, 0), 0);
    assert_eq!(claims(u64::from(u32::MAX) + 10, 5), 0, "too far to say");
    assert_eq!(claims(u64::from(u32::MAX) + 10, 11), 11);
}

fn segment_header() -> SegmentHeader {
    SegmentHeader {
        store: Uuid::from_u128(7),
        timeline: 2,
        number: 3,
        created: Timestamp::from_micros(4),
        salt: [5; 32],
        content: Content::Transactions,
    }
}

#[test]
fn a_segment_header_is_read_as_it_was_written_and_no_bit_may_change() {
    let header = segment_header();
    let bytes = header.encode().as_slice().to_vec();
    assert_eq!(SegmentHeader::parse(&bytes), Ok(header));
    assert_eq!(SegmentHeader::parse(&[0; 128]), Err(NotAHeader::Blank));
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 4;
        assert!(matches!(SegmentHeader::parse(&damaged), Err(NotAHeader::Damaged(_))), "{at}");
        assert!(SegmentHeader::parse(&bytes[..at]).is_err());
    }
    let mut newer = bytes[..124].to_vec();
    newer[8] = 2;
    newer.extend_from_slice(&crc32fast::hash(&newer).to_le_bytes());
    assert_eq!(SegmentHeader::parse(&newer), Err(NotAHeader::Newer(2)));
    let other = SegmentHeader { salt: [6; 32], ..header };
    assert_ne!(header.seed(), other.seed(), "the salt seeds the checksums");
}

#[test]
fn a_seal_is_read_as_it_was_written() {
    let seal = Seal {
        segment_hash: [1; 32],
        previous_chain: [2; 32],
        first_lsn: Lsn::new(3),
        last_lsn: Lsn::new(4),
        first_time: Timestamp::from_micros(5),
        last_time: Timestamp::from_micros(6),
        changes: 7,
        table: vec![TableEntry { lsn: Lsn::new(3), time: Timestamp::from_micros(5), offset: 128 }],
    };
    let payload = seal.encode(9000);
    assert_eq!(Seal::parse(&payload), Ok(seal));
    let trailer = &payload[payload.len() - 8..];
    assert_eq!(super::seal::offset_in_trailer(trailer), Some(9000));
    let mut endless = payload.clone();
    endless[104..108].copy_from_slice(&u32::MAX.to_le_bytes());
    assert!(Seal::parse(&endless).is_err(), "a table longer than its seal");
}

#[test]
fn of_two_slots_the_newer_valid_one_counts() {
    let slot = |sequence| Control {
        clean: sequence == 2,
        sequence,
        store: Uuid::from_u128(1),
        timeline: 1,
        durable_lsn: Lsn::new(sequence * 10),
        durable_crc: 5,
        durable_end: Position::new(1, 200),
        chain: [3; 32],
        chain_segment: 4,
        written: Timestamp::from_micros(6),
    };
    let mut file = vec![0; CONTROL_BYTES];
    file[SLOT_STRIDE..SLOT_STRIDE + 128].copy_from_slice(slot(1).encode().as_slice());
    assert_eq!(Control::newest(&file), Ok(slot(1)));
    file[..128].copy_from_slice(slot(2).encode().as_slice());
    assert_eq!(Control::newest(&file), Ok(slot(2)));
    file[50] ^= 1;
    assert_eq!(Control::newest(&file), Ok(slot(1)), "a torn write leaves the other");
    file[SLOT_STRIDE] ^= 1;
    assert!(Control::newest(&file).is_err());
}

#[test]
fn a_store_file_is_read_as_it_was_written_and_no_byte_may_change() {
    let fork = Fork { store: Uuid::from_u128(9), timeline: 1, lsn: Lsn::new(5), segment: 2 };
    let header = StoreHeader {
        store: Uuid::from_u128(7),
        timeline: 2,
        segment_bytes: 4096,
        created: Timestamp::from_micros(4),
        forks: vec![fork],
    };
    let text = header.encode();
    assert_eq!(StoreHeader::parse(text.as_bytes()), Ok(header.clone()));
    for at in 0..text.len() {
        let mut damaged = text.clone().into_bytes();
        damaged[at] ^= 1;
        assert!(matches!(StoreHeader::parse(&damaged), Err(NotAStoreFile::Damaged(_))), "{at}");
    }
    assert!(header.owns_segment(header.store, 2, 99));
    assert!(header.owns_segment(fork.store, 1, 2) && !header.owns_segment(fork.store, 1, 3));
    assert!(!header.owns_segment(header.store, 1, 1), "another timeline");
}

#[test]
fn a_checkpoint_header_is_read_as_it_was_written() {
    let header = CheckpointHeader {
        store: Uuid::from_u128(7),
        timeline: 2,
        frame_crc: 3,
        lsn: Lsn::new(4),
        frame: Position::new(5, 6),
        time: Timestamp::from_micros(7),
        digest: StateDigest::from_bits(8),
        directory: 9,
        directory_length: 10,
        directory_hash: 11,
        below: Lsn::new(3),
    };
    let bytes = header.encode().as_slice().to_vec();
    assert_eq!(CheckpointHeader::parse(&bytes), Ok(header));
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 4;
        assert!(CheckpointHeader::parse(&damaged).is_err(), "{at}");
    }
}

#[test]
fn names_are_parsed_as_they_are_printed_and_nothing_else_is() {
    let name = |path: std::path::PathBuf| {
        path.file_name().and_then(|name| name.to_str()).expect("a name").to_owned()
    };
    let root = std::path::Path::new("/s");
    for number in [1, 12_345_678, u32::MAX] {
        assert_eq!(names::parse_segment(&name(names::segment(root, number))), Some(number));
    }
    assert_eq!(
        names::parse_checkpoint(&name(names::checkpoint(root, Lsn::new(7)))),
        Some(Lsn::new(7))
    );
    for wrong in ["00000000.seg", "1.seg", "+0000001.seg", "00000001.seg.tmp", "x.seg", ".seg"] {
        assert_eq!(names::parse_segment(wrong), None, "{wrong}");
    }
}
