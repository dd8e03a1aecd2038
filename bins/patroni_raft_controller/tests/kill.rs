//! Real processes, real SIGKILL: what was acknowledged is never lost.
#![expect(clippy::unwrap_used, reason = "a failure here is a failed test")]

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use patroni_core::{Scope, Secret};
use patroni_dcs::raft::{Options, RaftClient, RaftStore};
use patroni_dcs::{Identity, Store, Timings};
use serde_json::{Map, Value};

struct Member {
    address: String,
    partners: String,
    directory: std::path::PathBuf,
    child: Option<Child>,
}

impl Member {
    fn start(&mut self) {
        let child = Command::new(env!("CARGO_BIN_EXE_patroni_raft_controller"))
            .env("PATRONI_RAFT_SELF_ADDR", &self.address)
            .env("PATRONI_RAFT_PARTNER_ADDRS", &self.partners)
            .env("PATRONI_RAFT_DATA_DIR", &self.directory)
            .env("PATRONI_RAFT_PASSWORD", "geheim")
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        self.child = Some(child);
    }

    fn kill(&mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap(); // SIGKILL
        child.wait().unwrap();
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        if self.child.is_some() {
            self.kill();
        }
    }
}

fn members(root: &Path) -> Vec<Member> {
    let addresses: Vec<String> = (0..3)
        .map(|_| format!("127.0.0.1:{}", patroni_tests::ports::free()))
        .collect();
    addresses
        .iter()
        .map(|address| Member {
            address: address.clone(),
            partners: addresses
                .iter()
                .filter(|other| *other != address)
                .cloned()
                .collect::<Vec<_>>()
                .join(","),
            directory: root.join(address.replace(':', "_")),
            child: None,
        })
        .collect()
}

async fn observer(members: &[Member]) -> RaftStore {
    let options = Options {
        partner_addrs: members.iter().map(|m| m.address.clone()).collect(),
        password: Some(Secret::new("geheim")),
        ..Options::default()
    };
    let timings = Timings {
        ttl: Duration::from_secs(30),
        loop_wait: Duration::from_secs(10),
        retry_timeout: Duration::from_secs(20),
    };
    let identity = Identity::new("service", &Scope::new("demo"), None);
    RaftClient::connect(options, identity, timings)
        .await
        .unwrap()
}

async fn write(store: &RaftStore, count: u64) {
    let mut config = Map::new();
    config.insert("count".to_owned(), count.into());
    store.write_config(&config, None).await.unwrap();
}

async fn read(store: &RaftStore) -> u64 {
    let config = store.load().await.unwrap().config.unwrap();
    config.data.get("count").and_then(Value::as_u64).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_writes_survive_sigkill_of_one_and_of_all() {
    let root = tempfile::tempdir().unwrap();
    let mut members = members(root.path());
    members.iter_mut().for_each(Member::start);
    let store = observer(&members).await;
    let mut count = 0;
    let began = Instant::now();
    for round in 0..4 {
        for _ in 0..20 {
            count += 1;
            write(&store, count).await;
        }
        members[round % 3].kill();
        count += 1;
        write(&store, count).await;
        assert_eq!(read(&store).await, count, "one dead");
        members[round % 3].start();
        for _ in 0..5 {
            count += 1;
            write(&store, count).await;
        }
        members.iter_mut().for_each(Member::kill);
        members.iter_mut().for_each(Member::start);
        assert_eq!(read(&store).await, count, "all dead at once");
    }
    assert!(began.elapsed() < Duration::from_mins(1));
}

#[test]
fn without_an_address_it_fails_at_once() {
    let status = Command::new(env!("CARGO_BIN_EXE_patroni_raft_controller"))
        .env_remove("PATRONI_RAFT_SELF_ADDR")
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(1));
}
