//! What the leader of a worker group tells the coordinator.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http::Method;
use patroni_api::client::Client;
use patroni_api::wire::{MppEvent, MppEventKind};
use patroni_config::Settings;
use patroni_core::rest_url::sibling;
use patroni_core::{Causes, Role, State};
use patroni_ha::citus::{COORDINATOR, Event, Group};
use tracing::{error, warn};

use super::groups::Groups;
use crate::act::explain;

/// How long the coordinator may take for an event that nothing waits for. Source: the Citus
/// contract, section 5.
pub(crate) const PATIENCE: Duration = Duration::from_secs(2);

/// The voice of a worker group. What it says is a service to clients, who wait for the new primary
/// instead of failing; that it is not heard stops nothing.
pub(crate) struct Worker {
    group: Group,
    groups: Groups,
    rest: Client,
    /// Events are heard in the order in which they happen.
    turn: tokio::sync::Mutex<()>,
    /// What the member key says of the server since it was last written.
    published: Mutex<Option<(State, Role)>>,
}

impl Worker {
    pub(super) fn new(group: Group, groups: Groups, rest: Client) -> Self {
        Self {
            group,
            groups,
            rest,
            turn: tokio::sync::Mutex::default(),
            published: Mutex::default(),
        }
    }

    pub(super) fn groups(&self) -> &Groups {
        &self.groups
    }

    /// Notes what the member key says now; true when it shows a running primary and did not before.
    pub(crate) fn has_become_primary(&self, state: State, role: Role) -> bool {
        let mut published = self
            .published
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let before = published.replace((state, role));
        let now = (State::Running, Role::Primary);
        (state, role) == now && before != Some(now)
    }

    /// Tells the leader of the coordinator's group, and waits at most `patience` for its answer,
    /// whatever that is. Nothing is done when nobody leads there. What goes wrong is logged.
    ///
    /// Cancel safe: whether the event was heard is then unknown.
    pub(crate) async fn tell(&self, event: Event, patience: Duration) {
        let _turn = self.turn.lock().await;
        let settings = self.groups.settings();
        let view = match self.groups.read(COORDINATOR).await {
            Ok(view) => view,
            Err(failure) => {
                let class = class(settings.dcs.name());
                let why = explain(&failure);
                error!("Failed to load Citus coordinator cluster from {class}: {why}");
                return;
            }
        };
        let leader = view.leader_member();
        let Some(leader) = leader.filter(|leader| leader.data.conn_url().is_some()) else {
            return;
        };
        let Some(api_url) = leader.data.api_url() else {
            return;
        };
        let body = self.body_of(event, &settings).to_value();
        let url = sibling(api_url, "citus");
        let request = self.rest.request(Method::POST, &url, Some(&body), patience);
        if let Err(failure) = request.await {
            let why = Causes(&failure).to_string();
            warn!(
                "Request to Citus coordinator leader {} {api_url} failed: {why}",
                leader.name
            );
        }
    }

    fn body_of(&self, event: Event, settings: &Settings) -> MppEvent {
        MppEvent {
            kind: match event {
                Event::BeforeDemote => MppEventKind::BeforeDemote,
                Event::BeforePromote => MppEventKind::BeforePromote,
                Event::AfterPromote => MppEventKind::AfterPromote,
            },
            group: self.group.into(),
            leader: settings.name.to_string(),
            timeout: Some(settings.dynamic.ttl),
            cooldown: Some(settings.dynamic.retry_timeout),
        }
    }
}

/// What the event of a request means.
pub(crate) const fn event_of(kind: MppEventKind) -> Event {
    match kind {
        MppEventKind::BeforeDemote => Event::BeforeDemote,
        MppEventKind::BeforePromote => Event::BeforePromote,
        MppEventKind::AfterPromote => Event::AfterPromote,
    }
}

/// A kind of store as operators of the reference know it from this one sentence.
fn class(store: &str) -> String {
    match store {
        "zookeeper" => "ZooKeeper".to_owned(),
        other => {
            let mut letters = other.chars();
            let first = letters.next().map(|first| first.to_ascii_uppercase());
            first.into_iter().chain(letters).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::watch;

    use crate::adapt;
    use crate::configuration::Configuration;

    fn worker() -> Worker {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("node.yml");
        let text = "{scope: demo, name: w1, etcd3: {host: 'h:1'}, citus: {group: 2, database: c}, \
             restapi: {listen: 'h:1', connect_address: 'h:1'}, \
             postgresql: {listen: 'h:1', connect_address: 'h:1', data_dir: /nowhere, \
             authentication: {replication: {username: r}}}}";
        std::fs::write(&file, text).unwrap();
        let environment = patroni_config::Environment::default();
        let configuration = Configuration::load(Some(&file), environment).unwrap();
        let settings = configuration.settings();
        let rest = Client::new(&adapt::client(&settings)).unwrap();
        let groups = Groups::new(watch::Sender::new(settings).subscribe());
        Worker::new(2, groups, rest)
    }

    #[test]
    fn a_key_that_shows_a_running_primary_is_told_once() {
        let worker = worker();
        for (state, role, told) in [
            (State::Running, Role::Replica, false),
            (State::Running, Role::Promoted, false),
            (State::Running, Role::Primary, true),
            (State::Running, Role::Primary, false),
            (State::Restarting, Role::Primary, false),
            (State::Running, Role::Primary, true),
        ] {
            assert_eq!(
                worker.has_become_primary(state, role),
                told,
                "{state} {role}"
            );
        }
    }

    #[test]
    fn an_event_says_who_leads_which_group() {
        let worker = worker();
        let settings = worker.groups.settings();
        let body = worker.body_of(Event::BeforeDemote, &settings).to_value();
        assert_eq!(
            body,
            serde_json::json!({
                "type": "before_demote", "group": 2, "leader": "w1", "timeout": 30, "cooldown": 10,
            })
        );
    }

    #[test]
    fn stores_have_the_names_of_their_classes() {
        let names = ["etcd3", "zookeeper", "consul"].map(class);
        assert_eq!(names, ["Etcd3", "ZooKeeper", "Consul"]);
    }
}
