//! What other members expect to find, as it was recorded.

use std::path::Path;

use patroni_core::Cluster;
use patroni_dcs::Store;
use patroni_dcs::kubernetes::{Kubernetes, Mode, Options, Port};
use serde_json::{Map, Value, json};

use super::support::{Admin, Api, TIMINGS, identity, show_logs, with_endpoints};

fn recording(name: &str) -> Vec<Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/kubernetes");
    let text = std::fs::read_to_string(folder.join(name)).unwrap();
    let file: Value = serde_json::from_str(&text).unwrap();
    file["objects"].as_array().unwrap().clone()
}

fn path(namespace: &str, object: &Value) -> String {
    let kind = object["kind"].as_str().unwrap().to_lowercase();
    let one = kind.trim_end_matches('s');
    format!("/api/v1/namespaces/{namespace}/{one}s")
}

/// The recorded object as it can be made anew; Pods may be made without what members write.
fn made(object: &Value, with_data: bool) -> Value {
    let is_pod = object["kind"] == "Pod";
    let mut labels = object["metadata"]["labels"].clone();
    if is_pod && !with_data {
        labels = json!({"application": "patroni", "cluster-name": "demo"});
    }
    let mut metadata = json!({"name": object["metadata"]["name"], "labels": labels});
    if with_data {
        metadata["annotations"] = object["metadata"]["annotations"].clone();
    }
    let mut made = json!({"metadata": metadata});
    if is_pod {
        made["spec"] = object["spec"].clone();
        made["spec"]["containers"] = json!([{"name": "postgres", "image": "none"}]);
    }
    made
}

fn settings(api: &Api, namespace: &str, mode: Mode) -> Options {
    let mut options = api.options(namespace);
    if mode == Mode::Endpoints {
        options = with_endpoints(options);
    }
    options.labels.tmp_role = Some("tmp_role".to_owned());
    options.labels.bootstrap = [("state".to_owned(), "new".to_owned())].into();
    options.ports = vec![Port {
        name: Some("postgresql".to_owned()),
        ..Port::default()
    }];
    options
}

/// Writes what a recorded cluster shows, as its members would have.
async fn write_anew(api: &Api, namespace: &str, mode: Mode, cluster: &Cluster) {
    let leader = cluster.leader_name().unwrap();
    for member in &cluster.members {
        let options = settings(api, namespace, mode);
        let name = member.name.as_str();
        let store = Kubernetes::connect(options, identity(Some(name)), TIMINGS).await;
        let store = store.unwrap();
        store.load().await.unwrap();
        if member.name == *leader {
            lead(&store, cluster).await;
        }
        store.touch_member(&member.data, None).await.unwrap();
    }
}

async fn lead(store: &Kubernetes, cluster: &Cluster) {
    store.begin_initialize().await.unwrap();
    store
        .set_system_id(&cluster.system_id().unwrap())
        .await
        .unwrap();
    let config = cluster.config.as_ref().unwrap();
    store.write_config(&config.data, None).await.unwrap();
    store.acquire_leader().await.unwrap();
    store.write_status(&cluster.status).await.unwrap();
    let failsafe = cluster.failsafe.as_ref().unwrap();
    store.write_failsafe(failsafe).await.unwrap();
    store.write_sync(&cluster.sync, None).await.unwrap();
    if let Some(failover) = &cluster.failover {
        store.write_failover(&failover.request, None).await.unwrap();
    }
}

/// An object without what differs from run to run, and with maps by name in no order.
fn comparable(object: &Value) -> Value {
    let empty = Map::new();
    let annotations = object["metadata"]["annotations"]
        .as_object()
        .unwrap_or(&empty);
    let annotations: Map<String, Value> = annotations
        .iter()
        .map(|(name, value)| (name.clone(), comparable_annotation(name, value)))
        .collect();
    let mut subsets = object["subsets"].clone();
    for address in subsets
        .pointer_mut("/0/addresses")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        for volatile in ["uid", "resourceVersion", "namespace"] {
            assert!(address["targetRef"][volatile].is_string(), "{address}");
            address["targetRef"][volatile] = Value::Null;
        }
    }
    if let Some(port) = subsets
        .pointer_mut("/0/ports/0")
        .and_then(Value::as_object_mut)
    {
        port.remove("protocol"); // servers add it
    }
    json!({
        "name": object["metadata"]["name"],
        "labels": object["metadata"]["labels"],
        "annotations": annotations,
        "subsets": subsets,
    })
}

fn comparable_annotation(name: &str, value: &Value) -> Value {
    let text = value.as_str().unwrap();
    match name {
        "renewTime" | "acquireTime" => {
            let shape = text
                .chars()
                .map(|c| if c.is_ascii_digit() { '0' } else { c });
            shape.collect::<String>().into()
        }
        "ttl" => text.parse::<u64>().map(|_| Value::Null).unwrap(),
        "slots" | "failsafe" => serde_json::from_str(text).unwrap(),
        _ => text.into(),
    }
}

async fn found(admin: &Admin, namespace: &str, object: &Value) -> Value {
    let name = object["metadata"]["name"].as_str().unwrap();
    admin
        .get(&format!("{}/{name}", path(namespace, object)))
        .await
}

async fn is_written_as_recorded(name: &str, mode: Mode) {
    show_logs();
    let Some(api) = Api::shared() else {
        return;
    };
    let recorded = recording(name);
    let admin = api.admin().await;
    let namespace = |side: &str| format!("{side}-{}", name.trim_end_matches(".json"));
    let (theirs, ours) = (namespace("theirs"), namespace("ours"));
    for (namespace, with_data) in [(&theirs, true), (&ours, false)] {
        admin.make_namespace(namespace).await;
        for object in &recorded {
            if with_data || object["kind"] == "Pod" {
                admin
                    .make(&path(namespace, object), &made(object, with_data))
                    .await;
            }
        }
    }
    let control = Kubernetes::connect(settings(api, &theirs, mode), identity(None), TIMINGS).await;
    let cluster = control.unwrap().load().await.unwrap();
    assert_eq!(cluster.members.len(), 2);
    write_anew(api, &ours, mode, &cluster).await;
    for object in &recorded {
        let written = found(&admin, &ours, object).await;
        assert_eq!(comparable(&written), comparable(object));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_cluster_is_written_as_recorded() {
    is_written_as_recorded("endpoints-04-running.json", Mode::Endpoints).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quorum_is_written_as_recorded() {
    is_written_as_recorded("configmaps-07-quorum.json", Mode::ConfigMaps).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scheduled_switchover_is_written_as_recorded() {
    is_written_as_recorded("configmaps-13-scheduled-switchover.json", Mode::ConfigMaps).await;
    is_written_as_recorded("endpoints-13-scheduled-switchover.json", Mode::Endpoints).await;
}
