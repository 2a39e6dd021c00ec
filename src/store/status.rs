//! What a store is and holds, for people and monitors.

use serde::Serialize;

use super::Store;
use crate::error::Result;
use crate::format::FORMAT_VERSION;
use crate::format::digest::StateDigest;
use crate::format::names;
use crate::lsn::Lsn;

/// The state of a store in numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Status {
    /// The store's directory.
    pub path: String,
    /// The store's id.
    pub store: String,
    /// The store's timeline.
    pub timeline: u32,
    /// The format's version.
    pub format: u32,
    /// The oldest transaction kept.
    pub first_lsn: Lsn,
    /// The newest transaction in view.
    pub head_lsn: Lsn,
    /// When the newest transaction was committed, microseconds since the epoch; null if none.
    pub head_ts_us: Option<i64>,
    /// The newest transaction known durable.
    pub durable_lsn: Lsn,
    /// How many transactions are kept.
    pub transactions: u64,
    /// Live records of the user collections.
    pub records: u64,
    /// How many user collections there are.
    pub collections: u64,
    /// Bytes of the journal in use.
    pub journal_bytes: u64,
    /// How many segments the journal has.
    pub segments: u64,
    /// The last transaction in the newest checkpoint this handle knows; zero if there is none.
    pub checkpoint_lsn: Lsn,
    /// The digest of the state.
    pub state_digest: StateDigest,
    /// The process that has the store open for writing.
    pub writer: Option<u32>,
    /// What opening found or did that a person should know.
    pub notices: Vec<String>,
}

/// Numbers for each collection and each segment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Stats {
    /// The collections with their live records.
    pub collections: Vec<super::CollectionInfo>,
    /// The segments, oldest first.
    pub segments: Vec<SegmentStats>,
    /// Records in the index, tombstones included.
    pub index_records: u64,
}

/// A segment in numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct SegmentStats {
    /// Its number.
    pub number: u32,
    /// The first transaction in it; null if it holds none.
    pub first_lsn: Option<Lsn>,
    /// Bytes in use.
    pub bytes: u64,
    /// Whether it is sealed.
    pub sealed: bool,
}

impl Store {
    /// The state of the store in numbers.
    ///
    /// # Errors
    /// `Corrupt` if the newest transaction can't be read; `Io`.
    pub fn status(&self) -> Result<Status> {
        let engine = &*self.engine;
        let (first, head) = (self.first(), self.head());
        let newest = match head {
            Lsn::ZERO => None,
            head => Some(engine.journal.find(head)?.header),
        };
        let collections = self.collections();
        let user = || collections.iter().filter(|info| !info.is_system());
        let segments = self.segment_stats();
        let writer = if engine.is_writer() {
            Some(std::process::id())
        } else {
            engine.journal.mould.disk.lock_holder(&engine.root.join(names::LOCK))?
        };
        Ok(Status {
            path: engine.root.display().to_string(),
            store: engine.identity.store.to_string(),
            timeline: engine.identity.timeline,
            format: FORMAT_VERSION,
            first_lsn: first,
            head_lsn: head,
            head_ts_us: newest.map(|header| header.time.as_micros()),
            durable_lsn: self.durable().min(head),
            transactions: (head.get() + 1).saturating_sub(first.get()),
            records: user().map(|info| info.records).sum(),
            collections: user().count() as u64,
            journal_bytes: segments.iter().map(|segment| segment.bytes).sum(),
            segments: segments.len() as u64,
            checkpoint_lsn: engine.behind.checkpoint(),
            state_digest: newest.map_or(StateDigest::default(), |header| header.digest),
            writer,
            notices: self.notices().iter().map(ToString::to_string).collect(),
        })
    }

    /// Numbers for each collection and each segment.
    #[must_use]
    pub fn stats(&self) -> Stats {
        Stats {
            collections: self.collections(),
            segments: self.segment_stats(),
            index_records: self.engine.state().len(),
        }
    }

    fn segment_stats(&self) -> Vec<SegmentStats> {
        self.engine
            .journal
            .segments()
            .map(|segment| SegmentStats {
                number: segment.number(),
                first_lsn: segment.first().map(|entry| entry.lsn),
                bytes: segment.map.published() as u64,
                sealed: segment.seal().is_some(),
            })
            .collect()
    }
}
