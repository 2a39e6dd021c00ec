//! `bench`: our own workloads on the user's machine and disk, beside what these can do themselves.
//! The stores are temporary; everything printed was measured in the run that prints it.
//!
//! Reading order: [`workloads`], [`limits`], [`measure`], [`histogram`], [`report`].

mod histogram;
mod limits;
mod measure;
mod report;
#[cfg(test)]
mod tests;
mod workloads;

use std::fmt;
use std::path::Path;
use std::time::Duration;

use afterimage::{Error, Result};
use serde::Serialize;

use self::report::Report;
use self::workloads::Load;
use super::DONE;
use crate::args::BenchArgs;
use crate::context::Context;
use crate::files;
use crate::render::{count, safe};

/// File systems that are memory: nothing on them waits for a disk.
const IN_MEMORY: [&str; 2] = ["tmpfs", "ramfs"];

/// Where and with what the workloads run.
#[derive(Serialize)]
struct Setting {
    directory: String,
    /// The type of file system; none if the system does not tell.
    file_system: Option<String>,
    mounted_at: Option<String>,
    store_records: u64,
    value_bytes: u32,
    version: &'static str,
}

pub(super) fn run(context: &mut Context, args: &BenchArgs) -> Result<u8> {
    let directory = files::existing_directory(args.dir.as_deref().unwrap_or(Path::new(".")))?;
    let mount = files::mount_of(&directory);
    let setting = Setting {
        directory: safe(&directory.display().to_string()),
        file_system: mount.as_ref().map(|mount| safe(&mount.kind)),
        mounted_at: mount.as_ref().map(|mount| safe(&mount.point.display().to_string())),
        store_records: args.records,
        value_bytes: args.value_bytes,
        version: env!("CARGO_PKG_VERSION"),
    };
    if let Some(mount) = mount.filter(|mount| IN_MEMORY.contains(&mount.kind.as_str())) {
        context.out.warn(&format!(
            "{} is on {}, which is memory: durable figures say nothing about a disk; give --dir",
            setting.directory, mount.kind
        ));
    }
    if cfg!(debug_assertions) {
        context.out.warn("this is a debug build, many times slower than a release build");
    }
    let temporary = tempfile::Builder::new()
        .prefix("afterimage-bench-")
        .tempdir_in(&directory)
        .map_err(|error| Error::from_io(error, "create a temporary directory", &directory))?;
    let load = Load::new(args);
    let mut report = Report::new(context, &setting);
    // After an error the directory is removed as well, when `temporary` is dropped.
    workloads::durable(&mut report, temporary.path(), &load)?;
    workloads::buffered(&mut report, temporary.path(), &load)?;
    report.finish()?;
    temporary
        .close()
        .map_err(|error| Error::from_io(error, "remove the temporary directory", &directory))?;
    Ok(DONE)
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let records = count(self.store_records, "record");
        let values = count(u64::from(self.value_bytes), "byte");
        match (&self.file_system, &self.mounted_at) {
            (Some(kind), Some(point)) => {
                writeln!(f, "in {}, on {kind} mounted at {point}", self.directory)?;
            }
            _ => writeln!(f, "in {}, on a file system of unknown type", self.directory)?,
        }
        write!(f, "{records} with values of {values}")
    }
}

/// A rate with its thousands set apart; a low one with a decimal.
fn grouped(rate: f64) -> String {
    if rate < 100.0 {
        return format!("{rate:.1}");
    }
    let digits = format!("{rate:.0}");
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// A duration in three digits.
fn span(nanos: u64) -> String {
    let seconds = Duration::from_nanos(nanos).as_secs_f64();
    let digits = |value: f64| usize::from(value < 99.95);
    if nanos < 1000 {
        format!("{nanos} ns")
    } else if seconds < 1e-3 {
        format!("{:.*} µs", digits(seconds * 1e6), seconds * 1e6)
    } else if seconds < 1.0 {
        format!("{:.*} ms", digits(seconds * 1e3), seconds * 1e3)
    } else {
        format!("{seconds:.2} s")
    }
}
