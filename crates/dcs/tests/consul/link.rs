//! A connection that loses an answer at the worst moment: the request has arrived.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use patroni_core::{MemberName, SyncState};
use patroni_dcs::Store;
use patroni_dcs::consul::Options;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::shared::{lock_of, show_logs};
use crate::support::{Agent, open};

/// What is between the store and the agent.
struct Link {
    url: String,
    lose_next: Arc<AtomicBool>,
    _tasks: JoinSet<()>,
}

impl Link {
    /// Loses answers to requests that begin with `only`.
    async fn to(agent: &Agent, only: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let target = agent.url.trim_start_matches("http://").to_owned();
        let lose_next = Arc::new(AtomicBool::new(false));
        let mut tasks = JoinSet::new();
        let lose = Arc::clone(&lose_next);
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (from, _) = listener.accept().await.unwrap();
                let to = TcpStream::connect(&target).await.unwrap();
                connections.spawn(carry(from, to, only, Arc::clone(&lose)));
            }
        });
        Self {
            url,
            lose_next,
            _tasks: tasks,
        }
    }

    fn lose_next_answer(&self) {
        self.lose_next.store(true, Ordering::SeqCst);
    }

    fn has_lost(&self) -> bool {
        !self.lose_next.load(Ordering::SeqCst)
    }
}

async fn carry(mut from: TcpStream, mut to: TcpStream, only: &str, lose: Arc<AtomicBool>) {
    let (mut up, mut down) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    let mut matches = false;
    loop {
        tokio::select! {
            read = from.read(&mut up) => match read {
                Ok(count) if count > 0 => {
                    matches = up[..count].starts_with(only.as_bytes());
                    to.write_all(&up[..count]).await.unwrap();
                }
                Ok(_) | Err(_) => return,
            },
            read = to.read(&mut down) => match read {
                Ok(count) if count > 0 => {
                    if matches && lose.swap(false, Ordering::SeqCst) {
                        return;
                    }
                    if from.write_all(&down[..count]).await.is_err() {
                        return;
                    }
                }
                Ok(_) | Err(_) => return,
            },
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lock_whose_answer_was_lost_is_held() {
    show_logs();
    let Some(agent) = Agent::start().await else {
        return;
    };
    let acquire = Link::to(&agent, "PUT /v1/kv/service/demo/leader").await;
    let store = open(Options::new(acquire.url.as_str()), Some("a"))
        .await
        .unwrap();
    acquire.lose_next_answer();
    store.acquire_leader().await.unwrap();
    assert!(acquire.has_lost());
    let lock = lock_of(&store, "a").await;

    let txn = Link::to(&agent, "PUT /v1/txn").await;
    let restarted = open(Options::new(txn.url.as_str()), Some("a"))
        .await
        .unwrap();
    txn.lose_next_answer();
    restarted
        .update_leader(&lock)
        .await
        .expect("the lock of its earlier life is taken over");
    assert!(txn.has_lost());
    let renewed = lock_of(&restarted, "a").await;
    assert_ne!(renewed.session, lock.session);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sync_whose_answer_was_lost_has_its_revision() {
    show_logs();
    let Some(agent) = Agent::start().await else {
        return;
    };
    let link = Link::to(&agent, "PUT /v1/txn").await;
    let store = open(Options::new(link.url.as_str()), Some("a"))
        .await
        .unwrap();
    let state = |quorum| {
        let standbys = [MemberName::new("b")].into();
        SyncState::new(Some(MemberName::new("a")), quorum, standbys)
    };
    let first = store.write_sync(&state(0), None).await.unwrap();
    link.lose_next_answer();
    let second = store.write_sync(&state(1), Some(&first)).await.unwrap();
    assert!(link.has_lost());
    let cluster = store.load().await.unwrap();
    assert_eq!(cluster.sync.revision, Some(second));
}
