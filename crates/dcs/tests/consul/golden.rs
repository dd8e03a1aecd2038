//! What is written, beside what the reference was recorded to write.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use patroni_core::{MemberData, Status, SystemId};
use patroni_dcs::Store;
use patroni_dcs::consul::{Consul, Options};
use serde_json::{Value, json};

use crate::shared::{lock_of, show_logs};
use crate::support::{Agent, open};

fn recorded() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/consul/04-running.json");
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

/// The recorded value of a key.
fn value<'a>(stage: &'a Value, key: &str) -> &'a str {
    let keys = stage["keys"].as_array().unwrap();
    let found = keys.iter().find(|entry| entry["key"] == key);
    found.unwrap()["value"].as_str().unwrap()
}

/// Each key with its text, its flags, how often it was locked, and by which session's name.
fn shape(keys: &Value, sessions: &Value) -> BTreeMap<String, Value> {
    let name = |id: &Value| {
        let sessions = sessions.as_array().unwrap();
        let session = sessions.iter().find(|session| session["ID"] == *id)?;
        Some(session["Name"].clone())
    };
    let shapes = keys.as_array().unwrap().iter().map(|entry| {
        let key = entry["key"].as_str().unwrap().to_owned();
        let shape = json!({
            "value": entry["value"],
            "Flags": entry["Flags"],
            "LockIndex": entry["LockIndex"],
            "session": name(&entry["Session"]),
        });
        (key, shape)
    });
    shapes.collect()
}

/// What the agent has, in the form of the recording.
fn stored(agent: &Agent) -> Value {
    let keys = agent.ask("GET", "kv/service/demo/?recurse=1", "").unwrap();
    let keys = keys.as_array().unwrap().iter().map(|entry| {
        let key = entry["Key"].as_str().unwrap();
        let mut entry = entry.clone();
        entry["key"] = key.into();
        entry["value"] = agent.raw(key).into();
        entry
    });
    Value::Array(keys.collect())
}

async fn touch(store: &Consul, stage: &Value, name: &str) {
    let data = MemberData::parse(value(stage, &format!("service/demo/members/{name}")));
    store.touch_member(&data, None).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_what_the_reference_writes() {
    show_logs();
    let Some(agent) = Agent::start() else {
        return;
    };
    let stage = recorded();
    let mut stores = Vec::new();
    for name in ["node1", "node2", "node3"] {
        let mut options = Options::new(agent.url.as_str());
        options.changeable.register_service = true;
        options.changeable.service_tags = vec!["tag1".to_owned()];
        let store = open(options, Some(name)).await.unwrap();
        touch(&store, &stage, name).await;
        stores.push(store);
    }
    let leader = &stores[0];
    leader.begin_initialize().await.unwrap();
    let id = SystemId::parse(value(&stage, "service/demo/initialize")).unwrap();
    leader.set_system_id(&id).await.unwrap();
    let config = serde_json::from_str(value(&stage, "service/demo/config")).unwrap();
    leader.write_config(&config, None).await.unwrap();
    leader.acquire_leader().await.unwrap();
    let status = Status::parse(value(&stage, "service/demo/status"));
    leader.write_status(&status).await.unwrap();
    let lock = lock_of(leader, "node1").await;
    leader.update_leader(&lock).await.unwrap();

    let sessions = agent.ask("GET", "session/list", "").unwrap();
    let mut written = shape(&stored(&agent), &sessions);
    let mut expected = shape(&stage["keys"], &stage["sessions"]);
    // The order of names in maps keyed by names is nobody's promise.
    for shapes in [&mut written, &mut expected] {
        let status = &mut shapes.get_mut("service/demo/status").unwrap()["value"];
        *status = serde_json::from_str(status.as_str().unwrap()).unwrap();
    }
    assert_eq!(written, expected);

    let session = |sessions: &Value, ttl: &str| {
        let sessions = sessions.as_array().unwrap();
        let found = sessions
            .iter()
            .find(|session| session["Name"] == "demo-node1" && session["TTL"] == ttl);
        let mut found = found.unwrap().clone();
        for field in ["ID", "TTL", "CreateIndex", "ModifyIndex"] {
            found.as_object_mut().unwrap().remove(field);
        }
        found
    };
    // Half of the ttl, written with a fraction.
    let ours = session(&sessions, "30.0s");
    assert_eq!(ours, session(&stage["sessions"], "10.0s"));

    let mut services = agent.ask("GET", "agent/services", "").unwrap();
    for (id, expected) in stage["agent_services"].as_object().unwrap() {
        let mut service = services[id].take();
        // The recorded ones were made anonymous in other places than the address.
        for field in ["Address", "TaggedAddresses", "Datacenter"] {
            service.as_object_mut().unwrap().remove(field);
        }
        let mut expected = expected.clone();
        for field in ["Address", "TaggedAddresses"] {
            expected.as_object_mut().unwrap().remove(field);
        }
        assert_eq!(service, expected, "{id}");
    }
}
