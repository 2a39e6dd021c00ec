//! What opening finds: every segment looked at, nothing changed. Sealed segments are known by their
//! seals; the others are read frame by frame.

use std::path::Path;
use std::sync::Arc;

use super::beacon::Chain;
use super::cut::{Decision, Facts, decide};
use super::prepare::Mould;
use super::scan::{self, Behind, Scan, Stop};
use super::segment::{Tail, offset_u32};
use crate::error::{Error, Result, code};
use crate::format::control::Control;
use crate::format::cursor::Malformed;
use crate::format::frame::{Frame, FrameHeader, FrameKind};
use crate::format::names;
use crate::format::seal::{self, Seal, TRAILER_BYTES};
use crate::format::segment::{Content, NotAHeader, SEGMENT_HEADER_BYTES, SegmentHeader};
use crate::lsn::{Lsn, Position};
use crate::sys::{self, Access, DiskFile};

/// Offsets in a segment have 32 bits, so no segment is longer; a file that is holds no memory up.
const SEGMENT_FILE_BYTES_MAX: u64 = u32::MAX as u64;

/// A segment as it was found.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) number: u32,
    pub(crate) file: Arc<dyn DiskFile>,
    pub(crate) kind: FoundKind,
}

/// What a segment turned out to be.
#[derive(Debug)]
pub(crate) enum FoundKind {
    /// Ends with its seal.
    Sealed { header: SegmentHeader, seal: Seal, length: u64 },
    /// Has frames, or at least a header, and no seal at its end.
    Open { header: SegmentHeader, scan: Scan },
    /// Was being made ready and holds nothing.
    Unused,
}

/// What was found, and what recovery should do about it.
#[derive(Debug)]
pub(crate) struct Survey {
    pub(crate) segments: Vec<Found>,
    /// The newest sound transaction.
    pub(crate) tail: Tail,
    /// The chain of the seals found.
    pub(crate) chain: Chain,
    pub(crate) decision: Decision,
    /// Where the sound frames end, if something other than zeros follows.
    pub(crate) hole: Option<Hole>,
    /// The first file that was cut or removed.
    pub(crate) short: Option<Short>,
}

/// A file that does not hold what it held: one that is shorter than the frames that were begun in
/// it, or none at all where one was.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Short {
    pub(crate) segment: u32,
    pub(crate) length: Option<u64>,
}

/// Where the sound frames end although something follows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hole {
    pub(crate) segment: u32,
    pub(crate) offset: u32,
    pub(crate) malformed: Malformed,
}

/// What is done to a file before it is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Settle {
    /// Nothing: the store was closed properly, or somebody is writing to it.
    Not,
    /// Files whose seal the beacon does not know are synced and their cached pages dropped: after a
    /// failed sync the cache shows what the disk does not have, and nobody is to see that.
    ToRead,
    /// The same, and they will be written to.
    ToWrite,
}

/// Looks at all segments.
pub(crate) fn survey(mould: &Mould, control: &Control, settle: Settle) -> Result<Survey> {
    let mut surveyor = Surveyor {
        mould,
        control,
        settle,
        tail: Tail::EMPTY,
        chain: Chain::default(),
        crc_at_beacon: (control.durable_lsn == Lsn::ZERO).then_some(0),
        hole: None,
        hole_sealed: false,
        behind: Behind::default(),
        short: None,
    };
    let mut segments = Vec::new();
    let (base, numbers) = files(mould)?;
    if let Some(number) = base {
        segments.push(surveyor.look_at_base(number)?);
    }
    for number in numbers {
        segments.push(surveyor.look(number)?);
    }
    let next = segments.last().map_or(1, |found| found.number + 1);
    if control.durable_end.segment() >= next {
        surveyor.short.get_or_insert(Short { segment: next, length: None });
    }
    surveyor.settle_torn_seals(&segments);
    let facts = Facts {
        sound: surveyor.tail.lsn,
        hole: surveyor.hole.is_some(),
        sealed: surveyor.hole_sealed,
        vouched: surveyor.behind.durable,
        beacon: control.durable_lsn,
        short: surveyor.short.is_some(),
        beacon_agrees: surveyor.crc_at_beacon.is_none_or(|crc| crc == control.durable_crc),
        clean: control.clean,
    };
    Ok(Survey {
        segments,
        tail: surveyor.tail,
        chain: surveyor.chain,
        decision: decide(facts),
        hole: surveyor.hole,
        short: surveyor.short,
    })
}

