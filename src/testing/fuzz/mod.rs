//! Bodies of the fuzz targets: any bytes in, no panic, no runaway allocation. `cargo test` replays
//! the corpora through them on stable.

#![expect(clippy::expect_used, reason = "a broken promise fails the target that uses this")]

mod bytes;
mod damage;
mod fixed;
mod ops;
mod slices;

use std::ops::Bound;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use crate::exchange::{
    CsvTypes, ImportFormat, ImportMode, ImportOptions, RecordShape, analyze_import,
};
use crate::format::block::Block;
use crate::format::checkpoint::{CheckpointHeader, DirectoryImage};
use crate::format::control::Control;
use crate::format::frame::{Frame, FrameHeader};
use crate::format::image::{CodecId, Image};
use crate::format::seal::Seal;
use crate::format::segment::SegmentHeader;
use crate::format::store_header::StoreHeader;
use crate::journal::scan;
use crate::journal::segment::Tail;
use crate::lsn::{Lsn, Position};
use crate::state::base::Base;
use crate::state::{Page, State};
use crate::store::{Author, Durability, Options, Store};
use crate::sys::mmap::Map;
use crate::sys::sim::SimDisk;
use crate::time::Timestamp;
pub use damage::segment_store;
pub use ops::ops_vs_model;
pub use slices::slice_decode;

/// A frame with all its changes and metadata, as if its checksum had been right.
pub fn frame_decode(data: &[u8]) {
    let position = Position::new(1, 128);
    if let Ok(frame) = Frame::verified(data, 0, position)
        .or_else(|_| FrameHeader::parse(data).map(|header| Frame::trusted(header, data, position)))
    {
        let metadata = frame.metadata();
        let changes = frame.changes().count();
        drop((metadata, changes, Seal::parse(frame.payload())));
    }
}

/// The scan of a segment, and the look behind a hole.
pub fn segment_recover(data: &[u8]) {
    let header = SegmentHeader::parse(data).map(|header| header.seed());
    let seed = data.first().copied().map_or(0, u32::from);
    let scan = scan::scan(data, seed, 1, Tail::EMPTY, Lsn::new(1));
    let rest = data.get(scan.end as usize..).unwrap_or_default();
    drop((header, scan::behind(rest, seed, scan.tail.lsn), scan));
}

/// A checkpoint: its parts by themselves, and the whole as if its checksums had been right.
pub fn checkpoint_load(data: &[u8]) {
    let headers = (CheckpointHeader::parse(data), Control::newest(data), StoreHeader::parse(data));
    drop(headers);
    let mut body = rkyv::util::AlignedVec::<16>::new();
    body.extend_from_slice(data);
    drop(DirectoryImage::access(&body).map(|image| image.collections.len()));
    if let Ok(block) = Block::parse(data) {
        let keys = (0..block.len()).map(|index| block.suffix(index));
        let found = keys.map(|key| (block.find(key), block.lower_bound(key)));
        drop((found.collect::<Vec<_>>(), block.is_consistent()));
    }
    let mut whole = data.to_vec();
    fixed::checkpoint(&mut whole);
    load_whole(&whole);
}

/// Takes a checkpoint into use as opening a store does, and reads all of it.
fn load_whole(bytes: &[u8]) -> Option<()> {
    let header = CheckpointHeader::parse(bytes).ok()?;
    let map = Map::of_bytes(bytes).ok()?;
    map.advance(bytes.len());
    let base = Base::new(Path::new("fuzz.ckpt"), Arc::new(map), header).ok()?;
    let directory = usize::try_from(header.directory).ok().and_then(|start| bytes.get(start..))?;
    let image = DirectoryImage::access(directory).ok()?;
    let state = State::from_bases(vec![base]);
    let everything = (Bound::Unbounded, Bound::Unbounded);
    for collection in image.collections.iter().map(|collection| collection.id.to_native()) {
        let mut page = Page::new(usize::MAX);
        for reverse in [false, true] {
            let read = state.page(collection, everything, reverse, &mut page);
            drop((read, state.head(collection, &page.last), state.live(collection)));
            let seek = (Bound::Included(&*page.last.clone()), Bound::Unbounded);
            drop(state.page(collection, seek, reverse, &mut page));
        }
    }
    drop((state.len(), state.is_equal(&state)));
    Some(())
}

/// An import into an empty store on the simulated disk, then of the same bytes as a document and as
/// a table.
pub fn event_import(data: &[u8]) {
    let disk = Arc::new(SimDisk::default());
    let options = Options::default().segment_bytes(4096).durability(Durability::Process).disk(disk);
    let Ok(store) = options.open("/sim.store") else { return };
    let shape = RecordShape { collection: "c".into(), key: "id".into(), drop_key: false };
    let formats = [
        ImportFormat::Changes,
        ImportFormat::Json(shape.clone()),
        ImportFormat::Csv(shape, CsvTypes::Auto),
    ];
    for format in formats {
        let import = ImportOptions { format, ..ImportOptions::default() };
        drop(store.import(&mut &*data, &import, &mut |_| {}));
        let replace = ImportOptions { mode: ImportMode::Replace, replace_bytes: 64, ..import };
        drop(analyze_import(&mut &*data, &replace, Some(&store), &mut |_| {}));
        if store.import(&mut &*data, &replace, &mut |_| {}).is_ok() {
            let compared = store.compare_import(&mut &*data, &replace, &mut |_| {});
            assert!(compared.expect("readable").equal, "it holds what was imported");
        }
    }
}

/// The grammar of moments, of a store that has a few.
pub fn rev_parse(data: &[u8]) {
    /// Looking changes nothing, so one store does for all inputs.
    static STORE: OnceLock<Store> = OnceLock::new();
    let store = STORE.get_or_init(|| {
        let disk = Arc::new(SimDisk::default());
        let store = Options::default().segment_bytes(4096).disk(disk).open("/sim.store");
        let store = store.expect("the disk is sound");
        for time in [0, 1_795_104_245_123_456].map(Timestamp::from_micros) {
            let written = store.write(|tx| {
                tx.at_time(time);
                tx.put_image("things", b"k", Image::new(b"v", CodecId::Raw))
            });
            written.expect("the disk is sound");
        }
        let by = Author::default();
        store.create_point("noon", store.head(), None, &by).expect("the disk is sound");
        store
    });
    if let Ok(text) = std::str::from_utf8(data) {
        drop((store.resolve(text), store.resolve_range(text)));
    }
}

/// JSON text; what is read is written equal.
///
/// # Panics
/// If it is not.
pub fn json_tree(data: &[u8]) {
    if let Ok(tree) = crate::json::Tree::parse(data) {
        let again = crate::json::Tree::parse(tree.to_string().as_bytes());
        assert_eq!(again.ok().as_ref(), Some(&tree), "JSON is written as it was read");
    }
}
