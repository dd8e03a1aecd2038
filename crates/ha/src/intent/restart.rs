//! Restarts (REST contract 10.4). Reading the keys of the body is the API's part.

use patroni_core::{RestartConditions, Role};

use crate::rules::restart::unmet;

/// Whether a restart with these conditions may begin now, by the same rule as a scheduled one.
/// `version` is the server's own number, `pending` the flag of a pending restart.
pub fn conditions_met(
    conditions: &RestartConditions,
    role: Role,
    version: Option<u32>,
    pending: bool,
) -> bool {
    unmet(conditions, role, version, pending).is_none()
}
