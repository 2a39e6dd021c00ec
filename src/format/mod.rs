//! The bytes on disk: bytes in, values out, no I/O and no clock. One file for each structure.
//!
//! Rules that hold in every file here:
//! * all integers are little-endian, all offsets are constants beside the structure they describe,
//!   and `docs/format.md` holds the same tables (a test compares them);
//! * nobody indexes into bytes: reading goes through [`cursor::Cursor`], which checks each step;
//! * a length is compared with what is left before it is used;
//! * whoever decodes has checked the checksum of the raw bytes first.
//!
//! Reading order: [`image`] and [`metadata`] (what users store), [`change`] and [`frame`] (a
//! transaction), [`segment`] and [`seal`] (a journal file), [`control`], [`store_header`],
//! [`checkpoint`], [`slice`] (a part of a journal outside of its store), and [`names`] (every file
//! name); for backups `envelope` and `object_name`.

pub(crate) mod block;
pub(crate) mod change;
pub(crate) mod checkpoint;
pub(crate) mod control;
pub(crate) mod cursor;
pub(crate) mod digest;
#[cfg(feature = "backup")]
pub(crate) mod envelope;
pub(crate) mod frame;
pub(crate) mod image;
pub(crate) mod metadata;
pub(crate) mod names;
#[cfg(feature = "backup")]
pub(crate) mod object_name;
pub(crate) mod seal;
pub(crate) mod segment;
pub(crate) mod slice;
pub(crate) mod store_header;
#[cfg(test)]
mod tests;

/// The one version number of the whole format. A released version stays readable for ever.
pub const FORMAT_VERSION: u32 = 1;
