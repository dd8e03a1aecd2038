//! The status document: the body of every health check and of `GET /patroni`.

use std::time::Instant;

use patroni_config::dynamic::SynchronousMode;
use patroni_core::{CopyProgress, Lsn, Role, State, Timeline};
use serde_json::{Map, Value, json};

use super::facts::{Row, SenderRow, ServerFacts, ServerRow};
use super::snapshot::{CachedView, LogQueue, Snapshot};

/// One node at one moment: what it published, its server, and which claims still hold.
#[derive(Clone, Copy, Debug)]
pub struct Status<'a> {
    /// What the node published.
    pub snapshot: &'a Snapshot,
    /// Its server.
    pub facts: &'a ServerFacts,
    /// Its own claim on the lock holds.
    pub has_lock: bool,
    /// The cached view, while it is one.
    pub view: Option<&'a CachedView>,
    /// A failsafe announcement is fresh.
    pub failsafe_active: bool,
}

impl<'a> Status<'a> {
    /// The node at `now`.
    pub fn new(snapshot: &'a Snapshot, facts: &'a ServerFacts, now: Instant) -> Self {
        Self {
            snapshot,
            facts,
            has_lock: snapshot.has_lock(now),
            view: snapshot.view_at(now),
            failsafe_active: snapshot.failsafe_is_active(now),
        }
    }

    /// The field `state`: `unknown` when the server should run but did not answer.
    pub fn state(&self) -> &'static str {
        match (self.facts.state, &self.facts.row) {
            (State::Running, Row::Failed) => "unknown",
            (state, Row::Failed | Row::NotAsked | Row::Known(_)) => state.as_str(),
        }
    }

    /// The number of `state` in the metrics, -1 for `unknown`.
    pub fn state_number(&self) -> i16 {
        match (self.facts.state, &self.facts.row) {
            (State::Running, Row::Failed) => -1,
            (state, Row::Failed | Row::NotAsked | Row::Known(_)) => i16::from(state.metric()),
        }
    }

    /// The server runs and answered.
    pub fn is_running(&self) -> bool {
        self.state() == State::Running.as_str()
    }

    /// The field `role`. A server that answered is judged by its recovery; in a standby cluster
    /// a node in recovery shows its own role.
    pub fn role(&self) -> Role {
        match self.row() {
            None => self.facts.role,
            Some(row) if !row.in_recovery => Role::Primary,
            Some(_) if self.snapshot.standby_cluster => self.facts.role,
            Some(_) => Role::Replica,
        }
    }

    /// The row of the status query.
    pub fn row(&self) -> Option<&'a ServerRow> {
        self.facts.row()
    }

    /// The flag `sync_standby`.
    pub fn is_sync_standby(&self) -> bool {
        self.is_listed_standby(SynchronousMode::Priority)
    }

    /// The flag `quorum_standby`.
    pub fn is_quorum_standby(&self) -> bool {
        self.is_listed_standby(SynchronousMode::Quorum)
    }

    fn is_listed_standby(&self, mode: SynchronousMode) -> bool {
        self.snapshot.synchronous_mode == mode
            && self.row().is_some()
            && self.role() == Role::Replica
            && self
                .view
                .is_some_and(|view| view.cluster.sync.has_standby(&self.snapshot.name))
    }

    /// The flag `cluster_unlocked`: no view, or nobody holds the lock in it.
    pub fn is_cluster_unlocked(&self) -> bool {
        self.view.is_none_or(|view| view.cluster.is_unlocked())
    }

    /// Why this node gets no WAL, as it published it itself.
    pub fn replication_problem(&self) -> Option<&'a str> {
        let member = self.view?.cluster.member(&self.snapshot.name)?;
        member.data.replication_problem()
    }

    /// The furthest position known in the cluster, zero when unknown.
    pub fn newest_position(&self) -> Lsn {
        let leader = self.view.map(CachedView::leader_position);
        let receiver = self.row().and_then(|row| row.latest_end);
        leader.max(receiver).unwrap_or_default()
    }

    /// The document, keys in the order of the contract.
    pub fn document(&self, log: LogQueue) -> Map<String, Value> {
        let mut doc = Map::new();
        let mut put = |key: &str, value: Value| {
            doc.insert(key.to_owned(), value);
        };
        put("state", self.state().into());
        if let Some(row) = self.row() {
            put(
                "postmaster_start_time",
                row.postmaster_start_time.clone().into(),
            );
        }
        put("role", self.role().as_str().into());
        if let Some(row) = self.row() {
            self.put_row(row, &mut put);
        }
        self.put_node(&mut put);
        if let Some(copy) = &self.facts.copy {
            put("copy", progress(copy));
        }
        if log.waiting > 2 {
            put("logger_queue_size", log.waiting.into());
            if log.lost > 0 {
                put("logger_records_lost", log.lost.into());
            }
        }
        doc
    }

    fn put_row(&self, row: &ServerRow, put: &mut impl FnMut(&str, Value)) {
        put("server_version", row.server_version.into());
        put("xlog", positions(row));
        if self.is_sync_standby() {
            put("sync_standby", true.into());
        }
        if self.is_quorum_standby() {
            put("quorum_standby", true.into());
        }
        put("timeline", row.timeline.map(Timeline::number).into());
        if let Some(state) = &row.replication_state {
            put("replication_state", state.as_str().into());
        }
        if !row.replication.is_empty() {
            put(
                "replication",
                row.replication.iter().map(SenderRow::to_value).collect(),
            );
        }
    }

    fn put_node(&self, put: &mut impl FnMut(&str, Value)) {
        let snapshot = self.snapshot;
        let mut put_flag = |key: &str, set: bool| {
            if set {
                put(key, true.into());
            }
        };
        put_flag("pause", snapshot.paused);
        put_flag("cluster_unlocked", self.is_cluster_unlocked());
        put_flag("failsafe_mode_is_active", self.failsafe_active);
        put("dcs_last_seen", snapshot.dcs_last_seen.into());
        let tags = if snapshot.diverged {
            snapshot.tags.diverged()
        } else if snapshot.leaving_sync {
            snapshot.tags.leaving_sync()
        } else {
            snapshot.tags.clone()
        };
        if !tags.is_empty() {
            put("tags", tags.as_map().clone().into());
        }
        if let Some(id) = &snapshot.system_id {
            put("database_system_identifier", id.as_str().into());
        }
        if !snapshot.pending_restart.is_empty() {
            put("pending_restart", true.into());
            let reasons: Map<String, Value> = snapshot
                .pending_restart
                .iter()
                .map(|(name, p)| {
                    let values = json!({"old_value": p.old_value, "new_value": p.new_value});
                    (name.clone(), values)
                })
                .collect();
            put("pending_restart_reason", reasons.into());
        }
        put(
            "patroni",
            json!({
                "version": snapshot.version.to_string(),
                "scope": snapshot.scope.as_str(),
                "name": snapshot.name.as_str(),
            }),
        );
        if let Some(restart) = &snapshot.scheduled_restart {
            put("scheduled_restart", restart.clone().into());
        }
        if snapshot.watchdog_failed {
            put("watchdog_failed", true.into());
        }
        if let Some(problem) = self.replication_problem() {
            put("replication_problem", problem.into());
        }
        if !snapshot.accepts_connections {
            put("accepts_connections", false.into());
        }
    }
}

