//! A small store whose bytes are always the same: what the golden files hold.

use std::path::PathBuf;
use std::sync::Arc;

use crate::error::Result;
use crate::format::image::{CodecId, Image};
use crate::store::{Author, Durability, Options, Store};
use crate::sys::sim::SimDisk;
use crate::time::{Clock, Timestamp};

const ROOT: &str = "/golden.store";

/// A clock that stands still, so that the threads may ask it in any order.
#[derive(Debug)]
struct Standing;

impl Clock for Standing {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(1_795_104_245_123_456)
    }
}

/// The files of the store, by their paths inside it.
///
/// # Errors
/// None but those of a broken engine.
pub fn store_files() -> Result<Vec<(PathBuf, Vec<u8>)>> {
    let disk = Arc::new(SimDisk::default());
    let store = Options::default()
        .segment_bytes(4096)
        .durability(Durability::Sync)
        .clock(Arc::new(Standing))
        .disk(Arc::<SimDisk>::clone(&disk))
        .open(ROOT)?;
    fill(&store)?;
    store.checkpoint()?;
    store.close()?;
    Ok(disk.contents(ROOT.as_ref()))
}

/// Every operation, every codec's number, both images, metadata, a sealed segment.
fn fill(store: &Store) -> Result<()> {
    let json = |text: &'static str| Image::new(text.as_bytes(), CodecId::Json);
    store.write(|tx| {
        tx.actor("desk-2").message("check-in").correlation("chk-77").attribute("floor", 2);
        tx.put_image("guests", b"g-17", json(r#"{"name":"Ana","room":204}"#))
    })?;
    store.write(|tx| {
        tx.put_image("guests", b"g-17", json(r#"{"name":"Ana","room":206}"#).with_schema(2))?;
        tx.put_image("photos", b"\x00\xff", Image::new(b"\x89PNG", CodecId::Raw))?;
        tx.put_image("typed", b"b", Image::new(&[3, 7], CodecId::Bincode))?;
        tx.put_image("typed", b"r", Image::new(&[1, 0, 0, 0], CodecId::Rkyv))
    })?;
    let by = Author { actor: Some("desk-2".into()), message: None };
    store.create_point("before-the-move", store.head(), Some("for the example"), &by)?;
    store.write(|tx| tx.delete_record("guests", b"g-17"))?;
    // More than a segment of 4096 bytes holds, so that the first one is sealed.
    for key in [b"large", b"other"] {
        let image = Image::new(&[b'x'; 2500], CodecId::Raw);
        store.write(|tx| tx.put_image("photos", key, image))?;
    }
    Ok(())
}
