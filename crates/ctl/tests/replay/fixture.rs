//! The fixtures as types.

use std::collections::BTreeMap;
use std::sync::Arc;

use patroni_config::{ControlSettings, Local};
use patroni_core::{
    Cluster, ConfigDoc, Failover, FailoverRequest, History, Leader, Lsn, Member, MemberData,
    MemberName, Revision, Status, SyncState,
};
use serde::Deserialize;
use serde_json::{Map, Value, json};

#[derive(Deserialize)]
pub(crate) struct Stage {
    pub(crate) states: Vec<State>,
    pub(crate) runs: Vec<Run>,
}

impl Stage {
    pub(crate) fn read(name: &str) -> Self {
        let path = format!("{}/tests/golden/{name}.json", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"))
    }
}

#[derive(Deserialize)]
pub(crate) struct Run {
    pub(crate) argv: Vec<String>,
    pub(crate) exit: u8,
    #[serde(default)]
    pub(crate) stdout: String,
    #[serde(default)]
    pub(crate) stderr: String,
    #[serde(default)]
    pub(crate) stderr_free: bool,
    pub(crate) stdin: Option<String>,
    pub(crate) typed: Option<String>,
    #[serde(default)]
    pub(crate) env: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) scope: String,
    /// Cluster (or cluster and group) to the number of its state.
    #[serde(default)]
    pub(crate) world: BTreeMap<String, usize>,
    /// The states after the first request or write.
    #[serde(default)]
    pub(crate) after: BTreeMap<String, usize>,
    /// Member (or `*`), method, path, code, body.
    #[serde(default)]
    pub(crate) rest: Vec<(String, String, String, u16, String)>,
    /// What the client says of members that do not answer.
    pub(crate) unreachable: Option<String>,
    #[serde(default)]
    pub(crate) citus: Option<u32>,
    pub(crate) help: Option<Help>,
}

#[derive(Deserialize)]
pub(crate) struct Help {
    #[serde(default)]
    pub(crate) options: Vec<String>,
    #[serde(default)]
    pub(crate) commands: Vec<String>,
}

impl Run {
    /// What the file of the run says. Runs without a file get what variables or URLs told.
    pub(crate) fn settings(&self) -> ControlSettings {
        let no_file = !self.argv.iter().any(|word| word == "-c");
        let nameless = no_file
            && !["PATRONI_SCOPE", "PATRONICTL_CONFIG_FILE"]
                .iter()
                .any(|v| self.env.contains_key(*v));
        let mut settings = Map::new();
        if !nameless {
            settings.insert("scope".to_owned(), self.scope.as_str().into());
        }
        if let Some(group) = self.citus {
            settings.insert("citus".to_owned(), json!({"group": group, "database": "d"}));
        }
        let local = Local {
            settings,
            ..Local::default()
        };
        ControlSettings::read(&local).unwrap()
    }
}

#[derive(Clone, Default, Deserialize)]
pub(crate) struct State {
    initialize: Option<String>,
    config: Option<Map<String, Value>>,
    leader: Option<String>,
    optime: u64,
    members: BTreeMap<String, Value>,
    failover: Option<Value>,
    sync: Option<Value>,
    history: Option<Value>,
}

impl State {
    pub(crate) fn cluster(&self) -> Cluster {
        let revision = Revision::new("1");
        Cluster {
            initialize: self.initialize.clone(),
            config: self.config.clone().map(|data| ConfigDoc {
                revision: revision.clone(),
                modify_revision: Some(revision.clone()),
                data: Arc::new(data),
            }),
            leader: self.leader.as_ref().map(|name| Leader {
                name: MemberName::new(name.as_str()),
                revision: revision.clone(),
                session: None,
            }),
            status: Status {
                optime: Lsn::new(self.optime),
                ..Status::default()
            },
            members: self
                .members
                .iter()
                .map(|(name, data)| Member {
                    name: MemberName::new(name.as_str()),
                    session: None,
                    data: MemberData::parse(&data.to_string()),
                })
                .collect(),
            failover: self.failover.as_ref().map(|request| Failover {
                revision: revision.clone(),
                request: FailoverRequest::parse(&request.to_string()),
            }),
            sync: self.sync.as_ref().map_or_else(SyncState::default, |sync| {
                SyncState::parse(&sync.to_string(), Some(revision))
            }),
            history: self
                .history
                .as_ref()
                .and_then(|history| History::parse(&history.to_string())),
            failsafe: None,
        }
    }
}
