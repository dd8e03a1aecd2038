//! What is written, beside what the reference was recorded to write.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use patroni_core::{MemberData, Status, SystemId};
use patroni_dcs::Store;
use serde_json::{Value, json};

use crate::server::Etcd;
use crate::shared::{lock_of, show_logs};

fn recorded() -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/etcd/04-running.json");
    let stage: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    stage["keys"].as_array().unwrap().clone()
}

/// Each key with its text, whether it expires, and whether it was created by a write that found
/// nothing and changed by later ones (as opposed to being put anew by each of them).
fn shape(keys: &[Value]) -> BTreeMap<String, Value> {
    let shapes = keys.iter().map(|entry| {
        let key = entry["key"].as_str().unwrap().to_owned();
        let mut value = entry["value"].clone();
        if key.ends_with("/status") {
            // The order of names in maps keyed by names is nobody's promise.
            value = serde_json::from_str(value.as_str().unwrap()).unwrap();
        }
        let shape = json!({
            "value": value,
            "expires": !entry["ttl"].is_null(),
            "changed": entry["modifiedIndex"] != entry["createdIndex"],
        });
        (key, shape)
    });
    shapes.collect()
}

/// All keys below a node, without the directories.
fn leaves(node: &Value) -> Vec<Value> {
    match node["nodes"].as_array() {
        Some(nodes) => nodes.iter().flat_map(leaves).collect(),
        None => vec![node.clone()],
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_what_the_reference_writes() {
    show_logs();
    let Some(etcd) = Etcd::single().await else {
        return;
    };
    let keys = recorded();
    let value = |leaf: &str| {
        let key = format!("/service/demo/{leaf}");
        let found = keys.iter().find(|entry| entry["key"] == key.as_str());
        found.unwrap()["value"].as_str().unwrap()
    };
    let leader = etcd.store(Some("node1")).await.unwrap();
    leader.begin_initialize().await.unwrap();
    let id = SystemId::parse(value("initialize")).unwrap();
    leader.set_system_id(&id).await.unwrap();
    let config = serde_json::from_str(value("config")).unwrap();
    leader.write_config(&config, None).await.unwrap();
    leader.acquire_leader().await.unwrap();
    let status = Status::parse(value("status"));
    leader.write_status(&status).await.unwrap();
    for name in ["node1", "node2", "node3"] {
        let store = etcd.store(Some(name)).await.unwrap();
        let data = MemberData::parse(value(&format!("members/{name}")));
        store.touch_member(&data, None).await.unwrap();
    }
    let lock = lock_of(&leader, "node1").await;
    leader.update_leader(&lock).await.unwrap();

    let path = "/v2/keys/service/demo/?recursive=true";
    let written = etcd.ask("GET", path, "").unwrap();
    let written = shape(&leaves(&written["node"]));
    assert_eq!(written, shape(&keys));
}
