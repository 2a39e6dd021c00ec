//! Manifests and marks as JSON. Names and numbers here are what stands in repositories.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{BackupCounts, BackupKind, BackupType, Label, MANIFEST_VERSION, MarkKind};
use crate::backup::object::{BaseRef, ObjectHash, SliceRef};
use crate::error::{Error, Result, code};
use crate::format::digest::StateDigest;
use crate::lsn::Lsn;
use crate::time::Timestamp;

/// What is read before anything else, so that a newer release is told from damage.
#[derive(Deserialize)]
struct Version {
    format: u32,
}

#[derive(Serialize, Deserialize)]
pub(super) struct Manifest {
    format: u32,
    label: String,
    kind: BackupKind,
    #[serde(rename = "type")]
    backup_type: BackupType,
    repository: String,
    store: String,
    timeline: u32,
    first_lsn: u64,
    last_lsn: u64,
    started_ts_us: i64,
    finished_ts_us: i64,
    state_digest: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    actor: Option<String>,
    slices: Vec<Slice>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    base: Option<Base>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    not_covered: Vec<String>,
    bytes: u64,
    counts: BackupCounts,
}

#[derive(Serialize, Deserialize)]
struct Slice {
    first: u64,
    last: u64,
    hash: String,
    bytes: u64,
    first_ts_us: i64,
    last_ts_us: i64,
}

#[derive(Serialize, Deserialize)]
struct Base {
    lsn: u64,
    hash: String,
    bytes: u64,
    ts_us: i64,
}

#[derive(Serialize, Deserialize)]
pub(super) struct Mark {
    pub(super) format: u32,
    pub(super) label: String,
    pub(super) number: u32,
    pub(super) ts_us: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) actor: Option<String>,
    #[serde(rename = "mark")]
    pub(super) kind: MarkKind,
}

pub(super) fn encode(document: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(document).map_err(|source| {
        Error::new(&code::ENCODE, "the document of a backup can't be written").with_source(source)
    })
}

pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8], most: usize, what: &str) -> Result<T> {
    let unusable =
        || Error::new(&code::BACKUP_DAMAGED, format!("the {what} of a backup can't be read"));
    if bytes.len() > most {
        return Err(unusable());
    }
    let version: Version =
        serde_json::from_slice(bytes).map_err(|source| unusable().with_source(source))?;
    if version.format > MANIFEST_VERSION {
        let format = version.format;
        let message = format!(
            "the {what} of a backup has format {format}, this build knows up to {MANIFEST_VERSION}"
        );
        return Err(Error::new(&code::FORMAT_TOO_NEW, message));
    }
    if version.format == 0 {
        return Err(unusable());
    }
    serde_json::from_slice(bytes).map_err(|source| unusable().with_source(source))
}

impl From<&super::Manifest> for Manifest {
    fn from(manifest: &super::Manifest) -> Self {
        Self {
            format: MANIFEST_VERSION,
            label: manifest.label.to_string(),
            kind: manifest.kind,
            backup_type: manifest.backup_type,
            repository: manifest.repository.to_string(),
            store: manifest.store.to_string(),
            timeline: manifest.timeline,
            first_lsn: manifest.first_lsn.get(),
            last_lsn: manifest.last_lsn.get(),
            started_ts_us: manifest.started.as_micros(),
            finished_ts_us: manifest.finished.as_micros(),
            state_digest: manifest.state_digest.to_string(),
            description: manifest.description.clone(),
            annotations: manifest.annotations.clone(),
            actor: manifest.actor.clone(),
            slices: manifest.slices.iter().map(Slice::from).collect(),
            base: manifest.base.as_ref().map(Base::from),
            not_covered: manifest.not_covered.clone(),
            bytes: manifest.bytes,
            counts: manifest.counts,
        }
    }
}

impl Manifest {
    /// The manifest in types of its own; else what of it is not what it should be.
    pub(super) fn read(self) -> Result<super::Manifest, &'static str> {
        Ok(super::Manifest {
            label: Label::parse(&self.label).ok_or("the label is none")?,
            kind: self.kind,
            backup_type: self.backup_type,
            repository: id(&self.repository)?,
            store: id(&self.store)?,
            timeline: self.timeline,
            first_lsn: Lsn::new(self.first_lsn),
            last_lsn: Lsn::new(self.last_lsn),
            started: Timestamp::from_micros(self.started_ts_us),
            finished: Timestamp::from_micros(self.finished_ts_us),
            state_digest: digest(&self.state_digest).ok_or("the digest is none")?,
            description: self.description,
            annotations: self.annotations,
            actor: self.actor,
            slices: self.slices.iter().map(Slice::read).collect::<Result<_, _>>()?,
            base: self.base.map(|base| base.read()).transpose()?,
            not_covered: self.not_covered,
            bytes: self.bytes,
            counts: self.counts,
        })
    }
}

impl From<&SliceRef> for Slice {
    fn from(slice: &SliceRef) -> Self {
        Self {
            first: slice.first.get(),
            last: slice.last.get(),
            hash: slice.hash.to_string(),
            bytes: slice.bytes,
            first_ts_us: slice.first_time.as_micros(),
            last_ts_us: slice.last_time.as_micros(),
        }
    }
}

impl Slice {
    fn read(&self) -> Result<SliceRef, &'static str> {
        Ok(SliceRef {
            first: Lsn::new(self.first),
            last: Lsn::new(self.last),
            hash: ObjectHash::parse(&self.hash).ok_or("the hash of a slice is none")?,
            bytes: self.bytes,
            first_time: Timestamp::from_micros(self.first_ts_us),
            last_time: Timestamp::from_micros(self.last_ts_us),
        })
    }
}

impl From<&BaseRef> for Base {
    fn from(base: &BaseRef) -> Self {
        Self {
            lsn: base.lsn.get(),
            hash: base.hash.to_string(),
            bytes: base.bytes,
            ts_us: base.time.as_micros(),
        }
    }
}

impl Base {
    fn read(&self) -> Result<BaseRef, &'static str> {
        Ok(BaseRef {
            lsn: Lsn::new(self.lsn),
            hash: ObjectHash::parse(&self.hash).ok_or("the hash of the base is none")?,
            bytes: self.bytes,
            time: Timestamp::from_micros(self.ts_us),
        })
    }
}

fn id(text: &str) -> Result<Uuid, &'static str> {
    Uuid::parse_str(text).map_err(|_| "an id is none")
}

fn digest(text: &str) -> Option<StateDigest> {
    let hexadecimal = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    hexadecimal.then(|| u128::from_str_radix(text, 16).ok()).flatten().map(StateDigest::from_bits)
}
