//! Who has the store open for writing.

use super::{Check, Patient, unlooked};
use crate::format::names;
use crate::sys::{self, process};

/// A LOCK file holds a number and no more.
const LOCK_BYTES_MAX: usize = 32;

pub(super) fn lock(patient: &Patient<'_>) -> Check {
    if let Some(check) = patient.without_store() {
        return check;
    }
    let path = patient.root.join(names::LOCK);
    match patient.disk.lock_holder(&path) {
        Err(error) => unlooked(&error),
        Ok(Some(pid)) => Check::ok(format!("being written by {}", who(pid))),
        Ok(None) if !patient.inventory.holds(names::LOCK) => {
            Check::ok("nobody is writing, and nobody has yet")
        }
        Ok(None) => {
            let last = match sys::read_file(patient.disk, &path, LOCK_BYTES_MAX) {
                Ok(bytes) => String::from_utf8_lossy(&bytes).trim().parse::<u32>().ok(),
                // The number is for people, who learn less without it.
                Err(_) => None,
            };
            let by = last.map(|pid| format!(", left by process {pid},")).unwrap_or_default();
            Check::ok(format!(
                "nobody is writing; the LOCK file{by} blocks nothing: the lock is the kernel's, \
                 and ends with its process"
            ))
        }
    }
}

fn who(pid: u32) -> String {
    if pid == std::process::id() {
        return "this process".to_owned();
    }
    if pid == 0 {
        return "a process that did not say which".to_owned();
    }
    match process::command_name(pid) {
        Some(name) => format!("process {pid} ({name})"),
        None => {
            format!(
                "process {pid}, which is not seen from here: in another container, or elsewhere"
            )
        }
    }
}
