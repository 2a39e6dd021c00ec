//! The rules of the map; run under Miri too (`docs/testing.md`), where only memory of its own can
//! be mapped.

use std::sync::Arc;

use super::mmap::Map;
#[cfg(not(miri))]
use super::mmap::PAGE_BYTES;
#[cfg(not(miri))]
use super::watch::{Span, Vanished, touch, watch};

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

/// Miri knows neither maps of files nor signals.
#[test]
#[cfg(not(miri))]
fn bytes_that_go_away_under_a_map_are_an_error_each_time_they_are_read() {
    let file = tempfile::tempfile().expect("a file");
    let length = 4 * PAGE_BYTES;
    file.set_len(length as u64).expect("long");
    let map = Map::read_only(&file, length).expect("a map");
    map.advance(length);
    let all = || watch(map.span(), || touch(map.bytes()));
    assert_eq!(all(), Ok(()));
    file.set_len(PAGE_BYTES as u64).expect("cut");
    let sum = |page: usize| {
        let bytes = map.load(page * PAGE_BYTES, PAGE_BYTES).expect("published");
        watch(map.span(), || bytes.iter().map(|byte| u64::from(*byte)).sum::<u64>())
    };
    for _ in 0..3 {
        assert_eq!(all(), Err(Vanished));
        assert_eq!((sum(0), sum(2)), (Ok(0), Err(Vanished)));
    }
    // Of another map nothing is gone, and a thread of its own finds the same.
    let other = Map::of_bytes(&[7; 100]).expect("memory");
    other.advance(100);
    assert_eq!(watch(other.span(), || other.bytes().len()), Ok(100));
    std::thread::scope(|scope| {
        scope.spawn(|| assert_eq!((sum(0), sum(3)), (Ok(0), Err(Vanished))));
    });
}

/// Whoever reads without being watched is ended by the kernel, and not lent zeros.
#[test]
#[cfg(not(miri))]
fn bytes_that_are_gone_end_who_is_not_watched() {
    const CHILD: &str = "AFTERIMAGE_READS_WHAT_IS_GONE";
    if std::env::var_os(CHILD).is_none() {
        let this = std::env::current_exe().expect("the test runs");
        let name = "sys::tests::bytes_that_are_gone_end_who_is_not_watched";
        let child = std::process::Command::new(this)
            .args([name, "--exact"])
            .env(CHILD, "1")
            .stdout(std::process::Stdio::null())
            .status()
            .expect("started");
        let signal = std::os::unix::process::ExitStatusExt::signal(&child);
        assert_eq!(signal, Some(libc::SIGBUS));
        return;
    }
    let file = tempfile::tempfile().expect("a file");
    file.set_len(PAGE_BYTES as u64).expect("long");
    let map = Map::read_only(&file, PAGE_BYTES).expect("a map");
    map.advance(PAGE_BYTES);
    file.set_len(0).expect("cut");
    // Watched first: what that leaves in the place of the page is no page, either.
    assert_eq!(watch(map.span(), || touch(map.bytes())), Err(Vanished));
    touch(map.bytes());
}

/// As the handler of the signal does where a disk can't read two pages with a sound one between.
#[test]
#[cfg(not(miri))]
fn a_page_between_two_that_are_gone_stays() {
    let map = Map::of_bytes(&vec![7; 5 * PAGE_BYTES]).expect("memory");
    map.advance(5 * PAGE_BYTES);
    let start = map.bytes().as_ptr().addr();
    let lost = watch(map.span(), || {
        for page in [1, 3, 4] {
            let start = start + page * PAGE_BYTES;
            let page = Span { start, end: start + PAGE_BYTES };
            assert!(super::watch::lose(start, page, |_| true));
        }
    });
    assert_eq!(lost, Err(Vanished));
    let is_there = |page: usize| {
        let bytes = map.load(page * PAGE_BYTES, PAGE_BYTES).expect("published");
        watch(map.span(), || bytes.iter().all(|byte| *byte == 7))
    };
    assert_eq!((is_there(0), is_there(2)), (Ok(true), Ok(true)));
    assert_eq!([1, 3, 4].map(is_there), [Err(Vanished); 3]);
}

#[test]
#[cfg(not(miri))]
fn what_is_lost_inside_is_lost_to_who_watches_around_it() {
    let map = Map::of_bytes(&[7; 2 * PAGE_BYTES]).expect("memory");
    map.advance(2 * PAGE_BYTES);
    let start = map.bytes().as_ptr().addr();
    let page = Span { start, end: start + PAGE_BYTES };
    let lost = watch(map.span(), || {
        assert!(super::watch::lose(start, page, |_| true));
        assert_eq!(watch(map.span(), || ()), Err(Vanished));
    });
    assert_eq!(lost, Err(Vanished));
}
