//! Taking a slice out of a store that is open, perhaps beside its writer: through the files, of
//! which what is durable never changes, so no lock is needed. The map serves to find the two ends;
//! reading all of it there would fill the page tables of the process.

use super::Slice;
use crate::error::{Error, Result, code};
use crate::format::cursor::Malformed;
use crate::format::frame::{FrameHeader, FrameKind, HEADER_BYTES};
use crate::format::segment::SEGMENT_HEADER_BYTES;
use crate::format::slice::{SliceHead, SlicePiece, hash_of};
use crate::journal::Journal;
use crate::journal::scan;
use crate::journal::segment::{Segment, Tail, offset_u32, segment_start};
use crate::lsn::{Lsn, Position};
use crate::store::Store;
use crate::time::Timestamp;

impl Slice {
    /// The newest transaction that can be in a slice: the newest that is known durable. What
    /// another process has written since is seen after [`Store::refresh`].
    ///
    /// # Errors
    /// `Corrupt` if what says so is damaged; `Io`.
    pub fn newest(store: &Store) -> Result<Lsn> {
        Ok(store.engine.journal.known_durable()?.min(store.engine.visible()))
    }

    /// Takes the transactions behind `after`, up to and with `until`; fewer if they have more bytes
    /// than `bytes_max`, but at least one. [`last`](Self::last) says how far it goes.
    ///
    /// # Errors
    /// `OutsideWindow` if some of them are not kept, or not durable; `Invalid` if there are none;
    /// `Corrupt`, `Io`.
    pub fn take(store: &Store, after: Lsn, until: Lsn, bytes_max: usize) -> Result<Self> {
        check_window(store, after, until)?;
        let journal = &*store.engine.journal;
        let (tail, mut position) = match after {
            Lsn::ZERO => (Tail::EMPTY, segment_start(1)),
            after => {
                let frame = journal.find(after)?;
                (Tail::after(&frame), frame.end())
            }
        };
        let previous_crc = tail.crc;
        let mut taking = Taking {
            end: journal.find(until)?.end(),
            first_time: None,
            left: bytes_max,
            pieces: Vec::new(),
            bytes: Vec::new(),
            after,
            tail,
        };
        taking.reserve(journal, position);
        while taking.tail.lsn < until && taking.take(journal, position)? {
            position = segment_start(position.segment() + 1);
        }
        Ok(taking.finish(store, previous_crc))
    }
}

fn check_window(store: &Store, after: Lsn, until: Lsn) -> Result<()> {
    let (first, newest) = (store.first(), Slice::newest(store)?);
    if after >= until {
        let message = format!("there is no transaction behind LSN {after} up to LSN {until}");
        return Err(Error::new(&code::INVALID_OPTION, message));
    }
    if after.next() >= first && until <= newest {
        return Ok(());
    }
    let message = if newest == Lsn::ZERO {
        "a slice holds durable transactions, and there is none".to_owned()
    } else {
        format!(
            "a slice from LSN {} to {until} can't be taken: kept and durable is LSN {first} to \
             {newest}",
            after.next()
        )
    };
    Err(Error::new(&code::OUTSIDE_WINDOW, message).at_path(store.path()))
}

struct Taking {
    /// Behind which transaction the slice begins.
    after: Lsn,
    /// Where the last transaction that is wanted ends.
    end: Position,
    /// Bytes that may still be taken.
    left: usize,
    /// The last transaction taken.
    tail: Tail,
    first_time: Option<Timestamp>,
    pieces: Vec<SlicePiece>,
    bytes: Vec<u8>,
}

/// How the frames end that were read.
enum Walked {
    /// With the segment.
    Sealed,
    /// With the bytes that were read.
    Whole,
    /// In the middle of a frame of this many bytes.
    Cut(usize),
}

impl Taking {
    /// Asks for the memory of a whole slice at once.
    fn reserve(&mut self, journal: &Journal, from: Position) {
        let mut bytes = 0_usize;
        for number in from.segment()..=self.end.segment() {
            let there = journal.segment(number).map_or(0, |segment| segment.map.published());
            bytes = bytes.saturating_add(there);
            if bytes >= self.left {
                break;
            }
        }
        self.bytes.reserve_exact(bytes.min(self.left));
    }

