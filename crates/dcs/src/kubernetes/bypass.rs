//! Finding the API servers behind the service in front of them.
//!
//! Source: store contract, section 13 (`bypass_api_service`).

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::access::url;
use super::failure::Failure;
use super::object::{Object, Subset};
use super::request::{Kind, Request};
use super::shared::Shared;

/// So much earlier than the next cycle the servers are looked for.
const HEAD_START: Duration = Duration::from_millis(500);

/// Looks for the servers again and again, until that turns out to be forbidden.
pub(super) async fn run(shared: Arc<Shared>) {
    while refresh(&shared).await.is_continue() {
        let loop_wait = shared.servers.timings().loop_wait;
        sleep(loop_wait.saturating_sub(HEAD_START).max(HEAD_START)).await;
    }
}

/// Asks the service once which servers it stands for.
pub(super) async fn refresh(shared: &Shared) -> ControlFlow<()> {
    let request = Request::get(Kind::Endpoints, "default", "kubernetes");
    let servers = &shared.servers;
    let home = servers.home();
    let answer = servers.attempt(home, servers.single_attempt(), &request);
    let found = answer.await.and_then(|body| {
        let nonsense = |error| Failure::Nonsense(format!("answer to {request}: {error}"));
        serde_json::from_slice::<Object>(&body).map_err(nonsense)
    });
    match found.map(|object| urls(&object)) {
        Ok(urls) if urls.is_empty() => {}
        Ok(urls) => servers.replace(urls),
        Err(Failure::Forbidden(_)) => {
            tracing::warn!(
                "Kubernetes RBAC doesn't allow GET access to the 'kubernetes' endpoint in the \
                 'default' namespace. Disabling 'bypass_api_service'."
            );
            return ControlFlow::Break(());
        }
        Err(failure) => {
            tracing::error!("Failed to get \"kubernetes\" endpoint from {home}: {failure}");
        }
    }
    ControlFlow::Continue(())
}

fn urls(object: &Object) -> Vec<String> {
    let subsets = object.subsets.as_deref().unwrap_or_default();
    let mut all: Vec<String> = subsets.iter().flat_map(urls_of).collect();
    all.sort();
    all.dedup();
    all
}

fn urls_of(subset: &Subset) -> Vec<String> {
    let ports = subset.ports.as_deref().unwrap_or_default();
    let addresses = subset.addresses.as_deref().unwrap_or_default();
    let Some(port) = ports
        .iter()
        .find(|port| port.name.as_deref() == Some("https"))
    else {
        return Vec::new();
    };
    let port = port.port.to_string();
    addresses
        .iter()
        .map(|address| url(&address.ip, &port))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_the_secure_port_are_servers() {
        let object = serde_json::from_str(
            r#"{"subsets": [
                {"addresses": [{"ip": "10.0.0.2"}, {"ip": "::1"}],
                 "ports": [{"name": "x", "port": 1}, {"name": "https", "port": 6443}]},
                {"addresses": [{"ip": "10.0.0.9"}], "ports": [{"port": 6443}]}]}"#,
        );
        assert_eq!(
            urls(&object.unwrap()),
            ["https://10.0.0.2:6443", "https://[::1]:6443"]
        );
        assert!(urls(&Object::default()).is_empty());
    }
}
