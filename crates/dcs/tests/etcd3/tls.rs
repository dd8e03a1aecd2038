//! The same over TLS with certificates on both sides.

use std::path::Path;

use patroni_core::MemberName;
use patroni_dcs::etcd3::{Etcd3, Options};
use patroni_dcs::{Identity, Store};

use crate::server::Etcd;
use crate::shared::{TIMINGS, eventually, show_logs};
use patroni_tests::authority::Authority;

fn argument(name: &str, path: &Path) -> String {
    format!("--{name}={}", path.display())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_are_shown_and_verified() {
    show_logs();
    let authority = Authority::new().unwrap();
    authority.issue("server").unwrap();
    authority.issue("client").unwrap();
    let Some(etcd) = Etcd::secure(&[
        argument("cert-file", &authority.path("server.crt")),
        argument("key-file", &authority.path("server.key")),
        argument("trusted-ca-file", &authority.path("ca.pem")),
        "--client-cert-auth".to_owned(),
    ]) else {
        return;
    };
    let identity = Identity {
        base_path: "/service/demo".to_owned(),
        group: None,
        member: Some(MemberName::new("a")),
    };
    let connect =
        |options: &Options| Box::pin(Etcd3::connect(options.clone(), identity.clone(), TIMINGS));
    let mut options = Options::new([etcd.url.as_str()]);
    options.cacert = Some(authority.path("ca.pem"));
    options.cert = Some(authority.path("client.crt"));
    options.key = Some(authority.path("client.key"));
    let store = eventually("etcd to serve", || async { connect(&options).await.ok() }).await;
    store.acquire_leader().await.unwrap();
    eventually("the lock", || async { store.load().await.ok()?.leader }).await;

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
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_its_own_authority_is_believed_when_it_was_named() {
    show_logs();
    let authority = Authority::new().unwrap();
    authority.self_signed("server").unwrap();
    authority.self_signed("other").unwrap();
    let Some(etcd) = Etcd::secure(&[
        argument("cert-file", &authority.path("server.crt")),
        argument("key-file", &authority.path("server.key")),
    ]) else {
        return;
    };
    let identity = Identity {
        base_path: "/service/demo".to_owned(),
        group: None,
        member: Some(MemberName::new("a")),
    };
    let connect =
        |options: &Options| Box::pin(Etcd3::connect(options.clone(), identity.clone(), TIMINGS));
    let mut options = Options::new([etcd.url.as_str()]);
    options.cacert = Some(authority.path("server.crt"));
    let store = eventually("etcd to serve", || async { connect(&options).await.ok() }).await;
    store.acquire_leader().await.unwrap();
    options.cacert = Some(authority.path("other.crt"));
    assert!(connect(&options).await.is_err(), "another was named");
}
