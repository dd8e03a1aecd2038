//! How changes reach a member.

use std::net::TcpListener as Listener;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use patroni_core::MemberData;
use patroni_dcs::Store;
use patroni_tests::tap::{Language, Tap};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::server::Etcd;
use crate::shared::{PATIENCE, eventually, lock_of, show_logs};
use crate::support::open_on;

/// Every key with a ttl is written again and again, so that a request for each change would be one
/// for each write of each member, by each member.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_request_brings_all_changes() {
    show_logs();
    let Some(etcd) = Etcd::single().await else {
        return;
    };
    let listener = Listener::bind("127.0.0.1:0").unwrap();
    let port = etcd.url.rsplit(':').next().unwrap().parse().unwrap();
    let tap = Tap::start(listener, port, Language::Http).unwrap();
    let url = format!("http://127.0.0.1:{}", tap.port);
    let follower = open_on([url.as_str()], Some("a")).await.unwrap();
    let other = etcd.store(Some("b")).await.unwrap();
    let waits = || tap.requests().get("GET /v2/keys that waits").copied();
    eventually("a request that waits", || async { waits() }).await;

    let data = MemberData::parse("{\"state\":\"running\"}");
    for _ in 0..20 {
        other.touch_member(&data, None).await.unwrap();
    }
    other.acquire_leader().await.unwrap();
    assert!(follower.watch(None, PATIENCE).await);
    // One more where a change came between the list and the request.
    assert!(waits() <= Some(2), "{:?}", tap.requests());
}

/// A proxy between the follower and the server that hands on no answer before it is complete.
struct Hoarder {
    url: String,
    polls: Arc<AtomicU64>,
    _tasks: JoinSet<()>,
}

impl Hoarder {
    async fn before(server: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let target = server.trim_start_matches("http://").to_owned();
        let polls = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&polls);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (from, _) = listener.accept().await.unwrap();
                let to = TcpStream::connect(&target).await.unwrap();
                connections.spawn(carry(from, to, Arc::clone(&counted)));
            }
        });
        Self {
            url,
            polls,
            _tasks: tasks,
        }
    }
}

async fn carry(mut from: TcpStream, mut to: TcpStream, polls: Arc<AtomicU64>) {
    let (mut answers, mut requests) = to.split();
    let (mut asked, mut answered) = from.split();
    let ask = async {
        let mut request = vec![0; 1 << 16];
        while let Ok(count @ 1..) = asked.read(&mut request).await {
            let text = String::from_utf8_lossy(&request[..count]);
            if text.contains("stream=true") {
                continue; // its answer is never complete
            }
            if text.contains("wait=true") {
                polls.fetch_add(1, Ordering::SeqCst);
            }
            requests.write_all(&request[..count]).await.unwrap();
        }
    };
    tokio::select! {
        () = ask => {}
        _ = copy(&mut answers, &mut answered) => {}
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_a_stream_is_held_back_each_change_is_asked_for() {
    show_logs();
    let Some(etcd) = Etcd::single().await else {
        return;
    };
    let hoarder = Hoarder::before(&etcd.url).await;
    let follower = open_on([hoarder.url.as_str()], Some("a")).await.unwrap();
    let other = etcd.store(Some("b")).await.unwrap();
    let data = MemberData::parse("{\"state\":\"running\"}");
    eventually("a request for one change", || async {
        other.touch_member(&data, None).await.unwrap();
        (hoarder.polls.load(Ordering::SeqCst) > 2).then_some(())
    })
    .await;
    other.acquire_leader().await.unwrap();
    assert!(follower.watch(None, PATIENCE).await);
    lock_of(&follower, "b").await;
}
