//! The member as a service of its agent.

use patroni_config::file::Dcs;
use patroni_config::file::dcs::Consul as Section;
use patroni_core::MemberData;
use patroni_dcs::Store;
use patroni_dcs::consul::Options;
use serde_json::{Value, json};

use crate::shared::{eventually, show_logs};
use crate::support::{Agent, open};

fn member(role: &str, state: &str) -> MemberData {
    let data = json!({
        "conn_url": "postgres://127.0.0.1:5432/postgres",
        "api_url": "http://127.0.0.1:8008/patroni",
        "state": state,
        "role": role,
    });
    MemberData::parse(&data.to_string())
}

fn section(register_service: bool, tags: &[&str]) -> Dcs {
    Dcs::Consul(Section {
        register_service,
        service_tags: tags.iter().map(|&tag| tag.to_owned()).collect(),
        ..Section::default()
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_service_follows_role_tags_and_state() {
    show_logs();
    let Some(agent) = Agent::start() else {
        return;
    };
    let service = || agent.ask("GET", "agent/services", "").unwrap()["demo/a"].take();
    let mut options = Options::new(agent.url.as_str());
    options.changeable.register_service = true;
    options.changeable.service_tags = vec!["tag1".to_owned()];
    let store = open(options, Some("a")).await.unwrap();
    let touch = async |role: &str, state: &str| {
        store
            .touch_member(&member(role, state), None)
            .await
            .unwrap();
    };

    // A comparison of the agent with its catalog may take a change back, for a moment.
    let shows = async |role: &str, tags: Value| {
        eventually("the tags", || async {
            touch(role, "running").await;
            (service()["Tags"] == tags).then_some(())
        })
        .await;
    };

    touch("uninitialized", "stopped").await;
    assert_eq!(service(), Value::Null);
    shows("replica", json!(["tag1", "replica"])).await;
    shows("primary", json!(["tag1", "primary", "master"])).await;
    let as_primary = service();
    assert_eq!(as_primary["Service"], "demo");
    assert_eq!(as_primary["Address"], "127.0.0.1");
    assert_eq!(as_primary["Port"], 5432);
    assert_eq!(as_primary["EnableTagOverride"], true);
    let checks = agent.ask("GET", "agent/checks", "").unwrap();
    assert_eq!(checks["service:demo/a"]["Type"], "http");

    store.reconfigure(&section(true, &["tag2"]));
    shows("primary", json!(["tag2", "primary", "master"])).await;
    store.reconfigure(&section(false, &[]));
    touch("primary", "running").await;
    assert_eq!(service(), Value::Null);
    store.reconfigure(&section(true, &[]));
    shows("standby_leader", json!(["standby-leader"])).await;
    touch("replica", "stopped").await;
    assert_eq!(service(), Value::Null);
}

/// The agent itself does so when it compares its services with the catalog at that very moment.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_registration_that_is_taken_back_is_made_again_and_that_of_others_left_alone() {
    show_logs();
    let Some(agent) = Agent::start() else {
        return;
    };
    let tags = || agent.ask("GET", "agent/services", "").unwrap()["demo/a"]["Tags"].take();
    let register = |tags: Value| {
        let body = json!({"name": "demo", "id": "demo/a", "address": "127.0.0.1", "port": 5432,
            "enabletagoverride": true, "tags": tags});
        agent.ask("PUT", "agent/service/register", &body.to_string())
    };
    let mut options = Options::new(agent.url.as_str());
    options.changeable.register_service = true;
    let store = open(options, Some("a")).await.unwrap();
    let touch = async |role: &str| {
        let data = member(role, "running");
        store.touch_member(&data, None).await.unwrap();
    };
    touch("replica").await;
    touch("primary").await;
    for _ in 0..2 {
        register(json!(["replica"]));
        eventually("the tags", || async {
            touch("primary").await;
            (tags() == json!(["primary", "master"])).then_some(())
        })
        .await;
    }
    touch("replica").await;
    register(json!(["by-hand"]));
    touch("replica").await;
    assert_eq!(tags(), json!(["by-hand"]));
}
