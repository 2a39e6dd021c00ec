//! Everything in a damaged journal that is sound, on both sides of the damage.

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::error::Result;
use crate::format::frame::{Frame, FrameKind};
use crate::format::names;
use crate::format::segment::{SEGMENT_HEADER_BYTES, SegmentHeader};
use crate::journal::scan::Genuine;
use crate::journal::segment::offset_u32;
use crate::lsn::{Lsn, Position};
use crate::sys::{self, Access, Disk};

/// So many missing files in a row are listed. A file whose number lies further off, perhaps because
/// somebody renamed it, is looked at all the same.
const MISSING_FILES_MAX: usize = 4096;

/// Bytes of a journal that can't be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Hole {
    /// The file.
    pub path: PathBuf,
    /// The segment.
    pub segment: u32,
    /// Where in the file it begins.
    pub offset: u64,
    /// How many bytes it takes.
    pub bytes: u64,
    /// What is wrong there.
    pub what: String,
}

impl Hole {
    /// Whether a change that began at this position stood in the hole.
    pub(super) fn held(&self, position: Position) -> bool {
        let offset = u64::from(position.offset());
        position.segment() == self.segment
            && offset >= self.offset
            && offset < self.offset.saturating_add(self.bytes)
    }
}

/// What a walk through a damaged journal comes to.
pub(super) enum Step<'a> {
    /// A sound transaction, later than all before it.
    Transaction(&'a Frame<'a>),
    Hole(Hole),
}

/// Walks through the journal below `root`, one segment in memory at a time.
pub(super) fn walk(
    disk: &dyn Disk,
    root: &Path,
    visit: &mut dyn FnMut(Step<'_>) -> Result<()>,
) -> Result<()> {
    let names = disk.list(&root.join(names::JOURNAL))?;
    let mut numbers: Vec<u32> =
        names.iter().filter_map(|name| names::parse_segment(name)).collect();
    numbers.sort_unstable();
    let mut walk = Walk { last: Lsn::ZERO, visit };
    let mut expected = 1;
    for number in numbers {
        for missing in (expected..number).take(MISSING_FILES_MAX) {
            walk.hole(&names::segment(root, missing), missing, 0..u64::MAX, "the file is missing")?;
        }
        expected = number.saturating_add(1);
        let path = names::segment(root, number);
        let file = disk.open(&path, Access::Read)?;
        let length = usize::try_from(file.written_end()?).unwrap_or(usize::MAX);
        let bytes = sys::read_range(&*file, 0, length)?;
        walk.segment(&path, number, &bytes)?;
    }
    Ok(())
}

struct Walk<'v> {
    /// The last transaction that was sound.
    last: Lsn,
    visit: &'v mut dyn FnMut(Step<'_>) -> Result<()>,
}

impl Walk<'_> {
    fn segment(&mut self, path: &Path, number: u32, bytes: &[u8]) -> Result<()> {
        let Ok(header) = SegmentHeader::parse(bytes) else {
            if bytes.iter().all(|byte| *byte == 0) {
                return Ok(());
            }
            // The checksums of all frames are seeded with it.
            return self.hole(path, number, 0..bytes.len() as u64, "the segment's header");
        };
        let seed = header.seed();
        let mut offset = SEGMENT_HEADER_BYTES;
        // Behind it no frame begins: a frame begins with its length.
        let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        while let Some(rest) = bytes.get(offset..).filter(|_| offset < used) {
            let position = Position::new(number, offset_u32(offset));
            match Frame::verified(rest, seed, position) {
                Ok(frame) if frame.header.kind == FrameKind::Seal => return Ok(()),
                Ok(frame) => {
                    offset += frame.header.bytes();
                    self.transaction(&frame)?;
                }
                Err(malformed) => {
                    let next = Genuine::new(rest, seed, self.last).next();
                    let skipped = next.map_or(rest.len(), |(skipped, _)| skipped);
                    let lost = rest.get(..skipped).unwrap_or_default();
                    if lost.iter().any(|byte| *byte != 0) {
                        let range = offset as u64..(offset + skipped) as u64;
                        self.hole(path, number, range, malformed.what)?;
                    }
                    offset += skipped.max(1);
                }
            }
        }
        Ok(())
    }

    fn transaction(&mut self, frame: &Frame<'_>) -> Result<()> {
        if frame.header.lsn <= self.last {
            return Ok(());
        }
        self.last = frame.header.lsn;
        (self.visit)(Step::Transaction(frame))
    }

    fn hole(
        &mut self,
        path: &Path,
        segment: u32,
        range: std::ops::Range<u64>,
        what: &str,
    ) -> Result<()> {
        (self.visit)(Step::Hole(Hole {
            path: path.to_path_buf(),
            segment,
            offset: range.start,
            bytes: range.end - range.start,
            what: what.to_owned(),
        }))
    }
}
