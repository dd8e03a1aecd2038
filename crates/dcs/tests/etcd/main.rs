//! The backend for the version 2 API of etcd against real servers.
#![cfg(feature = "etcd")]
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests are not exempt by themselves"
)]

mod access;
mod answers;
mod discovery;
mod faults;
mod golden;
mod link;
#[path = "../shared/lossy.rs"]
mod lossy;
#[path = "../shared/parrot.rs"]
mod parrot;
mod redirects;
#[path = "../shared/etcd.rs"]
mod server;
#[path = "../shared/mod.rs"]
mod shared;
mod stream;
mod support;

use async_trait::async_trait;
use patroni_core::Revision;
use patroni_dcs::conformance::{self, Factory};
use patroni_dcs::etcd::{self, Options};
use patroni_dcs::{Identity, Store, StoreError, Timings};
use server::Etcd;
use shared::{TIMINGS, lock_of, show_logs};

struct OnEtcd(String);

#[async_trait]
impl Factory for OnEtcd {
    async fn open(
        &self,
        identity: Identity,
        timings: Timings,
    ) -> Result<Box<dyn Store>, StoreError> {
        let options = Options::new([self.0.as_str()]);
        let opened = Box::pin(etcd::Etcd::connect(options, identity, timings));
        Ok(Box::new(opened.await?))
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
    print!("{}", conformance::lines("etcd", &result));
    assert_eq!(result, Ok(()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nonsense_revisions_lose_the_race() {
    show_logs();
    let Some(etcd) = Etcd::single().await else {
        return;
    };
    let store = etcd.store(None).await.unwrap();
    let config = serde_json::Map::new();
    store.write_config(&config, None).await.unwrap();
    // Zero is no condition for etcd.
    for text in ["x", "0"] {
        let refused = store
            .write_config(&config, Some(&Revision::new(text)))
            .await;
        assert!(refused.is_err_and(|error| error.is_lost_race()), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lock_lives_for_a_whole_ttl_after_each_renewal() {
    show_logs();
    let Some(etcd) = Etcd::single().await else {
        return;
    };
    let store = etcd.store(Some("a")).await.unwrap();
    let left =
        || etcd.ask("GET", "/v2/keys/service/demo/leader", "").unwrap()["node"]["ttl"].clone();
    store.acquire_leader().await.unwrap();
    let lock = lock_of(&store, "a").await;
    shared::eventually("a second to go by", || async {
        (left().as_u64()? < TIMINGS.ttl.as_secs()).then_some(())
    })
    .await;
    store.update_leader(&lock).await.unwrap();
    assert_eq!(left(), TIMINGS.ttl.as_secs());
}
