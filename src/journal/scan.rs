//! Reading the bytes of a segment that is not sealed, as far as its frames are whole and in order,
//! and looking at what stands behind. Pure: bytes in, findings out.

use crate::format::cursor::Malformed;
use crate::format::frame::{ALIGNMENT, Frame, FrameHeader, FrameKind, HEADER_BYTES};
use crate::format::seal::{self, Seal, TableEntry};
use crate::format::segment::SEGMENT_HEADER_BYTES;
use crate::lsn::{Lsn, Position};

use super::segment::{Tail, entry_of};

/// What the frames of a segment are.
#[derive(Clone, Debug)]
pub(crate) struct Scan {
    /// The newest transaction of the journal up to the end of the sound frames.
    pub(crate) tail: Tail,
    /// Where the sound frames end in this segment.
    pub(crate) end: u32,
    pub(crate) table: Vec<TableEntry>,
    pub(crate) transactions: u64,
    pub(crate) changes: u64,
    /// The seal, if the frames end with one.
    pub(crate) seal: Option<Seal>,
    pub(crate) stop: Stop,
    /// The checksum of the frame of the transaction that was asked for, if it stands here.
    pub(crate) crc_at: Option<u32>,
}

/// Why the frames end where they end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// At a seal, or where nothing but zeros follow.
    End,
    /// At bytes that are no frame, or not the next one.
    Hole(Malformed),
}

/// What stands behind a hole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Behind {
    /// How many genuine frames were found.
    pub(crate) frames: u64,
    /// The highest LSN that one of them says was durable before it was written.
    pub(crate) durable: Lsn,
}

/// Reads frames from the header on. `tail` is what the first one must continue; `wanted` is a
/// transaction whose checksum is asked for.
pub(crate) fn scan(bytes: &[u8], seed: u32, number: u32, tail: Tail, wanted: Lsn) -> Scan {
    let mut scan = Scan {
        tail,
        end: u32::try_from(SEGMENT_HEADER_BYTES).unwrap_or(u32::MAX),
        table: Vec::new(),
        transactions: 0,
        changes: 0,
        seal: None,
        stop: Stop::End,
        crc_at: (wanted == tail.lsn).then_some(tail.crc),
    };
    while let Some(rest) = bytes.get(scan.end as usize..).filter(|rest| !rest.is_empty()) {
        match next(rest, seed, Position::new(number, scan.end), &scan.tail) {
            Ok(frame) if frame.header.kind == FrameKind::Seal => {
                match Seal::parse(frame.payload()) {
                    Ok(seal) => scan.seal = Some(seal),
                    Err(malformed) => scan.stop = Stop::Hole(malformed),
                }
                return scan;
            }
            Ok(frame) => scan.take(&frame, wanted),
            Err(malformed) => {
                if rest.iter().any(|byte| *byte != 0) {
                    scan.stop = Stop::Hole(malformed);
                }
                return scan;
            }
        }
    }
    scan
}

impl Scan {
    fn take(&mut self, frame: &Frame<'_>, wanted: Lsn) {
        seal::note(&mut self.table, entry_of(frame));
        if frame.header.lsn == wanted {
            self.crc_at = Some(frame.header.crc);
        }
        self.transactions += 1;
        self.changes += u64::from(frame.header.changes);
        self.tail = Tail::after(frame);
        self.end = self.tail.end.offset();
    }
}

/// The frame at the start of `bytes`, if it is the one that continues `tail`.
pub(crate) fn next<'a>(
    bytes: &'a [u8],
    seed: u32,
    position: Position,
    tail: &Tail,
) -> Result<Frame<'a>, Malformed> {
    let frame = Frame::verified(bytes, seed, position)?;
    continues(&frame, tail).map(|()| frame)
}

/// Whether a verified frame is the one that continues `tail`.
pub(crate) fn continues(frame: &Frame<'_>, tail: &Tail) -> Result<(), Malformed> {
    let header = &frame.header;
    let wrong = |what| Err(Malformed { offset: 0, what });
    if header.previous_crc != tail.crc {
        return wrong("link to the frame before");
    }
    match header.kind {
        FrameKind::Transaction | FrameKind::Base => {
            if header.lsn != tail.lsn.next() {
                return wrong("number of the transaction");
            }
            if header.time < tail.time {
                return wrong("commit time");
            }
        }
        FrameKind::Seal => {
            if header.lsn != tail.lsn || header.digest != tail.digest {
                return wrong("seal");
            }
        }
    }
    Ok(())
}

/// Looking behind a hole computes checksums over at most this many times its bytes.
const WORK_PER_BYTE_MAX: usize = 64;

/// Genuine frames newer than `known`, with their places, wherever they stand in `bytes`, which
/// begin at an offset where a frame may begin. Cheap where there is none: most places fail on their
/// first fields.
#[derive(Debug)]
pub(crate) struct Genuine<'a> {
    bytes: &'a [u8],
    seed: u32,
    known: Lsn,
    start: usize,
    work_left: usize,
    /// Whether it was given up: whoever made these bytes wants them to be looked at for ever.
    pub(crate) gave_up: bool,
}

impl<'a> Genuine<'a> {
    pub(crate) const fn new(bytes: &'a [u8], seed: u32, known: Lsn) -> Self {
        let work_left = bytes.len().saturating_mul(WORK_PER_BYTE_MAX);
        Self { bytes, seed, known, start: 0, work_left, gave_up: false }
    }
}

impl<'a> Iterator for Genuine<'a> {
    type Item = (usize, Frame<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let newer_max = (self.bytes.len() / HEADER_BYTES) as u64 + 1;
        while let Some(rest) =
            self.bytes.get(self.start..).filter(|rest| rest.len() >= HEADER_BYTES)
        {
            let start = self.start;
            self.start += ALIGNMENT;
            let plausible = FrameHeader::parse(rest).ok().filter(|header| {
                header.bytes() <= rest.len()
                    && header.lsn > self.known
                    && header.lsn.get() - self.known.get() <= newer_max
            });
            let Some(header) = plausible else { continue };
            let Some(left) = self.work_left.checked_sub(header.bytes()) else {
                self.gave_up = true;
                return None;
            };
            self.work_left = left;
            if let Ok(frame) = Frame::verified(rest, self.seed, Position::NONE) {
                self.start += frame.header.bytes() - ALIGNMENT;
                return Some((start, frame));
            }
        }
        None
    }
}

/// What genuine frames newer than `known` there are in `bytes`, and for what they vouch.
pub(crate) fn behind(bytes: &[u8], seed: u32, known: Lsn) -> Behind {
    let mut found = Behind::default();
    let mut genuine = Genuine::new(bytes, seed, known);
    for (_, frame) in genuine.by_ref() {
        found.frames += 1;
        found.durable = found.durable.max(frame.header.durable());
    }
    if genuine.gave_up {
        // Refusing to cut is safe.
        found.durable = found.durable.max(known.next());
    }
    found
}