impl SenderRow {
    fn to_value(&self) -> Value {
        json!({
            "usename": self.usename,
            "application_name": self.application_name,
            "client_addr": self.client_addr,
            "state": self.state,
            "sync_state": self.sync_state,
            "sync_priority": self.sync_priority,
        })
    }
}

fn progress(copy: &CopyProgress) -> Value {
    json!({
        "bytes": copy.bytes,
        "total": copy.total,
        "percent": copy.percent(),
        "seconds": copy.elapsed.as_secs(),
        "seconds_left": copy.left().map(|left| left.as_secs()),
    })
}

fn positions(row: &ServerRow) -> Value {
    if !row.in_recovery {
        return json!({"location": row.flushed.bytes()});
    }
    let replayed = row.replayed.unwrap_or_default();
    let mut positions = json!({
        "received_location": row.received.unwrap_or(replayed).bytes(),
        "replayed_location": replayed.bytes(),
        "replayed_timestamp": row.replayed_timestamp,
        "paused": row.replay_paused,
    });
    if row.replays_own_wal {
        positions["replays_own_wal"] = true.into();
    }
    // Who streams says so elsewhere.
    if row.may_stream && row.replication_state.as_deref() != Some("streaming") {
        positions["may_stream"] = true.into();
    }
    positions
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use patroni_core::{MemberName, Scope};

    use super::*;

    #[test]
    fn a_copy_shows_how_far_it_is() {
        let snapshot = Snapshot::new(Scope::new("demo"), MemberName::new("a"));
        let mut facts = ServerFacts::without_row(State::CreatingReplica, Role::Uninitialized);
        let shown = |facts: &ServerFacts| {
            let doc = Status::new(&snapshot, facts, Instant::now()).document(LogQueue::default());
            doc.get("copy").cloned()
        };
        assert_eq!(shown(&facts), None);
        facts.copy = Some(CopyProgress {
            bytes: 300,
            total: Some(1200),
            elapsed: Duration::from_millis(5700),
        });
        let expected = json!({
            "bytes": 300, "total": 1200, "percent": 25, "seconds": 5, "seconds_left": 17,
        });
        assert_eq!(shown(&facts), Some(expected));
    }

    #[test]
    fn who_streams_no_more_says_that_it_would() {
        let shown = |may_stream: bool, state: Option<&str>| {
            let row = ServerRow {
                in_recovery: true,
                may_stream,
                replication_state: state.map(str::to_owned),
                ..ServerRow::default()
            };
            positions(&row).get("may_stream").cloned()
        };
        assert_eq!(shown(true, Some("streaming")), None);
        assert_eq!(shown(true, Some("in archive recovery")), Some(true.into()));
        assert_eq!(shown(true, None), Some(true.into()));
        assert_eq!(shown(false, None), None);
    }
}
