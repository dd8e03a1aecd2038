//! Restarts (REST contract 10.4, 10.5). Reading the keys of the body is the API's part.

use jiff::Timestamp;
use patroni_core::server::LocalServer;

use super::{GivenTime, Refuse, judge_time};
use crate::job::JobEnd;
use crate::observation::RestartConditions;
use crate::rules::restart::unmet;

/// A request whose keys were read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RestartRequest {
    /// When, if not now.
    pub schedule: Option<GivenTime>,
    /// The filters.
    pub conditions: RestartConditions,
}

/// Whether a restart may begin, or be kept for later (then with its time).
///
/// # Errors
/// The exact refusal. `busy` is the name of the running task.
pub fn judge_restart(
    request: &RestartRequest,
    server: &LocalServer,
    paused: bool,
    busy: Option<&str>,
    already_scheduled: bool,
    now: Timestamp,
) -> Result<Option<Timestamp>, Refuse> {
    if let Some(given) = &request.schedule {
        if paused {
            return Err(Refuse::new(
                500,
                "Can't schedule restart in the paused state",
            ));
        }
        let at = judge_time(given, now, "restart")?;
        if already_scheduled {
            return Err(Refuse::new(409, "Another restart is already scheduled"));
        }
        return Ok(Some(at));
    }
    let pending = !server.pending_restart.is_empty();
    let blocked = unmet(
        &request.conditions,
        server.role,
        server.major_version,
        pending,
    );
    if blocked.is_some() {
        return Err(Refuse::new(503, "restart conditions are not satisfied"));
    }
    match busy {
        Some(action) => Err(Refuse::new(503, format!("{action} already in progress"))),
        None => Ok(None),
    }
}

/// The answer to an immediate restart when it is over.
///
/// # Errors
/// The exact answer to one that did not end well.
pub fn restart_result(end: JobEnd) -> Result<&'static str, Refuse> {
    match end {
        JobEnd::Success => Ok("restarted successfully"),
        JobEnd::Unfinished => Err(Refuse::new(503, "postgres is still starting")),
        JobEnd::Cancelled => Err(Refuse::new(503, "restart conditions are not satisfied")),
        JobEnd::Failure => Err(Refuse::new(503, "restart failed")),
    }
}

/// The answer to the removal of a scheduled restart.
///
/// # Errors
/// There is none.
pub fn cancel_restart(scheduled: bool) -> Result<&'static str, Refuse> {
    if scheduled {
        Ok("scheduled restart deleted")
    } else {
        Err(Refuse::new(404, "no restarts are scheduled"))
    }
}
