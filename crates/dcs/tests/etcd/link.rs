//! Answers that are lost at the worst moment: the request has arrived.

use patroni_core::{MemberName, SyncState};
use patroni_dcs::{Store, StoreError};

use crate::lossy::Link;
use crate::server::Etcd;
use crate::shared::{eventually, lock_of, show_logs};
use crate::support::open_on;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lock_whose_answer_was_lost_is_held() {
    show_logs();
    let Some(etcd) = Etcd::single().await else {
        return;
    };
    let link = Link::to(&etcd.url, "PUT /v2/keys/service/demo/leader").await;
    let store = open_on([link.url.as_str()], Some("a")).await.unwrap();
    link.lose_next_answer();
    store.acquire_leader().await.unwrap();
    assert!(link.has_lost());
    let lock = lock_of(&store, "a").await;

    link.lose_next_answer();
    store.update_leader(&lock).await.unwrap();
    assert!(link.has_lost());
}

/// The answer that was lost said that the lock is another's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_makes_no_lock_of_another_ours() {
    show_logs();
    let Some(etcd) = Etcd::single().await else {
        return;
    };
    let link = Link::to(&etcd.url, "PUT /v2/keys/service/demo/leader").await;
    let store = open_on([link.url.as_str()], Some("a")).await.unwrap();
    let other = etcd.store(Some("b")).await.unwrap();
    other.acquire_leader().await.unwrap();
    link.lose_next_answer();
    let acquired = store.acquire_leader().await;
    assert!(link.has_lost());
    assert!(
        acquired.as_ref().is_err_and(StoreError::is_lost_race),
        "{acquired:?}"
    );
    lock_of(&store, "b").await;
}

/// The lock of an earlier life has our name, but not our time to live.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lock_of_an_earlier_life_is_not_acquired() {
    show_logs();
    let Some(etcd) = Etcd::single().await else {
        return;
    };
    let before = etcd.store(Some("a")).await.unwrap();
    before.acquire_leader().await.unwrap();
    let after = etcd.store(Some("a")).await.unwrap();
    let acquired = after.acquire_leader().await;
    assert!(
        acquired.as_ref().is_err_and(StoreError::is_lost_race),
        "{acquired:?}"
    );
    let lock = lock_of(&after, "a").await;
    after.update_leader(&lock).await.expect("it can be kept");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sync_whose_answer_was_lost_has_its_revision() {
    show_logs();
    let Some(etcd) = Etcd::single().await else {
        return;
    };
    let link = Link::to(&etcd.url, "PUT /v2/keys/service/demo/sync").await;
    let store = open_on([link.url.as_str()], Some("a")).await.unwrap();
    let state = |quorum| {
        let standbys = [MemberName::new("b")].into();
        SyncState::new(Some(MemberName::new("a")), quorum, standbys)
    };
    let first = store.write_sync(&state(0), None).await.unwrap();
    link.lose_next_answer();
    let second = store.write_sync(&state(1), Some(&first)).await.unwrap();
    assert!(link.has_lost());
    let cluster = eventually("the cluster", || async { store.load().await.ok() }).await;
    assert_eq!(cluster.sync.revision, Some(second));
}
