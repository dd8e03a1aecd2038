//! The member as a service of its agent, for clients that find the primary through Consul.
//!
//! Source: store contract, section 11 (service registration).

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use patroni_core::{MemberData, MemberName, Role};
use reqwest::{Method, Url};
use serde_json::{Value, json};

use super::agent::{Agent, Audience, Request};
use super::failure::Failure;
use super::options::{Changeable, Options};
use super::session::seconds;
use crate::retry::Effort;

/// The longest name of a service.
const LONGEST_NAME: usize = 230;

/// The registration of one member, as far as this process made it.
pub(super) struct Service {
    name: String,
    id: String,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The tags of the service of ours that the agent knows, so that there is something to take
    /// back.
    registered: Option<Value>,
    /// What was last done, under which session; `None` when nothing was, or when it failed.
    done: Option<(Wanted, String)>,
    /// The last change of the tags, until a later look shows that it has lasted.
    unconfirmed: Option<Unconfirmed>,
}

/// What the agent should know of the member.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Wanted {
    /// A service with these parameters.
    Registered(Value),
    /// Nothing.
    Absent,
    /// What it knows already, for a reason worth a word.
    Unchanged(String),
}

/// A change of the tags that the agent may still take back.
#[derive(Clone)]
struct Unconfirmed {
    earlier: Value,
    since: Instant,
}

impl State {
    /// The agent did what was wanted.
    fn note(&mut self, wanted: &Wanted) {
        match wanted {
            Wanted::Registered(parameters) => {
                let tags = parameters["tags"].clone();
                let changed = self.registered.replace(tags);
                let changed = changed.filter(|earlier| *earlier != parameters["tags"]);
                let again = || self.unconfirmed.take().map(|change| change.earlier);
                self.unconfirmed = changed.or_else(again).map(|earlier| Unconfirmed {
                    earlier,
                    since: Instant::now(),
                });
            }
            Wanted::Absent => {
                self.registered = None;
                self.unconfirmed = None;
            }
            Wanted::Unchanged(_) => {}
        }
    }
}

