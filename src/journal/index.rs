//! Finding a transaction by its number or its time: first the segment, then the stretch in its
//! sparse table, then a walk over at most one stretch of frames. The cost does not depend on the
//! length of the journal, but for a binary search over its segments.

#[cfg(test)]
use std::cell::Cell;

use super::Journal;
use super::reader::missing;
use super::segment::Segment;
use crate::error::Result;
use crate::format::frame::{Frame, FrameKind};
use crate::format::seal::TableEntry;
use crate::lsn::Lsn;
use crate::time::Timestamp;

#[cfg(test)]
thread_local! {
    /// How many segments and how many frames this thread has looked at to find something.
    pub(super) static LOOKED_AT: Cell<(u32, u32)> = const { Cell::new((0, 0)) };
}

impl Journal {
    /// The frame of this transaction.
    pub(crate) fn find(&self, lsn: Lsn) -> Result<Frame<'_>> {
        let mut found = None;
        if let Some((segment, entry)) = self.newest_entry(|entry| entry.lsn <= lsn) {
            walk(segment, entry.offset, |frame| {
                if frame.header.lsn == lsn {
                    found = Some(*frame);
                }
                frame.header.lsn < lsn
            })?;
        }
        found.ok_or_else(|| missing(lsn))
    }

    /// The last transaction committed at or before `time`; zero if there is none.
    pub(crate) fn find_time(&self, time: Timestamp) -> Result<Lsn> {
        let folded = self.base.get().filter(|base| base.tail.time <= time);
        let mut found = folded.map_or(Lsn::ZERO, |base| base.tail.lsn);
        let Some((segment, entry)) = self.newest_entry(|entry| entry.time <= time) else {
            return Ok(found);
        };
        walk(segment, entry.offset, |frame| {
            let reached = frame.header.time <= time;
            if reached {
                found = frame.header.lsn;
            }
            reached
        })?;
        Ok(found)
    }

    /// The newest entry of all sparse tables that `before` accepts, with its segment.
    fn newest_entry(&self, before: impl Fn(&TableEntry) -> bool) -> Option<(&Segment, TableEntry)> {
        let (mut low, mut high) =
            (self.base.get().map_or(1, |base| base.number + 1), self.table.newest());
        let mut found = None;
        while low <= high {
            let middle = low + (high - low) / 2;
            #[cfg(test)]
            LOOKED_AT.set((LOOKED_AT.get().0 + 1, LOOKED_AT.get().1));
            match self.occupied_up_to(middle, low) {
                Some((segment, first)) if before(&first) => {
                    found = Some(segment);
                    low = middle + 1;
                }
                Some((segment, _)) => high = segment.number() - 1,
                None => low = middle + 1,
            }
        }
        let segment = found?;
        Some((segment, segment.newest_entry(before)?))
    }

    /// The newest segment up to `number`, and not below `least`, that holds a transaction, with its
    /// first one: recovery leaves segments without any.
    fn occupied_up_to(&self, number: u32, least: u32) -> Option<(&Segment, TableEntry)> {
        (least..=number).rev().find_map(|number| {
            let segment = self.table.get(number)?;
            Some((segment, segment.first()?))
        })
    }
}

/// Visits the frames from `offset` to the end of the segment while `on` says so.
fn walk<'a>(
    segment: &'a Segment,
    mut offset: u32,
    mut on: impl FnMut(&Frame<'a>) -> bool,
) -> Result<()> {
    while let Some(frame) = segment.frame(offset)? {
        #[cfg(test)]
        LOOKED_AT.set((LOOKED_AT.get().0, LOOKED_AT.get().1 + 1));
        if frame.header.kind == FrameKind::Seal || !on(&frame) {
            break;
        }
        offset = frame.end().offset();
    }
    Ok(())
}
