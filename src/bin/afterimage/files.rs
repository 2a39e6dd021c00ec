//! The user's own files: what is imported and where an export goes. The store's files are the
//! library's business.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read as _, Write};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use afterimage::{Error, Result};

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
