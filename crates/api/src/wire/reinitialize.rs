//! `POST /reinitialize`.

use hyper::StatusCode;
use patroni_core::value;
use serde_json::{Map, Value};

use super::answer::Answer;
use super::restart;

/// How to reinitialize.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReinitRequest {
    /// Cancel the long task that may be running.
    pub force: bool,
    /// Copy from the leader, not from another replica.
    pub from_leader: bool,
}

impl ReinitRequest {
    /// Reads the body; unknown keys and unreadable values count as absent.
    pub fn parse(body: &Map<String, Value>) -> Self {
        let flag = |key: &str| body.get(key).and_then(value::parse_bool).unwrap_or(false);
        Self {
            force: flag("force"),
            from_leader: flag("from_leader"),
        }
    }
}

/// The outcomes of `POST /reinitialize`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReinitOutcome {
    /// The work goes on after the answer.
    Started,
    /// Nobody holds the lock, so there is nothing to copy.
    NoLeader,
    /// The leader's data are the only good ones.
    IsLeader,
    /// Another long task runs; its name.
    Busy(String),
}

impl From<ReinitOutcome> for Answer {
    fn from(outcome: ReinitOutcome) -> Self {
        let (status, text) = match outcome {
            ReinitOutcome::Started => (StatusCode::OK, "reinitialize started"),
            ReinitOutcome::NoLeader => (
                StatusCode::SERVICE_UNAVAILABLE,
                "Cluster has no leader, can not reinitialize",
            ),
            ReinitOutcome::IsLeader => (
                StatusCode::SERVICE_UNAVAILABLE,
                "I am the leader, can not reinitialize",
            ),
            ReinitOutcome::Busy(task) => return restart::busy(&task),
        };
        Self::text(status, text)
    }
}
