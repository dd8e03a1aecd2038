//! Users and what they may do.

use etcd_client::{Client, Permission};
use patroni_config::file::dcs::Etcd as Section;
use patroni_config::file::dcs::etcd::Servers;
use patroni_config::file::{Dcs, HostPort};
use patroni_core::{MemberName, Secret};
use patroni_dcs::etcd3::{Etcd3, Options};
use patroni_dcs::{Identity, Store, StoreError, StoreErrorKind};

use crate::server::Etcd;
use crate::shared::{TIMINGS, eventually, lock_of, show_logs};

/// Makes the server know `root` and, who may only read, `reader`; the password of both is
/// `secret`.
async fn demand_users(etcd: &Etcd) {
    let mut admin = Client::connect([&etcd.url], None).await.unwrap();
    let all = Permission::read("/").with_prefix();
    admin.role_add("root").await.unwrap();
    admin.role_add("readers").await.unwrap();
    admin.role_grant_permission("readers", all).await.unwrap();
    for (user, role) in [("root", "root"), ("reader", "readers")] {
        admin.user_add(user, "secret", None).await.unwrap();
        admin.user_grant_role(user, role).await.unwrap();
    }
    admin.auth_enable().await.unwrap();
}

async fn store(etcd: &Etcd, user: Option<&str>, member: &str) -> Etcd3 {
    let identity = Identity {
        base_path: "/service/demo".to_owned(),
        group: None,
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

/// Such a member follows: that it may not write is no trouble of the store.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_only_read_does_not_get_the_lock() {
    show_logs();
    let Some(etcd) = Etcd::single().await else {
        return;
    };
    demand_users(&etcd).await;
    let reader = store(&etcd, Some("reader"), "b").await;
    let acquired = reader.acquire_leader().await;
    assert!(
        acquired.as_ref().is_err_and(StoreError::is_lost_race),
        "{acquired:?}"
    );
    let leader = store(&etcd, Some("root"), "a").await;
    leader.acquire_leader().await.unwrap();
    lock_of(&reader, "a").await;
}
