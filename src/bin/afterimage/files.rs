//! The user's own files: what is imported and where an export goes. The store's files are the
//! library's business.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read as _, Write};
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::{
    DirBuilderExt as _, FileExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _,
};
use std::path::{Path, PathBuf};

use afterimage::{Error, Result, code};

use crate::failure::usage;

const BUFFER_BYTES: usize = 256 << 10;

/// Opens a file, or standard input for `-`.
pub(crate) fn input(name: &str) -> Result<Box<dyn BufRead>> {
    if name == "-" {
        return Ok(Box::new(BufReader::with_capacity(BUFFER_BYTES, io::stdin())));
    }
    let path = Path::new(name);
    let file = File::open(path).map_err(|e| Error::from_io(e, "open the file", path))?;
    if file.metadata().is_ok_and(|metadata| metadata.is_dir()) {
        let error = io::Error::from(io::ErrorKind::IsADirectory);
        return Err(Error::from_io(error, "read the file", path));
    }
    Ok(Box::new(BufReader::with_capacity(BUFFER_BYTES, file)))
}

/// All of standard input, at most a byte more than a value may hold.
pub(crate) fn standard_input(bytes_max: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    io::stdin()
        .lock()
        .take(bytes_max + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| Error::from_io(error, "read standard input", Path::new("-")))?;
    Ok(bytes)
}

/// The next line of standard input without its end, or `None` behind the last one.
pub(crate) fn input_line(bytes_max: u64) -> Result<Option<Vec<u8>>> {
    let failed = |error| Error::from_io(error, "read standard input", Path::new("-"));
    let mut line = Vec::new();
    let mut input = io::stdin().lock().take(bytes_max + 1);
    if input.read_until(b'\n', &mut line).map_err(failed)? == 0 {
        return Ok(None);
    }
    if line.last() == Some(&b'\n') {
        line.pop();
    }
    if line.len() as u64 > bytes_max {
        return Err(usage(format!("a line of the input is longer than {bytes_max} bytes")));
    }
    Ok(Some(line))
}

/// A file of this name in the directory where programs keep what they remember of a user, which is
/// made if need be; `None` if there is none, or if it lies in the directory `outside`.
pub(crate) fn state_file(name: &str, outside: &Path) -> Option<PathBuf> {
    let from = |variable| std::env::var_os(variable).map(PathBuf::from);
    let absolute = |path: &PathBuf| path.is_absolute();
    let base = from("XDG_STATE_HOME").filter(absolute);
    let base = base.or_else(|| Some(from("HOME").filter(absolute)?.join(".local/state")))?;
    // Remembering is a comfort: where it is not possible, it is left out.
    let outside = outside.canonicalize().ok()?;
    let inside = |path: &Path| {
        let there = path.ancestors().find_map(|path| path.canonicalize().ok());
        there.is_none_or(|path| path.starts_with(&outside))
    };
    let directory = base.join("afterimage");
    if inside(&directory) {
        return None;
    }
    let mut maker = std::fs::DirBuilder::new();
    maker.recursive(true).mode(0o700).create(&directory).ok()?;
    Some(directory.join(name))
}

/// Where an export goes.
///
/// A file is written beside its name and takes it when it is whole, so that nobody finds half an
/// export. What is no file, a pipe or `/dev/null`, is written to: renaming would replace it.
pub(crate) enum Destination {
    File { out: BufWriter<tempfile::NamedTempFile>, path: PathBuf },
    Special { out: BufWriter<File>, path: PathBuf },
}

