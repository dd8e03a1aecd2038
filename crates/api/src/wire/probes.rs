//! `/liveness` and `/readiness`, made for probes of container platforms.

use std::time::Instant;

use patroni_core::{Role, value};
use serde_json::Value;

use super::query::Query;
use super::snapshot::Snapshot;
use super::status::Status;

/// What the liveness check needs to know of PostgreSQL, without asking it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Duty {
    /// A running primary: the loop must not be late at all.
    RunningPrimary,
    /// Anything else: twice the time is allowed.
    Other,
}

/// Whether the loop is alive: its planned next run is less than `ttl` ago (twice that when it
/// does not look after a running primary), or the cluster is paused.
pub fn is_alive(snapshot: &Snapshot, duty: Duty, now: Instant) -> bool {
    let allowed = match duty {
        Duty::RunningPrimary => snapshot.ttl,
        Duty::Other => snapshot.ttl * 2,
    };
    snapshot.paused
        || snapshot
            .next_run
            .is_some_and(|planned| now.saturating_duration_since(planned) < allowed)
}

/// Whether the node is ready: it has the lock, or it is a replica that streams and is not
/// further behind than `lag` (parameter, else `maximum_lag_on_failover`).
pub fn is_ready(query: &Query<'_>, status: &Status<'_>) -> bool {
    if status.has_lock {
        return true;
    }
    let Some(row) = status.row() else {
        return false;
    };
    if !status.is_running()
        || row.in_recovery != (status.role() != Role::Primary)
        || row.replication_state.as_deref() != Some("streaming")
    {
        return false;
    }
    let known = status.view.is_some() || row.latest_end.is_some();
    if !known {
        return status.failsafe_active;
    }
    let position = if query.get("mode") == Some("write") {
        row.received.or(row.replayed)
    } else {
        row.replayed
    };
    let lag = position
        .unwrap_or_default()
        .lag_behind(status.newest_position());
    let limit = query
        .get("lag")
        .and_then(|text| value::parse_bytes(&Value::from(text)))
        .unwrap_or(status.snapshot.maximum_lag_on_failover);
    i128::from(lag) <= i128::from(limit)
}
