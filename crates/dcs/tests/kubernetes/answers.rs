//! Answers that no API server should give, from a stand-in that gives them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use patroni_dcs::kubernetes::Kubernetes;
use patroni_dcs::{Store, StoreError, StoreErrorKind};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::faults::{is_unreachable, within_budget};
use super::support::{BRIEF, identity, install_tls, options, show_logs};

const EMPTY: &str = r#"{"metadata":{"resourceVersion":"7"},"items":[]}"#;

/// Gives one answer to every request, but another one to the first so many.
struct StandIn {
    asked: Arc<AtomicUsize>,
    folder: TempDir,
    _task: JoinSet<()>,
}

impl StandIn {
    async fn start(first: usize, other: String, answer: String) -> Self {
        install_tls();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                let (count, other, answer) = (count.clone(), other.clone(), answer.clone());
                connections.spawn(async move {
                    let mut request = [0; 4096];
                    // Clients may connect and then think better of it.
                    if stream.read(&mut request).await.is_ok_and(|read| read > 0) {
                        let nth = count.fetch_add(1, Ordering::Relaxed);
                        let answer = if nth < first { other } else { answer };
                        drop(stream.write_all(answer.as_bytes()).await);
                    }
                });
            }
        });
        let folder = TempDir::new().unwrap();
        let kubeconfig = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: c\n\
             clusters: [{{name: c, cluster: {{server: \"http://127.0.0.1:{port}\"}}}}]\n\
             users: [{{name: u, user: {{token: hidden}}}}]\n\
             contexts: [{{name: c, context: {{cluster: c, user: u}}}}]\n"
        );
        std::fs::write(folder.path().join("config"), kubeconfig).unwrap();
        Self {
            asked,
            folder,
            _task: task,
        }
    }

    async fn load(&self) -> Result<patroni_core::Cluster, StoreError> {
        let options = options("default", &self.folder.path().join("config"));
        let control = Kubernetes::connect(options, identity(None), BRIEF).await;
        let loaded = within_budget("load", control.unwrap().load()).await;
        if let Err(error) = &loaded {
            assert!(!error.to_string().contains("hidden"), "{error}");
        }
        loaded
    }
}

fn http(status: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n{body}"
    )
}

#[tokio::test]
async fn what_is_no_answer_is_nonsense() {
    show_logs();
    for body in [
        "",
        "<html>",
        "{}",
        "[]",
        r#"{"metadata":{},"items":[{"metadata":7}]}"#,
    ] {
        let server = StandIn::start(0, String::new(), http("200 OK", "", body)).await;
        let error = server.load().await.unwrap_err();
        assert!(
            matches!(error.kind, StoreErrorKind::Nonsense(_)),
            "{body:?}: {error}"
        );
    }
    for (status, denied) in [
        ("404 Not Found", true),
        ("418 Teapot", true),
        ("302 Found", true),
    ] {
        let server = StandIn::start(0, String::new(), http(status, "", "{\"message\":7}")).await;
        let error = server.load().await.unwrap_err();
        assert_eq!(
            matches!(error.kind, StoreErrorKind::Denied(_)),
            denied,
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_server_in_trouble_is_asked_again_within_the_budget() {
    show_logs();
    let trouble = http("503 Service Unavailable", "", "");
    let server = StandIn::start(3, trouble.clone(), http("200 OK", "", EMPTY)).await;
    server.load().await.unwrap();
    assert!(server.asked.load(Ordering::Relaxed) >= 5);
    let later = http("429 Too Many Requests", "retry-after: 1\r\n", "");
    let server = StandIn::start(1, later, http("200 OK", "", EMPTY)).await;
    server.load().await.unwrap();

    let server = StandIn::start(0, String::new(), trouble).await;
    let loaded = server.load().await;
    assert!(is_unreachable(&loaded), "{loaded:?}");
    // Nobody waits for longer than there is time.
    let much_later = http("503 Service Unavailable", "retry-after: 3600\r\n", "");
    let server = StandIn::start(0, String::new(), much_later).await;
    assert!(is_unreachable(&server.load().await));
    // A connection that ends in the middle of an answer.
    let cut = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{".to_owned();
    let server = StandIn::start(0, String::new(), cut).await;
    assert!(is_unreachable(&server.load().await));
}
