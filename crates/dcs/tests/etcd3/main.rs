//! The etcd backend against real servers.
#![cfg(feature = "etcd3")]
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests are not exempt by themselves"
)]

mod access;
mod lease;
#[path = "../shared/etcd.rs"]
mod server;
#[path = "../shared/mod.rs"]
mod shared;
mod srv;
mod support;
mod tls;

use async_trait::async_trait;
use etcd_client::{Client, GetOptions};
use patroni_core::{Leader, MemberData, MemberName, Revision, Secret};
use patroni_dcs::conformance::{self, Factory};
use patroni_dcs::etcd3::{Etcd3, Options};
use patroni_dcs::{Identity, Store, StoreError, StoreErrorKind, Timings};
use server::Etcd;
use shared::{TIMINGS, eventually, is_unreachable, lock_of, show_logs, within_budget};

struct OnEtcd(String);

#[async_trait]
impl Factory for OnEtcd {
    async fn open(
        &self,
        identity: Identity,
        timings: Timings,
    ) -> Result<Box<dyn Store>, StoreError> {
        let options = Options::new([self.0.as_str()]);
        Ok(Box::new(Etcd3::connect(options, identity, timings).await?))
    }

    fn timings(&self) -> Timings {
        TIMINGS
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keeps_all_promises() {
    show_logs();
    let Some(etcd) = Etcd::single().await else {
        return;
    };
    let result = conformance::run(&OnEtcd(etcd.url.clone())).await;
    print!("{}", conformance::lines("etcd3", &result));
    assert_eq!(result, Ok(()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_server_is_unreachable_in_time_and_is_used_again_after() {
    show_logs();
    let Some(etcd) = Etcd::single().await else {
        return;
    };
    let store = etcd.store(Some("a")).await.unwrap();
    store.acquire_leader().await.unwrap();
    let lock = lock_of(&store, "a").await;

    etcd.freeze();
    let updated = within_budget("update", store.update_leader(&lock)).await;
    assert!(is_unreachable(&updated), "{updated:?}");
    let acquired = within_budget("acquire", store.acquire_leader()).await;
    assert!(is_unreachable(&acquired), "{acquired:?}");
    let data = MemberData::parse("{\"state\":\"running\"}");
    let touched = within_budget("touch", store.touch_member(&data, None)).await;
    assert!(is_unreachable(&touched), "{touched:?}");
    eventually("the load to notice", || async {
        let loaded = within_budget("load", store.load()).await;
        is_unreachable(&loaded).then_some(())
    })
    .await;
    let opened = within_budget("connect", etcd.store(Some("b"))).await;
    assert!(is_unreachable(&opened.map(|_| ())));

    etcd.thaw();
    eventually("the lock to be kept again", || async {
        store.update_leader(&lock).await.ok()
    })
    .await;
    lock_of(&store, "a").await;
    store.touch_member(&data, None).await.unwrap();
}

/// A store that uses the nodes in this order: proxies are not asked for members.
async fn store_on(nodes: &[Etcd], member: Option<&str>) -> Etcd3 {
    let mut options = Options::new(nodes.iter().map(|node| node.url.as_str()));
    options.use_proxies = true;
    let identity = Identity {
        base_path: "/service/demo".to_owned(),
        group: None,
        member: member.map(MemberName::new),
    };
    Etcd3::connect(options, identity, TIMINGS).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_node_is_left_for_another_one() {
    show_logs();
    let Some(nodes) = Etcd::cluster(3).await else {
        return;
    };
    let store = store_on(&nodes, Some("a")).await;
    let elsewhere = store_on(&nodes[1..], None).await;
    store.acquire_leader().await.unwrap();
    let lock = lock_of(&store, "a").await;
    let reader = store_on(&nodes, Some("b")).await;
    lock_of(&reader, "a").await;

    nodes[0].freeze();
    eventually("the lock to be kept", || async {
        within_budget("update", store.update_leader(&lock))
            .await
            .ok()
    })
    .await;
    // The reader makes no calls: it must notice by the silence of its stream.
    eventually("a new configuration", || async {
        elsewhere
            .write_config(&serde_json::Map::new(), None)
            .await
            .ok()
    })
    .await;
    eventually("the news", || async {
        reader.load().await.ok()?.config.map(|_| ())
    })
    .await;
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
    store.delete_leader(Some(&lock)).await.unwrap();
    eventually("the cache to follow on another node", || async {
        store.load().await.ok()?.leader.is_none().then_some(())
    })
    .await;
    control
        .write_config(&serde_json::Map::new(), None)
        .await
        .unwrap();
    eventually("news from others", || async {
        store.load().await.ok()?.config.map(|_| ())
    })
    .await;

    // Without a majority nothing is confirmed.
    nodes[1].kill();
    let acquired = within_budget("acquire", store.acquire_leader()).await;
    assert!(is_unreachable(&acquired), "{acquired:?}");
    let loaded = within_budget("load", control.load()).await;
    assert!(is_unreachable(&loaded), "{loaded:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lock_whose_lease_was_lost_is_put_back_or_lost() {
    show_logs();
    let Some(etcd) = Etcd::single().await else {
        return;
    };
    let (a, b) = (
        etcd.store(Some("a")).await.unwrap(),
        etcd.store(Some("b")).await.unwrap(),
    );
    a.acquire_leader().await.unwrap();
    let lock = lock_of(&a, "a").await;
    let mut admin = Client::connect([&etcd.url], None).await.unwrap();
    let lease = |lock: &Leader| lock.session.as_deref().unwrap().parse::<i64>().unwrap();

    admin.lease_revoke(lease(&lock)).await.unwrap();
    a.update_leader(&lock).await.expect("nobody else took it");
    let renewed = lock_of(&b, "a").await;
    assert_ne!(renewed.session, lock.session);

    admin.lease_revoke(lease(&renewed)).await.unwrap();
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
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_what_other_members_expect() {
    show_logs();
    let Some(etcd) = Etcd::single().await else {
        return;
    };
    let store = etcd.store(Some("käse")).await.unwrap();
    store.begin_initialize().await.unwrap();
    store.acquire_leader().await.unwrap();
    let data = MemberData::parse("{\"state\": \"running\", \"tags\": {\"x\": \"ü\"}}");
    store.touch_member(&data, None).await.unwrap();
    let mut admin = Client::connect([&etcd.url], None).await.unwrap();
    let options = GetOptions::new().with_prefix();
    let all = admin.get("/service/demo/", Some(options)).await.unwrap();
    let texts: Vec<(&str, &str)> = all
        .kvs()
        .iter()
        .map(|kv| (kv.key_str().unwrap(), kv.value_str().unwrap()))
        .collect();
    assert_eq!(
        texts,
        [
            ("/service/demo/initialize", ""),
            ("/service/demo/leader", "käse"),
            (
                "/service/demo/members/käse",
                r#"{"state":"running","tags":{"x":"\u00fc"}}"#
            ),
        ]
    );
    let leases: Vec<i64> = all.kvs().iter().map(etcd_client::KeyValue::lease).collect();
    assert!(
        leases[0] == 0 && leases[1] != 0 && leases[1] == leases[2],
        "{leases:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_member_writes_nothing() {
    show_logs();
    let Some(etcd) = Etcd::single().await else {
        return;
    };
    let store = etcd.store(Some("a")).await.unwrap();
    store.acquire_leader().await.unwrap();
    let data = MemberData::parse("{\"state\":\"running\"}");
    store.touch_member(&data, None).await.unwrap();
    let lock = lock_of(&store, "a").await;
    let mut admin = Client::connect([&etcd.url], None).await.unwrap();
    let revision = |answer: etcd_client::GetResponse| answer.header().unwrap().revision();
    let before = revision(admin.get("x", None).await.unwrap());
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
    let after = revision(admin.get("x", None).await.unwrap());
    assert_eq!(before, after);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn speaks_as_a_user_where_users_are_required() {
    show_logs();
    let Some(etcd) = Etcd::single().await else {
        return;
    };
    let mut admin = Client::connect([&etcd.url], None).await.unwrap();
    let identity = Identity {
        base_path: "/service/demo".to_owned(),
        group: None,
        member: Some(MemberName::new("a")),
    };
    let mut options = Options::new([etcd.url.as_str()]);
    options.username = Some("root".to_owned());
    options.password = Some(Secret::new("secret"));
    let connect = |options: &Options| Etcd3::connect(options.clone(), identity.clone(), TIMINGS);
    connect(&options)
        .await
        .expect("a user is no harm where none is needed");

    admin.role_add("root").await.unwrap();
    admin.user_add("root", "secret", None).await.unwrap();
    admin.user_grant_role("root", "root").await.unwrap();
    admin.auth_enable().await.unwrap();

    let store = connect(&options).await.unwrap();
    store.acquire_leader().await.unwrap();
    let lock = lock_of(&store, "a").await;
    store.update_leader(&lock).await.unwrap();

    options.password = Some(Secret::new("wrong"));
    let refused = connect(&options).await.err().unwrap();
    assert!(
        matches!(refused.kind, StoreErrorKind::Denied(_)),
        "{refused}"
    );
    // Without credentials etcd still tells its members and grants leases, but no more.
    options.password = None;
    let nobody = connect(&options).await.unwrap();
    assert!(nobody.load().await.is_err());
    let refused = nobody.acquire_leader().await.err().unwrap();
    assert!(refused.is_lost_race(), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nonsense_revisions_lose_the_race() {
    show_logs();
    let Some(etcd) = Etcd::single().await else {
        return;
    };
    let store = etcd.store(None).await.unwrap();
    let config = serde_json::Map::new();
    let refused = store.write_config(&config, Some(&Revision::new("x"))).await;
    assert!(refused.is_err_and(|error| error.is_lost_race()));
}
