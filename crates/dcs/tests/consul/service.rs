//! The member as a service of its agent.

use patroni_config::file::Dcs;
use patroni_config::file::dcs::Consul as Section;
use patroni_core::MemberData;
use patroni_dcs::Store;
use patroni_dcs::consul::Options;
use serde_json::{Value, json};

use crate::shared::show_logs;
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

    touch("uninitialized", "stopped").await;
    assert_eq!(service(), Value::Null);
    touch("replica", "running").await;
    assert_eq!(service()["Tags"], json!(["tag1", "replica"]));
    touch("primary", "running").await;
    let as_primary = service();
    assert_eq!(as_primary["Tags"], json!(["tag1", "primary", "master"]));
    assert_eq!(as_primary["Service"], "demo");
    assert_eq!(as_primary["Address"], "127.0.0.1");
    assert_eq!(as_primary["Port"], 5432);
    assert_eq!(as_primary["EnableTagOverride"], true);
    let checks = agent.ask("GET", "agent/checks", "").unwrap();
    assert_eq!(checks["service:demo/a"]["Type"], "http");

    store.reconfigure(&section(true, &["tag2"]));
    touch("primary", "running").await;
    assert_eq!(service()["Tags"], json!(["tag2", "primary", "master"]));
    store.reconfigure(&section(false, &[]));
    touch("primary", "running").await;
    assert_eq!(service(), Value::Null);
    store.reconfigure(&section(true, &[]));
    touch("standby_leader", "running").await;
    assert_eq!(service()["Tags"], json!(["standby-leader"]));
    touch("replica", "stopped").await;
    assert_eq!(service(), Value::Null);
}
