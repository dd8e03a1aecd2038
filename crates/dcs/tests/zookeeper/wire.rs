//! What others find in the store.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use patroni_core::{
    FailoverRequest, History, MemberData, MemberName, Revision, Status, SyncState, SystemId,
};
use patroni_dcs::zookeeper::ZooKeeper;
use patroni_dcs::{Store, Timings};
use serde_json::Value;
use zookeeper_client::{Client, Stat};

use crate::support::{Server, TIMINGS, lock_of, show_logs};

/// Every node below a path with its text.
async fn dump(admin: &Client, path: &str) -> BTreeMap<String, (String, Stat)> {
    let mut nodes = vec![path.to_owned()];
    let mut found = BTreeMap::new();
    while let Some(node) = nodes.pop() {
        let (text, stat) = admin.get_data(&node).await.unwrap();
        for child in admin.list_children(&node).await.unwrap() {
            nodes.push(format!("{node}/{child}"));
        }
        found.insert(node, (String::from_utf8(text).unwrap(), stat));
    }
    found
}

/// A recorded stage: path to text, and whether the node is ephemeral.
fn recorded(stage: &str) -> BTreeMap<String, (String, bool)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/zookeeper");
    let text = fs::read_to_string(folder.join(format!("{stage}.json"))).unwrap();
    let stage: Value = serde_json::from_str(&text).unwrap();
    let keys = stage["keys"].as_array().unwrap().iter();
    keys.map(|key| {
        let text = |field: &str| key[field].as_str().unwrap().to_owned();
        let ephemeral = key["ephemeralOwner"] != 0;
        (text("key"), (text("value"), ephemeral))
    })
    .collect()
}

