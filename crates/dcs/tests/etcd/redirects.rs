//! Something between us and the node sends us on.

use patroni_core::Secret;
use patroni_dcs::etcd::Options;
use patroni_dcs::{Store, StoreError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::access::demand_users;
use crate::server::Etcd;
use crate::shared::{lock_of, show_logs};
use crate::support::open;

/// Sends every request on to the same path of another server.
struct Signpost {
    url: String,
    _task: JoinSet<()>,
}

impl Signpost {
    async fn to(target: &str, status: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let target = target.to_owned();
        let mut task = JoinSet::new();
        task.spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut bytes = vec![0; 1 << 16];
                let count = stream.read(&mut bytes).await.unwrap_or(0);
                let request = String::from_utf8_lossy(&bytes[..count]);
                let path = request.split(' ').nth(1).unwrap_or("/");
                let answer = format!(
                    "HTTP/1.1 {status} Elsewhere\r\nLocation: {target}{path}\r\n\
                     Content-Length: 0\r\nConnection: close\r\n\r\n"
                );
                drop(stream.write_all(answer.as_bytes()).await);
            }
        });
        Self { url, _task: task }
    }
}

async fn open_as_root(url: &str) -> Result<impl Store, StoreError> {
    let mut options = Options::new([url]);
    options.use_proxies = true;
    options.username = Some("root".to_owned());
    options.password = Some(Secret::new("secret"));
    open(options, Some("a")).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn credentials_and_writes_follow_to_the_same_host() {
    show_logs();
    let Some(etcd) = Etcd::single().await else {
        return;
    };
    demand_users(&etcd);
    for status in [301, 302, 307, 308] {
        let signpost = Signpost::to(&etcd.url, status).await;
        let store = open_as_root(&signpost.url).await.unwrap();
        store.acquire_leader().await.unwrap();
        let lock = lock_of(&store, "a").await;
        store.delete_leader(Some(&lock)).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn credentials_do_not_follow_to_strangers() {
    show_logs();
    let Some(etcd) = Etcd::single().await else {
        return;
    };
    demand_users(&etcd);
    let stranger = etcd.url.replace("127.0.0.1", "localhost");
    let signpost = Signpost::to(&stranger, 307).await;
    assert!(open_as_root(&signpost.url).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_circle_of_redirects_ends() {
    show_logs();
    let port = patroni_tests::ports::free();
    let ahead = Signpost::to(&format!("http://127.0.0.1:{port}"), 302).await;
    let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    let mut back = JoinSet::new();
    let target = ahead.url.clone();
    back.spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            drop(stream.read(&mut [0; 4096]).await);
            let answer = format!(
                "HTTP/1.1 302 Found\r\nLocation: {target}/\r\nContent-Length: 0\r\n\
                 Connection: close\r\n\r\n"
            );
            drop(stream.write_all(answer.as_bytes()).await);
        }
    });
    let error = open_as_root(&ahead.url).await.err().unwrap();
    assert!(error.to_string().contains("redirect"), "{error}");
}