impl Destination {
    pub(crate) fn create(path: &Path) -> Result<Self> {
        let failed = |error| Error::from_io(error, "create the file", path);
        // A link is followed, as if it were written through.
        let path = match path.canonicalize() {
            Ok(real) => real,
            Err(error) if error.kind() == io::ErrorKind::NotFound => path.to_path_buf(),
            Err(error) => return Err(failed(error)),
        };
        let old = path.metadata().ok();
        if old.as_ref().is_some_and(std::fs::Metadata::is_dir) {
            return Err(failed(io::ErrorKind::IsADirectory.into()));
        }
        if old.as_ref().is_some_and(|old| !old.is_file()) {
            let file = File::options().write(true).open(&path).map_err(failed)?;
            return Ok(Self::Special { out: BufWriter::with_capacity(BUFFER_BYTES, file), path });
        }
        // An export is readable as the file that it replaces; a new one as the umask says.
        let mode = old.map_or(0o666, |old| old.permissions().mode() & 0o777);
        let file = tempfile::Builder::new()
            .permissions(std::fs::Permissions::from_mode(mode))
            .tempfile_in(parent(&path))
            .map_err(failed)?;
        Ok(Self::File { out: BufWriter::with_capacity(BUFFER_BYTES, file), path })
    }

    pub(crate) fn stream(&mut self) -> &mut dyn Write {
        match self {
            Self::File { out, .. } => out,
            Self::Special { out, .. } => out,
        }
    }

    /// Makes the export durable under its name.
    pub(crate) fn finish(self) -> Result<()> {
        let failed = |error, path: &Path| Error::from_io(error, "write the file", path);
        match self {
            Self::Special { mut out, path } => out.flush().map_err(|e| failed(e, &path)),
            Self::File { out, path } => {
                let file = out.into_inner().map_err(|e| failed(e.into_error(), &path))?;
                file.as_file().sync_all().map_err(|e| failed(e, &path))?;
                file.persist(&path).map_err(|e| failed(e.error, &path))?;
                // The name lies in the directory, which needs a sync of its own.
                let directory = File::open(parent(&path)).and_then(|parent| parent.sync_all());
                directory.map_err(|e| failed(e, &path))
            }
        }
    }
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The user this process acts for: the name, or `uid:` and the number where there is none.
pub(crate) fn system_user() -> Option<String> {
    let uid = std::fs::metadata("/proc/self").ok()?.uid();
    let names = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = names.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let number: u32 = fields.nth(1)?.parse().ok()?;
        (number == uid && !name.is_empty()).then(|| name.to_owned())
    });
    Some(name.unwrap_or_else(|| format!("uid:{uid}")))
}

/// Whether this directory holds anything; one that does not exist holds nothing.
pub(crate) fn holds_something(directory: &Path) -> Result<bool> {
    match std::fs::read_dir(directory) {
        Ok(mut entries) => Ok(entries.next().is_some()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(Error::from_io(error, "read the directory", directory)),
    }
}

/// Writes a file that must not exist and that only its owner may read, into another directory than
/// the store's, where nothing but the store's files belongs.
pub(crate) fn write_private(path: &Path, store: &Path, bytes: &[u8]) -> Result<()> {
    // Where one of the two does not exist, the file can't be inside.
    let inside = match (parent(path).canonicalize(), store.canonicalize()) {
        (Ok(directory), Ok(store)) => directory.starts_with(store),
        (Err(_), _) | (_, Err(_)) => false,
    };
    if inside {
        let message = "the file would lie inside the store";
        return Err(Error::new(&code::INVALID_OPTION, message).at_path(path));
    }
    let mut options = File::options();
    let opened = options.write(true).create_new(true).mode(0o600).open(path);
    let mut file = match opened {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let message = "something stands there already, and is not replaced";
            return Err(Error::new(&code::INVALID_OPTION, message).at_path(path));
        }
        opened => opened.map_err(|error| Error::from_io(error, "create the file", path))?,
    };
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(|error| {
        // Half of it is of no use, and the name would be in the way of the next attempt.
        drop(std::fs::remove_file(path));
        Error::from_io(error, "write the file", path)
    })
}

/// Creates a directory for manual pages and writes one.
pub(crate) fn write_page(directory: &Path, name: &str, page: &[u8]) -> Result<()> {
    let path = directory.join(name);
    std::fs::create_dir_all(directory)
        .and_then(|()| std::fs::write(&path, page))
        .map_err(|error| Error::from_io(error, "write the manual page", &path))
}

