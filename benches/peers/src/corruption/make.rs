//! Making the two images of a database.

use std::path::Path;

use super::image::Image;
use super::{Moment, Subject, opening, rows};
use crate::engine::Outcome;

/// Commits, copies the files while the database is open, closes it, and copies them again.
pub(super) fn images(subject: &Subject, directory: &Path) -> Outcome<()> {
    let made = directory.join("made");
    std::fs::create_dir(&made)?;
    let peer = (subject.engine.open)(&opening(&made, false))?;
    for row in rows() {
        peer.put(&row.key, &row.value)?;
    }
    Image::read(&made)?.write(&directory.join(Moment::Crash.directory()), None)?;
    drop(peer);
    Image::read(&made)?.write(&directory.join(Moment::Closed.directory()), None)?;
    Ok(std::fs::remove_dir_all(&made)?)
}
