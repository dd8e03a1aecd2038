//! The in-memory store keeps all promises.

use std::time::Duration;

use async_trait::async_trait;
use patroni_dcs::conformance::{self, Factory};
use patroni_dcs::memory::Server;
use patroni_dcs::{Identity, Store, StoreError, Timings};

struct InMemory(Server);

#[async_trait]
impl Factory for InMemory {
    async fn open(
        &self,
        identity: Identity,
        timings: Timings,
    ) -> Result<Box<dyn Store>, StoreError> {
        Ok(Box::new(self.0.store(&identity, timings)))
    }

    fn timings(&self) -> Timings {
        Timings {
            ttl: Duration::from_secs(1),
            loop_wait: Duration::from_millis(300),
            retry_timeout: Duration::from_secs(2),
        }
    }

    fn slack(&self) -> Duration {
        Duration::from_secs(1)
    }
}

#[tokio::test]
async fn keeps_all_promises() {
    let result = conformance::run(&InMemory(Server::new())).await;
    print!("{}", conformance::lines("memory", &result));
    assert_eq!(result, Ok(()));
}
