//! The health checks: which path is 200 and which is 503.
//!
//! Paths are tested by substring in a fixed order (section 5 of the REST contract), because load
//! balancers out there rely on it.

use patroni_core::{Role, value};

use super::query::Query;
use super::status::Status;

/// A path that people know as a health check. Others count by the words in them.
#[derive(Clone, Copy, Debug)]
pub struct HealthCheck {
    /// The path.
    pub path: &'static str,
    /// When it is up, in words.
    pub up_when: &'static str,
    /// What narrows it.
    pub filters: Filters,
}

/// The keys of the query string that a health check looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filters {
    /// None.
    None,
    /// Tags.
    Tags,
    /// Tags, lag and state of replication.
    All,
}

const fn check(path: &'static str, up_when: &'static str, filters: Filters) -> HealthCheck {
    HealthCheck {
        path,
        up_when,
        filters,
    }
}

/// The paths that are described to programs.
pub const CHECKS: [HealthCheck; 18] = {
    const LOCK: &str = "Whether this node holds the lock of a cluster that takes writes";
    const STANDBY: &str = "Whether this node leads a standby cluster";
    const SYNC: &str = "Whether this node is a synchronous standby";
    const ASYNC: &str = "Whether this node is a replica, and no synchronous one";
    const READ_SYNC: &str = "Whether this node leads, or is a synchronous standby";
    [
        check("/", LOCK, Filters::None),
        check("/primary", LOCK, Filters::None),
        check("/master", LOCK, Filters::None),
        check("/read-write", LOCK, Filters::None),
        check("/leader", "Whether this node holds the lock", Filters::None),
        check("/standby-leader", STANDBY, Filters::None),
        check("/standby_leader", STANDBY, Filters::None),
        check(
            "/replica",
            "Whether this node is a replica for reads",
            Filters::All,
        ),
        check(
            "/read-only",
            "Whether this node leads, or is a replica for reads",
            Filters::All,
        ),
        check("/sync", SYNC, Filters::All),
        check("/synchronous", SYNC, Filters::All),
        check(
            "/quorum",
            "Whether this node votes in quorum mode",
            Filters::All,
        ),
        check("/async", ASYNC, Filters::All),
        check("/asynchronous", ASYNC, Filters::All),
        check("/read-only-sync", READ_SYNC, Filters::All),
        check("/read-only-synchronous", READ_SYNC, Filters::All),
        check(
            "/read-only-quorum",
            "Whether this node leads, or votes in quorum mode",
            Filters::All,
        ),
        check("/health", "Whether PostgreSQL runs", Filters::Tags),
    ]
};

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn described_paths_are_checks_with_these_filters() {
        for described in CHECKS {
            let filters = match Check::of(described.path, true) {
                Check::StandbyLeader | Check::Leader | Check::Primary => Filters::None,
                Check::Filtered(Filtered::Running) => Filters::Tags,
                Check::Filtered(_) => Filters::All,
                Check::Unknown => panic!("{} is unknown", described.path),
            };
            assert_eq!(described.filters, filters, "{}", described.path);
        }
    }
}
