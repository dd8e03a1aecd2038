//! Answers that are lost at the worst moment: the request has arrived.

use patroni_core::{MemberName, SyncState};
use patroni_dcs::Store;
use patroni_dcs::consul::Options;

use crate::lossy::Link;
use crate::shared::{lock_of, show_logs};
use crate::support::{Agent, open};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lock_whose_answer_was_lost_is_held() {
    show_logs();
    let Some(agent) = Agent::start() else {
        return;
    };
    let acquire = Link::to(&agent.url, "PUT /v1/kv/service/demo/leader").await;
    let store = open(Options::new(acquire.url.as_str()), Some("a"))
        .await
        .unwrap();
    acquire.lose_next_answer();
    store.acquire_leader().await.unwrap();
    assert!(acquire.has_lost());
    let lock = lock_of(&store, "a").await;

    let txn = Link::to(&agent.url, "PUT /v1/txn").await;
    let restarted = open(Options::new(txn.url.as_str()), Some("a"))
        .await
        .unwrap();
    txn.lose_next_answer();
    restarted
        .update_leader(&lock)
        .await
        .expect("the lock of its earlier life is taken over");
    assert!(txn.has_lost());
    let renewed = lock_of(&restarted, "a").await;
    assert_ne!(renewed.session, lock.session);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sync_whose_answer_was_lost_has_its_revision() {
    show_logs();
    let Some(agent) = Agent::start() else {
        return;
    };
    let link = Link::to(&agent.url, "PUT /v1/txn").await;
    let store = open(Options::new(link.url.as_str()), Some("a"))
        .await
        .unwrap();
    let state = |quorum| {
        let standbys = [MemberName::new("b")].into();
        SyncState::new(Some(MemberName::new("a")), quorum, standbys)
    };
    let first = store.write_sync(&state(0), None).await.unwrap();
    link.lose_next_answer();
    let second = store.write_sync(&state(1), Some(&first)).await.unwrap();
    assert!(link.has_lost());
    let cluster = store.load().await.unwrap();
    assert_eq!(cluster.sync.revision, Some(second));
}
