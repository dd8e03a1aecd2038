//! The Consul backend against real agents.
#![cfg(feature = "consul")]
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests are not exempt by themselves"
)]

mod answers;
mod faults;
mod golden;
mod link;
#[path = "../shared/lossy.rs"]
mod lossy;
#[path = "../shared/parrot.rs"]
mod parrot;
mod service;
#[path = "../shared/mod.rs"]
mod shared;
mod support;
mod tls;
mod token;

use std::time::Duration;

use async_trait::async_trait;
use patroni_config::file::dcs::consul::Consistency;
use patroni_core::{MemberData, MemberName, Revision};
use patroni_dcs::conformance::{self, Factory};
use patroni_dcs::consul::{Consul, Options};
use patroni_dcs::{Identity, Store, StoreError, Timings};
use serde_json::json;
use shared::{PATIENCE, TIMINGS, is_unreachable, lock_of, show_logs};
use support::{Agent, open};

struct OnConsul(String);

#[async_trait]
impl Factory for OnConsul {
    async fn open(
        &self,
        identity: Identity,
        timings: Timings,
    ) -> Result<Box<dyn Store>, StoreError> {
        let options = Options::new(self.0.as_str());
        Ok(Box::new(Consul::connect(options, identity, timings).await?))
    }

    fn timings(&self) -> Timings {
        TIMINGS
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keeps_all_promises() {
    show_logs();
    let Some(agent) = Agent::start() else {
        return;
    };
    let result = conformance::run(&OnConsul(agent.url.clone())).await;
    print!("{}", conformance::lines("consul", &result));
    assert_eq!(result, Ok(()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_member_writes_nothing() {
    show_logs();
    let Some(agent) = Agent::start() else {
        return;
    };
    let store = agent.store(Some("a")).await.unwrap();
    store.acquire_leader().await.unwrap();
    let data = MemberData::parse("{\"state\":\"running\"}");
    store.touch_member(&data, None).await.unwrap();
    let lock = lock_of(&store, "a").await;
    let keys = || agent.ask("GET", "kv/?recurse=1", "").unwrap();
    let before = keys();
    for _ in 0..5 {
        let cluster = store.load().await.unwrap();
        store.update_leader(&lock).await.unwrap();
        let me = MemberName::new("a");
        store
            .touch_member(&data, cluster.member(&me))
            .await
            .unwrap();
        store.write_status(&cluster.status).await.unwrap();
    }
    assert_eq!(before, keys());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_are_as_fresh_as_configured_and_only_in_the_datacenter() {
    show_logs();
    let Some(agent) = Agent::start() else {
        return;
    };
    for consistency in [
        Consistency::Default,
        Consistency::Consistent,
        Consistency::Stale,
    ] {
        let mut options = Options::new(agent.url.as_str());
        options.changeable.consistency = consistency;
        options.changeable.dc = Some("dc1".to_owned());
        let store = open(options, Some("a")).await.unwrap();
        store.load().await.unwrap();
    }
    let mut options = Options::new(agent.url.as_str());
    options.changeable.dc = Some("elsewhere".to_owned());
    let elsewhere = open(options, None).await.unwrap();
    let loaded = elsewhere.load().await;
    assert!(is_unreachable(&loaded), "{loaded:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_lives_as_long_as_the_server_demands() {
    show_logs();
    let Some(agent) = Agent::start_with(json!({"session_ttl_min": "40s"})) else {
        return;
    };
    agent.wait_until_it_serves();
    let store = agent.store(Some("a")).await.unwrap();
    store.acquire_leader().await.unwrap();
    let sessions = agent.ask("GET", "session/list", "").unwrap();
    assert_eq!(sessions[0]["TTL"], "40.0s");
    let lock = lock_of(&store, "a").await;
    store.update_leader(&lock).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nonsense_revisions_lose_the_race() {
    show_logs();
    let Some(agent) = Agent::start() else {
        return;
    };
    let store = agent.store(None).await.unwrap();
    let config = serde_json::Map::new();
    let refused = store.write_config(&config, Some(&Revision::new("x"))).await;
    assert!(refused.is_err_and(|error| error.is_lost_race()));
}

/// Longer than a wake-up takes.
const QUIET: Duration = Duration::from_millis(1500);

/// The leader has to make a slot before the new member begins to stream.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_member_wakes_the_leader_alone() {
    show_logs();
    let Some(agent) = Agent::start() else {
        return;
    };
    let data = |state: &str| MemberData::parse(&json!({"state": state}).to_string());
    let (leader, other, new) = (
        agent.store(Some("a")).await.unwrap(),
        agent.store(Some("b")).await.unwrap(),
        agent.store(Some("c")).await.unwrap(),
    );
    leader.touch_member(&data("running"), None).await.unwrap();
    other.touch_member(&data("running"), None).await.unwrap();
    leader.acquire_leader().await.unwrap();
    while leader.watch(None, QUIET).await || other.watch(None, QUIET).await {}

    new.touch_member(&data("creating replica"), None)
        .await
        .unwrap();
    assert!(leader.watch(None, PATIENCE).await, "a new member");
    new.touch_member(&data("running"), None).await.unwrap();
    other.touch_member(&data("stopped"), None).await.unwrap();
    assert!(!leader.watch(None, QUIET).await, "known members");
    assert!(!other.watch(None, QUIET).await, "not its part");

    let lock = lock_of(&leader, "a").await;
    leader.delete_leader(Some(&lock)).await.unwrap();
    other.acquire_leader().await.unwrap();
    while leader.watch(None, QUIET).await || other.watch(None, QUIET).await {}
    let newer = agent.store(Some("d")).await.unwrap();
    newer.touch_member(&data("running"), None).await.unwrap();
    assert!(other.watch(None, PATIENCE).await, "the new leader");
    assert!(!leader.watch(None, QUIET).await, "it leads no more");
}
