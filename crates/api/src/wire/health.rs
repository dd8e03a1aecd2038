//! The health checks: which path is 200 and which is 503.
//!
//! Paths are tested by substring in a fixed order (section 5 of the REST contract), because load
//! balancers out there rely on it.

use patroni_core::{Role, value};

use super::query::Query;
use super::status::Status;

/// Whether `path` (with its leading slash) is up. Dedicated paths such as `/liveness` are not
/// treated here: for them this is the answer to `HEAD`.
pub fn is_up(path: &str, query: &Query<'_>, status: &Status<'_>) -> bool {
    match Check::of(path, status.view.is_some()) {
        Check::StandbyLeader => Locks::of(status).standby_leader,
        Check::Leader => Locks::of(status).leader,
        Check::Primary => Locks::of(status).primary,
        Check::Filtered(check) => check.is_up(query, status) && tags_match(query, status),
        Check::Unknown => false,
    }
}

/// What a path asks.
enum Check {
    StandbyLeader,
    Leader,
    Primary,
    Filtered(Filtered),
    Unknown,
}

/// The checks that tags can narrow.
enum Filtered {
    Replica,
    ReadOnly,
    Running,
    Sync,
    Quorum,
    Async,
    ReadOnlyQuorum,
    ReadOnlySync,
}

impl Check {
    /// Row by row in the order of the contract's table 5.3.
    fn of(path: &str, has_view: bool) -> Self {
        let path = if path == "/" { "/primary" } else { path };
        let has = |part: &str| path.contains(part);
        if has("standby_leader") || has("standby-leader") {
            return Self::StandbyLeader;
        }
        if has("leader") {
            return Self::Leader;
        }
        if has("master") || has("primary") || has("read-write") {
            return Self::Primary;
        }
        if has("replica") {
            return Self::Filtered(Filtered::Replica);
        }
        if has("read-only") && !has("sync") && !has("quorum") {
            return Self::Filtered(Filtered::ReadOnly);
        }
        if has("health") {
            return Self::Filtered(Filtered::Running);
        }
        if !has_view {
            return Self::Unknown;
        }
        match path {
            "/sync" | "/synchronous" => Self::Filtered(Filtered::Sync),
            "/quorum" => Self::Filtered(Filtered::Quorum),
            "/async" | "/asynchronous" => Self::Filtered(Filtered::Async),
            "/read-only-quorum" => Self::Filtered(Filtered::ReadOnlyQuorum),
            "/read-only-sync" | "/read-only-synchronous" => Self::Filtered(Filtered::ReadOnlySync),
            _ => Self::Unknown,
        }
    }
}

impl Filtered {
    fn is_up(&self, query: &Query<'_>, status: &Status<'_>) -> bool {
        let locks = Locks::of(status);
        let writable = locks.primary || locks.standby_leader;
        let replica = || is_replica_up(query, status);
        let (sync, quorum) = (status.is_sync_standby(), status.is_quorum_standby());
        match self {
            Self::Replica => replica(),
            Self::ReadOnly => writable || replica(),
            Self::Running => status.is_running(),
            Self::Sync => sync && replica(),
            Self::Quorum => quorum && replica(),
            Self::Async => !sync && !quorum && replica(),
            Self::ReadOnlyQuorum => writable || (quorum && replica()),
            Self::ReadOnlySync => writable || (sync && replica()),
        }
    }
}

/// The three checks that look at the lock.
struct Locks {
    leader: bool,
    primary: bool,
    standby_leader: bool,
}

impl Locks {
    fn of(status: &Status<'_>) -> Self {
        let role = status.role();
        let (leader, primary, standby_leader) = if status.view.is_none() && status.snapshot.paused {
            // A paused cluster without its store: PostgreSQL alone tells who is who.
            let (primary, standby) = (role == Role::Primary, role == Role::StandbyLeader);
            (primary || standby, primary, standby)
        } else if !status.has_lock {
            (false, false, false)
        } else if status.snapshot.standby_cluster {
            let in_recovery = role == Role::Replica || role == Role::StandbyLeader;
            (true, false, in_recovery)
        } else {
            (true, true, false)
        };
        Self {
            leader,
            primary,
            standby_leader,
        }
    }
}

fn is_replica_up(query: &Query<'_>, status: &Status<'_>) -> bool {
    let wanted_state = query.get("replication_state");
    status.is_running()
        && status.role() == Role::Replica
        && !(status.has_lock && status.snapshot.standby_cluster)
        && !status.snapshot.tags.noloadbalance()
        && !is_lagging(query, status)
        && wanted_state.is_none_or(|wanted| {
            status
                .row()
                .and_then(|row| row.replication_state.as_deref())
                == Some(wanted)
        })
}

fn is_lagging(query: &Query<'_>, status: &Status<'_>) -> bool {
    let Some(limit) = query.lag() else {
        return false;
    };
    let newest = i128::from(status.newest_position().bytes());
    let replayed = status
        .row()
        .and_then(|row| row.replayed)
        .unwrap_or_default();
    newest != 0 && newest > i128::from(replayed.bytes()) + i128::from(limit)
}

fn tags_match(query: &Query<'_>, status: &Status<'_>) -> bool {
    query.tags().all(|(name, wanted)| {
        status.snapshot.tags.get(name).is_some_and(|tag| {
            tag.as_str().map_or_else(
                || value::text(tag).to_lowercase() == wanted,
                |text| text == wanted,
            )
        })
    })
}
