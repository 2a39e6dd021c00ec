//! Checksums of changed files made right again, so that a fuzzer gets to what stands behind them.

use std::path::{Path, PathBuf};

use crate::format::block;
use crate::format::checkpoint::{
    CHECKPOINT_CRC, CHECKPOINT_FRAME_CRC, CHECKPOINT_LSN, DIRECTORY, DIRECTORY_HASH,
    DIRECTORY_LENGTH, DirectoryImage, directory_hash,
};
use crate::format::control::{
    CHAIN, CONTROL_CRC, DURABLE_CRC, DURABLE_LSN, SLOT_BYTES, SLOT_STRIDE,
};
use crate::format::cursor::Cursor;
use crate::format::frame::{self, Frame, FrameHeader, FrameKind, HEADER_BYTES};
use crate::format::names;
use crate::format::seal::{PREVIOUS_CHAIN, SEGMENT_HASH, Seal};
use crate::format::segment::{SEGMENT_CRC, SEGMENT_HEADER_BYTES};
use crate::format::slice::{
    SLICE_BYTES, SLICE_FIXED_BYTES, SLICE_FORK_BYTES, SLICE_FORKS, SLICE_HASH, SLICE_LAST_CRC,
    SLICE_PIECE_BYTES, SLICE_PREVIOUS_CRC, SLICE_SEGMENT_BYTES, hash_of,
};
use crate::lsn::Position;

/// What files say of each other, as far as they were passed.
#[derive(Debug, Default)]
struct Links {
    /// The checksums of transactions, by LSN.
    frames: Vec<(u64, u32)>,
    previous_crc: u32,
    chain: [u8; 32],
}

/// Makes every checksum in a store's files right, and with `linked` also what they say of each
/// other: the chain of frames, the hashes in seals, the frames that CONTROL and checkpoints name.
pub(super) fn checksums(files: &mut [(PathBuf, Vec<u8>)], linked: bool) {
    let mut links = linked.then(Links::default);
    for (name, bytes) in &mut *files {
        if file_name(name).and_then(names::parse_segment).is_some() {
            segment(bytes, links.as_mut());
        }
    }
    for (name, bytes) in files {
        match file_name(name) {
            Some(names::STORE) => identity(bytes),
            Some(names::CONTROL) => control(bytes, links.as_ref()),
            Some(name) if names::parse_checkpoint(name).is_some() => {
                let lsn = Cursor::at(bytes, CHECKPOINT_LSN).u64();
                if let (Some(links), Ok(lsn)) = (&links, lsn) {
                    put(bytes, CHECKPOINT_FRAME_CRC, &links.crc_of(lsn).to_le_bytes());
                }
                checkpoint(bytes);
            }
            Some(_) | None => {}
        }
    }
}

impl Links {
    fn crc_of(&self, lsn: u64) -> u32 {
        self.frames.iter().find(|(of, _)| *of == lsn).map_or(0, |(_, crc)| *crc)
    }
}

fn file_name(path: &Path) -> Option<&str> {
    path.file_name()?.to_str()
}

fn put(bytes: &mut [u8], at: usize, field: &[u8]) {
    if let Some(place) = bytes.get_mut(at..).and_then(|rest| rest.get_mut(..field.len())) {
        place.copy_from_slice(field);
    }
}

fn put_crc(bytes: &mut [u8], at: usize) {
    let crc = crc32fast::hash(bytes.get(..at).unwrap_or_default());
    put(bytes, at, &crc.to_le_bytes());
}

fn segment(bytes: &mut [u8], mut links: Option<&mut Links>) {
    put_crc(bytes, SEGMENT_CRC);
    let seed = Cursor::at(bytes, SEGMENT_CRC).u32().unwrap_or_default();
    let mut offset = SEGMENT_HEADER_BYTES;
    while let Some((content, rest)) = bytes.split_at_mut_checked(offset)
        && let Ok(header) = FrameHeader::parse(rest)
        && let Some(frame) = rest.get_mut(..header.bytes())
    {
        if let Some(links) = links.as_deref_mut() {
            put(frame, frame::PREVIOUS_CRC, &links.previous_crc.to_le_bytes());
            if header.kind == FrameKind::Seal {
                let payload = HEADER_BYTES + usize::from(header.metadata_length);
                put(frame, payload + SEGMENT_HASH, blake3::hash(content).as_bytes());
                put(frame, payload + PREVIOUS_CHAIN, &links.chain);
            }
        }
        let crc = frame::checksum(seed, header.length, frame);
        put(frame, frame::CRC, &crc.to_le_bytes());
        if let Some(links) = links.as_deref_mut() {
            if header.kind == FrameKind::Seal {
                let sealed = Frame::trusted(header, frame, Position::NONE);
                links.chain = Seal::parse(sealed.payload()).map_or([0; 32], |seal| seal.chain());
            } else {
                links.frames.push((header.lsn.get(), crc));
                links.previous_crc = crc;
            }
        }
        offset += header.bytes();
    }
}

