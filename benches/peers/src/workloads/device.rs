//! W8: what is written for what was put.

use std::path::Path;

use rustix::fs::{Mode, OFlags};

use crate::engine::Outcome;
use crate::measure::{Figures, STEP_MAX, Task, check, disk_bytes, load, note, timed};
use crate::rows::{Row, VALUE_BYTES};

const LOGICAL_BYTES: u64 = 16 + VALUE_BYTES as u64;
const SECTOR_BYTES: u64 = 512;

/// Ten puts of each of 100k keys, then everything synced and closed.
pub(crate) fn amplification(task: &Task) -> Outcome<Figures> {
    let keys = task.count(100_000);
    let peer = task.open("device", false, true)?;
    load(&*peer, keys)?;
    sync_all(&task.directory)?;
    let before = Written::so_far(&task.directory)?;
    let mut row = Row::new(0, 0, VALUE_BYTES);
    let timed = timed(keys * 10, STEP_MAX, |number| {
        row.set(number % keys, number + 1);
        peer.put(&row.key, &row.value)
    })?;
    peer.flush()?;
    drop(peer);
    sync_all(&task.directory)?;
    let after = Written::so_far(&task.directory)?;
    check(after.device > before.device, || "the device has written nothing".into())?;

    let logical = (timed.done * LOGICAL_BYTES) as f64;
    let mut figures = Figures::new();
    note(&mut figures, "device", (after.device - before.device) as f64 / logical);
    note(&mut figures, "process", (after.process - before.process) as f64 / logical);
    let loaded = (keys * LOGICAL_BYTES) as f64;
    note(&mut figures, "disk", after.disk as f64 / (logical + loaded));
    note(&mut figures, "puts", timed.done as f64);
    Ok(figures)
}

/// Bytes written up to now.
struct Written {
    /// By the device that holds the directory, for whomever: true if nobody else writes.
    device: u64,
    /// Pages this process has dirtied, each as often as it was clean before.
    process: u64,
    /// What the directory takes.
    disk: u64,
}

impl Written {
    fn so_far(directory: &Path) -> Outcome<Self> {
        let stat = std::fs::read_to_string(device_stat(directory)?)?;
        let sectors = stat.split_whitespace().nth(6).ok_or("no sectors in the device's stat")?;
        let io = std::fs::read_to_string("/proc/self/io")?;
        let process = io.lines().find_map(|line| line.strip_prefix("write_bytes: "));
        Ok(Self {
            device: sectors.parse::<u64>()? * SECTOR_BYTES,
            process: process.ok_or("no write_bytes in /proc/self/io")?.parse()?,
            disk: disk_bytes(directory)?,
        })
    }
}

fn device_stat(directory: &Path) -> Outcome<String> {
    use std::os::unix::fs::MetadataExt;
    let device = std::fs::metadata(directory)?.dev();
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    Ok(format!("/sys/dev/block/{major}:{minor}/stat"))
}

/// Writes out the whole file system, so that nothing of before is counted later.
fn sync_all(directory: &Path) -> Outcome<()> {
    let file = rustix::fs::open(directory, OFlags::RDONLY, Mode::empty())?;
    Ok(rustix::fs::syncfs(&file)?)
}