/// The number of the base, if the journal begins with one, and those of the segments behind it,
/// which must be without a gap. What a newer base has taken the place of is not there any more,
/// even if it still is.
fn files(mould: &Mould) -> Result<(Option<u32>, Vec<u32>)> {
    let names = mould.disk.list(&mould.root.join(names::JOURNAL))?;
    let base = names.iter().filter_map(|name| names::parse_base(name)).max();
    let first = base.map_or(1, |base| base + 1);
    let mut numbers: Vec<u32> = names
        .iter()
        .filter_map(|name| names::parse_segment(name))
        .filter(|number| *number >= first)
        .collect();
    numbers.sort_unstable();
    for (expected, number) in (first..).zip(&numbers) {
        if expected != *number {
            return Err(missing(&mould.root, expected));
        }
    }
    Ok((base, numbers))
}

/// The seal that ends the file, if there is a whole one, with its frame's header and its place.
fn read_seal(
    header: &SegmentHeader,
    file: &dyn DiskFile,
    length: u64,
) -> Result<Option<(Seal, FrameHeader, Position)>> {
    let trailer_at = length.saturating_sub(TRAILER_BYTES as u64);
    let trailer = sys::read_range(file, trailer_at, TRAILER_BYTES)?;
    let Some(offset) = seal::offset_in_trailer(&trailer) else { return Ok(None) };
    let rest = to_usize(length.saturating_sub(u64::from(offset)));
    let bytes = sys::read_range(file, u64::from(offset), rest)?;
    let position = Position::new(header.number, offset);
    let Ok(frame) = Frame::verified(&bytes, header.seed(), position) else { return Ok(None) };
    let Ok(seal) = Seal::parse(frame.payload()) else { return Ok(None) };
    let is_seal = frame.header.kind == FrameKind::Seal;
    if is_seal && frame.header.bytes() != bytes.len() {
        return Err(Error::new(
            &code::SEAL_MISMATCH,
            "the segment's seal does not continue the segment before it",
        )
        .at_path(file.path())
        .at_offset(u64::from(offset)));
    }
    Ok(is_seal.then_some((seal, frame.header, position)))
}

fn missing(root: &Path, number: u32) -> Error {
    Error::new(&code::JOURNAL_INCOMPLETE, format!("segment {number} is missing"))
        .at_path(&names::segment(root, number))
}

struct Surveyor<'a> {
    mould: &'a Mould,
    control: &'a Control,
    settle: Settle,
    tail: Tail,
    chain: Chain,
    /// The checksum found at the transaction that the beacon names.
    crc_at_beacon: Option<u32>,
    hole: Option<Hole>,
    hole_sealed: bool,
    behind: Behind,
    short: Option<Short>,
}

