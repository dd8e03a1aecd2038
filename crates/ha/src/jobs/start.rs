//! Starting a stopped server.

use std::time::Duration;

use patroni_core::{Role, Upstream};

use super::ended;
use crate::command::StartRequest;
use crate::context::Cx;
use crate::job::JobEnd;
use crate::mutant::Mutant;
use crate::outcome::StartOutcome;
use crate::replay::Asked;
use crate::rules::demote;

/// A crashed primary comes back as primary: the lock is still ours.
pub(super) fn primary(cx: &mut Cx<'_>, timeout: Duration) -> Asked<JobEnd> {
    let outcome = cx.start(StartRequest {
        timeout: Some(timeout),
        needs_lease: !cx.mutated(Mutant::StartWithoutLock),
        ..StartRequest::new(Role::Primary, Upstream::None)
    })?;
    Ok(end_of(&outcome))
}

/// A standby comes up.
pub(super) fn replica(
    cx: &mut Cx<'_>,
    upstream: &Upstream,
    role: Role,
    timeout: Option<Duration>,
    after_demotion: bool,
) -> Asked<JobEnd> {
    let was_primary = matches!(cx.server.role, Role::Primary | Role::Demoted);
    let swapped = matches!(
        (cx.server.role, role),
        (Role::Replica, Role::StandbyLeader) | (Role::StandbyLeader, Role::Replica)
    );
    let role_change = cx.server.callback_ran && (after_demotion || was_primary || swapped);
    let outcome = cx.start(StartRequest {
        timeout,
        role_change,
        ..demote::as_standby(upstream.clone(), role)
    })?;
    Ok(end_of(&outcome))
}

pub(super) fn end_of(outcome: &StartOutcome) -> JobEnd {
    match outcome {
        StartOutcome::Running => ended(true),
        StartOutcome::Unfinished => JobEnd::Unfinished,
        StartOutcome::Failed(_) => ended(false),
    }
}
