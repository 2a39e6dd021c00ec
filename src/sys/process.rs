//! What this process is, and what its limits are; what is known of another.

use std::fs;

/// The user for whom this process acts.
pub(crate) fn user() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// The user who may do everything.
pub(crate) const ROOT: u32 = 0;

/// Limits of this process; nothing where there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// How large a file it writes may become.
    pub(crate) file_bytes: Option<u64>,
    /// How many files it may have open.
    pub(crate) open_files: Option<u64>,
}

pub(crate) fn limits() -> Limits {
    use rustix::process::{Resource, getrlimit};
    Limits {
        file_bytes: getrlimit(Resource::Fsize).current,
        open_files: getrlimit(Resource::Nofile).current,
    }
}

/// What the process of this number calls itself, where one can be seen from here.
pub(crate) fn command_name(pid: u32) -> Option<String> {
    // Without it there is less to tell; nothing else.
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    Some(name.trim_end().to_owned())
}

/// The release of the kernel, where it says so.
pub(crate) fn kernel() -> Option<String> {
    // As above.
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").ok()?;
    Some(release.trim_end().to_owned())
}

/// What a command prints, run by `sh -c`; at most so many bytes of it.
#[cfg(feature = "backup")]
pub(crate) fn output(command: &str, bytes_max: usize) -> std::io::Result<Vec<u8>> {
    use std::io::{self, Read as _};
    use std::process::{Command, Stdio};
    let mut child = Command::new("sh")
        .args(["-c", command])
        .stdin(Stdio::inherit())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()?;
    let mut printed = Vec::with_capacity(bytes_max);
    if let Some(stdout) = child.stdout.take() {
        stdout.take(bytes_max as u64).read_to_end(&mut printed)?;
    }
    let status = child.wait()?;
    if status.success() { Ok(printed) } else { Err(io::Error::other(status.to_string())) }
}
