//! Undo and restore in place.
//!
//! Random histories against a model that keeps whole states: `AFTERIMAGE_RECOVERY_SEEDS=1000
//! cargo test --release --test it recovery::random -- --nocapture`. The company, where ten people
//! edit the same records: `AFTERIMAGE_COMPANY=200000`.

mod accidents;
mod cli;
mod company;
mod fires;
mod killed;
mod merging;
mod model;
mod plans;
mod predict;
mod random;
mod requests;
mod threads;

use afterimage::{Author, CodecId, Image, Lsn, Store};

fn json(text: &str) -> Image<'_> {
    Image::new(text.as_bytes(), CodecId::Json)
}

/// Puts one record of JSON.
fn put(store: &Store, collection: &str, key: &str, value: &str) -> Lsn {
    store
        .write(|tx| tx.put_image(collection, key.as_bytes(), json(value)))
        .expect("the record is put")
        .lsn()
}

/// The text of a record, if it exists.
fn text(store: &Store, collection: &str, key: &str) -> Option<String> {
    let snapshot = store.snapshot();
    let record = snapshot.record(collection, key.as_bytes()).expect("the record is read")?;
    Some(String::from_utf8_lossy(record.image().bytes()).into_owned())
}

fn by(actor: &str) -> Author {
    Author { actor: Some(actor.to_owned()), message: None }
}
