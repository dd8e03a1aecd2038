//! The Kubernetes backend against a real API server.
#![cfg(feature = "kubernetes")]
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "helpers of tests are not exempt by themselves"
)]

mod access;
mod answers;
mod faults;
mod support;
mod wire;

use std::time::Duration;

use async_trait::async_trait;
use patroni_core::{Leader, Lsn, MemberData, MemberName, Revision, Status};
use patroni_dcs::conformance::{self, Factory, Members, Nature};
use patroni_dcs::kubernetes::{Kubernetes, Mode};
use patroni_dcs::{Identity, Store, StoreError, Timings};
use support::{Api, TIMINGS, eventually, identity, show_logs, with_endpoints};
use tokio::time::Instant;

struct OnKubernetes {
    api: &'static Api,
    mode: Mode,
}

#[async_trait]
impl Factory for OnKubernetes {
    /// Each check has a namespace of its own, since the names of Pods are unique in one.
    async fn open(
        &self,
        identity: Identity,
        timings: Timings,
    ) -> Result<Box<dyn Store>, StoreError> {
        let mut parts = identity.base_path.rsplit('/');
        let group = identity.group.and_then(|_| parts.next());
        let scope = parts.next().unwrap().replace('_', "-");
        let mode = match self.mode {
            Mode::ConfigMaps => "c",
            Mode::Endpoints => "e",
        };
        let namespace = format!("{mode}-{}", scope.trim_end_matches("-2"));
        let admin = self.api.admin().await;
        admin.make_namespace(&namespace).await;
        if let Some(name) = &identity.member {
            admin.make_pod(&namespace, &scope, name.as_str()).await;
        }
        let mut options = self.api.options(&namespace);
        if self.mode == Mode::Endpoints {
            options = with_endpoints(options);
        }
        let identity = Identity {
            base_path: match group {
                Some(group) => format!("/service/{scope}/{group}"),
                None => format!("/service/{scope}"),
            },
            ..identity
        };
        let store = Kubernetes::connect(options, identity, timings).await?;
        Ok(Box::new(store))
    }

    fn timings(&self) -> Timings {
        TIMINGS
    }

    fn nature(&self) -> Nature {
        Nature {
            members: Members::Given,
            names: ["1", "a.b-c-1", "x9"],
            // All annotations of an object have room for 256 KiB.
            largest_value: 250_000,
        }
    }
}

