//! Three members in this process keep all promises, and so do observers that ask them.
#![cfg(feature = "raft")]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;
use patroni_core::Secret;
use patroni_dcs::conformance::{self, Factory};
use patroni_dcs::raft::{Node, Options, RaftClient, RaftStore, Tuning};
use patroni_dcs::{Identity, Store, StoreError, Timings};
use patroni_tests::ports;
use tempfile::TempDir;

struct Members {
    nodes: Vec<Node>,
    addresses: Vec<String>,
    next: AtomicUsize,
    _directory: TempDir,
}

fn password() -> Secret {
    Secret::new("conformance")
}

impl Members {
    async fn start() -> Self {
        let directory = TempDir::new().expect("a directory");
        let addresses: Vec<String> = (0..3)
            .map(|_| format!("127.0.0.1:{}", ports::free()))
            .collect();
        let mut nodes = Vec::new();
        for own in &addresses {
            let options = Options {
                self_addr: Some(own.clone()),
                partner_addrs: addresses.iter().filter(|a| *a != own).cloned().collect(),
                data_dir: directory.path().join(own),
                password: Some(password()),
                ..Options::default()
            };
            let started = Node::start(&options, Tuning::default()).await;
            nodes.push(started.expect("a member"));
        }
        let ready = nodes.iter().map(|node| node.ready(Duration::from_secs(30)));
        assert!(join_all(ready).await.into_iter().all(|ready| ready));
        Self {
            nodes,
            addresses,
            next: AtomicUsize::new(0),
            _directory: directory,
        }
    }

    async fn observer(
        &self,
        identity: Identity,
        timings: Timings,
    ) -> Result<RaftStore, StoreError> {
        let options = Options {
            partner_addrs: self.addresses.clone(),
            password: Some(password()),
            ..Options::default()
        };
        RaftClient::connect(options, identity, timings).await
    }
}

/// Who has a name is a member, one after the other; the control tool is an observer.
struct Through(Members);

/// Everybody is an observer.
struct Beside(Members);

const TIMINGS: Timings = Timings {
    ttl: Duration::from_secs(4),
    loop_wait: Duration::from_millis(500),
    retry_timeout: Duration::from_secs(5),
};

#[async_trait]
impl Factory for Through {
    async fn open(
        &self,
        identity: Identity,
        timings: Timings,
    ) -> Result<Box<dyn Store>, StoreError> {
        if identity.member.is_none() {
            return Ok(Box::new(self.0.observer(identity, timings).await?));
        }
        let place = self.0.next.fetch_add(1, Ordering::Relaxed) % self.0.nodes.len();
        let node = &self.0.nodes[place];
        Ok(Box::new(RaftStore::beside(node, identity, timings)))
    }

    fn timings(&self) -> Timings {
        TIMINGS
    }
}

#[async_trait]
impl Factory for Beside {
    async fn open(
        &self,
        identity: Identity,
        timings: Timings,
    ) -> Result<Box<dyn Store>, StoreError> {
        Ok(Box::new(self.0.observer(identity, timings).await?))
    }

    fn timings(&self) -> Timings {
        TIMINGS
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn members_keep_all_promises() {
    let through = Through(Members::start().await);
    let result = conformance::run(&through).await;
    print!("{}", conformance::lines("raft", &result));
    assert_eq!(result, Ok(()));
}

#[tokio::test(flavor = "multi_thread")]
async fn observers_keep_all_promises() {
    let beside = Beside(Members::start().await);
    let result = conformance::run(&beside).await;
    print!("{}", conformance::lines("raft-observer", &result));
    assert_eq!(result, Ok(()));
}
