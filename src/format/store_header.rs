//! The STORE file: who this store is. Text, for people too, with a checksum in its last line.
//!
//! ```text
//! afterimage store
//! format = 1
//! store = 01934f2e-8a53-7c05-9d5b-6a5b8f3d2c11
//! timeline = 1
//! segment_bytes = 67108864
//! created = 1795104245123456
//! fork = 0193… 1 4711 12
//! crc32 = 1f2e3d4c
//! ```
//!
//! A `fork` line says that the journal up to that LSN, in segments up to that number, was taken
//! over from another store (id and timeline); there is one for each store in the line of descent.

use uuid::Uuid;

use super::FORMAT_VERSION;
use crate::lsn::Lsn;
use crate::time::Timestamp;

/// The first line.
pub(crate) const FIRST_LINE: &str = "afterimage store";
/// STORE files are at most this long.
pub(crate) const STORE_BYTES_MAX: usize = 65_536;

/// Where a store branched off another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fork {
    /// The id of the store whose journal was taken over.
    pub store: Uuid,
    /// Its timeline.
    pub timeline: u32,
    /// The last transaction taken over.
    pub lsn: Lsn,
    /// The last segment taken over.
    pub segment: u32,
}

/// The identity of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoreHeader {
    pub(crate) store: Uuid,
    pub(crate) timeline: u32,
    pub(crate) segment_bytes: u64,
    pub(crate) created: Timestamp,
    pub(crate) forks: Vec<Fork>,
}

/// Why text is no STORE file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotAStoreFile {
    /// Written by a later release.
    Newer(u32),
    /// Anything else.
    Damaged(&'static str),
}

impl StoreHeader {
    /// Whether a segment of this store may carry that id, timeline and number.
    pub(crate) fn owns_segment(&self, store: Uuid, timeline: u32, number: u32) -> bool {
        let inherited = |fork: &Fork| {
            fork.store == store && fork.timeline == timeline && number <= fork.segment
        };
        (self.store == store && self.timeline == timeline) || self.forks.iter().any(inherited)
    }

    pub(crate) fn encode(&self) -> String {
        let mut lines = vec![
            FIRST_LINE.to_owned(),
            format!("format = {FORMAT_VERSION}"),
            format!("store = {}", self.store),
            format!("timeline = {}", self.timeline),
            format!("segment_bytes = {}", self.segment_bytes),
            format!("created = {}", self.created.as_micros()),
        ];
        lines.extend(self.forks.iter().map(|fork| {
            let Fork { store, timeline, lsn, segment } = fork;
            format!("fork = {store} {timeline} {lsn} {segment}")
        }));
        let body = lines.join("\n") + "\n";
        let crc = crc32fast::hash(body.as_bytes());
        format!("{body}crc32 = {crc:08x}\n")
    }

    pub(crate) fn parse(text: &[u8]) -> Result<Self, NotAStoreFile> {
        let damaged = NotAStoreFile::Damaged;
        let text = std::str::from_utf8(text).map_err(|_| damaged("not UTF-8"))?;
        let (body, last) = text
            .strip_suffix('\n')
            .and_then(|text| text.rsplit_once('\n'))
            .ok_or(damaged("cut off"))?;
        let body = text.get(..=body.len()).unwrap_or_default();
        let crc = last.strip_prefix("crc32 = ").ok_or(damaged("no checksum"))?;
        if format!("{:08x}", crc32fast::hash(body.as_bytes())) != crc {
            return Err(damaged("checksum differs"));
        }
        let mut lines = body.lines();
        if lines.next() != Some(FIRST_LINE) {
            return Err(damaged("first line"));
        }
        let mut fields = Fields::default();
        for line in lines {
            let (name, value) = line.split_once(" = ").ok_or(damaged("line without a value"))?;
            fields.set(name, value)?;
        }
        fields.finish()
    }
}

#[derive(Default)]
struct Fields {
    store: Option<Uuid>,
    timeline: Option<u32>,
    segment_bytes: Option<u64>,
    created: Option<i64>,
    forks: Vec<Fork>,
}

impl Fields {
    fn set(&mut self, name: &str, value: &str) -> Result<(), NotAStoreFile> {
        match name {
            "format" => match value.parse::<u32>() {
                Ok(version) if version > FORMAT_VERSION => {
                    return Err(NotAStoreFile::Newer(version));
                }
                Ok(_) => {}
                Err(_) => return Err(NotAStoreFile::Damaged("format")),
            },
            "store" => self.store = value.parse().ok(),
            "timeline" => self.timeline = value.parse().ok(),
            "segment_bytes" => self.segment_bytes = value.parse().ok(),
            "created" => self.created = value.parse().ok(),
            "fork" => self.forks.push(fork(value).ok_or(NotAStoreFile::Damaged("fork"))?),
            // Later releases may add lines.
            _ => {}
        }
        Ok(())
    }

    fn finish(self) -> Result<StoreHeader, NotAStoreFile> {
        match (self.store, self.timeline, self.segment_bytes, self.created) {
            (Some(store), Some(timeline), Some(segment_bytes), Some(created)) => Ok(StoreHeader {
                store,
                timeline,
                segment_bytes,
                created: Timestamp::from_micros(created),
                forks: self.forks,
            }),
            _ => Err(NotAStoreFile::Damaged("a line is missing")),
        }
    }
}

fn fork(value: &str) -> Option<Fork> {
    let mut words = value.split(' ');
    let fork = Fork {
        store: words.next()?.parse().ok()?,
        timeline: words.next()?.parse().ok()?,
        lsn: Lsn::new(words.next()?.parse().ok()?),
        segment: words.next()?.parse().ok()?,
    };
    words.next().is_none().then_some(fork)
}