async fn keeps_all_promises(mode: Mode) {
    show_logs();
    let Some(api) = Api::shared() else {
        return;
    };
    let result = conformance::run(&OnKubernetes { api, mode }).await;
    let store = match mode {
        Mode::ConfigMaps => "kubernetes-configmaps",
        Mode::Endpoints => "kubernetes-endpoints",
    };
    print!("{}", conformance::lines(store, &result));
    assert_eq!(result, Ok(()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keeps_all_promises_with_config_maps() {
    keeps_all_promises(Mode::ConfigMaps).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keeps_all_promises_with_endpoints() {
    keeps_all_promises(Mode::Endpoints).await;
}

/// The lock as `store` sees it, once it is `name`'s.
async fn lock_of(store: &Kubernetes, name: &str) -> Leader {
    eventually("the lock", || async {
        let leader = store.load().await.ok()?.leader?;
        (leader.name.as_str() == name).then_some(leader)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_reader_does_not_refresh_a_judgement() {
    show_logs();
    let Some(api) = Api::shared() else {
        return;
    };
    let options = api.options("judgement");
    let a = api.store(options.clone(), Some("a")).await.unwrap();
    let b = api.store(options, Some("b")).await.unwrap();
    let judged = b.load().await.unwrap();
    assert!(judged.is_unlocked());

    // Somebody else leads for a moment; who asks b for the state of the cluster sees it as it is.
    a.acquire_leader().await.unwrap();
    let lock = lock_of(&a, "a").await;
    let position = Status {
        optime: Lsn::new(5),
        ..Status::default()
    };
    a.write_status(&position).await.unwrap();
    a.delete_leader(Some(&lock)).await.unwrap();
    eventually("b to see that a led and gave the lock back", || async {
        let cluster = b.load().await.ok()?;
        (cluster.is_unlocked() && cluster.status == position).then_some(())
    })
    .await;
    let lost = b.acquire_leader().await;
    assert!(
        lost.as_ref().is_err_and(StoreError::is_lost_race),
        "{lost:?}"
    );

    b.watch(None, Duration::from_millis(1)).await;
    assert!(b.load().await.unwrap().is_unlocked());
    b.acquire_leader().await.expect("the new judgement is good");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_leaders_lock_is_over_after_its_ttl_and_wakes() {
    show_logs();
    let Some(api) = Api::shared() else {
        return;
    };
    let options = api.options("silence");
    let a = api.store(options.clone(), Some("a")).await.unwrap();
    let b = api.store(options.clone(), Some("b")).await.unwrap();
    a.acquire_leader().await.unwrap();
    let lock = lock_of(&b, "a").await;
    while b.watch(Some(&lock), Duration::from_millis(100)).await {}
    a.update_leader(&lock).await.unwrap();
    let renewed = Instant::now();
    a.close().await;

    assert!(
        b.watch(Some(&lock), Duration::from_mins(1)).await,
        "nobody was woken"
    );
    let waited = renewed.elapsed();
    assert!(
        waited + Duration::from_millis(500) >= TIMINGS.ttl,
        "over after {waited:?}"
    );
    assert!(b.load().await.unwrap().is_unlocked());
    // The control tool has only just begun to look.
    let control = api.store(options, None).await.unwrap();
    assert_eq!(
        control.load().await.unwrap().leader_name(),
        Some(&MemberName::new("a"))
    );
    b.acquire_leader().await.unwrap();
    lock_of(&control, "b").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_member_writes_nothing() {
    show_logs();
    let Some(api) = Api::shared() else {
        return;
    };
    let options = with_endpoints(api.options("idle"));
    let store = api.store(options, Some("a")).await.unwrap();
    store.acquire_leader().await.unwrap();
    let data = MemberData::parse("{\"state\":\"running\",\"role\":\"primary\"}");
    lock_of(&store, "a").await;
    store.touch_member(&data, None).await.unwrap();
    let admin = api.admin().await;
    let version = async || {
        let pod = admin.get("/api/v1/namespaces/idle/pods/a").await;
        let leader = admin.get("/api/v1/namespaces/idle/endpoints/demo").await;
        [pod, leader].map(|object| object["metadata"]["resourceVersion"].clone())
    };
    let before = version().await;
    for _ in 0..3 {
        let cluster = store.load().await.unwrap();
        let me = MemberName::new("a");
        store
            .touch_member(&data, cluster.member(&me))
            .await
            .unwrap();
        store.write_status(&cluster.status).await.unwrap();
        store.watch(None, Duration::from_millis(10)).await;
    }
    assert_eq!(before, version().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nonsense_revisions_lose_the_race() {
    show_logs();
    let Some(api) = Api::shared() else {
        return;
    };
    let store = api.store(api.options("nonsense"), None).await.unwrap();
    let config = serde_json::Map::new();
    store.write_config(&config, None).await.unwrap();
    for text in ["x", "", "0", "-1", "99999999999999999999"] {
        let refused = store
            .write_config(&config, Some(&Revision::new(text)))
            .await;
        assert!(
            refused.as_ref().is_err_and(StoreError::is_lost_race),
            "{text:?}: {refused:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_without_its_pod_is_told_so() {
    show_logs();
    let Some(api) = Api::shared() else {
        return;
    };
    api.admin().await.make_namespace("podless").await;
    let options = api.options("podless");
    let store = Kubernetes::connect(options, identity(Some("ghost")), TIMINGS).await;
    let touched = store
        .unwrap()
        .touch_member(&MemberData::default(), None)
        .await;
    let text = touched.unwrap_err().to_string();
    assert!(text.contains("no Pod named ghost"), "{text}");
}
