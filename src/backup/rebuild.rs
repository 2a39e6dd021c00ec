//! A store made of slices: written segment by segment as they come, one slice in memory at a time,
//! then opened, which replays and checks everything, and only then given its name.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::slice::Slice;
use crate::error::{Error, Result, code};
use crate::format::digest::StateDigest;
use crate::format::frame::Frame;
use crate::format::segment::{SEGMENT_HEADER_BYTES, SegmentHeader};
use crate::format::slice::SlicePiece;
use crate::format::store_header::StoreHeader;
use crate::journal::beacon::Chain;
use crate::journal::rewrite::Rewriting;
use crate::journal::segment::Tail;
use crate::lsn::Lsn;
use crate::recovery::building::{Building, Built, audit_entry};
use crate::store::{Author, Options, Progress};

/// What building a store from slices has done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RebuildReport {
    /// The last transaction taken over.
    pub target_lsn: Lsn,
    /// Where the store is.
    pub directory: PathBuf,
    /// The id of the new store.
    pub store: String,
    /// Its timeline.
    pub timeline: u32,
    /// How many transactions were taken over.
    pub transactions: u64,
    /// How many live records it holds.
    pub records: u64,
    /// How many slices were used.
    pub slices: u64,
    /// How many segments were written.
    pub segments: u64,
    /// Bytes of the journal taken over.
    pub bytes: u64,
    /// The digest of its state, equal to that of the original at the moment.
    pub state_digest: StateDigest,
}

/// Makes a store in `directory` of slices of one store in their order, beginning with LSN 1: that
/// store as it was at `to`, with its history up to there. It has an id and a timeline of its own,
/// remembers where it comes from, and records the restore in `$audit`. Of the slices no more are
/// asked for than are needed, and one is in memory at a time.
///
/// # Errors
/// `Corrupt` if the slices do not continue one another, or if the store does not prove to be what
/// they say; `OutsideWindow` if they end before `to`; `Invalid` if the directory is not free;
/// `Full`, `Io`; what the iterator returns. Then nothing stands at `directory`.
pub fn rebuild(
    slices: &mut dyn Iterator<Item = Result<Slice>>,
    to: Lsn,
    directory: &Path,
    by: &Author,
    progress: &mut dyn FnMut(Progress),
) -> Result<RebuildReport> {
    rebuild_on(&Options::default(), slices, &Target { to, directory, by }, progress)
}

/// What is to be made.
pub(crate) struct Target<'a> {
    pub(crate) to: Lsn,
    pub(crate) directory: &'a Path,
    pub(crate) by: &'a Author,
}

/// As [`rebuild`], on the disk and with the clock of these options.
pub(crate) fn rebuild_on(
    options: &Options,
    slices: &mut dyn Iterator<Item = Result<Slice>>,
    target: &Target<'_>,
    progress: &mut dyn FnMut(Progress),
) -> Result<RebuildReport> {
    let to = target.to;
    let mut rebuilding = Rebuilding::begin(Building::begin(options, target.directory)?);
    while rebuilding.origin.is_none() || rebuilding.tail.lsn < to {
        let (phase, unit) = ("slices", "transactions");
        progress(Progress { phase, done: rebuilding.tail.lsn.get(), total: to.get(), unit });
        let slice = slices.next().ok_or_else(|| ended(rebuilding.tail.lsn, to))??;
        rebuilding.take(&slice, to)?;
    }
    rebuilding.finish(target)
}

fn ended(last: Lsn, to: Lsn) -> Error {
    let message = match last {
        Lsn::ZERO => format!("there is no slice, so nothing leads to LSN {to}"),
        last => format!("the slices reach from LSN 1 to {last}, not to LSN {to}"),
    };
    Error::new(&code::OUTSIDE_WINDOW, message)
}

/// Whether this slice may be the first: it must begin where the journal of a store does.
fn begins(slice: &Slice) -> Result<(), &'static str> {
    let starts = slice.parts().next().is_some_and(|(piece, _)| is_start(piece, 1));
    if slice.first() != Lsn::new(1) || slice.previous_checksum() != 0 || !starts {
        return Err("does not begin where a journal begins, at LSN 1");
    }
    Ok(())
}

/// Whether a piece is the beginning of the segment of this number.
fn is_start(piece: &SlicePiece, number: u32) -> bool {
    piece.segment.number == number && piece.start as usize == SEGMENT_HEADER_BYTES
}

