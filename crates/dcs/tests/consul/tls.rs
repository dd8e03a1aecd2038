//! The same over TLS with certificates on both sides.

use patroni_dcs::Store;
use patroni_dcs::consul::Options;
use patroni_tests::ports;
use serde_json::json;

use crate::shared::{eventually, lock_of, show_logs};
use crate::support::{Agent, open};
use patroni_tests::authority::Authority;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_are_shown_and_verified() {
    show_logs();
    let authority = Authority::new().unwrap();
    authority.issue("server").unwrap();
    authority.issue("client").unwrap();
    let port = ports::free();
    let Some(_agent) = Agent::start_with(json!({
        "session_ttl_min": "500ms",
        "ports": {"http": -1, "https": port},
        "ca_file": authority.path("ca.pem"),
        "cert_file": authority.path("server.crt"),
        "key_file": authority.path("server.key"),
        "verify_incoming_https": true,
    })) else {
        return;
    };
    let connect = |options: &Options| Box::pin(open(options.clone(), Some("a")));
    let mut options = Options::new(format!("https://127.0.0.1:{port}"));
    options.cacert = Some(authority.path("ca.pem"));
    options.cert = Some(authority.path("client.crt"));
    options.key = Some(authority.path("client.key"));
    let store = eventually("Consul to serve", || async { connect(&options).await.ok() }).await;
    store.acquire_leader().await.unwrap();
    lock_of(&store, "a").await;

    options.key = None;
    options.cert = Some(authority.path("client.both"));
    connect(&options).await.expect("one file may hold both");
    options.cert = None;
    assert!(connect(&options).await.is_err(), "no client certificate");
    options.cert = Some(authority.path("client.both"));
    options.cacert = None;
    assert!(
        connect(&options).await.is_err(),
        "an authority nobody knows"
    );
    options.verify = false;
    connect(&options).await.expect("verification is off");
    options.verify = true;
    options.cacert = Some(authority.path("absent.pem"));
    let error = connect(&options).await.err().unwrap();
    assert!(error.to_string().contains("absent.pem"), "{error}");
}
