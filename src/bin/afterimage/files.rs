//! The user's own files: what is imported and where an export goes. The store's files are the
//! library's business.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read as _, Write};
use std::path::Path;

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

/// A file for an export, written beside its name and renamed when it is whole.
pub(crate) struct NewFile<'a> {
    out: BufWriter<tempfile::NamedTempFile>,
    path: &'a Path,
}

impl<'a> NewFile<'a> {
    pub(crate) fn create(path: &'a Path) -> Result<Self> {
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let file = tempfile::NamedTempFile::new_in(directory.unwrap_or(Path::new(".")))
            .map_err(|error| Error::from_io(error, "create the file", path))?;
        Ok(Self { out: BufWriter::with_capacity(BUFFER_BYTES, file), path })
    }

    pub(crate) fn stream(&mut self) -> &mut dyn Write {
        &mut self.out
    }

    pub(crate) fn finish(self) -> Result<()> {
        let path = self.path;
        let failed = |error| Error::from_io(error, "write the file", path);
        let file = self.out.into_inner().map_err(|error| failed(error.into_error()))?;
        file.as_file().sync_all().map_err(failed)?;
        file.persist(path).map_err(|error| failed(error.error))?;
        Ok(())
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
