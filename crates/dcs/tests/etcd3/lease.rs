//! How long a lock lives that was just taken.

use std::time::Duration;

use etcd_client::Client;
use patroni_core::{Leader, MemberData, MemberName};
use patroni_dcs::etcd3::{Etcd3, Options};
use patroni_dcs::{Identity, Store, Timings};
use tokio::time::sleep;

use crate::server::Etcd;
use crate::shared::{lock_of, show_logs};

const LONG: Timings = Timings {
    ttl: Duration::from_secs(10),
    loop_wait: Duration::from_secs(4),
    retry_timeout: Duration::from_secs(3),
};

async fn store(etcd: &Etcd) -> Etcd3 {
    let identity = Identity {
        base_path: "/service/demo".to_owned(),
        group: None,
        member: Some(MemberName::new("a")),
    };
    let options = Options::new([etcd.url.as_str()]);
    Etcd3::connect(options, identity, LONG).await.unwrap()
}

/// Uses the lease, and waits nearly as long as it need not be renewed for a member's key.
async fn let_the_lease_age(store: &Etcd3) {
    let data = MemberData::parse("{\"state\":\"running\"}");
    store.touch_member(&data, None).await.unwrap();
    sleep(LONG.loop_wait * 7 / 8).await;
}

/// What the server says that is left of the lock's lease, in whole seconds.
async fn left(etcd: &Etcd, lock: &Leader) -> i64 {
    let lease = lock.session.as_deref().unwrap().parse().unwrap();
    let mut admin = Client::connect([&etcd.url], None).await.unwrap();
    admin.lease_time_to_live(lease, None).await.unwrap().ttl()
}

/// The caller counts from the moment of the call: a lease that was renewed for something else
/// before would end for others while its holder counts on it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lock_that_was_just_taken_lives_for_a_whole_ttl() {
    show_logs();
    let Some(etcd) = Etcd::single().await else {
        return;
    };
    let store = store(&etcd).await;
    let_the_lease_age(&store).await;
    store.acquire_leader().await.unwrap();
    let acquired = lock_of(&store, "a").await;
    let after_acquire = left(&etcd, &acquired).await;
    let_the_lease_age(&store).await;
    store.take_leader().await.unwrap();
    let after_take = left(&etcd, &acquired).await;
    assert!(
        after_acquire >= 8 && after_take >= 8,
        "{after_acquire} s after acquiring, {after_take} s after taking"
    );
}
