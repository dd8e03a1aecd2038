//! A server that freezes, comes back, and dies.

use std::time::Duration;

use patroni_core::MemberData;
use patroni_dcs::{Store, StoreError, StoreErrorKind};
use tokio::time::Instant;

use super::lock_of;
use super::support::{Api, BRIEF, eventually, show_logs};

/// What a call may take beyond its budget: the time to be scheduled on a busy machine.
const OVERHEAD: Duration = Duration::from_millis(1500);

pub(crate) fn is_unreachable<T>(result: &Result<T, StoreError>) -> bool {
    matches!(result, Err(error) if matches!(error.kind, StoreErrorKind::Unreachable(_)))
}

pub(crate) async fn within_budget<T>(what: &str, call: impl Future<Output = T>) -> T {
    let begun = Instant::now();
    let result = call.await;
    let took = begun.elapsed();
    assert!(
        took <= BRIEF.retry_timeout + OVERHEAD,
        "{what} took {took:?}"
    );
    result
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_server_is_unreachable_in_time_and_is_used_again_after() {
    show_logs();
    let Some(api) = Api::own() else {
        return;
    };
    let store = api.store(api.options("demo"), Some("a")).await.unwrap();
    let follower = api.store(api.options("demo"), Some("b")).await.unwrap();
    store.acquire_leader().await.unwrap();
    let lock = lock_of(&store, "a").await;
    lock_of(&follower, "a").await;
    store.set_timings(BRIEF);
    follower.set_timings(BRIEF);

    api.freeze();
    let updated = within_budget("update", store.update_leader(&lock)).await;
    assert!(is_unreachable(&updated), "{updated:?}");
    let data = MemberData::parse("{\"state\":\"running\"}");
    let touched = within_budget("touch", store.touch_member(&data, None)).await;
    assert!(is_unreachable(&touched), "{touched:?}");
    // The follower makes no calls: it must notice by the silence of its streams, and must not
    // take the silence for a lock that is over.
    eventually("the load to notice", || async {
        let loaded = within_budget("load", follower.load()).await;
        assert!(
            loaded
                .as_ref()
                .map_or(true, |cluster| !cluster.is_unlocked()),
            "a frozen server frees no lock"
        );
        is_unreachable(&loaded).then_some(())
    })
    .await;
    let acquired = within_budget("acquire", follower.acquire_leader()).await;
    assert!(acquired.is_err(), "{acquired:?}");

    api.thaw();
    eventually("the lock to be kept again", || async {
        store.update_leader(&lock).await.ok()
    })
    .await;
    lock_of(&follower, "a").await;
    store.touch_member(&data, None).await.unwrap();

    api.kill();
    let updated = within_budget("update", store.update_leader(&lock)).await;
    assert!(is_unreachable(&updated), "{updated:?}");
    eventually("the load to notice", || async {
        let loaded = within_budget("load", store.load()).await;
        is_unreachable(&loaded).then_some(())
    })
    .await;
}
