//! Users and what they may do.

use etcd_client::Client;
use patroni_config::file::dcs::Etcd as Section;
use patroni_config::file::dcs::etcd::Servers;
use patroni_config::file::{Dcs, HostPort};
use patroni_core::{MemberName, Secret};
use patroni_dcs::etcd3::{Etcd3, Options};
use patroni_dcs::{Identity, Store, StoreErrorKind};

use crate::server::Etcd;
use crate::shared::{TIMINGS, eventually, lock_of, show_logs};

/// Makes the server ask everybody for user and password: `root`, `secret`.
async fn demand_users(etcd: &Etcd) {
    let mut admin = Client::connect([&etcd.url], None).await.unwrap();
    admin.role_add("root").await.unwrap();
    admin.user_add("root", "secret", None).await.unwrap();
    admin.user_grant_role("root", "root").await.unwrap();
    admin.auth_enable().await.unwrap();
}

async fn store(etcd: &Etcd, user: Option<&str>, member: &str) -> Etcd3 {
    let identity = Identity {
        base_path: "/service/demo".to_owned(),
        member: Some(MemberName::new(member)),
    };
    let mut options = Options::new([etcd.url.as_str()]);
    options.username = user.map(str::to_owned);
    options.password = user.map(|_| Secret::new("secret"));
    Etcd3::connect(options, identity, TIMINGS).await.unwrap()
}

fn section(password: &str) -> Dcs {
    Dcs::Etcd3(Section {
        servers: Some(Servers::Host(HostPort {
            host: "127.0.0.1".to_owned(),
            port: 1,
        })),
        username: Some("root".to_owned()),
        password: Some(Secret::new(password)),
        ..Section::default()
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_brings_credentials() {
    show_logs();
    let Some(etcd) = Etcd::single().await else {
        return;
    };
    let store = store(&etcd, None, "a").await;
    demand_users(&etcd).await;
    assert!(store.acquire_leader().await.is_err());

    store.reconfigure(&section("secret"));
    eventually("the lock", || async { store.acquire_leader().await.ok() }).await;
    let lock = lock_of(&store, "a").await;
    store.update_leader(&lock).await.unwrap();

    // The new ones are used at once, also by what is open already.
    store.reconfigure(&section("wrong"));
    let refused = store.update_leader(&lock).await.unwrap_err();
    assert!(
        matches!(refused.kind, StoreErrorKind::Denied(_)),
        "{refused}"
    );
    store.reconfigure(&section("secret"));
    store.update_leader(&lock).await.unwrap();
}
