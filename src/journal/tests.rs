//! Scanning bytes that a crash or a hostile hand has left.

use super::scan::{Stop, behind, scan};
use super::segment::Tail;
use crate::format::frame::{Frame, FrameHeader, HEADER_BYTES, assemble};
use crate::lsn::{Lsn, Position};

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
