//! The ZooKeeper backend against real servers.
#![cfg(feature = "zookeeper")]
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests are not exempt by themselves"
)]

mod access;
#[cfg(feature = "exhibitor")]
mod exhibitor;
mod faults;
mod support;
mod tls;
mod wire;

use async_trait::async_trait;
use patroni_dcs::conformance::{self, Factory};
use patroni_dcs::zookeeper::{Options, ZooKeeper};
use patroni_dcs::{Identity, Store, StoreError, Timings};
use support::{Server, TIMINGS, show_logs};

struct OnZooKeeper(String);

#[async_trait]
impl Factory for OnZooKeeper {
    async fn open(
        &self,
        identity: Identity,
        timings: Timings,
    ) -> Result<Box<dyn Store>, StoreError> {
        let options = Options::new([self.0.as_str()]);
        let store = ZooKeeper::connect(options, identity, timings).await?;
        Ok(Box::new(store))
    }

    fn timings(&self) -> Timings {
        TIMINGS
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keeps_all_promises() {
    show_logs();
    let Some(server) = Server::single().await else {
        return;
    };
    let result = conformance::run(&OnZooKeeper(server.address.clone())).await;
    print!("{}", conformance::lines("zookeeper", &result));
    assert_eq!(result, Ok(()));
}
