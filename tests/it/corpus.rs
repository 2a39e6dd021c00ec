//! Replays the corpora of the fuzz targets, so that what a fuzzer once found stays fixed.

use std::fs;
use std::path::Path;

use afterimage::testing::fuzz;

fn replay(target: &str, body: fn(&[u8])) {
    let directory = Path::new("fuzz/corpus").join(target);
    let mut count = 0;
    for entry in fs::read_dir(&directory).expect("a corpus") {
        body(&fs::read(entry.expect("an entry").path()).expect("readable"));
        count += 1;
    }
    assert!(count > 0, "{} is empty", directory.display());
}

#[test]
fn frame_decode() {
    replay("frame_decode", fuzz::frame_decode);
}

#[test]
fn segment_recover() {
    replay("segment_recover", fuzz::segment_recover);
}

#[test]
fn checkpoint_load() {
    replay("checkpoint_load", fuzz::checkpoint_load);
}

#[test]
fn slice_decode() {
    replay("slice_decode", fuzz::slice_decode);
}

#[test]
fn event_import() {
    replay("event_import", fuzz::event_import);
}

#[test]
fn rev_parse() {
    replay("rev_parse", fuzz::rev_parse);
}

#[test]
fn json_tree() {
    replay("json_tree", fuzz::json_tree);
}

#[test]
fn ops_vs_model() {
    replay("ops_vs_model", fuzz::ops_vs_model);
}

#[test]
fn segment_store() {
    replay("segment_store", fuzz::segment_store);
}

#[test]
fn mutations_of_real_files_do_no_harm() {
    // A fuzzer without coverage: every target sees every golden file with bits flipped.
    let bodies: [fn(&[u8]); 3] = [fuzz::frame_decode, fuzz::segment_recover, fuzz::checkpoint_load];
    for (_, bytes) in afterimage::testing::golden::store_files().expect("built") {
        for start in [0, 128] {
            for at in (0..bytes.len().saturating_sub(start)).step_by(7) {
                let mut mutated = bytes[start..].to_vec();
                mutated[at] ^= 1 << (at % 8);
                for body in bodies {
                    body(&mutated);
                }
            }
        }
    }
}
