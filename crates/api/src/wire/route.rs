//! The routes: which method and which first segment of a path get which handler.
//!
//! The server looks requests up here, and the description for programs
//! ([`openapi`](super::openapi)) is made from the same rows.

/// What `GET` reads beyond health checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// The status document.
    Status,
    /// The metrics.
    Metrics,
    /// The members.
    Cluster,
    /// The switches of timelines.
    History,
    /// The dynamic configuration.
    Config,
    /// What was decided.
    Journal,
    /// Changes as they come.
    Events,
    /// The failsafe key.
    FailsafeMembers,
    /// Whether the loop is alive.
    Liveness,
    /// Whether the node is ready.
    Readiness,
    /// The description for programs.
    OpenApi,
    /// The page for people.
    Ui,
}

/// What changes something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Merge into the dynamic configuration.
    PatchConfig,
    /// Replace it.
    PutConfig,
    /// Read the configuration file again.
    Reload,
    /// Restart PostgreSQL, now or later.
    Restart,
    /// Forget the scheduled restart.
    CancelRestart,
    /// Make a new copy.
    Reinitialize,
    /// Hand over, now or later.
    Switchover,
    /// Promote a candidate.
    Failover,
    /// Forget the scheduled switchover.
    CancelSwitchover,
    /// The leader goes on without the store.
    Failsafe,
    /// Nothing; an aid for tests on another system.
    Sigterm,
    /// An event of a worker group.
    Mpp,
}

impl Read {
    /// Every segment of `GET` with a handler of its own.
    pub const TABLE: [(&str, Self); 12] = [
        ("patroni", Self::Status),
        ("cluster", Self::Cluster),
        ("history", Self::History),
        ("config", Self::Config),
        ("metrics", Self::Metrics),
        ("journal", Self::Journal),
        ("events", Self::Events),
        ("failsafe", Self::FailsafeMembers),
        ("liveness", Self::Liveness),
        ("readiness", Self::Readiness),
        ("openapi.json", Self::OpenApi),
        ("ui", Self::Ui),
    ];

    /// The handler; without one the whole path is a health check.
    pub fn of(segment: &str) -> Option<Self> {
        let mut rows = Self::TABLE.into_iter();
        rows.find_map(|(name, read)| (name == segment).then_some(read))
    }
}

impl Act {
    /// Every other method and segment with a handler.
    pub const TABLE: [(&str, &str, Self); 13] = [
        ("PATCH", "config", Self::PatchConfig),
        ("PUT", "config", Self::PutConfig),
        ("POST", "reload", Self::Reload),
        ("POST", "restart", Self::Restart),
        ("DELETE", "restart", Self::CancelRestart),
        ("POST", "reinitialize", Self::Reinitialize),
        ("POST", "switchover", Self::Switchover),
        ("DELETE", "switchover", Self::CancelSwitchover),
        ("POST", "failover", Self::Failover),
        ("POST", "failsafe", Self::Failsafe),
        ("POST", "sigterm", Self::Sigterm),
        ("POST", "citus", Self::Mpp),
        ("POST", "mpp", Self::Mpp),
    ];

    /// The handler; without one the method is not supported.
    pub fn of(method: &str, segment: &str) -> Option<Self> {
        let mut rows = Self::TABLE.into_iter();
        rows.find_map(|(verb, name, act)| ((verb, name) == (method, segment)).then_some(act))
    }
}
