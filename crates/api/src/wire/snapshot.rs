//! What a node publishes about itself for readers that must not wait.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use patroni_config::dynamic::{Dynamic, SynchronousMode};
use patroni_core::server::PendingParameter;
use patroni_core::{
    Cluster, Lsn, MemberName, Role, Scope, State, SystemId, Tags, Timeline, version,
};
use serde_json::{Map, Value};

/// Everything a health check needs to know of the node without IO. The HA loop publishes a new
/// one whenever a field changes; readers keep the `Arc` they got.
///
/// Claims that end by themselves (the lock, the view, failsafe) carry their own end, so that
/// answers stay right while the loop hangs.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The cluster's name.
    pub scope: Scope,
    /// This member's name.
    pub name: MemberName,
    /// The version shown in documents and metrics.
    pub version: version::Version,
    /// The end of this node's own claim on the lock: `ttl` after the moment before the last
    /// successful acquisition or renewal was sent. `None` after a release.
    pub lock_until: Option<Instant>,
    /// `ttl`.
    pub ttl: Duration,
    /// The dynamic configuration says paused (last known value).
    pub paused: bool,
    /// The dynamic configuration has an active `standby_cluster` (last known value).
    pub standby_cluster: bool,
    /// Synchronous mode (last known value).
    pub synchronous_mode: SynchronousMode,
    /// `maximum_lag_on_failover` in bytes, the limit of `/readiness`.
    pub maximum_lag_on_failover: i64,
    /// The last view of the cluster; `None` before the first read and after a failed one.
    pub view: Option<CachedView>,
    /// The end of a failsafe announcement: `ttl` after its arrival.
    pub failsafe_until: Option<Instant>,
    /// Until when the node leads without the store, by the consent of all members.
    pub consent_until: Option<Instant>,
    /// `failsafe_mode` is on (last known value).
    pub failsafe_mode: bool,
    /// The failsafe key as this node last read or wrote it: name to API address. `None` when the
    /// key does not exist, empty before the first read.
    pub failsafe_members: Option<BTreeMap<MemberName, String>>,
    /// Wall-clock seconds of the last good read of the store, 0 before the first.
    pub dcs_last_seen: i64,
    /// The configured tags in their published form ([`Tags::published`]).
    pub tags: Tags,
    /// The node takes itself off the synchronous set: the overlay of [`Tags::leaving_sync`] is
    /// shown, but not used by tag filters.
    pub leaving_sync: bool,
    /// The data have left the cluster's history: the same with [`Tags::diverged`].
    pub diverged: bool,
    /// The identity of the database cluster, when known.
    pub system_id: Option<SystemId>,
    /// Parameters that wait for a restart.
    pub pending_restart: BTreeMap<String, PendingParameter>,
    /// The scheduled restart: `schedule` and its filters in the order of the request.
    pub scheduled_restart: Option<Map<String, Value>>,
    /// The watchdog is required and cannot be used.
    pub watchdog_failed: bool,
    /// The server is not known to leave new connections without an answer.
    pub accepts_connections: bool,
    /// The server's state as the supervisor knows it; liveness does not ask PostgreSQL.
    pub server_state: State,
    /// The server's role in memory.
    pub server_role: Role,
    /// The timeline that the server was last seen on.
    pub timeline: Option<Timeline>,
    /// When the loop plans its next run; `None` before the first.
    pub next_run: Option<Instant>,
}

/// The last view of the cluster, with the moment when it stops being one.
#[derive(Clone, Debug)]
pub struct CachedView {
    /// The view.
    pub cluster: Arc<Cluster>,
    /// When its read began: it shows every write that was answered before.
    pub asked_at: Instant,
    /// `ttl` after the read.
    pub until: Instant,
    /// API addresses of members of other groups of an MPP cluster, for the allowlist.
    pub other_groups: Arc<[String]>,
}

/// How full the queue of the log is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogQueue {
    /// Records that wait to be written.
    pub waiting: usize,
    /// Records that were dropped since the start.
    pub lost: u64,
}

impl Snapshot {
    /// A node that has just started: no lock, no view, default settings.
    pub fn new(scope: Scope, name: MemberName) -> Self {
        let mut snapshot = Self {
            scope,
            name,
            version: version::COMPATIBLE,
            lock_until: None,
            ttl: Duration::ZERO,
            paused: false,
            standby_cluster: false,
            synchronous_mode: SynchronousMode::Off,
            maximum_lag_on_failover: 0,
            view: None,
            failsafe_until: None,
            consent_until: None,
            failsafe_mode: false,
            failsafe_members: Some(BTreeMap::new()),
            dcs_last_seen: 0,
            tags: Tags::default(),
            leaving_sync: false,
            diverged: false,
            system_id: None,
            pending_restart: BTreeMap::new(),
            scheduled_restart: None,
            watchdog_failed: false,
            accepts_connections: true,
            server_state: State::Stopped,
            server_role: Role::Uninitialized,
            timeline: None,
            next_run: None,
        };
        snapshot.set_dynamic(&Dynamic::default());
        snapshot
    }

    /// Takes over what documents and checks need of the dynamic configuration.
    pub fn set_dynamic(&mut self, dynamic: &Dynamic) {
        self.ttl = dynamic.ttl;
        self.paused = dynamic.pause;
        self.standby_cluster = dynamic.standby_cluster.is_some();
        self.synchronous_mode = dynamic.synchronous_mode;
        self.maximum_lag_on_failover = dynamic.maximum_lag_on_failover;
        self.failsafe_mode = dynamic.failsafe_mode;
    }

    /// Whether the node's own claim on the lock holds at `now`.
    pub fn has_lock(&self, now: Instant) -> bool {
        self.lock_until.is_some_and(|until| now < until)
    }

    /// The cached view, unless it is too old at `now`.
    pub fn view_at(&self, now: Instant) -> Option<&CachedView> {
        self.view.as_ref().filter(|view| now < view.until)
    }

    /// Whether a failsafe announcement is fresh at `now`, of another member or of its own.
    pub fn failsafe_is_active(&self, now: Instant) -> bool {
        let fresh = |until: Option<Instant>| until.is_some_and(|until| now < until);
        fresh(self.failsafe_until) || fresh(self.consent_until)
    }
}

impl CachedView {
    /// The leader's position by the status key, zero when unknown.
    pub fn leader_position(&self) -> Lsn {
        self.cluster.status.optime
    }

    /// The API addresses of all members, also of other groups.
    pub fn api_urls(&self) -> impl Iterator<Item = &str> {
        self.cluster
            .members
            .iter()
            .filter_map(|member| member.data.api_url())
            .chain(self.other_groups.iter().map(String::as_str))
    }
}
