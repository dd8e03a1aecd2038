//! Restarts: on request, and for recovery settings that need one (HA contract 23).

use std::time::Duration;

use patroni_core::{RestartConditions, Role, State, Upstream};

use super::{ended, promote, start};
use crate::command::{StartRequest, StopMode, StopRequest, Until};
use crate::context::Cx;
use crate::job::{Effect, JobEnd};
use crate::mutant::Mutant;
use crate::outcome::StartOutcome;
use crate::replay::Asked;
use crate::rules::restart;
use crate::sentence::Text;
use crate::sync;

/// A restart that somebody asked for. A server that was a primary comes up as one only with the
/// lock: it may have been down for so long that another node leads, and no cycle would notice
/// before the store answers. Without the lock it stays down, and the next cycle recovers it.
pub(super) fn run(cx: &mut Cx<'_>, conditions: &RestartConditions) -> Asked<JobEnd> {
    let (role, version) = (cx.server.role, cx.server.major_version);
    let pending = !cx.server.pending_restart.is_empty();
    if let Some(unmet) = restart::unmet(conditions, role, version, pending) {
        cx.say(Text::NotRestarting {
            why: unmet.text().to_owned(),
        });
        return Ok(JobEnd::Cancelled);
    }
    if cx.server.half_rewound {
        cx.say(Text::HalfRewound);
        return Ok(ended(false));
    }
    sync::leave(cx)?;
    let timeout = conditions
        .timeout
        .or(Some(cx.settings.primary_start_timeout));
    cx.effects.push(Effect::Recovering {
        start_timeout: conditions.timeout,
    });
    let upstream = if role == Role::Primary {
        Upstream::None
    } else {
        crate::rules::follow::upstream(cx).unwrap_or(Upstream::None)
    };
    stop_and_start(cx, role, upstream, timeout, false)
}

/// New recovery settings that only a restart brings into effect.
pub(super) fn follow(cx: &mut Cx<'_>, upstream: &Upstream) -> Asked<JobEnd> {
    let leads = matches!(upstream, Upstream::Remote { leading: true, .. });
    let role = if leads {
        Role::StandbyLeader
    } else {
        Role::Replica
    };
    let changes = cx.server.callback_ran && cx.server.role != role;
    stop_and_start(cx, role, upstream.clone(), None, changes)
}

fn stop_and_start(
    cx: &mut Cx<'_>,
    role: Role,
    upstream: Upstream,
    timeout: Option<Duration>,
    role_change: bool,
) -> Asked<JobEnd> {
    cx.set_state(State::Restarting)?;
    let stopped = cx.stop(StopRequest {
        mode: StopMode::Fast,
        checkpoint: true,
        until: Until::Exit,
        timeout: cx.stop_timeout(),
        restart: true,
        announce: cx.leads_a_citus_group(),
    })?;
    if !stopped.stopped {
        return restart_failed(cx);
    }
    let role = if matches!(role, Role::Promoted | Role::Primary) {
        after_promotion(cx)?
    } else {
        role
    };
    let blind = cx.mutated(Mutant::RestartWithoutLock);
    let leads_on = cx.paused() || blind;
    if role == Role::Primary && !leads_on && !promote::still_leads(cx)? {
        return restart_failed(cx);
    }
    let request = StartRequest::new(role, upstream);
    let outcome = cx.start(StartRequest {
        timeout,
        restart: true,
        role_change,
        needs_lease: request.needs_lease && !blind,
        ..request
    })?;
    if let StartOutcome::Failed(_) = outcome
        && !cx.server.state.is_starting()
    {
        return restart_failed(cx);
    }
    Ok(start::end_of(&outcome))
}

/// The promotion was ordered, and the stop came before or after its end: the files tell. A
/// standby gets promoted again; were it taken for promoted, it would lead and never write, or
/// write a second history of the old timeline.
fn after_promotion(cx: &mut Cx<'_>) -> Asked<Role> {
    cx.requery()?;
    Ok(if cx.server.has_recovery_signal {
        Role::Replica
    } else {
        Role::Primary
    })
}

fn restart_failed(cx: &mut Cx<'_>) -> Asked<JobEnd> {
    cx.say(Text::RestartFailed {
        state: cx.server.state.to_string(),
    });
    cx.set_state(State::RestartFailed)?;
    Ok(ended(false))
}
