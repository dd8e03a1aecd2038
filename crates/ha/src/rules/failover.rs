//! A change of leader was asked for, and this node is the leader (HA contract 16.2).

use jiff::Timestamp;
use patroni_core::FailoverRequest;
use patroni_core::failover::ScheduledAt;

use crate::context::Cx;
use crate::eligibility::{self, Search};
use crate::job::{DemotePlan, DemoteReason, Job};
use crate::observation::Observation;
use crate::replay::Asked;
use crate::rule::Rule;
use crate::schedule::{self, Due};
use crate::sentence::{Action, Text};
use crate::verdict::CycleResult;

/// Acts on the failover key with the lock just extended. `None`: nothing to do now.
pub(crate) fn on_leader(cx: &mut Cx<'_>, obs: &Observation) -> Asked<Option<CycleResult>> {
    let Some(request) = cx.view.failover_request().map(|key| key.request.clone()) else {
        return Ok(None);
    };
    if cx.paused() && !cx.is_primary() {
        return Ok(None);
    }
    if let Some(at) = &request.scheduled_at
        && !time_has_come(cx, obs, at)?
    {
        return Ok(None);
    }
    let action = Action::of(Some(&request));
    if let Some(nonsense) = nonsense(cx, action, &request) {
        cx.rule = Rule::M2;
        cx.say(nonsense);
        cx.clear_failover()?;
        return Ok(None);
    }
    cx.rule = Rule::M4;
    let peers = eligibility::candidates(cx, &Search::default());
    if !eligibility::any_fit(cx, peers.clone(), None)? {
        cx.rule = Rule::M3;
        cx.say(Text::NoHealthyMembers {
            action,
            bare: action.bare().to_owned(),
        });
        cx.clear_failover()?;
        return Ok(None);
    }
    let job = Job::Demote {
        reason: match action {
            Action::Switchover => DemoteReason::Switchover,
            Action::ManualFailover | Action::Failover => DemoteReason::Failover,
        },
        judged: cx.view.leader.clone(),
        plan: DemotePlan { candidates: peers },
    };
    if let Err(old) = cx.schedule(job)? {
        return Ok(Some(CycleResult::InProgress { action: old }));
    }
    Ok(Some(CycleResult::DemotingMyself {
        action: action.to_string(),
    }))
}

/// Whether a scheduled request is due; cleans up what will never be. While paused a schedule is
/// neither run nor cleaned.
fn time_has_come(cx: &mut Cx<'_>, obs: &Observation, at: &ScheduledAt) -> Asked<bool> {
    if cx.paused() {
        return Ok(false);
    }
    cx.rule = Rule::M1;
    let ScheduledAt::At { time, text } = at else {
        cx.say(Text::BadSchedule {
            text: at.text().to_owned(),
        });
        cx.clear_failover()?;
        return Ok(false);
    };
    let (action, at) = ("switchover".to_owned(), text.clone());
    match schedule::due(*time, wall(cx, obs), cx.settings.loop_wait) {
        Due::Later(seconds) => {
            cx.say(Text::Awaiting {
                action,
                at,
                seconds,
            });
            Ok(false)
        }
        Due::Stale => {
            cx.say(Text::Stale { action, at });
            cx.clear_failover()?;
            Ok(false)
        }
        Due::Soon(wait) => {
            if !wait.is_zero() {
                cx.wait(wait)?;
            }
            cx.say(Text::ManualScheduled { action, at });
            Ok(true)
        }
    }
}

/// Wall time now: that of the observation plus what passed since on the monotonic clock.
pub(crate) fn wall(cx: &Cx<'_>, obs: &Observation) -> Timestamp {
    let passed = cx.now().since(obs.now);
    jiff::SignedDuration::try_from(passed)
        .ok()
        .and_then(|passed| obs.wall.checked_add(passed).ok())
        .unwrap_or(obs.wall)
}

/// Why the request makes no sense to this leader.
fn nonsense(cx: &Cx<'_>, action: Action, request: &FailoverRequest) -> Option<Text> {
    if let Some(asked) = &request.leader
        && !cx.is_me(asked)
    {
        return Some(Text::LeaderDoesNotMatch {
            action,
            asked: asked.clone(),
            me: cx.me().clone(),
        });
    }
    match &request.candidate {
        Some(candidate) if cx.is_me(candidate) => Some(Text::AlreadyLeader {
            action,
            bare: action.bare().to_owned(),
        }),
        None if cx.paused() => Some(Text::OnlyToCandidate {
            title: action.title().to_owned(),
        }),
        Some(_) | None => None,
    }
}
