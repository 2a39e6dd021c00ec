//! What was verified already: sealed segments never change, so each need be checked but now and
//! then. A file of its own beside the journal, which may be removed at any time.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::VerifyDepth;
use crate::error::Result;
use crate::format::names;
use crate::format::seal::Seal;
use crate::journal::Journal;
use crate::journal::segment::Segment;
use crate::sys::{self, Entry};
use crate::time::Timestamp;

/// More is not ours: some hundred bytes for each of a million segments.
const LEDGER_BYTES_MAX: usize = 256 << 20;

/// When a segment was verified, and which one it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Entered {
    /// The chain hash up to the segment's seal: of this segment, behind these others.
    chain: String,
    bytes: u64,
    /// When its hash was found right, microseconds since the epoch.
    hashed_us: i64,
    /// When all in it was, each transaction against all before it.
    deep_us: Option<i64>,
}

/// The file: the entries by segment, and their hash.
#[derive(Serialize, Deserialize)]
struct Page {
    store: String,
    timeline: u32,
    segments: BTreeMap<u32, Entered>,
    blake3: String,
}

/// Which segments need not be checked again. One without a file knows none and keeps none.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    path: Option<PathBuf>,
    store: String,
    timeline: u32,
    segments: BTreeMap<u32, Entered>,
    now: Timestamp,
    /// Nothing that was verified before this moment counts.
    since: Timestamp,
}

impl Ledger {
    /// The ledger of a store. One that can't be read, or is not what was written, is none: all is
    /// checked then.
    pub(super) fn open(journal: &Journal, max_age: Duration) -> Result<Self> {
        let mould = &journal.mould;
        let path = mould.root.join(names::VERIFIED);
        let (store, timeline) = (mould.identity.store.to_string(), mould.identity.timeline);
        let segments = match mould.disk.entry(&path)? {
            Entry::File => {
                let bytes = sys::read_file(&*mould.disk, &path, LEDGER_BYTES_MAX)?;
                read(&bytes, &store, timeline).unwrap_or_default()
            }
            Entry::Nothing | Entry::Directory => BTreeMap::new(),
        };
        let now = journal.clock.now();
        let age = i64::try_from(max_age.as_micros()).unwrap_or(i64::MAX);
        let since = Timestamp::from_micros(now.as_micros().saturating_sub(age));
        Ok(Self { path: Some(path), store, timeline, segments, now, since })
    }

    /// Whether a sealed segment was verified so deep, and not too long ago.
    pub(super) fn covers(&self, segment: &Segment, seal: &Seal, depth: VerifyDepth) -> bool {
        let Some(known) = self.segments.get(&segment.number()) else { return false };
        let when = match depth {
            VerifyDepth::Quick => Some(known.hashed_us),
            VerifyDepth::Deep => known.deep_us,
        };
        // One from the future says nothing of how old it is.
        let window = self.since.as_micros()..=self.now.as_micros();
        known.chain == hex(seal)
            && known.bytes == segment.map.published() as u64
            && when.is_some_and(|when| window.contains(&when))
    }

    /// Notes that a sealed segment was verified just now.
    pub(super) fn enter(&mut self, segment: &Segment, seal: &Seal, depth: VerifyDepth) {
        if self.path.is_none() {
            return;
        }
        let now = self.now.as_micros();
        let (chain, bytes) = (hex(seal), segment.map.published() as u64);
        let known = self.segments.remove(&segment.number());
        let mut entered = known
            .filter(|known| known.chain == chain && known.bytes == bytes)
            .unwrap_or(Entered { chain, bytes, hashed_us: now, deep_us: None });
        match depth {
            VerifyDepth::Quick => entered.hashed_us = now,
            VerifyDepth::Deep => entered.deep_us = Some(now),
        }
        self.segments.insert(segment.number(), entered);
    }

    /// Forgets a segment in which something is wrong.
    pub(super) fn strike(&mut self, segment: &Segment) {
        self.segments.remove(&segment.number());
    }

    /// Writes the file, so that a check that is interrupted is gone on with.
    pub(super) fn save(&self, journal: &Journal) -> Result<()> {
        let Some(path) = &self.path else { return Ok(()) };
        let page = Page {
            store: self.store.clone(),
            timeline: self.timeline,
            segments: self.segments.clone(),
            blake3: hash(&self.segments),
        };
        // No map with keys that JSON does not know, and no value that fails.
        let text = serde_json::to_vec_pretty(&page).unwrap_or_default();
        sys::atomic::publish(&*journal.mould.disk, path, &[&text])
    }
}

fn read(bytes: &[u8], store: &str, timeline: u32) -> Option<BTreeMap<u32, Entered>> {
    let page: Page = serde_json::from_slice(bytes).ok()?;
    let is_ours = page.store == store && page.timeline == timeline;
    (is_ours && page.blake3 == hash(&page.segments)).then_some(page.segments)
}

fn hash(segments: &BTreeMap<u32, Entered>) -> String {
    let text = serde_json::to_vec(segments).unwrap_or_default();
    blake3::hash(&text).to_hex().to_string()
}

fn hex(seal: &Seal) -> String {
    blake3::Hash::from_bytes(seal.chain()).to_hex().to_string()
}
