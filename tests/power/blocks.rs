//! A file system on a block device whose writes are logged, or of which one sector fails.
//!
//! `qemu-storage-daemon` shows an image by FUSE as a file; a loop device stands on that file. So
//! what the kernel writes to the device goes through the daemon, whose block drivers log it
//! (`blklogwrites`) or refuse it (`blkdebug`).

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::mount::{run, text, unmount};

/// What stands between the loop device and the image.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Through {
    /// Nothing.
    Nothing,
    /// What logs every write and flush.
    Log,
    Fault(Fault),
}

/// A sector that can't be written or read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fault {
    pub(crate) sector: u64,
    /// `write` or `read`.
    pub(crate) of: &'static str,
    /// Whether it works again after it has failed once.
    pub(crate) once: bool,
}

/// The device, its image, and its file system.
pub(crate) struct Blocks {
    place: Option<TempDir>,
    root: PathBuf,
    kind: String,
    daemon: Option<Child>,
    mounted: bool,
}

/// Stretches of files on the device, in blocks of 4096 bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extent {
    /// Where in the file.
    pub(crate) logical: u64,
    /// Where on the device.
    pub(crate) physical: u64,
    pub(crate) length: u64,
}

impl Blocks {
    /// Makes a file system; `None`, and says so, where that can't be done.
    pub(crate) fn new(kind: &str) -> Option<Self> {
        // In memory if possible: the daemon syncs its log after every entry.
        let place = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
        let place = place.expect("a directory");
        let root = place.path().to_owned();
        let kind = kind.to_owned();
        let mut blocks = Self { place: Some(place), root, kind, daemon: None, mounted: false };
        std::fs::create_dir(blocks.mount_point()).expect("created");
        if !blocks.format() || !blocks.mount(Through::Log) || !run("filefrag", &["-V"]) {
            let needed = "root, loop devices, mkfs, filefrag, /dev/fuse and qemu-storage-daemon";
            crate::skipped(&format!("no {} on a logged device: {needed}", blocks.kind));
            return None;
        }
        blocks.unmount();
        Some(blocks)
    }

    /// Makes an empty file system, in blocks of 4096 bytes.
    pub(crate) fn format(&self) -> bool {
        let (mebibytes, options): (u64, &[&str]) = match &*self.kind {
            "xfs" => (300, &["-q", "-f", "-K", "-b", "size=4096"]),
            _ => (48, &["-q", "-F", "-b", "4096"]),
        };
        let file = std::fs::File::create(self.image()).expect("created");
        file.set_len(mebibytes << 20).expect("a sparse file");
        let image = self.image();
        let arguments: Vec<&str> = options.iter().copied().chain([text(&image)]).collect();
        // What was filled with zeros is no data: copying it would take most of the time.
        run(&format!("mkfs.{}", self.kind), &arguments) && run("fallocate", &["-d", text(&image)])
    }

    pub(crate) fn mount_point(&self) -> PathBuf {
        self.root.join("mounted")
    }

    pub(crate) fn image(&self) -> PathBuf {
        self.root.join("image")
    }

    /// A file beside the image.
    pub(crate) fn beside(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.beside("log")
    }

    /// Mounts the file system, through what is asked for.
    pub(crate) fn mount(&mut self, through: Through) -> bool {
        let device = match through {
            Through::Nothing => self.image(),
            Through::Log | Through::Fault(_) => self.beside("export"),
        };
        if matches!(through, Through::Log | Through::Fault(_)) && !self.start(through) {
            return false;
        }
        self.mounted = mount(&device, &self.mount_point());
        self.mounted
    }

