//! Bodies of the fuzz targets: any bytes in, no panic, no runaway allocation. `cargo test` replays
//! the corpora through them on stable.

use crate::format::block::Block;
use crate::format::checkpoint::{CheckpointHeader, DirectoryImage};
use crate::format::control::Control;
use crate::format::frame::{Frame, FrameHeader};
use crate::format::seal::Seal;
use crate::format::segment::SegmentHeader;
use crate::format::store_header::StoreHeader;
use crate::journal::scan;
use crate::journal::segment::Tail;
use crate::lsn::{Lsn, Position};
use crate::store::{Durability, Options};

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

/// A checkpoint: header, and body as if its hash had been right.
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
}

/// An import into an empty store on the simulated disk.
pub fn event_import(data: &[u8]) {
    let disk = std::sync::Arc::new(crate::sys::sim::SimDisk::default());
    let options = Options::default().segment_bytes(4096).durability(Durability::Process).disk(disk);
    let Ok(store) = options.open("/sim.store") else { return };
    let import = crate::exchange::ImportOptions::default();
    drop(store.import(&mut &*data, &import, &mut |_| {}));
}

/// The grammar of moments.
pub fn rev_parse(data: &[u8]) {
    let disk = std::sync::Arc::new(crate::sys::sim::SimDisk::default());
    let options = Options::default().segment_bytes(4096).disk(disk);
    if let (Ok(store), Ok(text)) = (options.open("/sim.store"), std::str::from_utf8(data)) {
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
