//! Async: commits, subscriptions.

use afterimage::{Durability, Lsn, Store, code};

use crate::common::{Place, put, raw};

fn durable(place: &Place) -> Store {
    Place::options().durability(Durability::Sync).open(place.path()).expect("open")
}

#[tokio::test]
async fn thousands_of_tasks_on_one_thread_wait_for_shared_syncs() {
    let place = Place::new();
    let store = durable(&place);
    let tasks = (0..2000_u32).map(|n| {
        let store = store.clone();
        async move {
            let mut tx = store.begin().expect("begun");
            tx.put_image("things", &n.to_le_bytes(), raw(b"v")).expect("put");
            let commit = tx.commit_async().await.expect("committed");
            assert!(store.durable() >= commit.lsn(), "acknowledged is durable");
            commit.lsn()
        }
    });
    let local = tokio::task::LocalSet::new();
    let handles: Vec<_> = tasks.map(|task| local.spawn_local(task)).collect();
    local.await;
    let mut lsns = Vec::new();
    for handle in handles {
        lsns.push(handle.await.expect("done").get());
    }
    lsns.sort_unstable();
    assert_eq!(lsns, (1..=2000).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscriber_gets_past_and_present_without_gap_or_double() {
    let place = Place::new();
    let store = durable(&place);
    for n in 0..50 {
        put(&store, &format!("past-{n}"), "v");
    }
    let mut all = store.subscribe(Lsn::ZERO).expect("subscribed");
    let mut some = store.subscribe(Lsn::new(40)).expect("subscribed");
    let writer = {
        let store = store.clone();
        tokio::task::spawn_blocking(move || {
            for n in 0..200 {
                put(&store, &format!("live-{n}"), "v");
            }
        })
    };
    for expected in 1..=250 {
        let transaction = all.next().await.expect("delivered");
        assert_eq!(transaction.lsn, Lsn::new(expected));
        assert!(store.durable() >= transaction.lsn, "nothing is told that a power cut takes back");
    }
    for expected in 41..=250 {
        assert_eq!(some.next().await.expect("delivered").lsn, Lsn::new(expected));
    }
    writer.await.expect("written");
    assert_eq!(all.position(), Lsn::new(250));
    let waiting = tokio::spawn(async move { all.next().await });
    tokio::task::yield_now().await;
    store.close().expect("closed");
    let error = waiting.await.expect("ended").expect_err("closed");
    assert_eq!(error.code().id, code::CLOSED.id);
}

#[tokio::test]
async fn a_subscription_outside_the_window_is_refused() {
    let place = Place::new();
    let store = place.open();
    put(&store, "a", "1");
    assert_eq!(store.subscribe(Lsn::new(2)).expect_err("ahead").code().id, code::LAGGED.id);
    let mut at_head = store.subscribe(Lsn::new(1)).expect("subscribed");
    let lsn = put(&store, "a", "2");
    let transaction = at_head.next().await.expect("delivered");
    assert_eq!(transaction.lsn, lsn);
    let change = transaction.changes.last().expect("a change");
    assert_eq!(change.before.as_ref().map(|image| &image.bytes[..]), Some(&b"1"[..]));
}