    /// Starts the daemon; what it says to whoever may control it, it says when all is ready.
    fn start(&mut self, through: Through) -> bool {
        for (name, length) in [("export", 0), ("log", 0)] {
            let file = std::fs::File::create(self.beside(name)).expect("created");
            file.set_len(length).expect("empty");
        }
        let mut command = Command::new("qemu-storage-daemon");
        command.current_dir(&self.root);
        for node in nodes(through) {
            command.args(["--blockdev", &node]);
        }
        let daemon = command
            .args(["--export", "type=fuse,id=out,node-name=top,mountpoint=export,writable=on"])
            .args(["--chardev", "stdio,id=control", "--monitor", "chardev=control"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let Ok(daemon) = daemon else { return false };
        let daemon = self.daemon.insert(daemon);
        let mut greeting = String::new();
        let out = daemon.stdout.as_mut().expect("a pipe");
        drop(BufReader::new(out).read_line(&mut greeting));
        !greeting.is_empty()
    }

    /// Unmounts; the daemon, if there is one, ends.
    pub(crate) fn unmount(&mut self) {
        self.mounted = !unmount(&self.mount_point());
        assert!(!self.mounted, "unmounted");
        let Some(mut daemon) = self.daemon.take() else { return };
        let control = daemon.stdin.as_mut().expect("a pipe");
        let quit = b"{\"execute\":\"qmp_capabilities\"}{\"execute\":\"quit\"}\n";
        control.write_all(quit).expect("told to end");
        assert!(daemon.wait().expect("it ends").success(), "the daemon ends");
    }

    /// Mounts a copy of the image; `None` if it can't be mounted.
    pub(crate) fn mount_copy(&self, image: &Path) -> Option<Copied> {
        let at = self.beside("copied");
        if !at.exists() {
            std::fs::create_dir(&at).expect("created");
        }
        mount(image, &at).then_some(Copied(at))
    }

    /// Where files stand on the device.
    pub(crate) fn extents(files: &[PathBuf]) -> Vec<Extent> {
        let mut command = Command::new("filefrag");
        let out = command.args(["-v", "-b4096"]).args(files).output().expect("filefrag runs");
        String::from_utf8_lossy(&out.stdout).lines().filter_map(extent).collect()
    }
}

/// The block drivers, from the image up.
fn nodes(through: Through) -> Vec<String> {
    let mut nodes = vec!["driver=file,node-name=file,filename=image".to_owned()];
    match through {
        Through::Nothing => {}
        Through::Log => nodes.extend([
            "driver=raw,node-name=raw,file=file".to_owned(),
            "driver=file,node-name=log,filename=log".to_owned(),
            // The header of the log tells the number of its entries after each one.
            "driver=blklogwrites,node-name=top,file=raw,log=log,log-sector-size=512,\
             log-super-update-interval=1"
                .to_owned(),
        ]),
        Through::Fault(Fault { sector, of, once }) => nodes.extend([
            "driver=raw,node-name=raw,file=file".to_owned(),
            format!(
                "driver=blkdebug,node-name=top,image=raw,inject-error.0.event=none,\
                 inject-error.0.iotype={of},inject-error.0.errno=5,\
                 inject-error.0.sector={sector},inject-error.0.once={}",
                if once { "on" } else { "off" }
            ),
        ]),
    }
    nodes
}

/// A line of `filefrag -v`, as `   1:       5..      31:      34053..     34079:     27: last`.
fn extent(line: &str) -> Option<Extent> {
    let mut fields = line.split(':').map(str::trim);
    fields.next()?.parse::<u64>().ok()?;
    let first = |range: &str| range.split("..").next().and_then(|text| text.trim().parse().ok());
    let (logical, physical) = (first(fields.next()?)?, first(fields.next()?)?);
    let length = fields.next()?.parse().ok()?;
    // What was not given a place yet is said to stand at the first block.
    (!line.contains("delalloc")).then_some(Extent { logical, physical, length })
}

fn mount(device: &Path, at: &Path) -> bool {
    run("mount", &["-o", "loop", text(device), text(at)])
}

/// A copy of the image, mounted as long as this lives.
pub(crate) struct Copied(PathBuf);

impl Copied {
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Copied {
    fn drop(&mut self) {
        if !unmount(&self.0) {
            run("umount", &["-l", text(&self.0)]);
        }
    }
}

/// Copies an image, without what is nothing but a hole in it.
pub(crate) fn copy(from: &Path, to: &Path) {
    assert!(run("cp", &["--sparse=always", text(from), text(to)]), "copied");
}

impl Drop for Blocks {
    fn drop(&mut self) {
        if self.mounted {
            run("umount", &["-l", text(&self.mount_point())]);
        }
        if let Some(mut daemon) = self.daemon.take() {
            drop(daemon.kill());
            drop(daemon.wait());
            run("umount", &["-l", text(&self.beside("export"))]);
        }
        if std::thread::panicking()
            && let Some(place) = self.place.take()
        {
            // What failed can be looked at.
            println!("kept: {}", place.keep().display());
        }
    }
}