struct Rebuilding<'a> {
    building: Building<'a>,
    /// The store that the slices come from, once there was one.
    origin: Option<StoreHeader>,
    /// The segment that is being written.
    segment: Option<(SegmentHeader, Rewriting)>,
    tail: Tail,
    /// Of the segments that are finished.
    chain: Chain,
    slices: u64,
    bytes: u64,
}

impl<'a> Rebuilding<'a> {
    const fn begin(building: Building<'a>) -> Self {
        Self {
            building,
            origin: None,
            segment: None,
            tail: Tail::EMPTY,
            chain: Chain { hash: [0; 32], segment: 0 },
            slices: 0,
            bytes: 0,
        }
    }

    /// Writes the next slice, as far as it is needed.
    fn take(&mut self, slice: &Slice, to: Lsn) -> Result<()> {
        match &self.origin {
            None => begins(slice),
            Some(origin) => self.continues(slice, origin),
        }
        .map_err(|why| {
            let (first, last) = (slice.first(), slice.last());
            let message = format!("the slice from LSN {first} to {last} {why}");
            Error::new(&code::SLICE_CHAIN, message).at_lsn(self.tail.lsn.next())
        })?;
        self.origin.get_or_insert_with(|| slice.identity().clone());
        self.slices += 1;
        for (piece, own, frames) in slice.parts_with_frames() {
            if self.tail.lsn >= to {
                break;
            }
            self.take_piece(piece, own, frames.take_while(|frame| frame.header.lsn <= to))?;
        }
        Ok(())
    }

    /// Whether a slice continues what was written.
    fn continues(&self, slice: &Slice, origin: &StoreHeader) -> Result<(), &'static str> {
        let identity = slice.identity();
        if (identity.store, identity.timeline) != (origin.store, origin.timeline) {
            return Err("is of another store than the one before");
        }
        if identity != origin {
            return Err("says something else of its store than the one before");
        }
        if slice.first() != self.tail.lsn.next() {
            return Err("does not begin where the one before ends");
        }
        if slice.previous_checksum() != self.tail.crc || slice.first_time() < self.tail.time {
            return Err("continues another transaction than that of the one before");
        }
        let Some((segment, written)) = &self.segment else {
            return Err("begins in a segment of which nothing was written");
        };
        let fits = slice.parts().next().is_some_and(|(piece, _)| {
            let goes_on = piece.segment == *segment && piece.start == written.end();
            goes_on || is_start(piece, segment.number.saturating_add(1))
        });
        if fits { Ok(()) } else { Err("stands elsewhere in the journal than the one before ends") }
    }

    fn take_piece<'s>(
        &mut self,
        piece: &SlicePiece,
        own: &[u8],
        frames: impl Iterator<Item = Frame<'s>>,
    ) -> Result<()> {
        let number = piece.segment.number;
        let (segment, mut written) = match self.segment.take() {
            Some(open) if open.0.number == number => open,
            open => {
                self.segment = open;
                self.seal()?;
                let path = self.building.segment(number);
                let seed = piece.segment.seed();
                let mut written = Rewriting::create(self.building.disk(), &path, seed, 0)?;
                written.write(piece.segment.encode().as_slice())?;
                (piece.segment, written)
            }
        };
        let mut length = 0;
        for frame in frames {
            written.note(&frame);
            self.tail = Tail::after(&frame);
            length += frame.header.bytes();
        }
        written.write(own.get(..length).unwrap_or_default())?;
        self.bytes += length as u64;
        self.segment = Some((segment, written));
        Ok(())
    }

    /// Ends the segment that is being written.
    fn seal(&mut self) -> Result<()> {
        if let Some((segment, written)) = self.segment.take() {
            self.chain = written.seal(segment.number, &self.tail, self.chain)?;
        }
        Ok(())
    }

    fn finish(mut self, target: &Target<'_>) -> Result<RebuildReport> {
        self.seal()?;
        let Target { to, directory, by } = *target;
        let (tail, chain, digest) = (self.tail, self.chain, self.tail.digest);
        let origin = &self.origin.ok_or_else(|| ended(Lsn::ZERO, to))?;
        let mut audit = audit_entry(origin, to);
        if let Some(entry) = audit.as_object_mut() {
            entry.insert("from".into(), "slices".into());
        }
        let proved = self.building.finish(&Built { origin, tail, chain, digest }, by, &audit)?;
        Ok(RebuildReport {
            target_lsn: to,
            directory: directory.to_path_buf(),
            store: proved.store,
            timeline: proved.timeline,
            transactions: to.get(),
            records: proved.records,
            slices: self.slices,
            segments: u64::from(chain.segment),
            bytes: self.bytes,
            state_digest: digest,
        })
    }
}