/// Creates a directory, if there is none.
pub(crate) fn create_directory(directory: &Path) -> Result<()> {
    std::fs::create_dir_all(directory)
        .map_err(|error| Error::from_io(error, "create the directory", directory))
}

/// The whole path of a directory, which must exist.
pub(crate) fn existing_directory(directory: &Path) -> Result<PathBuf> {
    let failed = |error| Error::from_io(error, "find the directory", directory);
    let path = directory.canonicalize().map_err(failed)?;
    if path.metadata().map_err(failed)?.is_dir() {
        return Ok(path);
    }
    Err(Error::new(&code::NOT_A_DIRECTORY, "the path names no directory").at_path(directory))
}

/// A mounted file system.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Mount {
    pub point: PathBuf,
    /// Its type: `ext4`, `tmpfs`.
    pub kind: String,
}

/// The file system that holds this whole path, where the system lists what is mounted.
pub(crate) fn mount_of(path: &Path) -> Option<Mount> {
    // Without the list nothing is known; that is no error, only less to tell.
    let mounts = std::fs::read("/proc/self/mounts").ok()?;
    mount_in(&mounts, path)
}

/// The mount that holds the path, of a list as in proc(5). Of two at the same place the later one
/// hides the earlier.
pub(crate) fn mount_in(mounts: &[u8], path: &Path) -> Option<Mount> {
    let mut found: Option<Mount> = None;
    for line in mounts.split(|byte| *byte == b'\n') {
        let mut fields = line.split(|byte| *byte == b' ').skip(1);
        let (Some(point), Some(kind)) = (fields.next(), fields.next()) else { continue };
        let point = PathBuf::from(OsString::from_vec(unescaped(point)));
        let deeper = found.as_ref().is_none_or(|found| point.starts_with(&found.point));
        if path.starts_with(&point) && deeper {
            found = Some(Mount { point, kind: String::from_utf8_lossy(kind).into_owned() });
        }
    }
    found
}

/// Spaces and the like stand there as a backslash and three octal digits.
fn unescaped(field: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = field;
    while let Some((first, behind)) = rest.split_first() {
        let octal = (*first == b'\\').then(|| behind.get(..3)).flatten();
        let octal = octal.and_then(|digits| std::str::from_utf8(digits).ok());
        if let Some(byte) = octal.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            bytes.push(byte);
            rest = behind.get(3..).unwrap_or_default();
        } else {
            bytes.push(*first);
            rest = behind;
        }
    }
    bytes
}

/// A nameless file, to measure what the disk can do. It is gone when it is closed.
pub(crate) struct Scratch {
    file: File,
    directory: PathBuf,
    /// Where the next bytes go.
    at: u64,
    /// Bytes that are written already and may be written again; zero: the file grows.
    prepared: u64,
}

impl Scratch {
    /// A file of so many bytes that are on the disk.
    pub(crate) fn create_in(directory: &Path, prepared: usize) -> Result<Self> {
        let failed = |error| Error::from_io(error, "write a temporary file", directory);
        let file = tempfile::tempfile_in(directory).map_err(failed)?;
        let zeros = vec![0; BUFFER_BYTES];
        let mut written = 0;
        while written < prepared {
            let piece = zeros.get(..BUFFER_BYTES.min(prepared - written)).unwrap_or_default();
            file.write_all_at(piece, written as u64).map_err(failed)?;
            written += piece.len();
        }
        file.sync_all().map_err(failed)?;
        Ok(Self { file, directory: directory.to_path_buf(), at: 0, prepared: prepared as u64 })
    }

    /// Writes these bytes behind the last ones, and returns when they are on the disk.
    pub(crate) fn write_durably(&mut self, bytes: &[u8]) -> Result<()> {
        let length = bytes.len() as u64;
        if self.prepared > 0 && self.at + length > self.prepared {
            self.at = 0;
        }
        let written = self.file.write_all_at(bytes, self.at).and_then(|()| self.file.sync_data());
        written.map_err(|error| {
            Error::from_io(error, "write a temporary file durably", &self.directory)
        })?;
        self.at += length;
        Ok(())
    }
}
