//! Restarts that were asked for (HA contract 23): their conditions, and the scheduled one.

use patroni_core::{RestartConditions, Role};

use crate::context::Cx;
use crate::job::Job;
use crate::observation::Observation;
use crate::replay::Asked;
use crate::rule::Rule;
use crate::rules::failover::wall;
use crate::schedule::{self, Due};
use crate::sentence::Text;
use crate::verdict::CycleResult;

/// Which condition of a restart does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unmet {
    Role,
    Version,
    NotPending,
}

impl Unmet {
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::Role => "host role mismatch",
            Self::Version => "postgres version mismatch",
            Self::NotPending => "pending restart flag is not set",
        }
    }
}

/// Checks the conditions against the server as it is.
pub(crate) fn unmet(
    conditions: &RestartConditions,
    role: Role,
    version: Option<u32>,
    pending: bool,
) -> Option<Unmet> {
    let role = if role == Role::Promoted {
        Role::Primary
    } else {
        role
    };
    if conditions.role.is_some_and(|wanted| wanted != role) {
        return Some(Unmet::Role);
    }
    if let Some(limit) = conditions.older_than
        && version.is_none_or(|version| version >= limit)
    {
        return Some(Unmet::Version);
    }
    (conditions.only_if_pending && !pending).then_some(Unmet::NotPending)
}

/// The scheduled restart, evaluated after a cycle with a leader. Some result replaces that of
/// the cycle.
pub(crate) fn scheduled(cx: &mut Cx<'_>, obs: &Observation) -> Asked<Option<CycleResult>> {
    let Some(restart) = &obs.scheduled_restart else {
        return Ok(None);
    };
    if restart.postmaster_start_time != cx.server.postmaster_start_time
        && let Some(at) = cx.server.postmaster_start_time.clone()
    {
        cx.say(Text::RestartDone { at });
        cx.drop_scheduled_restart()?;
        return Ok(None);
    }
    if cx.paused() {
        return Ok(None);
    }
    let sent = restart.published.get("schedule").and_then(|at| at.as_str());
    let at = sent.map_or_else(|| restart.at.to_string(), str::to_owned);
    let action = "restart".to_owned();
    match schedule::due(restart.at, wall(cx, obs), cx.settings.loop_wait) {
        Due::Later(seconds) => {
            cx.say(Text::Awaiting {
                action,
                at,
                seconds,
            });
            Ok(None)
        }
        Due::Stale => {
            cx.say(Text::Stale { action, at });
            cx.drop_scheduled_restart()?;
            Ok(None)
        }
        Due::Soon(wait) => {
            cx.rule = Rule::C1;
            if !wait.is_zero() {
                cx.wait(wait)?;
            }
            cx.say(Text::ManualScheduled { action, at });
            run(cx, restart.conditions.clone())
        }
    }
}

fn run(cx: &mut Cx<'_>, conditions: RestartConditions) -> Asked<Option<CycleResult>> {
    let (role, version) = (cx.server.role, cx.server.major_version);
    let pending = !cx.server.pending_restart.is_empty();
    let result = if let Some(unmet) = unmet(&conditions, role, version, pending) {
        cx.say(Text::NotRestarting {
            why: unmet.text().to_owned(),
        });
        None
    } else {
        match cx.schedule(Job::Restart(conditions))? {
            Ok(()) => Some(CycleResult::RestartScheduled),
            Err(action) => Some(CycleResult::RestartBusy { action }),
        }
    };
    cx.drop_scheduled_restart()?;
    Ok(result)
}
