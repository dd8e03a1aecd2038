//! Users, and TLS with certificates on both sides.

use std::path::Path;

use patroni_config::file::Dcs;
use patroni_config::file::HostPort;
use patroni_config::file::dcs::Etcd as Section;
use patroni_config::file::dcs::etcd::Servers;
use patroni_core::{Leader, MemberName, Revision, Secret};
use patroni_dcs::etcd::Options;
use patroni_dcs::{Store, StoreError, StoreErrorKind};

use crate::server::Etcd;
use crate::shared::{eventually, lock_of, show_logs};
use crate::support::open;
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
    let connect = |options: &Options| open(options.clone(), Some("a"));
    let mut options = Options::new([etcd.url.as_str()]);
    options.cacert = Some(authority.path("ca.pem"));
    options.cert = Some(authority.path("client.crt"));
    options.key = Some(authority.path("client.key"));
    let store = eventually("etcd to serve", || async { connect(&options).await.ok() }).await;
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
    let connect = |options: &Options| open(options.clone(), Some("a"));
    let mut options = Options::new([etcd.url.as_str()]);
    options.cacert = Some(authority.path("server.crt"));
    let store = eventually("etcd to serve", || async { connect(&options).await.ok() }).await;
    store.acquire_leader().await.unwrap();
    options.cacert = Some(authority.path("other.crt"));
    assert!(connect(&options).await.is_err(), "another was named");
}

/// Makes the server ask everybody for user and password: `root`, `secret`.
pub(crate) fn demand_users(etcd: &Etcd) {
    let root = r#"{"user":"root","password":"secret"}"#;
    etcd.ask("PUT", "/v2/auth/users/root", root).unwrap();
    let nothing = r#"{"role":"guest","permissions":{"kv":{"read":[],"write":[]}}}"#;
    etcd.ask("PUT", "/v2/auth/roles/guest", nothing).unwrap();
    drop(etcd.ask("PUT", "/v2/auth/enable", ""));
}

fn lock_named(name: &str) -> Leader {
    Leader {
        name: MemberName::new(name),
        revision: Revision::new("1"),
        session: None,
    }
}

fn is_denied(error: &StoreError) -> bool {
    matches!(error.kind, StoreErrorKind::Denied(_))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn speaks_as_a_user_where_users_are_required() {
    show_logs();
    let Some(etcd) = Etcd::single().await else {
        return;
    };
    let mut options = Options::new([etcd.url.as_str()]);
    options.username = Some("root".to_owned());
    options.password = Some(Secret::new("secret"));
    let connect = |options: &Options| open(options.clone(), Some("a"));
    let store = connect(&options)
        .await
        .expect("no harm where none is needed");
    let nobody = etcd.store(Some("b")).await.unwrap();
    demand_users(&etcd);

    store.acquire_leader().await.unwrap();
    let lock = lock_of(&store, "a").await;
    store.update_leader(&lock).await.unwrap();
    let refused = nobody.load().await.err().unwrap();
    assert!(is_denied(&refused), "{refused}");
    // Such a member follows: that it may not write is no trouble of the store.
    let refused = nobody.acquire_leader().await.err().unwrap();
    assert!(refused.is_lost_race(), "{refused}");
    let refused = nobody.update_leader(&lock_named("b")).await.err().unwrap();
    assert!(is_denied(&refused), "{refused}");

    // Who may do what can change, so the start waits.
    options.password = Some(Secret::new("wrong"));
    let refused = connect(&options).await.err().unwrap();
    assert!(!refused.is_final(), "{refused}");

    let section = Section {
        servers: Some(Servers::Host(HostPort {
            host: "127.0.0.1".to_owned(),
            port: 1,
        })),
        username: Some("root".to_owned()),
        password: Some(Secret::new("secret")),
        ..Section::default()
    };
    nobody.reconfigure(&Dcs::Etcd(section));
    nobody.load().await.expect("a reload brings credentials");
}
