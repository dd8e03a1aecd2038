//! What a request for a restart may be tied to.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Role;

/// When a restart shall happen at all, judged when its time has come.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestartConditions {
    /// Only in this role.
    pub role: Option<Role>,
    /// Only if the server is older than this (integer form: `150018` for 15.18).
    pub older_than: Option<u32>,
    /// Only if a restart is pending.
    pub only_if_pending: bool,
    /// Time limit of the start.
    pub timeout: Option<Duration>,
}
