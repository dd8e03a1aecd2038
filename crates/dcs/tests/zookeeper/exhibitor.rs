//! ZooKeeper found through Exhibitor: a stand-in for it in front of real servers.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use patroni_dcs::conformance::{self, Factory};
use patroni_dcs::exhibitor::{self, Options};
use patroni_dcs::{Identity, Store, StoreError, StoreErrorKind, Timings};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::support::{Server, TIMINGS, eventually, identity, lock_of, show_logs};

/// Says over HTTP what it was told to say, as an Exhibitor does. Ends with the value.
struct StandIn {
    port: u16,
    body: Arc<Mutex<String>>,
    _tasks: JoinSet<()>,
}

impl StandIn {
    async fn naming(server: &Server) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let body = Arc::new(Mutex::new(list(server)));
        let mut tasks = JoinSet::new();
        tasks.spawn({
            let body = body.clone();
            async move {
                while let Ok((mut stream, _)) = listener.accept().await {
                    let mut request = [0; 4096];
                    let read = stream.read(&mut request).await.unwrap_or(0);
                    let asks = b"GET /exhibitor/v1/cluster/list HTTP/1.1\r\n";
                    let body = if request[..read].starts_with(asks) {
                        body.lock().unwrap().clone()
                    } else {
                        "not here".to_owned()
                    };
                    // The status is nothing to go by.
                    let answer = format!(
                        "HTTP/1.1 500 Fine\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                        body.len()
                    );
                    drop(stream.write_all(answer.as_bytes()).await);
                }
            }
        });
        Self {
            port,
            body,
            _tasks: tasks,
        }
    }

    fn say(&self, body: String) {
        *self.body.lock().unwrap() = body;
    }

    fn options(&self) -> Options {
        let mut options = Options::new(["127.0.0.1"], self.port);
        options.poll_interval = Duration::from_millis(200);
        options
    }
}

fn list(server: &Server) -> String {
    let (host, port) = server.address.split_once(':').unwrap();
    format!("{{\"servers\": [\"{host}\"], \"port\": {port}}}")
}

struct ThroughExhibitor(Options);

#[async_trait]
impl Factory for ThroughExhibitor {
    async fn open(
        &self,
        identity: Identity,
        timings: Timings,
    ) -> Result<Box<dyn Store>, StoreError> {
        let store = exhibitor::connect(self.0.clone(), identity, timings).await?;
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
    let stand_in = StandIn::naming(&server).await;
    let result = conformance::run(&ThroughExhibitor(stand_in.options())).await;
    print!("{}", conformance::lines("exhibitor", &result));
    assert_eq!(result, Ok(()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_ensemble_is_used_as_soon_as_it_is_named() {
    show_logs();
    let (Some(first), Some(second)) = (Server::single().await, Server::single().await) else {
        return;
    };
    let stand_in = StandIn::naming(&first).await;
    let store = exhibitor::connect(stand_in.options(), identity(Some("a")), TIMINGS)
        .await
        .unwrap();
    assert_eq!(store.kind(), "exhibitor");
    store.acquire_leader().await.unwrap();
    lock_of(&store, "a").await;

    stand_in.say("<html>".to_owned());
    store.load().await.expect("nonsense changes nothing");
    let there = second.store(Some("b")).await.unwrap();
    there.acquire_leader().await.unwrap();
    stand_in.say(list(&second));
    lock_of(&store, "b").await;

    stand_in.say("{\"servers\": [], \"port\": 1}".to_owned());
    let refused = exhibitor::connect(stand_in.options(), identity(None), TIMINGS).await;
    let Err(error) = refused else {
        panic!("no server was named");
    };
    assert!(matches!(error.kind, StoreErrorKind::Unreachable(_)));
    eventually("the ensemble to stay in use", || async {
        store.load().await.ok()
    })
    .await;
}
