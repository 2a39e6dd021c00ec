//! Scanning bytes that a crash or a hostile hand has left.

use super::index::LOOKED_AT;
use super::scan::{Stop, behind, scan};
use super::segment::Tail;
use crate::format::frame::{Frame, FrameHeader, HEADER_BYTES, assemble};
use crate::format::image::{CodecId, Image};
use crate::lsn::{Lsn, Position};
use crate::store::{Durability, Store};
use crate::time::Timestamp;

/// The first segment of the golden store, with its seal, and its seed.
fn golden() -> (Vec<u8>, u32) {
    let files = crate::testing::golden::store_files().expect("built");
    let (_, bytes) =
        files.into_iter().find(|(name, _)| name.ends_with("00000001.seg")).expect("a segment");
    let header = crate::format::segment::SegmentHeader::parse(&bytes).expect("a header");
    (bytes, header.seed())
}

#[test]
fn a_whole_segment_ends_with_its_seal() {
    let (bytes, seed) = golden();
    let scan = scan(&bytes, seed, 1, Tail::EMPTY, Lsn::new(2));
    assert_eq!(scan.stop, Stop::End);
    assert_eq!(scan.tail.lsn, Lsn::new(5));
    assert_eq!(scan.seal.expect("a seal").last_lsn, Lsn::new(5));
    assert!(scan.crc_at.is_some());
}

#[test]
fn a_cut_at_any_byte_leaves_a_prefix() {
    let (bytes, seed) = golden();
    let whole = scan(&bytes, seed, 1, Tail::EMPTY, Lsn::ZERO);
    let mut longest = Lsn::ZERO;
    for length in 128..bytes.len() {
        let mut torn = bytes[..length].to_vec();
        torn.resize(bytes.len(), 0);
        let scan = scan(&torn, seed, 1, Tail::EMPTY, Lsn::ZERO);
        let found = scan.tail.lsn;
        assert!(found <= whole.tail.lsn && found >= longest, "a longer prefix holds no less");
        longest = found;
    }
}

#[test]
fn frames_behind_a_hole_are_found_and_vouch() {
    let (mut bytes, seed) = golden();
    let second = scan(&bytes[..0x1e8], seed, 1, Tail::EMPTY, Lsn::ZERO);
    assert_eq!(second.tail.lsn, Lsn::new(2));
    bytes[0x180] ^= 1;
    let scan = scan(&bytes, seed, 1, Tail::EMPTY, Lsn::ZERO);
    assert!(matches!(scan.stop, Stop::Hole(_)));
    assert_eq!(scan.tail.lsn, Lsn::new(1));
    let found = behind(&bytes[scan.end as usize..], seed, scan.tail.lsn);
    assert!(found.frames >= 3, "{found:?}");
    assert!(found.durable >= Lsn::new(2), "the damaged transaction was durable: {found:?}");
    assert_eq!(behind(&bytes, seed ^ 1, Lsn::ZERO).frames, 0, "frames of another segment");
}

/// As if an older life of the segment had left a frame with the right number and checksum.
#[test]
fn a_frame_that_does_not_link_to_the_one_before_is_not_taken() {
    let (mut bytes, seed) = golden();
    let first = scan(&bytes, seed, 1, Tail::EMPTY, Lsn::ZERO).table[0].offset as usize;
    let frame = |bytes: &[u8], at: usize| {
        Frame::verified(&bytes[at..], seed, Position::new(1, 0)).map(|frame| frame.header)
    };
    let at = first + frame(&bytes, first).expect("sound").bytes();
    let header = frame(&bytes, at).expect("sound");
    let end = at + header.bytes();
    let other = FrameHeader { previous_crc: header.previous_crc ^ 1, ..header };
    let payload = bytes[at + HEADER_BYTES..end].to_vec();
    bytes[at..end].copy_from_slice(&assemble(&other, &payload, seed));
    assert!(frame(&bytes, at).is_ok(), "by itself it is sound");
    let scan = scan(&bytes, seed, 1, Tail::EMPTY, Lsn::ZERO);
    assert!(matches!(scan.stop, Stop::Hole(_)));
    assert_eq!(scan.tail.lsn, Lsn::new(1));
}

#[test]
fn looking_behind_a_hole_ends_on_bytes_made_to_last() {
    // Every place looks like a frame that reaches to the end: checking each would take hours.
    let unit = {
        let (bytes, _) = golden();
        bytes[0x80..0x84 + 52].to_vec()
    };
    let mut hostile = unit.repeat(20_000);
    let length = hostile.len();
    for start in (0..length - 56).step_by(56) {
        let left = u32::try_from((length - start) / 4 * 4).expect("small");
        hostile[start..start + 4].copy_from_slice(&left.to_le_bytes());
    }
    let found = behind(&hostile, 0, Lsn::ZERO);
    assert_eq!(found.durable, Lsn::new(1), "refusing to cut is the safe answer");
}

/// The most segments and frames that were looked at to find a transaction, by its number or its
/// time, in a store of so many, one second after the other.
fn looked_at(transactions: u64, segment_bytes: u64) -> (u32, u32, u32) {
    let place = tempfile::tempdir().expect("a directory");
    let options = Store::options().segment_bytes(segment_bytes).durability(Durability::Process);
    let store = options.open(place.path().join("x.store")).expect("opened");
    for n in 1..=transactions {
        let put = store.write(|tx| {
            tx.at_time(Timestamp::from_micros(i64::try_from(n).expect("few") * 1_000_000));
            tx.put_image("things", &[0], Image::new(&[7; 100], CodecId::Raw))
        });
        assert_eq!(put.expect("committed").lsn(), Lsn::new(n));
    }
    let (mut segments, mut frames) = (0, 0);
    let mut note = || {
        segments = LOOKED_AT.get().0.max(segments);
        frames = LOOKED_AT.replace((0, 0)).1.max(frames);
    };
    let ends = (1..=1000).flat_map(|n| [n, transactions + 1 - n]);
    for lsn in ends.chain((1..=transactions).step_by(97)) {
        LOOKED_AT.set((0, 0));
        let found = store.transaction(Lsn::new(lsn)).expect("found").time();
        note();
        let by_time = Timestamp::from_micros(found.as_micros() + 999_999);
        assert_eq!(store.engine.journal.find_time(by_time).expect("found"), Lsn::new(lsn));
        note();
    }
    let count = store.engine.journal.table.newest();
    (count, segments, frames)
}

/// Counted and not timed. The stretches of a sparse table are 64 KiB: 250 of these transactions.
#[test]
fn accident_a21_a_seek_looks_at_no_more_frames_in_a_longer_journal() {
    let (few, _, frames_of_short) = looked_at(2_000, 64 << 20);
    let (many, probes, frames_of_many) = looked_at(20_000, 64 << 10);
    let (one, _, frames_of_long) = looked_at(20_000, 64 << 20);
    assert!((few, one) == (1, 1) && many > 50, "{many} segments");
    assert!(frames_of_short > 100, "it does look at frames: {frames_of_short}");
    assert!(frames_of_long <= frames_of_short + 1, "{frames_of_long}, of the short one");
    assert!(frames_of_many <= frames_of_short + 1, "{frames_of_many}, {frames_of_short}");
    assert!(probes <= many.ilog2() + 1, "{probes} of {many} segments");
}