/// The checksums of a slice: of its segments' headers, its frames, and its head. With `previous`,
/// the checksum that it is to continue, also its links, and that becomes the one of its last frame.
pub(super) fn slice(bytes: &mut [u8], mut previous: Option<&mut u32>) {
    let Ok(counts) = Cursor::at(bytes, SLICE_FORKS).array::<8>() else { return };
    let mut counts = Cursor::new(&counts);
    let [forks, pieces] = [(); 2].map(|()| counts.u32().unwrap_or_default() as usize);
    let table = SLICE_FIXED_BYTES + forks * SLICE_FORK_BYTES;
    let head_end = table + pieces * SLICE_PIECE_BYTES;
    let mut at = head_end + 4;
    if at > bytes.len() {
        return;
    }
    // The simulated disk holds all of a segment in memory.
    put(bytes, SLICE_SEGMENT_BYTES, &4096_u64.to_le_bytes());
    if let Some(previous) = previous.as_deref() {
        put(bytes, SLICE_PREVIOUS_CRC, &previous.to_le_bytes());
    }
    for start in (table..head_end).step_by(SLICE_PIECE_BYTES) {
        let (head, rest) = bytes.split_at_mut(at);
        let Some(piece) = head.get_mut(start..start + SLICE_PIECE_BYTES) else { return };
        put_crc(piece, SEGMENT_CRC);
        let seed = Cursor::at(piece, SEGMENT_CRC).u32().unwrap_or_default();
        let length = Cursor::at(piece, SEGMENT_HEADER_BYTES + 4).u32().unwrap_or_default();
        let Some(mut own) = rest.get_mut(..length as usize) else { break };
        at += own.len();
        while let Ok(header) = FrameHeader::parse(own)
            && let Some((frame, behind)) = own.split_at_mut_checked(header.bytes())
        {
            if let Some(previous) = previous.as_deref() {
                put(frame, frame::PREVIOUS_CRC, &previous.to_le_bytes());
            }
            let crc = frame::checksum(seed, header.length, frame);
            put(frame, frame::CRC, &crc.to_le_bytes());
            if let Some(previous) = previous.as_deref_mut() {
                *previous = crc;
            }
            own = behind;
        }
    }
    if let Some(previous) = previous.as_deref() {
        put(bytes, SLICE_LAST_CRC, &previous.to_le_bytes());
    }
    let pieces = bytes.get(head_end + 4..).unwrap_or_default();
    let (length, hash) = (pieces.len() as u64, hash_of(pieces));
    put(bytes, SLICE_BYTES, &length.to_le_bytes());
    put(bytes, SLICE_HASH, &hash.to_le_bytes());
    put_crc(bytes, head_end);
}

fn control(bytes: &mut [u8], links: Option<&Links>) {
    for start in [0, SLOT_STRIDE] {
        let end = start + SLOT_BYTES;
        let Some(slot) = bytes.get_mut(start..end) else { continue };
        if let (Some(links), Ok(lsn)) = (links, Cursor::at(slot, DURABLE_LSN).u64()) {
            put(slot, DURABLE_CRC, &links.crc_of(lsn).to_le_bytes());
            put(slot, CHAIN, &links.chain);
        }
        put_crc(slot, CONTROL_CRC);
    }
}

fn identity(bytes: &mut Vec<u8>) {
    const LAST_LINE: &[u8] = b"crc32 = ";
    let Some(at) = bytes.windows(LAST_LINE.len()).rposition(|word| word == LAST_LINE) else {
        return;
    };
    bytes.truncate(at);
    let crc = crc32fast::hash(bytes);
    bytes.extend_from_slice(format!("crc32 = {crc:08x}\n").as_bytes());
}

/// The checksums of a checkpoint: of its blocks, its directory and its header.
pub(super) fn checkpoint(bytes: &mut [u8]) {
    let start = Cursor::at(bytes, DIRECTORY).u64().ok();
    let length = Cursor::at(bytes, DIRECTORY_LENGTH).u64().ok();
    let range = |(start, length): (u64, u64)| {
        let (start, length) = (usize::try_from(start).ok()?, usize::try_from(length).ok()?);
        Some(start..start.checked_add(length)?)
    };
    if let Some(range) = start.zip(length).and_then(range)
        && let Some(directory) = bytes.get(range)
    {
        let hash = directory_hash(directory);
        for (start, length) in blocks(directory) {
            let place = usize::try_from(start).unwrap_or(usize::MAX);
            let block = bytes.get_mut(place..).and_then(|rest| rest.get_mut(..length));
            if let Some(block) = block {
                let crc = block::checksum(block, start);
                put(block, block::BLOCK_CRC, &crc.to_le_bytes());
            }
        }
        put(bytes, DIRECTORY_HASH, &hash.to_le_bytes());
    }
    put_crc(bytes, CHECKPOINT_CRC);
}

/// Where the blocks of a directory stand, and their bytes.
fn blocks(directory: &[u8]) -> Vec<(u64, usize)> {
    let mut blocks = Vec::new();
    if let Ok(image) = DirectoryImage::access(directory) {
        for collection in image.collections.iter() {
            let mut place = collection.start.to_native();
            for length in collection.lengths.iter() {
                blocks.push((place, length.to_native() as usize));
                place = place.saturating_add(u64::from(length.to_native()));
            }
        }
    }
    blocks
}
