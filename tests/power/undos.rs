//! Going back on a full disk: undo and restore write, so they are refused and change nothing;
//! planning writes nothing, so it works.

use std::path::Path;
use std::process::Command;

use afterimage::AppendMethod::{self, Map, Pwrite};
use afterimage::{Author, ErrorKind, Lsn, Restore, Store, Undo, VerifyDepth};

use crate::mount::Mounted;
use crate::{options, scan, until_full};

/// The moment before the newest transactions, of which so many are undone that what is left of the
/// segment can't hold the frame.
fn begin(head: Lsn) -> Lsn {
    Lsn::new(head.get().saturating_sub(300))
}

fn going_back_fails(store: &Store, head: Lsn) {
    let (begin, digest) = (begin(head), store.snapshot().digest().expect("known"));
    let (undo, restore) = (Undo::everything().between(begin, head), Restore::to(begin));
    let plan = store.plan_undo(&undo).expect("planning works");
    assert_eq!(plan.counts().delete, head.get() - begin.get());
    assert_eq!(store.plan_restore(&restore).expect("here too").counts(), plan.counts());
    let by = Author::default();
    for done in [store.execute(&plan, &by), store.undo(&undo, &by), store.restore(&restore, &by)] {
        let error = done.expect_err("there is no room");
        assert_eq!((error.kind(), error.code().id), (ErrorKind::Full, "AF0037"), "{error:?}");
    }
    assert_eq!(store.head(), head, "nothing was written");
    assert_eq!(store.snapshot().digest().expect("known"), digest);
    assert_eq!(scan(store) as u64, head.get(), "reading goes on");
}

/// Runs `undo` on the command line.
fn undo(path: &Path, range: &str, more: &str) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_afterimage"));
    let output = command.args(["undo", range, more, "-s"]).arg(path).output().expect("runs");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

fn back_and_forth(directory: &Path, method: AppendMethod) {
    let (store, path, ballast, head) = until_full(directory, method);
    going_back_fails(&store, head);
    let range = format!("{}..{head}", begin(head));
    assert_eq!(undo(&path, &range, "--dry-run").0, Some(0), "beside the writer");
    let digest = store.snapshot_at(begin(head)).expect("kept").digest().expect("known");
    drop(store);
    assert_eq!(undo(&path, &range, "--dry-run").0, Some(0), "and without one");
    let (exit, error) = undo(&path, &range, "--yes");
    assert_eq!(exit, Some(75), "{error}");
    assert!(error.contains("AF0037"), "{error}");
    let reader = Store::options().read_only(true).open(&path).expect("it opens for reading");
    assert_eq!((reader.head(), scan(&reader) as u64), (head, head.get()));
    drop(reader);
    std::fs::remove_file(&ballast).expect("removed");
    assert_eq!(undo(&path, &range, "--yes"), (Some(0), undone(head)));
    let store = options().open(&path).expect("opened");
    assert_eq!(store.snapshot().digest().expect("known"), digest);
    let report = store.verify(VerifyDepth::Deep, &mut |_| {}).expect("looked");
    assert!(report.valid, "{report:?}");
}

/// What the command says when it has undone the newest transactions.
fn undone(head: Lsn) -> String {
    let lsn = head.next();
    format!(
        "undone as LSN {lsn}: 0 created, 0 updated, 300 deleted\nthe moment before is \
         point:before-undo-{head}; `afterimage undo {lsn}` takes this back\n"
    )
}

#[test]
fn on_a_full_disk_an_undo_is_an_error_that_changes_nothing_and_its_plan_is_shown() {
    for (kind, method) in [("ext4", Map), ("ext4", Pwrite), ("tmpfs", Map), ("tmpfs", Pwrite)] {
        let Some(mounted) = Mounted::new(kind, 24) else { return };
        back_and_forth(&mounted.path(), method);
    }
}
