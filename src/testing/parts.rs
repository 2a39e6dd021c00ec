//! Parts of the engine by themselves, for benches, which reach the public API only.

use crate::format::change::Change;
use crate::format::digest::{CollectionSeed, StateDigest};
use crate::format::frame::{self, ALIGNMENT, Frame, FrameHeader, FrameKind, HEADER_BYTES};
use crate::format::image::{Image, Op};
use crate::lsn::{Lsn, Position};
use crate::state::{Applied, State, apply};
use crate::time::Timestamp;

/// What a segment's header would seed the checksums of its frames with.
const SEED: u32 = 0x5eed_5eed;
/// Where the frame stands, as if others stood before it.
const FRAME: Position = Position::new(1, 1 << 20);
/// How far back a record's version before this one stands.
const DISTANCE: u64 = 100_000;

/// One record's new value, and its value before if it had one.
#[derive(Clone, Copy, Debug)]
pub struct PartChange<'a> {
    /// The record's key.
    pub key: &'a [u8],
    /// Its value before; without one the change creates it.
    pub before: Option<Image<'a>>,
    /// Its value.
    pub after: Image<'a>,
}

impl<'a> PartChange<'a> {
    fn change(&self, position: Position) -> Change<'a> {
        let (op, previous) = match self.before {
            Some(_) => (Op::Update, Position::from_bits(position.bits() - DISTANCE)),
            None => (Op::Create, Position::NONE),
        };
        let (before, after) = (self.before, Some(self.after));
        Change { op, collection: 1, previous, key: self.key, before, after }
    }
}

/// Encodes a transaction with these changes as a frame in place of what `out` held, and checksums
/// it; returns the checksum.
///
/// # Panics
/// If the frame would take 4 GiB.
#[expect(clippy::expect_used, reason = "a bench has no frames of that size")]
pub fn encode_frame(changes: &[PartChange<'_>], out: &mut Vec<u8>) -> u32 {
    out.clear();
    out.resize(HEADER_BYTES, 0);
    for part in changes {
        let back = u32::try_from(out.len()).expect("a frame is below 4 GiB");
        let position = Position::from_bits(FRAME.bits() + u64::from(back));
        out.extend_from_slice(part.change(position).header(position, back).as_slice());
        out.extend_from_slice(part.key);
        for image in part.before.iter().chain([&part.after]) {
            out.extend_from_slice(image.bytes());
        }
    }
    out.resize(out.len().next_multiple_of(ALIGNMENT), 0);
    let header = FrameHeader {
        length: u32::try_from(out.len()).expect("a frame is below 4 GiB"),
        crc: 0,
        previous_crc: SEED,
        kind: FrameKind::Transaction,
        metadata_length: 0,
        lsn: Lsn::new(1_000_000),
        time: Timestamp::from_micros(1_795_104_245_123_456),
        digest: StateDigest::default(),
        durable_lag: 7,
        changes: u32::try_from(changes.len()).expect("each takes a byte or more"),
    };
    put_header(&header, out);
    let crc = frame::checksum(SEED, header.length, out);
    put_header(&FrameHeader { crc, ..header }, out);
    crc
}

fn put_header(header: &FrameHeader, out: &mut [u8]) {
    if let Some(place) = out.get_mut(..HEADER_BYTES) {
        place.copy_from_slice(header.encode().as_slice());
    }
}

/// Reads such a frame back, its checksum first; returns how many changes it has, or nothing if it
/// is not as it was encoded.
#[must_use]
pub fn decode_frame(bytes: &[u8]) -> Option<usize> {
    let frame = Frame::verified(bytes, SEED, FRAME).ok()?;
    let mut changes = 0;
    for change in frame.changes() {
        change.ok()?;
        changes += 1;
    }
    Some(changes)
}

/// The checksum of a frame's bytes.
#[must_use]
pub fn checksum(frame: &[u8]) -> u32 {
    frame::checksum(SEED, u32::try_from(frame.len()).unwrap_or(u32::MAX), frame)
}

/// The state digest as it changes with the records of one collection.
#[derive(Clone, Copy, Debug)]
pub struct PartDigest {
    seed: CollectionSeed,
    digest: StateDigest,
}

impl PartDigest {
    /// The digest of the empty state.
    #[must_use]
    pub fn of(collection: &str) -> Self {
        Self { seed: CollectionSeed::of(collection), digest: StateDigest::default() }
    }

    /// The digest after a record went from one image to another.
    pub fn replace(
        &mut self,
        key: &[u8],
        before: Option<Image<'_>>,
        after: Option<Image<'_>>,
    ) -> StateDigest {
        self.digest = self.digest.replaced(self.seed.record(key), before, after);
        self.digest
    }
}

/// The index by itself: the part that holds what changed since the newest checkpoint.
#[derive(Debug, Default)]
pub struct PartIndex(State);

impl PartIndex {
    /// Notes a new version of a record.
    pub fn set(&mut self, key: &[u8], is_new: bool) {
        let lsn = self.0.lsn.next();
        let (op, previous) =
            if is_new { (Op::Create, Position::NONE) } else { (Op::Update, FRAME) };
        let position = Position::from_bits(lsn.get());
        apply(&mut self.0, lsn, [Applied { collection: 64, key, op, position, previous }]);
    }

    /// Whether a record is known.
    #[must_use]
    pub fn has(&self, key: &[u8]) -> bool {
        self.0.head(64, key).is_ok_and(|head| head.is_some())
    }
}
