//! Slices: contiguous transactions of a journal as bytes, outside of their store.
//!
//! Changes say where the earlier changes of their records stand, by segment and offset. So a slice
//! holds frames just as they stand in their segments, and says where: a store that is built from
//! slices has the same frames at the same places.

mod check;
mod take;

use std::fmt;
use std::io;

use uuid::Uuid;

use crate::error::{Error, Result, code};
use crate::format::cursor::Malformed;
use crate::format::digest::StateDigest;
use crate::format::frame::Frame;
use crate::format::slice::{NotASlice, SliceHead, SlicePiece};
use crate::format::store_header::StoreHeader;
use crate::lsn::Lsn;
use crate::time::Timestamp;
use check::Frames;

/// A slice holds about so many bytes of journal, unless it is taken with another limit.
pub const SLICE_BYTES: usize = 64 << 20;

/// Contiguous transactions of a store's journal, as they stand in it: what a backup consists of.
/// [`rebuild`](crate::rebuild()) makes a store of slices again.
///
/// What is taken twice comes out equal, byte by byte. A slice that exists is sound: taking it, and
/// decoding it, checks every transaction in it.
///
/// ```
/// use afterimage::{Author, Collection, Lsn, SLICE_BYTES, Slice, Store, rebuild};
///
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("hotel.store");
/// # let copy = directory.path().join("copy.store");
/// # const ROOMS: Collection<u32, afterimage::Json> = Collection::new("rooms");
/// let store = Store::open(&path)?;
/// store.write(|tx| tx.put(&ROOMS, "204", &2))?;
/// let slice = Slice::take(&store, Lsn::ZERO, Slice::newest(&store)?, SLICE_BYTES)?;
/// let bytes = slice.encode();
///
/// let mut slices = [Slice::decode(bytes)].into_iter();
/// let report = rebuild(&mut slices, slice.last(), &copy, &Author::default(), &mut |_| {})?;
/// assert_eq!(report.state_digest, store.snapshot().digest()?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Slice {
    head: SliceHead,
    /// The pieces, from `start` on; before, what they were decoded with.
    bytes: Vec<u8>,
    start: usize,
}

/// Equal slices have equal bytes.
impl PartialEq for Slice {
    fn eq(&self, other: &Self) -> bool {
        self.head == other.head && self.pieces() == other.pieces()
    }
}

impl Eq for Slice {}

impl fmt::Debug for Slice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slice")
            .field("store", &self.store())
            .field("timeline", &self.timeline())
            .field("first", &self.first())
            .field("last", &self.last())
            .finish_non_exhaustive()
    }
}

impl Slice {
    /// The slice that these bytes are, every transaction in it checked.
    ///
    /// # Errors
    /// `Corrupt` if they are not what [`encode`](Self::encode) has made; `Format` if a later
    /// release wrote them.
    pub fn decode(bytes: Vec<u8>) -> Result<Self> {
        let (head, start) = SliceHead::parse(&bytes).map_err(not_a_slice)?;
        let slice = Self { head, bytes, start };
        check::check(&slice.head, slice.pieces()).map_err(|malformed| slice.damaged(malformed))?;
        Ok(slice)
    }

    /// The bytes that [`decode`](Self::decode) makes a slice of again.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = self.head.encode();
        bytes.reserve_exact(self.pieces().len());
        bytes.extend_from_slice(self.pieces());
        bytes
    }

    /// Writes what [`encode`](Self::encode) returns, without holding it in memory once more.
    ///
    /// # Errors
    /// What the writer returns.
    pub fn write(&self, out: &mut dyn io::Write) -> io::Result<()> {
        out.write_all(&self.head.encode())?;
        out.write_all(self.pieces())
    }

    /// The id of the store.
    #[must_use]
    pub const fn store(&self) -> Uuid {
        self.head.identity.store
    }

    /// The timeline of the store.
    #[must_use]
    pub const fn timeline(&self) -> u32 {
        self.head.identity.timeline
    }

    /// The first transaction.
    #[must_use]
    pub const fn first(&self) -> Lsn {
        self.head.first
    }

    /// The last transaction.
    #[must_use]
    pub const fn last(&self) -> Lsn {
        self.head.last
    }

    /// When the first transaction was committed.
    #[must_use]
    pub const fn first_time(&self) -> Timestamp {
        self.head.first_time
    }

    /// When the last transaction was committed.
    #[must_use]
    pub const fn last_time(&self) -> Timestamp {
        self.head.last_time
    }

    /// The digest of the store's state after the last transaction.
    #[must_use]
    pub const fn state_digest(&self) -> StateDigest {
        self.head.digest
    }

    /// The checksum of the transaction before the first one, which is that of the slice before;
    /// zero if it begins with LSN 1.
    #[must_use]
    pub const fn previous_checksum(&self) -> u32 {
        self.head.previous_crc
    }

    /// The checksum of the last transaction.
    #[must_use]
    pub const fn last_checksum(&self) -> u32 {
        self.head.last_crc
    }

    /// Bytes of journal in it.
    #[must_use]
    pub const fn journal_bytes(&self) -> u64 {
        self.head.bytes
    }

    /// The last of its transactions that was committed at or before `time`; `None` if none was.
    #[must_use]
    pub fn find_time(&self, time: Timestamp) -> Option<Lsn> {
        if self.last_time() <= time {
            return Some(self.last());
        }
        let frames = self.parts_with_frames().flat_map(|(_, _, frames)| frames);
        let reached = frames.take_while(|frame| frame.header.time <= time);
        reached.last().map(|frame| frame.header.lsn)
    }

    pub(super) const fn identity(&self) -> &StoreHeader {
        &self.head.identity
    }

    /// The parts of segments with their bytes.
    pub(super) fn parts(&self) -> impl Iterator<Item = (&SlicePiece, &[u8])> {
        let mut rest = self.pieces();
        self.head.pieces.iter().map(move |piece| {
            let (own, behind) = rest.split_at_checked(piece.length as usize).unwrap_or_default();
            rest = behind;
            (piece, own)
        })
    }

    /// The parts of segments with their bytes and the transactions in them.
    pub(super) fn parts_with_frames(
        &self,
    ) -> impl Iterator<Item = (&SlicePiece, &[u8], impl Iterator<Item = Frame<'_>>)> {
        self.parts().map(|(piece, own)| (piece, own, Frames::new(piece, own)))
    }

    fn pieces(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or_default()
    }

    /// The error for a slice whose head is sound and whose pieces are not.
    fn damaged(&self, malformed: Malformed) -> Error {
        let (first, last, what) = (self.first(), self.last(), malformed.what);
        let message = format!("of the slice from LSN {first} to {last}, {what} is wrong");
        Error::new(&code::SLICE_DAMAGED, message)
            .at_offset((self.start as u64).saturating_add(malformed.offset as u64))
    }
}

fn not_a_slice(why: NotASlice) -> Error {
    match why {
        NotASlice::Newer(version) => {
            Error::new(&code::FORMAT_TOO_NEW, format!("the slice has format {version}"))
        }
        NotASlice::Damaged(malformed) => {
            let message = format!("of the slice's head, {} is wrong", malformed.what);
            Error::new(&code::SLICE_DAMAGED, message).at_offset(malformed.offset as u64)
        }
    }
}
