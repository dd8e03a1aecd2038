//! Something that is no Consul, or one in trouble, answers at the agent's address.

use patroni_core::{Leader, MemberName, Revision};
use patroni_dcs::consul::Options;
use patroni_dcs::{Store, StoreError, StoreErrorKind};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::shared::show_logs;
use crate::support::open;

/// A server that gives every request the same answer.
struct Parrot {
    url: String,
    _task: JoinSet<()>,
}

impl Parrot {
    async fn new(status: &str, headers: &str, body: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let length = body.len();
        let answer = format!(
            "HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\n\
             Connection: close\r\n\r\n{body}"
        );
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let answer = answer.clone();
                connections.spawn(async move {
                    drop(stream.read(&mut [0; 4096]).await);
                    drop(stream.write_all(answer.as_bytes()).await);
                    drop(stream.shutdown().await);
                });
            }
        });
        Self { url, _task: task }
    }

    async fn load(&self) -> Result<(), StoreErrorKind> {
        let store = open(Options::new(self.url.as_str()), None).await.unwrap();
        let loaded = store.load().await;
        loaded.map(|_| ()).map_err(|error| error.kind)
    }
}

fn is_nonsense(result: &Result<(), StoreErrorKind>) -> bool {
    matches!(result, Err(StoreErrorKind::Nonsense(_)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_bad_answer_is_an_error_of_its_kind() {
    show_logs();
    let pair = |value: &str| {
        format!(r#"[{{"Key":"service/demo/leader","Value":"{value}","ModifyIndex":1}}]"#)
    };
    for body in [
        "<html>welcome</html>",
        "",
        "{}",
        "[{}]",
        "[1]",
        &pair("not base64")[..],
    ] {
        let parrot = Parrot::new("200 OK", "", body).await;
        let loaded = parrot.load().await;
        assert!(is_nonsense(&loaded), "{body}: {loaded:?}");
    }
    // The 404 of a stranger is no empty store.
    let stranger = Parrot::new("404 Not Found", "", "no such page").await;
    assert!(is_nonsense(&stranger.load().await));
    let empty = Parrot::new("404 Not Found", "X-Consul-Index: 1\r\n", "").await;
    assert_eq!(empty.load().await, Ok(()));
    let good = Parrot::new("200 OK", "", &pair("YQ==")).await;
    assert_eq!(good.load().await, Ok(()));

    let denied = Parrot::new("403 Forbidden", "", "Permission denied").await;
    let expected = StoreErrorKind::Denied("HTTP 403: Permission denied".to_owned());
    assert_eq!(denied.load().await, Err(expected));
    let elsewhere = Parrot::new("302 Found", "Location: http://127.0.0.1:1/\r\n", "").await;
    assert!(matches!(
        elsewhere.load().await,
        Err(StoreErrorKind::Unreachable(_))
    ));
    let leaderless = Parrot::new("500 Internal Server Error", "", "No cluster leader").await;
    let expected = "HTTP 500: No cluster leader".to_owned();
    assert_eq!(
        leaderless.load().await,
        Err(StoreErrorKind::Unreachable(expected))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_control_tool_holds_no_lock() {
    show_logs();
    let parrot = Parrot::new("200 OK", "", "true").await;
    let store = open(Options::new(parrot.url.as_str()), None).await.unwrap();
    let lock = Leader {
        name: MemberName::new("a"),
        revision: Revision::new(1),
        session: None,
    };
    let denied = |result: Result<(), StoreError>| {
        matches!(result.unwrap_err().kind, StoreErrorKind::Denied(_))
    };
    assert!(denied(store.acquire_leader().await));
    assert!(denied(store.update_leader(&lock).await));
}
