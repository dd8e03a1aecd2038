//! Agents that hang, die, or forget our session.

use patroni_core::{Leader, MemberData, MemberName};
use patroni_dcs::{Store, StoreError};

use crate::shared::{
    PATIENCE, TIMINGS, eventually, is_unreachable, lock_of, show_logs, within_budget,
};
use crate::support::Agent;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_agent_is_unreachable_in_time_and_is_used_again_after() {
    show_logs();
    let Some(agent) = Agent::start() else {
        return;
    };
    let store = agent.store(Some("a")).await.unwrap();
    store.acquire_leader().await.unwrap();
    let lock = lock_of(&store, "a").await;
    let data = MemberData::parse("{\"state\":\"running\"}");

    agent.freeze();
    let (updated, acquired, touched, loaded, opened) = tokio::join!(
        within_budget("update", store.update_leader(&lock)),
        within_budget("acquire", store.acquire_leader()),
        within_budget("touch", store.touch_member(&data, None)),
        within_budget("load", store.load()),
        within_budget("connect", agent.store(Some("b"))),
    );
    assert!(is_unreachable(&updated), "{updated:?}");
    assert!(is_unreachable(&acquired), "{acquired:?}");
    assert!(is_unreachable(&touched), "{touched:?}");
    assert!(is_unreachable(&loaded), "{loaded:?}");
    assert!(is_unreachable(&opened.map(|_| ())));

    agent.thaw();
    eventually("the lock to be kept again", || async {
        store.update_leader(&lock).await.ok()
    })
    .await;
    lock_of(&store, "a").await;
    store.touch_member(&data, None).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restarted_agent_is_used_and_followed_again() {
    show_logs();
    let Some(mut agent) = Agent::start() else {
        return;
    };
    let (store, control) = (
        agent.store(Some("a")).await.unwrap(),
        agent.store(None).await.unwrap(),
    );
    store.acquire_leader().await.unwrap();
    let lock = lock_of(&store, "a").await;

    agent.kill();
    let updated = within_budget("update", store.update_leader(&lock)).await;
    assert!(is_unreachable(&updated), "{updated:?}");
    agent.restart();
    eventually("the lock to be kept again", || async {
        store.update_leader(&lock).await.ok()
    })
    .await;

    while store.watch(None, TIMINGS.loop_wait).await {}
    let lock = lock_of(&control, "a").await;
    store.delete_leader(Some(&lock)).await.unwrap();
    assert!(
        store.watch(None, PATIENCE).await,
        "nobody was woken after the restart"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lock_whose_session_was_lost_is_put_back_or_lost() {
    show_logs();
    let Some(agent) = Agent::start() else {
        return;
    };
    let (a, b) = (
        agent.store(Some("a")).await.unwrap(),
        agent.store(Some("b")).await.unwrap(),
    );
    let destroy = |lock: &Leader| {
        let session = lock.session.as_deref().unwrap();
        agent
            .ask("PUT", &format!("session/destroy/{session}"), "")
            .unwrap();
    };
    a.acquire_leader().await.unwrap();
    let lock = lock_of(&a, "a").await;

    destroy(&lock);
    a.update_leader(&lock).await.expect("nobody else took it");
    let renewed = lock_of(&b, "a").await;
    assert_ne!(renewed.session, lock.session);

    destroy(&renewed);
    eventually("another to take it", || async {
        b.acquire_leader().await.ok()
    })
    .await;
    let lost = a.update_leader(&renewed).await;
    assert!(
        lost.as_ref().is_err_and(StoreError::is_lost_race),
        "{lost:?}"
    );
    lock_of(&a, "b").await;

    // A session that ended unheard: acquiring and touching make a new one.
    let lock = lock_of(&b, "b").await;
    destroy(&lock);
    eventually("the lock to be taken under a new session", || async {
        b.acquire_leader().await.ok()
    })
    .await;
    assert_ne!(lock_of(&b, "b").await.session, lock.session);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_takes_its_key_over_from_its_earlier_life() {
    show_logs();
    let Some(agent) = Agent::start() else {
        return;
    };
    let data = MemberData::parse("{\"state\":\"running\"}");
    let before = agent.store(Some("a")).await.unwrap();
    before.touch_member(&data, None).await.unwrap();
    let after = agent.store(Some("a")).await.unwrap();
    after.touch_member(&data, None).await.unwrap();
    let cluster = after.load().await.unwrap();
    let member = cluster.member(&MemberName::new("a")).unwrap();
    let sessions = agent.ask("GET", "session/list", "").unwrap();
    let ids: Vec<&str> = sessions
        .as_array()
        .unwrap()
        .iter()
        .map(|s| s["ID"].as_str().unwrap())
        .collect();
    assert_eq!(ids.len(), 2);
    assert!(ids.contains(&member.session.as_deref().unwrap()));
    before.touch_member(&data, Some(member)).await.unwrap();
    let taken_back = before.load().await.unwrap();
    let again = taken_back.member(&MemberName::new("a")).unwrap();
    assert_ne!(again.session, member.session);
}
