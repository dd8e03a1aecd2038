//! Which nodes are asked, and when that is looked into.

use std::time::Duration;

use patroni_core::{MemberData, MemberName};
use patroni_dcs::etcd::{Etcd as OnEtcd, Options};
use patroni_dcs::{Identity, Store, Timings};

use crate::lossy::Link;
use crate::server::Etcd;
use crate::shared::{TIMINGS, eventually, show_logs};

/// The list of nodes is asked for every ten ttl, also while changes come in without a pause.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_nodes_are_asked_for_again_while_all_is_well() {
    show_logs();
    let Some(etcd) = Etcd::single().await else {
        return;
    };
    let link = Link::to(&etcd.url, "GET /v2/machines").await;
    let mut options = Options::new([link.url.as_str()]);
    options.use_proxies = true;
    let identity = Identity {
        base_path: "/service/demo".to_owned(),
        group: None,
        member: Some(MemberName::new("a")),
    };
    let timings = Timings {
        ttl: Duration::from_millis(300),
        ..TIMINGS
    };
    let follower = Box::pin(OnEtcd::connect(options, identity, timings)).await;
    let _follower = follower.unwrap();
    link.lose_next_answer();
    let busy = etcd.store(Some("b")).await.unwrap();
    let data = MemberData::parse("{\"state\":\"running\"}");
    eventually("the nodes to be asked for", || async {
        busy.touch_member(&data, None).await.unwrap();
        link.has_lost().then_some(())
    })
    .await;
}
