//! A file system on a loop device, whose power can be cut.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// Asks ext4 or XFS, by a directory on it, to shut down without flushing its log
/// (`EXT4_IOC_SHUTDOWN`, `XFS_IOC_GOINGDOWN`; the flag 2 is `NOLOGFLUSH`).
const SHUTDOWN: &str = "import fcntl, os, struct, sys\n\
    fd = os.open(sys.argv[1], os.O_RDONLY)\n\
    fcntl.ioctl(fd, 0x8004587D, struct.pack('I', 2))";

pub(crate) struct Mounted {
    place: TempDir,
    kind: String,
    up: bool,
}

/// Whether a program ran and succeeded.
pub(crate) fn run(program: &str, arguments: &[&str]) -> bool {
    let mut command = Command::new(program);
    command.args(arguments).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Unmounts. Another thread that just starts a process has copies of all open files there until
/// that process is another program, so a file system can be busy for a moment.
pub(crate) fn unmount(path: &Path) -> bool {
    const ATTEMPTS_MAX: usize = 200;
    (0..ATTEMPTS_MAX).any(|_| run("umount", &[text(path)]))
}

impl Mounted {
    /// Makes and mounts one of so many MiB; `None`, and says so, where that can't be done.
    pub(crate) fn new(kind: &str, mebibytes: u64) -> Option<Self> {
        let place = tempfile::tempdir().expect("a directory");
        let mut mounted = Self { place, kind: kind.to_owned(), up: false };
        std::fs::create_dir(mounted.path()).expect("created");
        let image = mounted.image();
        let made = if kind == "tmpfs" {
            let size = format!("size={mebibytes}m");
            run("mount", &["-t", "tmpfs", "-o", &size, "tmpfs", text(&mounted.path())])
        } else {
            let file = std::fs::File::create(&image).expect("created");
            file.set_len(mebibytes << 20).expect("a sparse file");
            let force = if kind == "xfs" { "-f" } else { "-F" };
            run(&format!("mkfs.{kind}"), &["-q", force, text(&image)]) && mounted.mount()
        };
        mounted.up = made;
        if !made || !run("python3", &["-c", ""]) {
            super::skipped(&format!("no {kind} can be made and mounted: root, mkfs, python3"));
            return None;
        }
        Some(mounted)
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.place.path().join("mounted")
    }

    fn image(&self) -> PathBuf {
        self.place.path().join("image")
    }

    fn mount(&self) -> bool {
        run("mount", &["-o", "loop", text(&self.image()), text(&self.path())])
    }

    /// Cuts the power: what was not synced is lost, and every later call fails.
    pub(crate) fn cut(&self) {
        assert!(run("python3", &["-c", SHUTDOWN, text(&self.path())]), "the power was cut");
    }

    /// Mounts it again.
    pub(crate) fn again(&mut self) {
        assert!(unmount(&self.path()), "unmounted");
        self.up = self.mount();
        assert!(self.up, "a {} mounts again", self.kind);
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if self.up {
            run("umount", &["-l", text(&self.path())]);
        }
    }
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().expect("a temporary directory has a plain name")
}