impl Service {
    pub(super) fn new(scope: &str, member: &MemberName) -> Self {
        Self {
            name: service_name(scope),
            id: format!("{scope}/{member}"),
            state: Mutex::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says so when the service is not called like the cluster.
    pub(super) fn announce_name(&self, scope: &str) {
        if self.name != scope {
            tracing::warn!(
                "Using {} as consul service name instead of scope name {scope}",
                self.name
            );
        }
    }

    /// Makes the next update speak to the agent.
    pub(super) fn forget(&self) {
        self.state().done = None;
    }

    /// Tells the agent what changed in the member, and tells it again after a change of the
    /// session. A failure is logged and made good by the next update.
    pub(super) async fn update(
        &self,
        agent: &Agent,
        data: &MemberData,
        session: &str,
        session_ttl: Duration,
    ) {
        let changeable = agent.changeable();
        if !changeable.register_service && self.state().registered.is_none() {
            return;
        }
        let Some(wanted) = self.wanted(&agent.options, &changeable, data, session_ttl) else {
            return;
        };
        let now = (wanted, session.to_owned());
        if self.state().done.as_ref() == Some(&now) && !self.was_taken_back(agent).await {
            return;
        }
        let carried_out = self.carry_out(agent, &now.0).await;
        let mut state = self.state();
        match carried_out {
            Ok(()) => {
                state.note(&now.0);
                state.done = Some(now);
            }
            Err(error) => {
                state.done = None;
                tracing::error!(%error, "update_service");
            }
        }
    }

    /// Whether the agent has the tags from before the last registration again. It takes over
    /// what the catalog says of a service whose tags others may override, and that can be what it
    /// had read a moment before the registration. Tags that somebody else has set are left alone.
    async fn was_taken_back(&self, agent: &Agent) -> bool {
        let Some(change) = self.state().unconfirmed.clone() else {
            return false;
        };
        let path = format!("agent/service/{}", self.id);
        let request = Request::new(Audience::Agent, Method::GET, &path);
        let answer = match agent.call(Effort::Once, &request).await {
            Ok(answer) => answer.json::<Value>(),
            Err(failure) => Err(failure),
        };
        match answer {
            Ok(known) => {
                if change.since.elapsed() > COMPARISON {
                    self.state().unconfirmed = None;
                }
                known["Tags"] == change.earlier
            }
            Err(error) => {
                tracing::debug!(%error, "the registered service cannot be looked at");
                false
            }
        }
    }

    /// What the agent should know; `None` when it does not matter at the moment.
    fn wanted(
        &self,
        options: &Options,
        changeable: &Changeable,
        data: &MemberData,
        session_ttl: Duration,
    ) -> Option<Wanted> {
        if !changeable.register_service || data.state() == "stopped" {
            return Some(Wanted::Absent);
        }
        let Some(role @ (Role::Primary | Role::Replica | Role::StandbyLeader)) = data.role() else {
            let role = data.as_map().get("role").and_then(Value::as_str);
            let why = format!("unknown role type {}", role.unwrap_or_default());
            return Some(Wanted::Unchanged(why));
        };
        if !data.is_running() {
            return None;
        }
        let parameters = self.parameters(options, changeable, data, role, session_ttl);
        Some(parameters.map_or_else(
            || Wanted::Unchanged("not enough params in member data".to_owned()),
            Wanted::Registered,
        ))
    }

    fn parameters(
        &self,
        options: &Options,
        changeable: &Changeable,
        data: &MemberData,
        role: Role,
        session_ttl: Duration,
    ) -> Option<Value> {
        let server = Url::parse(&data.conn_url()?).ok()?;
        let role_tag = role.as_str().replace('_', "-");
        let mut check = json!({
            "http": format!("{}/{role_tag}", origin(data.api_url()?)?),
            "interval": options.service_check_interval,
            "DeregisterCriticalServiceAfter": format!("{}s", seconds(session_ttl * 10)),
        });
        if let Some(name) = &options.service_check_tls_server_name {
            check["TLSServerName"] = name.as_str().into();
        }
        let mut tags = changeable.service_tags.clone();
        tags.sort();
        tags.push(role_tag);
        if role == Role::Primary {
            tags.push("master".to_owned());
        }
        Some(json!({
            "name": self.name,
            "enabletagoverride": true,
            "id": self.id,
            "address": server.host_str()?.trim_matches(['[', ']']),
            "port": server.port()?,
            "tags": tags,
            "checks": [check],
        }))
    }

    async fn carry_out(&self, agent: &Agent, wanted: &Wanted) -> Result<(), Failure> {
        let request = match wanted {
            Wanted::Registered(parameters) => {
                tracing::info!("Register service {}, params {parameters}", self.name);
                let path = "agent/service/register";
                Request::new(Audience::Agent, Method::PUT, path).with_body(parameters.to_string())
            }
            Wanted::Absent => {
                tracing::info!("Deregister service {}", self.id);
                let path = format!("agent/service/deregister/{}", self.id);
                Request::new(Audience::Agent, Method::PUT, &path)
            }
            Wanted::Unchanged(why) => {
                tracing::warn!("Could not register service: {why}");
                return Ok(());
            }
        };
        let answer = agent.call(Effort::Once, &request).await?;
        // An agent that lost its memory does not know the service any more.
        if *wanted == Wanted::Absent && answer.is_unknown() {
            return Ok(());
        }
        answer.done()
    }
}

/// How long an agent may be at a comparison with the catalog that it began before a change.
const COMPARISON: Duration = Duration::from_secs(5);

/// Scheme, host and port of a URL, as they are written.
fn origin(url: &str) -> Option<&str> {
    let authority = url.find("://")? + "://".len();
    let path = url[authority..].find('/');
    Some(path.map_or(url, |path| &url[..authority + path]))
}

/// What a cluster is called as a service: letters, digits and dashes.
fn service_name(scope: &str) -> String {
    let written = |letter| match letter {
        'a'..='z' | '0'..='9' | '-' => String::from(letter),
        '.' | ' ' | '_' => "-".to_owned(),
        other => format!("u{:04}", u32::from(other)),
    };
    let mut name: String = scope.to_lowercase().chars().map(written).collect();
    name.truncate(LONGEST_NAME);
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: Duration = Duration::from_secs(15);

    fn changeable() -> Changeable {
        Changeable {
            register_service: true,
            service_tags: vec!["tag2".to_owned(), "tag1".to_owned()],
            ..Changeable::default()
        }
    }

    fn wanted(changeable: &Changeable, role: &str, state: &str) -> Option<Wanted> {
        let data = MemberData::parse(&format!(
            "{{\"conn_url\":\"postgres://10.0.0.1:5432/postgres\",\
              \"api_url\":\"https://10.0.0.1:80/patroni\",\
              \"state\":\"{state}\",\"role\":\"{role}\"}}"
        ));
        let service = Service::new("demo", &MemberName::new("node1"));
        let mut options = Options::new("http://127.0.0.1:8500");
        options.service_check_tls_server_name = Some("db".to_owned());
        service.wanted(&options, changeable, &data, TTL)
    }

    #[test]
    fn a_running_member_is_registered_by_its_role() {
        let Some(Wanted::Registered(parameters)) = wanted(&changeable(), "primary", "running")
        else {
            panic!("a running primary is registered");
        };
        assert_eq!(
            parameters.to_string(),
            concat!(
                r#"{"name":"demo","enabletagoverride":true,"id":"demo/node1","#,
                r#""address":"10.0.0.1","port":5432,"tags":["tag1","tag2","primary","master"],"#,
                r#""checks":[{"http":"https://10.0.0.1:80/primary","interval":"5s","#,
                r#""DeregisterCriticalServiceAfter":"150.0s","TLSServerName":"db"}]}"#
            )
        );
        let Some(Wanted::Registered(parameters)) =
            wanted(&changeable(), "standby_leader", "running")
        else {
            panic!("a running standby leader is registered");
        };
        assert_eq!(parameters["tags"][2], "standby-leader");
        assert_eq!(
            parameters["checks"][0]["http"],
            "https://10.0.0.1:80/standby-leader"
        );
    }

    #[test]
    fn other_states_and_roles_change_nothing_or_take_it_back() {
        assert_eq!(wanted(&changeable(), "replica", "starting"), None);
        assert_eq!(
            wanted(&changeable(), "replica", "stopped"),
            Some(Wanted::Absent)
        );
        assert_eq!(
            wanted(&Changeable::default(), "primary", "running"),
            Some(Wanted::Absent)
        );
        assert_eq!(
            wanted(&changeable(), "demoted", "running"),
            Some(Wanted::Unchanged("unknown role type demoted".to_owned()))
        );
    }

    #[test]
    fn services_are_called_as_recorded() {
        let long = "x".repeat(300);
        for (scope, name) in [
            ("demo", "demo"),
            ("My.Cluster", "my-cluster"),
            ("my_cluster", "my-cluster"),
            ("a b", "a-b"),
            ("Ünïcode", "u0252nu0239code"),
            ("a/b", "au0047b"),
            (&long, &long[..230]),
        ] {
            assert_eq!(service_name(scope), name);
        }
    }
}
