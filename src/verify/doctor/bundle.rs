//! What to send to whoever helps: everything about the store, and nothing that is in it.
//!
//! Left out for good are keys, values, actors, messages, notes and attributes; where an error's
//! words may quote one, its title stands instead. So are names of files that are not the store's.
//! Names of collections and restore points, and the path of the store, are there only if asked for.

use serde::Serialize;

use super::checkpoints::{self, CheckpointFile};
use super::{Checkup, Patient, examine, reading, told_bare};
use crate::error::{Error, ErrorKind, Result};
use crate::format::FORMAT_VERSION;
use crate::lsn::Lsn;
use crate::store::{Options, Stats, Status, Store};
use crate::sys::process;
use crate::time::Timestamp;
use std::path::Path;

/// The version of the document. Fields are only ever added.
const BUNDLE_VERSION: u32 = 1;
/// Stands for the path of the store.
const STORE_PATH: &str = "$STORE";

/// Everything that helps others to help, as one JSON document: serialize it. Without the contents
/// of records, their keys, and who wrote them and why.
#[derive(Clone, Debug, Serialize)]
pub struct SupportBundle {
    /// What [`doctor`](super::doctor) found, whole; the document has its own copy.
    #[serde(skip)]
    pub checkup: Checkup,
    #[serde(flatten)]
    document: Document,
}

#[derive(Clone, Debug, Serialize)]
struct Document {
    bundle: u32,
    made: Timestamp,
    version: &'static str,
    platform: Platform,
    doctor: Checkup,
    status: Option<Status>,
    stats: Option<Stats>,
    files: Vec<StoreFile>,
    checkpoints: Vec<CheckpointFile>,
    points: Vec<Point>,
    errors: Vec<String>,
    settings: Settings,
}

#[derive(Clone, Debug, Serialize)]
struct Platform {
    system: &'static str,
    architecture: &'static str,
    kernel: Option<String>,
    file_system: Option<&'static str>,
    user: u32,
    file_bytes_max: Option<u64>,
    open_files_max: Option<u64>,
}

/// One of the store's own files.
#[derive(Clone, Debug, Serialize)]
struct StoreFile {
    name: String,
    bytes: u64,
    allocated: u64,
    mode: String,
    owner: u32,
}

/// A restore point, without what people wrote.
#[derive(Clone, Debug, Serialize)]
struct Point {
    name: Option<String>,
    lsn: Lsn,
    created: Timestamp,
}

#[derive(Clone, Debug, Serialize)]
struct Settings {
    format: u32,
    segment_bytes: Option<u64>,
    created: Option<Timestamp>,
    forks: usize,
    durability: String,
    append: String,
    checkpoint_bytes: u64,
}

/// Examines the store as [`doctor`](super::doctor) does, and collects what others need to help:
/// version, platform, what the checks found, status, sizes of collections and segments, files,
/// checkpoints, restore points, errors, settings. Never keys, values, actors or messages; names of
/// collections and restore points, and the store's path, only with `names`.
///
/// ```
/// use afterimage::{Store, support_bundle};
///
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("hotel.store");
/// Store::open(&path)?.close()?;
/// let bundle = support_bundle(&path, &Store::options(), false);
/// let text = serde_json::to_string_pretty(&bundle)?;
/// assert!(!text.contains("hotel.store"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub fn support_bundle(path: impl AsRef<Path>, options: &Options, names: bool) -> SupportBundle {
    let patient = Patient::admit(path.as_ref(), options);
    let checkup = examine(&patient);
    let mut errors = Vec::new();
    let salvaged = salvaged(&patient, &mut errors);
    let store = patient.opened.as_ref().ok().or(salvaged.as_ref());
    let mut document = Document {
        bundle: BUNDLE_VERSION,
        made: options.clock.now(),
        version: env!("CARGO_PKG_VERSION"),
        platform: platform(&patient),
        doctor: checkup.clone(),
        status: store.and_then(|store| noted(store.status(), &mut errors)),
        stats: store.map(Store::stats),
        files: files(&patient),
        checkpoints: checkpoints::files(&patient),
        points: store.map(|store| points(store, names, &mut errors)).unwrap_or_default(),
        errors,
        settings: settings(&patient),
    };
    // Reading what is sound may fail as opening did.
    document.errors.dedup();
    for check in &mut document.doctor.checks {
        check.found = check.bare.take().unwrap_or_else(|| std::mem::take(&mut check.found));
    }
    if !names {
        document.leave_names_out(&patient.root);
    }
    SupportBundle { checkup, document }
}

/// What stands before the damage, if there is any.
fn salvaged(patient: &Patient<'_>, errors: &mut Vec<String>) -> Option<Store> {
    let error = patient.opened.as_ref().err()?;
    errors.push(told_bare(error));
    if error.kind() != ErrorKind::Corrupt {
        return None;
    }
    noted(reading(patient.options).salvage(true).open(&patient.root), errors)
}

fn noted<T>(result: Result<T>, errors: &mut Vec<String>) -> Option<T> {
    result.map_err(|error: Error| errors.push(told_bare(&error))).ok()
}

fn platform(patient: &Patient<'_>) -> Platform {
    let limits = process::limits();
    Platform {
        system: std::env::consts::OS,
        architecture: std::env::consts::ARCH,
        kernel: process::kernel(),
        file_system: patient.usage.as_ref().ok().map(|usage| usage.file_system.name),
        user: process::user(),
        file_bytes_max: limits.file_bytes,
        open_files_max: limits.open_files,
    }
}

fn files(patient: &Patient<'_>) -> Vec<StoreFile> {
    let own = patient.inventory.own();
    own.map(|item| StoreFile {
        name: item.name.clone(),
        bytes: item.facts.bytes,
        allocated: item.facts.allocated,
        mode: format!("{:04o}", item.facts.mode),
        owner: item.facts.owner,
    })
    .collect()
}

fn points(store: &Store, names: bool, errors: &mut Vec<String>) -> Vec<Point> {
    let points = noted(store.points(), errors).unwrap_or_default();
    let point = |point: crate::store::RestorePoint| Point {
        name: names.then_some(point.name),
        lsn: point.lsn,
        created: point.created,
    };
    points.into_iter().map(point).collect()
}

fn settings(patient: &Patient<'_>) -> Settings {
    let header = patient.identity.as_ref().ok();
    Settings {
        format: FORMAT_VERSION,
        segment_bytes: header.map(|header| header.segment_bytes),
        created: header.map(|header| header.created),
        forks: header.map_or(0, |header| header.forks.len()),
        durability: format!("{:?}", patient.options.durability),
        append: format!("{:?}", patient.options.append),
        checkpoint_bytes: patient.options.checkpoint_bytes,
    }
}

impl Document {
    fn leave_names_out(&mut self, root: &Path) {
        let path = root.display().to_string();
        let hide = |text: &mut String| *text = text.replace(&path, STORE_PATH);
        for check in &mut self.doctor.checks {
            hide(&mut check.found);
            check.help.iter_mut().for_each(hide);
        }
        if let Some(status) = &mut self.status {
            hide(&mut status.path);
            status.notices.iter_mut().for_each(hide);
        }
        self.errors.iter_mut().for_each(hide);
        let checkpoints = self.checkpoints.iter_mut();
        checkpoints.filter_map(|file| file.damage.as_mut()).for_each(hide);
        let collections = self.stats.iter_mut().flat_map(|stats| &mut stats.collections);
        for info in collections.filter(|info| !info.is_system()) {
            info.name = format!("collection-{}", info.id);
        }
    }
}
