//! Checking the pieces of a slice, and reading them once that is done.

use crate::format::cursor::Malformed;
use crate::format::frame::{Frame, FrameHeader, FrameKind};
use crate::format::segment::SEGMENT_HEADER_BYTES;
use crate::format::slice::{SliceHead, SlicePiece, hash_of};
use crate::journal::scan;
use crate::journal::segment::{Tail, offset_u32};
use crate::lsn::{Lsn, Position};
use crate::store::{SEGMENT_BYTES_MAX, SEGMENT_BYTES_MIN};
use crate::time::Timestamp;

/// What a slice continues: the transaction before its first.
pub(super) fn before(head: &SliceHead) -> Tail {
    Tail { lsn: head.first.previous(), crc: head.previous_crc, ..Tail::EMPTY }
}

/// Whether the pieces are what the head says: every transaction whole, and continuing the one
/// before. Offsets of errors count from the first piece.
pub(super) fn check(head: &SliceHead, pieces: &[u8]) -> Result<(), Malformed> {
    let wrong = |what| Err(Malformed { offset: 0, what });
    let identity = &head.identity;
    if !(SEGMENT_BYTES_MIN..=SEGMENT_BYTES_MAX).contains(&identity.segment_bytes) {
        return wrong("size of the segments");
    }
    if head.first == Lsn::ZERO || head.first > head.last {
        return wrong("number of the first transaction");
    }
    if head.pieces.last().is_none_or(|piece| piece.length == 0) {
        return wrong("last piece, which holds nothing,");
    }
    if hash_of(pieces) != head.hash {
        return wrong("hash of the pieces");
    }
    let mut checking = Checking { at: 0, tail: before(head), first_time: None };
    let mut number = None;
    for piece in &head.pieces {
        let segment = &piece.segment;
        let first = number.is_none();
        let follows =
            number.is_none_or(|number: u32| number.checked_add(1) == Some(segment.number));
        let start = piece.start as usize;
        if !follows
            || start < SEGMENT_HEADER_BYTES
            || (start > SEGMENT_HEADER_BYTES && !(first && piece.length > 0))
            || piece.start.checked_add(piece.length).is_none()
        {
            return wrong("place of a piece");
        }
        if !identity.owns_segment(segment.store, segment.timeline, segment.number) {
            return wrong("store of a segment");
        }
        number = Some(segment.number);
        checking.piece(piece, pieces)?;
    }
    let Checking { tail, first_time, .. } = checking;
    let ends = tail.lsn == head.last
        && tail.crc == head.last_crc
        && tail.time == head.last_time
        && tail.digest == head.digest
        && first_time == Some(head.first_time);
    if ends { Ok(()) } else { wrong("what the head says of the transactions") }
}

struct Checking {
    /// Where the next frame begins among the pieces.
    at: usize,
    tail: Tail,
    first_time: Option<Timestamp>,
}

impl Checking {
    fn piece(&mut self, piece: &SlicePiece, pieces: &[u8]) -> Result<(), Malformed> {
        let end = self.at + piece.length as usize;
        let seed = piece.segment.seed();
        let mut offset = piece.start;
        while let Some(rest @ [_, ..]) = pieces.get(self.at..end) {
            let position = Position::new(piece.segment.number, offset);
            let at = |malformed: Malformed| Malformed {
                offset: self.at.saturating_add(malformed.offset),
                ..malformed
            };
            let frame = scan::next(rest, seed, position, &self.tail).map_err(at)?;
            if frame.header.kind == FrameKind::Seal {
                return Err(at(Malformed { offset: 0, what: "kind of a frame" }));
            }
            self.first_time.get_or_insert(frame.header.time);
            self.tail = Tail::after(&frame);
            self.at += frame.header.bytes();
            offset = frame.end().offset();
        }
        if self.at == end {
            return Ok(());
        }
        Err(Malformed { offset: self.at, what: "length of a piece" })
    }
}

/// The frames of a piece that was checked.
#[derive(Debug)]
pub(super) struct Frames<'a> {
    number: u32,
    offset: u32,
    rest: &'a [u8],
}

impl<'a> Frames<'a> {
    pub(super) fn new(piece: &SlicePiece, own: &'a [u8]) -> Self {
        Self { number: piece.segment.number, offset: piece.start, rest: own }
    }
}

impl<'a> Iterator for Frames<'a> {
    type Item = Frame<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        let header = FrameHeader::parse(self.rest).ok()?;
        let (own, behind) = self.rest.split_at_checked(header.bytes())?;
        let frame = Frame::trusted(header, own, Position::new(self.number, self.offset));
        self.rest = behind;
        self.offset = self.offset.saturating_add(offset_u32(own.len()));
        Some(frame)
    }
}
