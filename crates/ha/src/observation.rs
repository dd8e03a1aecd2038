//! What a cycle is begun with: everything observed, at one time, in one value.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use patroni_config::Dynamic;
use patroni_core::server::LocalServer;
use patroni_core::{Cluster, Lsn, MemberName, Moment, RestartConditions, SlotName, Tags, Timeline};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::job::{JobReport, RunningJob};

/// All facts that one cycle may use. What is not here was not looked at.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Observation {
    /// The moment of the observation. Later moments come with each outcome.
    pub now: Moment,
    /// Wall time of the observation, for what people scheduled.
    pub wall: Timestamp,
    /// Who and what this node is, by its own configuration.
    pub node: NodeFacts,
    /// Cluster-wide settings in effect.
    pub settings: Arc<Dynamic>,
    /// The dynamic configuration in memory, as written; to restore a wiped `config` key.
    pub config_in_memory: Arc<Map<String, Value>>,
    /// The snapshot of the store, or why there is none.
    pub store: Result<Arc<Cluster>, String>,
    /// The local server.
    pub server: LocalServer,
    /// The long task that occupies the executor slot.
    pub executor: Option<RunningJob>,
    /// Long tasks that ended since the last cycle, oldest first.
    pub finished: Vec<JobReport>,
    /// The restart that somebody scheduled on this node.
    pub scheduled_restart: Option<ScheduledRestart>,
    /// The watchdog.
    pub watchdog: WatchdogFacts,
    /// The leader that announced itself while the store was down, while that is fresh.
    pub failsafe_leader: Option<FailsafeLeader>,
    /// Whether the server answers new connections.
    #[serde(default)]
    pub probe: ProbeFacts,
}

/// What was found by knocking at the local server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeFacts {
    /// For how long it has left new connections without an answer; `None` while it does not.
    pub silent_for: Option<Duration>,
    /// After how long of that a leader gives up; `None` when it is only reported.
    pub fail_over_after: Option<Duration>,
}

/// What the node's own configuration says, as far as decisions need it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeFacts {
    /// The member's name.
    pub name: MemberName,
    /// The address it publishes for its REST interface.
    pub api_url: String,
    /// Its tags.
    pub tags: Tags,
    /// A `bootstrap` section exists: the node may initialise a cluster.
    pub may_bootstrap: bool,
    /// Some replica method works without a leader.
    pub can_clone_without_leader: bool,
    /// The replica method that is tried first works on the data that are there (`keep_data`).
    #[serde(default)]
    pub keeps_data: bool,
    /// `remove_data_directory_on_rewind_failure`
    pub wipe_on_rewind_failure: bool,
    /// `remove_data_directory_on_diverged_timelines`
    pub wipe_on_divergence: bool,
    /// The database of Citus, when this node is part of a Citus cluster.
    #[serde(default)]
    pub citus_database: Option<String>,
    /// Its group in that cluster; 0 is the coordinator's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub citus_group: Option<u32>,
    /// A primary stops at the end of its lease also when its daemon does not run: by its guardian,
    /// or by the watchdog without which nobody leads. The members of a cluster are taken to be
    /// set up alike.
    #[serde(default = "yes")]
    pub guarded: bool,
    /// The store is the embedded Raft, where one cycle is skipped after a start without leader.
    pub store_is_raft: bool,
}

/// What a journal means that was written before it said so.
const fn yes() -> bool {
    true
}

/// The watchdog as the node sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatchdogFacts {
    /// It is armed.
    pub active: bool,
    /// `mode: required`.
    pub required: bool,
    /// It could be armed (always true when not required).
    pub usable: bool,
    /// After how long without being fed the armed one fires.
    #[serde(default)]
    pub timeout: Option<Duration>,
}

/// A leader known from its failsafe announcement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailsafeLeader {
    /// Its name.
    pub name: MemberName,
    /// Its PostgreSQL address.
    pub conn_url: String,
    /// Its REST address.
    pub api_url: String,
    /// Its slots.
    pub slots: BTreeMap<SlotName, Lsn>,
}

/// A restart that waits for its time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScheduledRestart {
    /// When.
    pub at: Timestamp,
    /// The filters of the request.
    pub conditions: RestartConditions,
    /// Start time of the postmaster when it was scheduled: another one means "already done".
    pub postmaster_start_time: Option<String>,
    /// The request as sent, which is what gets published.
    pub published: Map<String, Value>,
}

/// What a peer's REST interface said.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PeerAnswer {
    /// Who was asked.
    pub name: MemberName,
    /// The answer, or why there is none.
    pub reply: Result<PeerStatus, String>,
    /// It answered without a position, and its server is none that takes writes: it was one and
    /// is stopped, or it is being started as a standby.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stands_aside: bool,
}

/// The part of a peer's status document that decisions use.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PeerStatus {
    /// False when it is a primary (or says so).
    pub in_recovery: bool,
    /// Its main position, zero when unknown.
    pub position: Lsn,
    /// Its timeline, when known.
    pub timeline: Option<Timeline>,
    /// Its tags.
    pub tags: Tags,
    /// It needs a watchdog and has none.
    pub watchdog_failed: bool,
    /// It still replays WAL that it had when it started: it has more than its position tells.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub replays_own_wal: bool,
    /// It receives WAL as it is written: there is a server at the other end, or was lately.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub streams: bool,
    /// It knows whom to stream from, and does so again as soon as it can.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub may_stream: bool,
    /// The document as received, for the log.
    pub body: String,
}