/// The members of the recorded cluster, which have written what is recorded.
async fn write_as_recorded(
    server: &Server,
    stage: &BTreeMap<String, (String, bool)>,
) -> Vec<ZooKeeper> {
    let text = |name: &str| stage[&format!("/service/demo/{name}")].0.as_str();
    let leader = server.store(Some(text("leader"))).await.unwrap();
    leader.begin_initialize().await.unwrap();
    let id = SystemId::parse(text("initialize")).unwrap();
    leader.set_system_id(&id).await.unwrap();
    let config: Value = serde_json::from_str(text("config")).unwrap();
    let config = config.as_object().unwrap();
    leader.write_config(config, None).await.unwrap();
    leader.acquire_leader().await.unwrap();
    let status = Status::parse(text("status"));
    leader.write_status(&status).await.unwrap();
    let failover = FailoverRequest::parse(text("failover"));
    leader.write_failover(&failover, None).await.unwrap();
    let history = History::parse(text("history")).unwrap();
    leader.write_history(&history).await.unwrap();
    let sync = SyncState::new(Some(MemberName::new("node1")), 0, [].into());
    let revision = leader.write_sync(&sync, None).await.unwrap();
    leader.delete_sync(Some(&revision)).await.unwrap();
    let mut all = vec![leader];
    for name in stage.keys() {
        let Some(name) = name.strip_prefix("/service/demo/members/") else {
            continue;
        };
        let data = MemberData::parse(text(&format!("members/{name}")));
        let member = server.store(Some(name)).await.unwrap();
        member.touch_member(&data, None).await.unwrap();
        all.push(member);
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_what_other_members_expect() {
    show_logs();
    let Some(server) = Server::single().await else {
        return;
    };
    let stage = recorded("18-failover-done");
    let _members = write_as_recorded(&server, &stage).await;
    let admin = server.admin().await.unwrap();
    let found = dump(&admin, "/service").await;
    let paths = |all: Vec<&String>| all.into_iter().cloned().collect::<Vec<_>>();
    assert_eq!(paths(found.keys().collect()), paths(stage.keys().collect()));
    for (path, (text, ephemeral)) in &stage {
        let (written, stat) = &found[path];
        // The order of names in maps keyed by names is nobody's promise.
        if path.ends_with("/status") {
            let parse = |text: &str| serde_json::from_str::<Value>(text).unwrap();
            assert_eq!(parse(written), parse(text), "{path}");
        } else {
            assert_eq!(written, text, "{path}");
        }
        assert_eq!(stat.ephemeral_owner != 0, *ephemeral, "{path}");
        let (acls, _) = admin.get_acl(path).await.unwrap();
        let [acl] = acls.as_slice() else {
            panic!("{path}: {acls:?}");
        };
        let rights = (acl.scheme(), acl.id(), acl.permission());
        let all = zookeeper_client::Permission::ALL;
        assert_eq!(rights, ("world", "anyone", all), "{path}");
    }
    let owner = |name: &str| found[&format!("/service/demo/{name}")].1.ephemeral_owner;
    assert_ne!(owner("leader"), owner("members/node3"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_member_writes_nothing() {
    show_logs();
    let Some(server) = Server::single().await else {
        return;
    };
    let store = server.store(Some("a")).await.unwrap();
    store.acquire_leader().await.unwrap();
    let data = MemberData::parse("{\"state\":\"running\"}");
    store.touch_member(&data, None).await.unwrap();
    let lock = lock_of(&store, "a").await;
    let admin = server.admin().await.unwrap();
    let before = dump(&admin, "/service").await;
    for _ in 0..5 {
        let cluster = store.load().await.unwrap();
        store.update_leader(&lock).await.unwrap();
        let me = MemberName::new("a");
        let judged = cluster.member(&me);
        assert_eq!(judged.unwrap().session, lock.session, "one session");
        store.touch_member(&data, judged).await.unwrap();
        store.write_status(&cluster.status).await.unwrap();
    }
    assert_eq!(dump(&admin, "/service").await, before);

    // Neither do other timings, unless they are the ttl: the session goes on.
    store.set_timings(Timings {
        loop_wait: Duration::from_secs(2),
        ..TIMINGS
    });
    store.update_leader(&lock).await.unwrap();
    assert_eq!(lock_of(&store, "a").await.session, lock.session);
    assert_eq!(dump(&admin, "/service").await, before);

    // The lock goes back without the member.
    store.delete_leader(Some(&lock)).await.unwrap();
    let cluster = store.load().await.unwrap();
    assert!(cluster.is_unlocked() && cluster.members.len() == 1);
    let again = store.delete_leader(Some(&lock)).await;
    assert!(again.is_err_and(|error| error.is_lost_race()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn revisions_are_compared_also_the_first_and_nonsense() {
    show_logs();
    let Some(server) = Server::single().await else {
        return;
    };
    let store = server.store(None).await.unwrap();
    let config = serde_json::Map::new();
    let zero = Revision::new("0");
    let absent = store.write_config(&config, Some(&zero)).await;
    assert!(absent.is_err_and(|error| error.is_lost_race()), "no node");
    store.write_config(&config, None).await.unwrap();
    for nonsense in ["x", "-1", ""] {
        let revision = Revision::new(nonsense);
        let refused = store.write_config(&config, Some(&revision)).await;
        assert!(refused.is_err_and(|error| error.is_lost_race()));
    }
    store.write_config(&config, Some(&zero)).await.unwrap();
    let cluster = store.load().await.unwrap();
    let doc = cluster.config.unwrap();
    assert_eq!(doc.revision, Revision::new("1"));
    assert_ne!(
        doc.modify_revision,
        Some(doc.revision),
        "a number of its own"
    );
}

/// A killed daemon leaves nodes on a session that lasts for a while.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_earlier_life_left_is_taken_over() {
    show_logs();
    let Some(server) = Server::single().await else {
        return;
    };
    let data = MemberData::parse("{\"state\":\"running\"}");
    let first = server.store(Some("a")).await.unwrap();
    first.acquire_leader().await.unwrap();
    first.touch_member(&data, None).await.unwrap();
    let old = lock_of(&first, "a").await;

    let second = server.store(Some("a")).await.unwrap();
    let refused = second.acquire_leader().await;
    assert!(
        refused.is_err_and(|error| error.is_lost_race()),
        "it is held"
    );
    let cluster = second.load().await.unwrap();
    second.update_leader(&old).await.unwrap();
    let me = MemberName::new("a");
    second
        .touch_member(&data, cluster.member(&me))
        .await
        .unwrap();
    let new = lock_of(&second, "a").await;
    assert_ne!(new.session, old.session);
    let cluster = second.load().await.unwrap();
    assert_eq!(cluster.member(&me).unwrap().session, new.session);
}