impl Surveyor<'_> {
    /// The base: it was complete before it got its name, and stands for the segments up to its
    /// number.
    fn look_at_base(&mut self, number: u32) -> Result<Found> {
        let path = names::base(&self.mould.root, number);
        let wrong = |what: &str| Error::new(&code::SEGMENT_DAMAGED, what.to_owned()).at_path(&path);
        let file = self.mould.disk.open(&path, Access::Read)?;
        let length = file.length()?;
        let head = sys::read_range(&*file, 0, SEGMENT_HEADER_BYTES)?;
        let header = SegmentHeader::parse(&head)
            .ok()
            .filter(|header| header.content == Content::Base && header.number == number)
            .ok_or_else(|| wrong("the base has no valid header"))?;
        if !self.mould.identity.owns_segment(header.store, header.timeline, number) {
            return Err(Error::new(&code::WRONG_STORE, "the base belongs elsewhere").at_path(&path));
        }
        let Some((seal, frame, position)) = read_seal(&header, &*file, length)? else {
            return Err(wrong("the base has no valid seal"));
        };
        if seal.last_lsn == self.control.durable_lsn {
            self.crc_at_beacon = Some(frame.previous_crc);
        }
        self.chain = Chain { hash: seal.previous_chain, segment: number };
        self.tail = Tail {
            lsn: seal.last_lsn,
            time: frame.time,
            crc: frame.previous_crc,
            digest: frame.digest,
            frame: Position::NONE,
            end: position,
        };
        Ok(Found { number, file, kind: FoundKind::Sealed { header, seal, length } })
    }

    fn look(&mut self, number: u32) -> Result<Found> {
        let path = names::segment(&self.mould.root, number);
        let file = self.mould.disk.open(&path, self.access())?;
        if self.settle != Settle::Not && number > self.control.chain_segment {
            // A seal whose sync has failed is in the cache, too, and not on the disk.
            file.sync()?;
            file.drop_cache()?;
        }
        let length = file.length()?;
        if length > SEGMENT_FILE_BYTES_MAX {
            let message = format!("a segment of {length} bytes can't be");
            return Err(Error::new(&code::SEGMENT_DAMAGED, message).at_path(&path));
        }
        let head = sys::read_range(&*file, 0, SEGMENT_HEADER_BYTES)?;
        let header = match SegmentHeader::parse(&head) {
            Ok(header) => header,
            Err(NotAHeader::Newer(version)) => {
                return Err(Error::new(
                    &code::FORMAT_TOO_NEW,
                    format!("the segment has format {version}"),
                )
                .at_path(&path));
            }
            Err(why) => return self.without_header(number, file, why),
        };
        let identity = &self.mould.identity;
        if header.number != number
            || header.content != Content::Transactions
            || !identity.owns_segment(header.store, header.timeline, header.number)
        {
            return Err(
                Error::new(&code::WRONG_STORE, "the segment belongs elsewhere").at_path(&path)
            );
        }
        if self.hole.is_none()
            && let Some(seal) = self.sealed(&header, &*file, length)?
        {
            let kind = FoundKind::Sealed { header, seal, length };
            return Ok(Found { number, file, kind });
        }
        self.unsealed(header, file)
    }

    const fn access(&self) -> Access {
        match self.settle {
            Settle::ToWrite => Access::Write,
            Settle::Not | Settle::ToRead => Access::Read,
        }
    }

    /// A file without a valid header: the next segment, not yet ready, or damage.
    fn without_header(
        &mut self,
        number: u32,
        file: Arc<dyn DiskFile>,
        why: NotAHeader,
    ) -> Result<Found> {
        let bytes = sys::read_range(&*file, 0, to_usize(file.length()?))?;
        let rest = bytes.get(SEGMENT_HEADER_BYTES..).unwrap_or_default();
        let later = names::segment(&self.mould.root, number + 1);
        let last = self.mould.disk.entry(&later)? == sys::Entry::Nothing;
        let had_one = number <= self.control.durable_end.segment();
        if last && !had_one && rest.iter().all(|byte| *byte == 0) {
            return Ok(Found { number, file, kind: FoundKind::Unused });
        }
        let offset = match why {
            NotAHeader::Damaged(malformed) => malformed.offset as u64,
            NotAHeader::Blank | NotAHeader::Newer(_) => 0,
        };
        Err(Error::new(&code::SEGMENT_DAMAGED, "the segment has no valid header")
            .at_path(file.path())
            .at_offset(offset))
    }

    /// The seal at the end of the file, if there is one that fits.
    fn sealed(
        &mut self,
        header: &SegmentHeader,
        file: &dyn DiskFile,
        length: u64,
    ) -> Result<Option<Seal>> {
        let Some((seal, frame, position)) = read_seal(header, file, length)? else {
            return Ok(None);
        };
        let continues = seal.previous_chain == self.chain.hash
            && (seal.table.is_empty() || seal.first_lsn == self.tail.lsn.next())
            && (!seal.table.is_empty() || seal.last_lsn == self.tail.lsn);
        if !continues {
            return Err(Error::new(
                &code::SEAL_MISMATCH,
                "the segment's seal does not continue the segment before it",
            )
            .at_path(file.path())
            .at_offset(u64::from(position.offset())));
        }
        if seal.last_lsn == self.control.durable_lsn {
            self.crc_at_beacon = Some(frame.previous_crc);
        }
        self.chain = Chain { hash: seal.chain(), segment: header.number };
        self.tail = Tail {
            lsn: seal.last_lsn,
            time: frame.time,
            crc: frame.previous_crc,
            digest: frame.digest,
            frame: Position::NONE,
            end: position,
        };
        Ok(Some(seal))
    }

    fn unsealed(&mut self, header: SegmentHeader, file: Arc<dyn DiskFile>) -> Result<Found> {
        let number = header.number;
        let bytes = sys::read_range(&*file, 0, to_usize(file.written_end()?))?;
        if self.hole.is_some() && !self.resumes(&bytes, &header) {
            self.note_behind(&bytes, header.seed(), SEGMENT_HEADER_BYTES);
            let scan = scan::scan(&[], header.seed(), number, self.tail, Lsn::ZERO);
            return Ok(Found { number, file, kind: FoundKind::Open { header, scan } });
        }
        self.hole = None;
        let wanted = self.control.durable_lsn;
        let scan = scan::scan(&bytes, header.seed(), number, self.tail, wanted);
        let length = file.length()?;
        if scan.seal.is_none() && was_cut(&bytes, &scan, length) {
            self.short.get_or_insert(Short { segment: number, length: Some(length) });
        }
        self.crc_at_beacon = self.crc_at_beacon.or(scan.crc_at);
        self.tail = scan.tail;
        if scan.transactions == 0 {
            self.tail.end = Position::new(number, scan.end);
        }
        if let Stop::Hole(malformed) = scan.stop {
            self.hole = Some(Hole { segment: number, offset: scan.end, malformed });
            self.hole_sealed |= number <= self.control.chain_segment;
            self.note_behind(&bytes, header.seed(), scan.end as usize);
        }
        Ok(Found { number, file, kind: FoundKind::Open { header, scan } })
    }

    /// Whether the transaction after the tail stands first in these bytes: then the hole before
    /// them hides no transaction, it is the seal that the crash interrupted.
    fn resumes(&mut self, bytes: &[u8], header: &SegmentHeader) -> bool {
        let first = bytes.get(SEGMENT_HEADER_BYTES..).unwrap_or_default();
        let position = Position::new(header.number, offset_u32(SEGMENT_HEADER_BYTES));
        let resumes = !self.hole_sealed
            && scan::next(first, header.seed(), position, &self.tail)
                .is_ok_and(|frame| frame.header.kind != FrameKind::Seal);
        if resumes {
            self.behind = Behind::default();
        }
        resumes
    }

    fn note_behind(&mut self, bytes: &[u8], seed: u32, from: usize) {
        let found = scan::behind(bytes.get(from..).unwrap_or_default(), seed, self.tail.lsn);
        self.behind.frames += found.frames;
        self.behind.durable = self.behind.durable.max(found.durable);
    }

    /// A seal that was interrupted in the newest segment with frames, behind which only an unused
    /// segment stands, is a hole like any other; nothing to settle. One that the beacon says was
    /// complete is damage, wherever it stands.
    fn settle_torn_seals(&mut self, segments: &[Found]) {
        for found in segments {
            if let FoundKind::Open { scan, .. } = &found.kind {
                let sealed = found.number <= self.control.chain_segment;
                if sealed && scan.seal.is_none() && self.hole.is_none() {
                    self.hole_sealed = true;
                    self.hole = Some(Hole {
                        segment: found.number,
                        offset: scan.end,
                        malformed: Malformed { offset: 0, what: "seal of the segment" },
                    });
                }
            }
        }
    }
}

/// Whether a segment without a seal is shorter than it ever was. As it is made, and as it is when
/// it is being sealed, there is room for the seal behind the last frame; and a frame's length is
/// written only where all of the frame fits.
fn was_cut(bytes: &[u8], scan: &Scan, length: u64) -> bool {
    let rest = bytes.get(scan.end as usize..).unwrap_or_default();
    let begun = FrameHeader::parse(rest).ok().filter(|header| {
        header.lsn == scan.tail.lsn.next() && header.previous_crc == scan.tail.crc
    });
    let frame = begun.map_or(0, |header| header.bytes());
    let needed = scan.end as usize + frame + Seal::frame_bytes(scan.table.len());
    needed as u64 > length
}

pub(crate) fn to_usize(length: u64) -> usize {
    usize::try_from(length).unwrap_or(usize::MAX)
}
