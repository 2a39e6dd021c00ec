//! One adapter an engine: as an application that knows the engine would use it.

pub(crate) mod afterimage;
pub(crate) mod fjall;
pub(crate) mod lmdb;
pub(crate) mod raft_engine;
pub(crate) mod redb;
pub(crate) mod rocksdb;
pub(crate) mod sled;
pub(crate) mod sqlite;
