//! A big restore whose process is killed: all of it happened, or nothing.

use std::process::Stdio;
use std::time::{Duration, Instant};

use afterimage::{Lsn, Store, VerifyDepth};

use super::json;
use crate::cli::command;
use crate::common::Place;
use crate::number::number;
use crate::random::Random;

/// Puts so many records in one transaction.
fn fill(store: &Store, records: u64, value: &str) -> Lsn {
    let commit = store.write(|tx| {
        for n in 0..records {
            tx.put_image("rooms", format!("r-{n:08}").as_bytes(), json(value))?;
        }
        Ok(())
    });
    commit.expect("written").lsn()
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a kill is to come at any time of the run")]
fn a_restore_that_is_killed_happened_as_a_whole_or_not_at_all() {
    let (records, kills) =
        (number("AFTERIMAGE_RESTORE_RECORDS", 10_000), number("AFTERIMAGE_RESTORE_KILLS", 4));
    let place = Place::new();
    let store = Store::open(place.path()).expect("opened");
    let old = fill(&store, records, r#"{"state":"old"}"#);
    let new = fill(&store, records, r#"{"state":"new"}"#);
    let digest = |lsn| store.snapshot_at(lsn).expect("kept").digest().expect("known");
    let digests = [digest(old), digest(new)];
    store.close().expect("closed");
    let restore = |lsn: Lsn| {
        let mut command = command(&place.path());
        command.args(["restore", "--yes", "--to", &lsn.to_string()]).stderr(Stdio::null());
        command.spawn().expect("the command runs")
    };
    let began = Instant::now();
    assert!(restore(old).wait().expect("ended").success());
    let usual = began.elapsed();
    let (mut random, mut happened, mut ended) = (Random(5), 0, 0);
    let mut now = 0;
    for round in 0..kills {
        let target = 1 - now;
        let wait = usual * u32::try_from(random.below(2500)).expect("small") / 1000;
        let began = Instant::now();
        let mut child = restore([old, new][target]);
        while began.elapsed() < wait.max(Duration::from_millis(1)) {
            std::hint::spin_loop();
        }
        child.kill().expect("killed");
        ended += u64::from(child.wait().expect("ended").success());
        let store = Store::open(place.path()).expect("it opens");
        let found = store.snapshot().digest().expect("known");
        assert!(digests.contains(&found), "round {round}: neither before nor after");
        let after = usize::from(found == digests[1]);
        happened += u64::from(after == target);
        now = after;
        store.close().expect("closed");
    }
    let store = Store::open(place.path()).expect("it opens");
    let report = store.verify(VerifyDepth::Deep, &mut |_| {}).expect("looked");
    assert!(report.valid, "{report:?}");
    println!(
        "{kills} kills over {usual:?}: {happened} restores happened, {ended} had ended before"
    );
}
