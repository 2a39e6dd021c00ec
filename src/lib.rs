//! `afterimage` is an embedded storage engine that never forgets.

mod error;
mod lsn;
mod time;

mod format;
mod sys;

mod journal;
mod state;

mod store;

pub use error::{Code, Conflict, Error, ErrorKind, Place, Result, code};
pub use format::digest::StateDigest;
pub use format::image::{CodecId, Image, Op, UnknownCodec};
pub use format::metadata::Metadata;
pub use format::store_header::Fork;
pub use journal::recover::Notice;
pub use lsn::Lsn;
pub use store::*;
pub use time::{Clock, SystemClock, Timestamp};
