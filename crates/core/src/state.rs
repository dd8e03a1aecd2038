//! What a member's PostgreSQL is doing.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The state of a member. The order is the metric number: never renumber, only append.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum State {
    /// initdb runs.
    #[serde(rename = "initializing new cluster")]
    InitializingNewCluster,
    /// initdb failed.
    #[serde(rename = "initdb failed")]
    InitdbFailed,
    /// A custom bootstrap method runs.
    #[serde(rename = "running custom bootstrap script")]
    RunningCustomBootstrap,
    /// A custom bootstrap method failed.
    #[serde(rename = "custom bootstrap failed")]
    CustomBootstrapFailed,
    /// A copy of another member is being made.
    #[serde(rename = "creating replica")]
    CreatingReplica,
    /// Accepts connections. Only exactly this counts as running.
    #[serde(rename = "running")]
    Running,
    /// The postmaster runs but rejects connections.
    #[serde(rename = "starting")]
    Starting,
    /// The same, on data that a custom bootstrap method made.
    #[serde(rename = "starting after custom bootstrap")]
    StartingAfterCustomBootstrap,
    /// The postmaster ended before it accepted connections.
    #[serde(rename = "start failed")]
    StartFailed,
    /// Being stopped to be started again.
    #[serde(rename = "restarting")]
    Restarting,
    /// The start of a restart failed.
    #[serde(rename = "restart failed")]
    RestartFailed,
    /// Being stopped.
    #[serde(rename = "stopping")]
    Stopping,
    /// Stopped in order.
    #[serde(rename = "stopped")]
    Stopped,
    /// Could not be stopped.
    #[serde(rename = "stop failed")]
    StopFailed,
    /// Found dead although it should run.
    #[serde(rename = "crashed")]
    Crashed,
}

impl State {
    /// Every state in the order of its metric number.
    pub const ALL: [Self; 15] = [
        Self::InitializingNewCluster,
        Self::InitdbFailed,
        Self::RunningCustomBootstrap,
        Self::CustomBootstrapFailed,
        Self::CreatingReplica,
        Self::Running,
        Self::Starting,
        Self::StartingAfterCustomBootstrap,
        Self::StartFailed,
        Self::Restarting,
        Self::RestartFailed,
        Self::Stopping,
        Self::Stopped,
        Self::StopFailed,
        Self::Crashed,
    ];

    /// The words in store and REST.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InitializingNewCluster => "initializing new cluster",
            Self::InitdbFailed => "initdb failed",
            Self::RunningCustomBootstrap => "running custom bootstrap script",
            Self::CustomBootstrapFailed => "custom bootstrap failed",
            Self::CreatingReplica => "creating replica",
            Self::Running => "running",
            Self::Starting => "starting",
            Self::StartingAfterCustomBootstrap => "starting after custom bootstrap",
            Self::StartFailed => "start failed",
            Self::Restarting => "restarting",
            Self::RestartFailed => "restart failed",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
            Self::StopFailed => "stop failed",
            Self::Crashed => "crashed",
        }
    }

    /// The frozen number of `patroni_postgres_state`.
    pub const fn metric(self) -> u8 {
        self as u8
    }

    /// The postmaster runs but does not accept connections yet.
    pub const fn is_starting(self) -> bool {
        matches!(self, Self::Starting | Self::StartingAfterCustomBootstrap)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metric_numbers_are_the_order_of_the_table() {
        for (number, state) in State::ALL.into_iter().enumerate() {
            assert_eq!(usize::from(state.metric()), number);
            assert_eq!(serde_json::to_value(state).unwrap(), state.as_str());
        }
    }
}