    /// Takes what there is behind this position in its segment; `false` if no more may be taken.
    fn take(&mut self, journal: &Journal, position: Position) -> Result<bool> {
        let segment = journal.segment(position.segment())?;
        let end = if position.segment() == self.end.segment() {
            self.end.offset() as usize
        } else {
            segment.map.published()
        };
        let there = end.saturating_sub(position.offset() as usize);
        let is_first = self.tail.lsn == self.after;
        let most = if is_first { self.left.max(HEADER_BYTES) } else { self.left };
        let mut read = there.min(most);
        let mut walked = self.read(segment, position, read)?;
        if let (Walked::Cut(length), true) = (&walked, self.tail.lsn == self.after)
            && (read..=there).contains(length)
        {
            // The first transaction is larger than a slice: it becomes one of its own.
            read = *length;
            walked = self.read(segment, position, read)?;
        }
        let length = self.tail_in(position);
        self.left = self.left.saturating_sub(length);
        if length > 0 || position.offset() as usize == SEGMENT_HEADER_BYTES {
            let (start, length) = (position.offset(), offset_u32(length));
            self.pieces.push(SlicePiece { segment: segment.header, start, length });
        }
        match walked {
            Walked::Sealed => Ok(true),
            Walked::Whole => Ok(read == there),
            Walked::Cut(_) if read < there => Ok(false),
            Walked::Cut(_) => {
                let malformed = Malformed { offset: 0, what: "length of the frame" };
                let offset = position.offset().saturating_add(offset_u32(length));
                Err(segment.damaged(offset, malformed).at_lsn(self.tail.lsn.next()))
            }
        }
    }

    /// Bytes of the frames that were taken from this position on.
    fn tail_in(&self, position: Position) -> usize {
        let own = self.tail.end.segment() == position.segment();
        let end = if own { self.tail.end.offset() } else { position.offset() };
        end.saturating_sub(position.offset()) as usize
    }

    /// Reads so many bytes at this position, and keeps the whole frames among them, each checked.
    fn read(&mut self, segment: &Segment, position: Position, length: usize) -> Result<Walked> {
        let start = self.bytes.len();
        self.bytes.resize(start + length, 0);
        let room = self.bytes.get_mut(start..).unwrap_or_default();
        if segment.file.read_at(u64::from(position.offset()), room)? < length {
            return Err(segment.vanished(position.offset()));
        }
        let mut kept = start;
        let walked = loop {
            let rest = self.bytes.get(kept..).unwrap_or_default();
            if rest.is_empty() {
                break Walked::Whole;
            }
            let offset = position.offset().saturating_add(offset_u32(kept - start));
            let damaged =
                |malformed| segment.damaged(offset, malformed).at_lsn(self.tail.lsn.next());
            if rest.len() < HEADER_BYTES {
                break Walked::Cut(HEADER_BYTES);
            }
            let header = FrameHeader::parse(rest).map_err(damaged)?;
            if header.kind == FrameKind::Seal {
                // Were it none, what follows would not continue this segment.
                break Walked::Sealed;
            }
            if header.bytes() > rest.len() {
                break Walked::Cut(header.bytes());
            }
            let position = Position::new(position.segment(), offset);
            let frame = scan::next(rest, segment.seed(), position, &self.tail).map_err(damaged)?;
            self.first_time.get_or_insert(frame.header.time);
            self.tail = Tail::after(&frame);
            kept += frame.header.bytes();
        };
        self.bytes.truncate(kept);
        Ok(walked)
    }

    fn finish(mut self, store: &Store, previous_crc: u32) -> Slice {
        // Segments without a transaction belong to the slice of the transaction behind them.
        while self.pieces.last().is_some_and(|piece| piece.length == 0) {
            self.pieces.pop();
        }
        let head = SliceHead {
            identity: store.engine.identity.clone(),
            first: self.after.next(),
            last: self.tail.lsn,
            first_time: self.first_time.unwrap_or(self.tail.time),
            last_time: self.tail.time,
            digest: self.tail.digest,
            previous_crc,
            last_crc: self.tail.crc,
            pieces: self.pieces,
            bytes: self.bytes.len() as u64,
            hash: hash_of(&self.bytes),
        };
        Slice { head, bytes: self.bytes, start: 0 }
    }
}
