//! Servers that hang or die.

use std::time::Duration;

use patroni_core::MemberData;
use patroni_dcs::Store;
use patroni_dcs::etcd::Etcd as V2;

use crate::server::Etcd;
use crate::shared::{
    PATIENCE, TIMINGS, eventually, is_unreachable, lock_of, show_logs, within_budget,
};
use crate::support::open_on;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_server_is_unreachable_in_time_and_is_used_again_after() {
    show_logs();
    let Some(etcd) = Etcd::single().await else {
        return;
    };
    let store = etcd.store(Some("a")).await.unwrap();
    store.acquire_leader().await.unwrap();
    let lock = lock_of(&store, "a").await;
    let data = MemberData::parse("{\"state\":\"running\"}");

    etcd.freeze();
    let (updated, acquired, touched, loaded, opened) = tokio::join!(
        within_budget("update", store.update_leader(&lock)),
        within_budget("acquire", store.acquire_leader()),
        within_budget("touch", store.touch_member(&data, None)),
        within_budget("load", store.load()),
        within_budget("connect", etcd.store(Some("b"))),
    );
    assert!(is_unreachable(&updated), "{updated:?}");
    assert!(is_unreachable(&acquired), "{acquired:?}");
    assert!(is_unreachable(&touched), "{touched:?}");
    assert!(is_unreachable(&loaded), "{loaded:?}");
    assert!(is_unreachable(&opened.map(|_| ())));

    etcd.thaw();
    eventually("the lock to be kept again", || async {
        store.update_leader(&lock).await.ok()
    })
    .await;
    lock_of(&store, "a").await;
    store.touch_member(&data, None).await.unwrap();
}

async fn store_on(nodes: &[Etcd], member: Option<&str>) -> V2 {
    let urls = nodes.iter().map(|node| node.url.as_str());
    open_on(urls, member).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_node_is_left_for_another_one() {
    show_logs();
    let Some(nodes) = Etcd::cluster(3).await else {
        return;
    };
    let store = store_on(&nodes, Some("a")).await;
    let elsewhere = store_on(&nodes[1..], Some("a")).await;
    let reader = store_on(&nodes, Some("b")).await;
    store.acquire_leader().await.unwrap();
    let lock = lock_of(&store, "a").await;
    while reader.watch(None, TIMINGS.loop_wait).await {}

    nodes[0].freeze();
    eventually("the lock to be kept", || async {
        within_budget("update", store.update_leader(&lock))
            .await
            .ok()
    })
    .await;
    // The reader makes no calls: it must notice by the silence of its wait.
    eventually("the lock to be released", || async {
        elsewhere.delete_leader(Some(&lock)).await.ok()
    })
    .await;
    assert!(reader.watch(None, PATIENCE).await, "nobody was woken");
    nodes[0].thaw();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_go_on_when_the_connected_node_dies() {
    show_logs();
    let Some(nodes) = Etcd::cluster(3).await else {
        return;
    };
    let store = store_on(&nodes, Some("a")).await;
    let control = store_on(&nodes, None).await;
    store.acquire_leader().await.unwrap();
    let lock = lock_of(&store, "a").await;

    nodes[0].kill();
    eventually("the lock to be kept", || async {
        within_budget("update", store.update_leader(&lock))
            .await
            .ok()
    })
    .await;
    lock_of(&control, "a").await;
    while store.watch(None, Duration::from_secs(3)).await {}
    control.delete_cluster().await.unwrap();
    assert!(store.watch(None, PATIENCE).await, "news from others");

    // Without a majority nothing is confirmed.
    nodes[1].kill();
    let acquired = within_budget("acquire", store.acquire_leader()).await;
    assert!(is_unreachable(&acquired), "{acquired:?}");
    let loaded = within_budget("load", store.load()).await;
    assert!(is_unreachable(&loaded), "{loaded:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_members_of_the_cluster_are_found_behind_one_of_them() {
    show_logs();
    let Some(nodes) = Etcd::cluster(3).await else {
        return;
    };
    let store = nodes[0].store(Some("a")).await.unwrap();
    store.acquire_leader().await.unwrap();
    nodes[0].kill();
    eventually("the lock on another node", || async {
        within_budget("load", store.load()).await.ok()?.leader
    })
    .await;
}
