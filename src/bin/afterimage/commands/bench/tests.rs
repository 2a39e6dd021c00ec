use std::time::Duration;

use super::histogram::Histogram;
use super::{grouped, span};

fn of(nanos: impl IntoIterator<Item = u64>) -> Histogram {
    let mut histogram = Histogram::default();
    nanos.into_iter().for_each(|nanos| histogram.record(Duration::from_nanos(nanos)));
    histogram
}

#[test]
fn a_percentile_is_right_to_three_percent() {
    for scale in [1, 7, 1000, 123_456, 1 << 40] {
        let histogram = of((1..=1000).map(|n| n * scale));
        for permille in [1, 500, 990, 999, 1000] {
            let (is, told) = (permille * scale, histogram.permille(permille));
            assert!(told.abs_diff(is) * 32 <= is + 32, "{permille} of {scale}: {told}, not {is}");
        }
    }
}

#[test]
fn the_ends_of_the_scale_have_a_bucket() {
    assert_eq!(Histogram::default().permille(500), 0);
    assert_eq!(of([0]).permille(1000), 0);
    assert_eq!(of([31, 32, 33]).permille(1000), 33);
    assert!(of([u64::MAX]).permille(500) > u64::MAX / 32 * 31);
    let mut longest = Histogram::default();
    longest.record(Duration::MAX);
    assert!(longest.permille(999) > u64::MAX / 2);
}

#[test]
fn histograms_of_threads_add_up() {
    let mut all = of([10; 90]);
    all.add(&of([20; 10]));
    assert_eq!((all.permille(900), all.permille(901)), (10, 20));
}

#[test]
fn figures_are_short() {
    assert_eq!(grouped(1_234_567.8), "1,234,568");
    assert_eq!((grouped(999.4), grouped(12.34)), ("999".to_owned(), "12.3".to_owned()));
    let spans = [213, 1_260, 145_400, 55_040_000, 2_000_000_000].map(span);
    assert_eq!(spans, ["213 ns", "1.3 µs", "145 µs", "55.0 ms", "2.00 s"]);
}

#[test]
fn the_mount_of_a_path_is_the_deepest_and_newest() {
    let mounts = b"/dev/vda / ext4 rw 0 0\ntmpfs /tmp tmpfs rw 0 0\n\
        /dev/vdb /mnt/my\\040disk xfs rw 0 0\nnone /mnt/my\\040disk btrfs rw 0 0\nshort\n";
    let of = |path: &str| {
        let mount = crate::files::mount_in(mounts, path.as_ref()).expect("mounted");
        (mount.kind, mount.point.display().to_string())
    };
    assert_eq!(of("/tmp/a"), ("tmpfs".to_owned(), "/tmp".to_owned()));
    assert_eq!(of("/tmpfile"), ("ext4".to_owned(), "/".to_owned()));
    assert_eq!(of("/mnt/my disk/a"), ("btrfs".to_owned(), "/mnt/my disk".to_owned()));
    assert_eq!(crate::files::mount_in(b"", "/".as_ref()), None);
}
