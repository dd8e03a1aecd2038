//! Requests of people: may they be accepted? Pure checks with the exact answers (REST contract
//! 10.4 to 10.7). What an accepted request does is decided by the cycles.

mod failover;
mod failsafe;
mod reinitialize;
mod restart;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use failover::{Accepted, CandidateAnswer, FailoverBody, FailoverKind, judge, nobody_is_fit};
pub use failsafe::{FailsafeRefusal, consent_to_failsafe};
pub use reinitialize::{ReinitializeBody, judge_reinitialize};
pub use restart::conditions_met;

/// An answer that is not "yes".
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{text}")]
pub struct Refuse {
    /// The HTTP status.
    pub code: u16,
    /// The body.
    pub text: String,
}

impl Refuse {
    /// A refusal.
    pub fn new(code: u16, text: impl Into<String>) -> Self {
        Self {
            code,
            text: text.into(),
        }
    }
}

/// A time as the request gave it, read by the API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GivenTime {
    /// With a zone.
    At(Timestamp),
    /// Readable, but without a zone.
    NoZone,
    /// Not readable.
    Unreadable,
}

/// The faults of a chosen time (10.8). `action` is `restart` or `switchover`.
///
/// # Errors
/// The answer to a time without a zone, in the past, or without sense.
pub fn judge_time(given: &GivenTime, now: Timestamp, action: &str) -> Result<Timestamp, Refuse> {
    match given {
        GivenTime::NoZone => Err(Refuse::new(
            400,
            format!("Timezone information is mandatory for the scheduled {action}"),
        )),
        GivenTime::Unreadable => Err(Refuse::new(
            422,
            "Unable to parse scheduled timestamp. It should be in an unambiguous format, e.g. ISO 8601",
        )),
        GivenTime::At(at) if *at < now => Err(Refuse::new(
            422,
            format!("Cannot schedule {action} in the past"),
        )),
        GivenTime::At(at) => Ok(*at),
    }
}
