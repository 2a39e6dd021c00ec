//! The rules of the map; run under Miri too (`docs/testing.md`), where only memory of its own can
//! be mapped.

use std::sync::Arc;

use super::mmap::Map;

fn map(length: usize) -> Arc<Map> {
    Arc::new(Map::beside(length).expect("memory"))
}

#[test]
fn what_is_published_can_be_read_and_nothing_else() {
    let map = map(64);
    let mut writer = map.claim().expect("first writer");
    writer.store(4, b"abcd");
    assert_eq!(map.load(0, 8), None);
    assert_eq!(writer.pending(4, 4), b"abcd");
    writer.store_length_word(0, 8);
    assert_eq!(map.load_length_word(0), Some(8));
    writer.publish(8);
    assert_eq!(map.load(4, 4), Some(&b"abcd"[..]));
    assert_eq!(map.load(4, 5), None);
    assert_eq!(map.load(usize::MAX, 2), None);
}

#[test]
fn a_map_has_one_writer_at_a_time() {
    let map = map(64);
    let writer = map.claim();
    assert!(writer.is_some());
    assert!(map.claim().is_none());
    drop(writer);
    assert!(map.claim().is_some());
}

#[test]
#[should_panic(expected = "only unpublished bytes")]
fn published_bytes_are_never_written_again() {
    let map = map(64);
    let mut writer = map.claim().expect("first writer");
    writer.publish(8);
    writer.store(7, b"x");
}

#[test]
#[should_panic(expected = "only unpublished bytes")]
fn nothing_is_written_beyond_the_map() {
    let map = map(64);
    let mut writer = map.claim().expect("first writer");
    writer.store(60, b"12345");
}

#[test]
#[should_panic(expected = "only the writer publishes")]
fn a_reader_does_not_publish_for_the_writer() {
    map(64).advance(8);
}

#[test]
fn a_length_word_off_alignment_or_beyond_the_map_is_not_read() {
    let map = map(64);
    assert_eq!(map.load_length_word(2), None);
    assert_eq!(map.load_length_word(64), None);
    assert_eq!(map.load_length_word(usize::MAX - 3), None);
}

#[test]
fn readers_and_writer_share_a_map_without_a_race() {
    let map = map(4096);
    let mut writer = map.claim().expect("first writer");
    let reader = Arc::clone(&map);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let mut seen = 0;
            while seen < 16 {
                seen = reader.published() / 8;
                for index in 0..seen {
                    let expected = u8::try_from(index).expect("small");
                    assert_eq!(reader.load(index * 8 + 4, 4), Some(&[expected; 4][..]));
                }
            }
        });
        for index in 0..16_u8 {
            let offset = usize::from(index) * 8;
            writer.store(offset + 4, &[index; 4]);
            writer.store_length_word(offset, 8);
            writer.publish(offset + 8);
        }
    });
}
