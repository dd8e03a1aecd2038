//! Credentials and rights.

use std::time::Duration;

use patroni_core::{MemberData, Secret};
use patroni_dcs::zookeeper::{Acl, Options, Permission, ZooKeeper};
use patroni_dcs::{Store, StoreError, StoreErrorKind, Timings};
use tempfile::TempDir;

use crate::support::{Extras, Server, TIMINGS, eventually, identity, lock_of, show_logs};

/// `patroni:` and the digest of `patroni:secret`, as ZooKeeper's digest scheme stores it.
const PATRONI: &str = "patroni:4cNoC5zQisxSHJqxXp3EJs5oyRI=";

fn is_denied<T>(result: &Result<T, StoreError>) -> bool {
    matches!(result, Err(error) if matches!(error.kind, StoreErrorKind::Denied(_)))
}

fn options(server: &Server, scheme: &str, credential: &str) -> Options {
    let mut options = Options::new([server.address.as_str()]);
    let credential = Secret::new(credential);
    options
        .access
        .auth_data
        .insert(scheme.to_owned(), credential);
    options
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn created_nodes_carry_the_configured_rights() {
    show_logs();
    let Some(server) = Server::single().await else {
        return;
    };
    let mut options = options(&server, "digest", "patroni:secret");
    let acl = |scheme: &str, id: &str, permission| Acl {
        scheme: scheme.to_owned(),
        id: id.to_owned(),
        permissions: vec![permission],
    };
    options.access.set_acls = vec![
        acl("digest", PATRONI, Permission::All),
        acl("world", "anyone", Permission::Read),
    ];
    options.chroot = Some("/pg".to_owned());
    let store = ZooKeeper::connect(options.clone(), identity(Some("a")), TIMINGS)
        .await
        .unwrap();
    store.acquire_leader().await.unwrap();
    let data = MemberData::parse("{\"state\":\"running\"}");
    store.touch_member(&data, None).await.unwrap();
    let lock = lock_of(&store, "a").await;
    store.update_leader(&lock).await.unwrap();

    // Who may not administer a node is not shown digests.
    let admin = server.admin().await.unwrap();
    for path in ["/pg", "/pg/service", "/pg/service/demo/leader"] {
        let (acls, _) = admin.get_acl(path).await.unwrap();
        let all: Vec<_> = acls
            .iter()
            .map(|acl| (acl.scheme(), acl.id(), acl.permission().to_string()))
            .collect();
        assert_eq!(
            all,
            [
                ("digest", "patroni:x", "ALL".to_owned()),
                ("world", "anyone", "READ".to_owned())
            ],
            "{path}"
        );
    }

    // Others may look, and no more.
    options.access.auth_data.clear();
    let stranger = ZooKeeper::connect(options, identity(Some("b")), TIMINGS)
        .await
        .unwrap();
    lock_of(&stranger, "a").await;
    let touched = stranger.touch_member(&data, None).await;
    assert!(is_denied(&touched), "{touched:?}");
    store.delete_leader(Some(&lock)).await.unwrap();
    // A member without rights follows: that is no trouble of the store.
    let acquired = stranger.acquire_leader().await;
    assert!(
        acquired.as_ref().is_err_and(StoreError::is_lost_race),
        "{acquired:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn speaks_as_a_user_where_users_are_required() {
    show_logs();
    let folder = TempDir::new().unwrap();
    let jaas = folder.path().join("jaas.conf");
    let module = "org.apache.zookeeper.server.auth.DigestLoginModule";
    let users = format!("Server {{ {module} required user_patroni=\"secret\"; }};");
    std::fs::write(&jaas, users).unwrap();
    let extras = Extras {
        settings: vec![
            "authProvider.1=org.apache.zookeeper.server.auth.SASLAuthenticationProvider".to_owned(),
            "sessionRequireClientSASLAuth=true".to_owned(),
        ],
        properties: vec![format!(
            "-Djava.security.auth.login.config={}",
            jaas.display()
        )],
        ..Extras::default()
    };
    let Some(server) = Server::with(&extras) else {
        return;
    };
    let connect = |options: Options| ZooKeeper::connect(options, identity(Some("a")), TIMINGS);
    let right = options(&server, "sasl", "patroni:secret");
    let store = eventually("ZooKeeper to serve", || async {
        connect(right.clone()).await.ok()
    })
    .await;
    store.acquire_leader().await.unwrap();
    lock_of(&store, "a").await;

    let nobody = connect(Options::new([server.address.as_str()])).await;
    assert!(is_denied(&nobody.map(drop)));
    let wrong = connect(options(&server, "sasl", "patroni:wrong")).await;
    assert!(wrong.is_err());
    let unreadable = connect(options(&server, "sasl", "patroni")).await;
    assert!(is_denied(&unreadable.map(drop)));
}

fn short_sessions(longest_ms: &str) -> Extras {
    Extras {
        settings: vec![format!("maxSessionTimeout={longest_ms}")],
        ..Extras::default()
    }
}

/// A lock that ends before its holder counts on it would let two members lead. Such a member
/// still reads, so that a ttl that was lowered meanwhile reaches it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_shorter_than_the_ttl_hold_no_lock() {
    show_logs();
    let Some(server) = Server::with(&short_sessions("3000")) else {
        return;
    };
    eventually("ZooKeeper to serve", || async {
        server.store(None).await.ok()
    })
    .await;
    let store = server.store(Some("a")).await.unwrap();
    store.load().await.unwrap();
    assert!(store.acquire_leader().await.is_err());
    let refused = store.take_leader().await;
    assert!(is_denied(&refused), "{refused:?}");
    let text = refused.unwrap_err().to_string();
    assert!(text.contains("3s") && text.contains("6s"), "{text}");

    store.set_timings(Timings {
        ttl: Duration::from_secs(3),
        ..TIMINGS
    });
    store.acquire_leader().await.unwrap();
    lock_of(&store, "a").await;
}

/// The ttl before stays in force, and with it the session and the lock.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ttl_that_cannot_be_had_changes_nothing() {
    show_logs();
    let Some(server) = Server::with(&short_sessions("8000")) else {
        return;
    };
    let store = eventually("ZooKeeper to serve", || async {
        server.store(Some("a")).await.ok()
    })
    .await;
    store.acquire_leader().await.unwrap();
    let lock = lock_of(&store, "a").await;

    store.set_timings(Timings {
        ttl: Duration::from_secs(20),
        loop_wait: Duration::from_secs(2),
        ..TIMINGS
    });
    store.update_leader(&lock).await.unwrap();
    assert_eq!(lock_of(&store, "a").await.session, lock.session);
    assert_eq!(store.ttl(), TIMINGS.ttl);

    // What can be had is taken.
    store.set_timings(Timings {
        ttl: Duration::from_secs(8),
        ..TIMINGS
    });
    store.update_leader(&lock).await.unwrap();
    assert_ne!(lock_of(&store, "a").await.session, lock.session);
    assert_eq!(store.ttl(), Duration::from_secs(8));
}
