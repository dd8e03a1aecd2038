//! Tokens: refused, taken away, and replaced without a restart.

use patroni_config::file::Dcs;
use patroni_config::file::dcs::Consul as Section;
use patroni_core::Secret;
use patroni_dcs::consul::Options;
use patroni_dcs::{Store, StoreErrorKind};
use serde_json::json;

use crate::shared::{is_unreachable, lock_of, show_logs};
use crate::support::{Agent, open};

/// What a member needs, as the documentation says.
const RULES: &str = r#"
    key_prefix "service/demo" { policy = "write" }
    service_prefix "demo" { policy = "write" }
    session_prefix "" { policy = "write" }
"#;

fn create_token(agent: &Agent) -> (String, String) {
    let body = json!({"Policies": [{"Name": "patroni"}]}).to_string();
    let made = agent.ask("PUT", "acl/token?token=root", &body).unwrap();
    let text = |field: &str| made[field].as_str().unwrap().to_owned();
    (text("AccessorID"), text("SecretID"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_is_replaced_without_a_restart() {
    show_logs();
    let Some(agent) = Agent::start_with(json!({
        "session_ttl_min": "500ms",
        "primary_datacenter": "dc1",
        "acl": {"enabled": true, "default_policy": "deny", "tokens": {"master": "root"}},
    })) else {
        return;
    };
    agent.wait_until_it_serves();
    let policy = json!({"Name": "patroni", "Rules": RULES}).to_string();
    agent.ask("PUT", "acl/policy?token=root", &policy).unwrap();
    let (accessor, secret) = create_token(&agent);

    let mut options = Options::new(agent.url.as_str());
    let nobody = open(options.clone(), Some("a")).await.map(|_| ());
    assert!(is_unreachable(&nobody), "waits for a token: {nobody:?}");
    options.changeable.token = Some(Secret::new(secret.as_str()));
    let store = open(options.clone(), Some("a")).await.unwrap();
    store.acquire_leader().await.unwrap();
    let lock = lock_of(&store, "a").await;
    store.update_leader(&lock).await.unwrap();

    let path = format!("acl/token/{accessor}?token=root");
    agent.ask("DELETE", &path, "").unwrap();
    let error = store.update_leader(&lock).await.unwrap_err();
    assert!(matches!(error.kind, StoreErrorKind::Denied(_)), "{error}");
    assert!(!format!("{error:?}").contains(&secret), "{error:?}");

    let (_, secret) = create_token(&agent);
    store.reconfigure(&Dcs::Consul(Section {
        token: Some(Secret::new(secret)),
        ..Section::default()
    }));
    store.update_leader(&lock).await.unwrap();
    lock_of(&store, "a").await;
}
