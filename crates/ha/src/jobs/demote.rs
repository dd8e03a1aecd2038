//! Stepping down in order (HA contract 14): stop, give the lock to a node that has everything,
//! come back as a standby.
//!
//! No sleep stands between the last write and the next primary: the candidates are asked as
//! soon as the control file says `shut down`, again in short steps while the last record is on
//! its way to them, and the lock is given back the moment one of them has it.

use std::time::Duration;

use patroni_core::{Leader, Lsn, Role, Upstream};

use super::{ended, start};
use crate::command::{Peer, StopMode, StopRequest, Until};
use crate::context::Cx;
use crate::eligibility;
use crate::job::{DemotePlan, DemoteReason, Effect, JobEnd};
use crate::memory::RewindState;
use crate::mutant::Mutant;
use crate::outcome::{ShutdownPoint, StopOutcome};
use crate::replay::{Asked, Halt};
use crate::rules::race::TIME_FOR_OTHERS;
use crate::rules::{demote, follow, rewind};
use crate::sentence::Text;

/// First pause between two questions to the candidates; it grows up to the last one.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
/// The longest pause between two questions.
const LAST_PAUSE: Duration = Duration::from_millis(50);
/// How often the candidates are asked before the stop is simply waited for: about two seconds.
const MOST_QUESTIONS: usize = 45;

pub(super) fn run(
    cx: &mut Cx<'_>,
    reason: DemoteReason,
    judged: Option<Leader>,
    plan: &DemotePlan,
) -> Asked<JobEnd> {
    let mode = match reason {
        DemoteReason::Switchover | DemoteReason::Failover => "graceful",
        DemoteReason::DemoteCluster => "demote-cluster",
    };
    cx.say(Text::Demoting {
        mode: mode.to_owned(),
    });
    cx.effects.push(Effect::CheckDivergence);
    cx.mark_check();
    let timeout = match reason {
        DemoteReason::Switchover | DemoteReason::Failover => cx.stop_timeout(),
        DemoteReason::DemoteCluster => None,
    };
    let archiving = reason == DemoteReason::DemoteCluster && cx.is_archiving()?;
    // A primary that became one without the lock demotes, too, and has nothing to give back.
    let leads = cx.view.leader_name().is_some_and(|name| cx.is_me(name));
    if cx.mutated(Mutant::WatchdogEarly) {
        cx.watchdog_disable()?;
    }
    if cx.mutated(Mutant::ReleaseFirst) {
        cx.release_judged(judged.clone(), None)?;
    }
    let point = shut_down(cx, reason, timeout)?;
    let mut released = false;
    if let Some(point) = point {
        // All WAL is written and nobody can write more: the safe point.
        cx.watchdog_disable()?;
        cx.set_role(Role::Demoted)?;
        // With an archive the key stays until the file with the shutdown checkpoint is there.
        if leads && !archiving && somebody_has(cx, &plan.candidates, point.checkpoint)? {
            released = release(cx, judged.clone(), reason, point)?;
        }
    }
    let exit = wait_for_exit(cx, timeout)?;
    if !exit.stopped {
        return Ok(ended(false));
    }
    // Now the record before the checkpoint is known, too.
    let point = exit.shutdown.or(point);
    cx.watchdog_disable()?;
    cx.set_role(Role::Demoted)?;
    if reason == DemoteReason::DemoteCluster {
        archive_the_end(cx, archiving, point)?;
    } else if !released {
        // Every WAL sender ended after its standby confirmed the last record, or never will.
        cx.effects.push(Effect::LockReleased);
        released = match point {
            Some(point) => release(cx, judged, reason, point)?,
            None => cx.release_judged(judged, None)?,
        };
    }
    let seen = if released {
        cx.wait_for_leader(TIME_FOR_OTHERS)?
    } else {
        cx.try_reload()?
    };
    // The key of a demoted cluster is kept: this node leads on, as a standby leader.
    let mut role = Role::Replica;
    if reason == DemoteReason::DemoteCluster && seen && keeps_the_lock(cx)? {
        role = Role::StandbyLeader;
    }
    come_back(cx, role, seen)
}

/// The lock is still ours, and extended. Where the store does not answer it is not known to be.
fn keeps_the_lock(cx: &mut Cx<'_>) -> Asked<bool> {
    if !cx.has_lock() {
        return Ok(false);
    }
    match cx.update_leader(None) {
        Ok(kept) => Ok(kept),
        Err(Halt::StoreFailed) => Ok(false),
        Err(halt) => Err(halt),
    }
}

/// The remote's archive recovery must be able to see that this timeline ended, and where.
fn archive_the_end(cx: &mut Cx<'_>, archiving: bool, point: Option<ShutdownPoint>) -> Asked<()> {
    if !archiving {
        cx.say(Text::NotArchivingCheckpoint);
    } else if point.is_some() {
        cx.archive_shutdown_checkpoint()?;
    }
    Ok(())
}

fn shut_down(
    cx: &mut Cx<'_>,
    reason: DemoteReason,
    timeout: Option<Duration>,
) -> Asked<Option<ShutdownPoint>> {
    let outcome = cx.stop(StopRequest {
        mode: StopMode::Fast,
        checkpoint: reason != DemoteReason::DemoteCluster,
        until: Until::ShutDownState,
        timeout,
        restart: false,
        announce: reason != DemoteReason::DemoteCluster && cx.leads_a_citus_group(),
    })?;
    Ok(outcome.shutdown.filter(|_| outcome.stopped))
}

pub(super) fn wait_for_exit(cx: &mut Cx<'_>, timeout: Option<Duration>) -> Asked<StopOutcome> {
    cx.stop(StopRequest {
        mode: StopMode::Fast,
        checkpoint: false,
        until: Until::Exit,
        timeout,
        restart: false,
        announce: false,
    })
}

/// Asks until a candidate has the shutdown checkpoint, for a bounded time. Only the first
/// question is logged.
pub(super) fn somebody_has(cx: &mut Cx<'_>, peers: &[Peer], target: Lsn) -> Asked<bool> {
    if peers.is_empty() {
        return Ok(false);
    }
    let mut reached = eligibility::any_fit(cx, peers.to_vec(), Some(target))?;
    let mut pause = FIRST_PAUSE;
    for _ in 0..MOST_QUESTIONS {
        if reached {
            break;
        }
        if cx.mutated(Mutant::StandstillIsEnd) {
            return Ok(true);
        }
        cx.wait(pause)?;
        pause = (pause * 2).min(LAST_PAUSE);
        reached = eligibility::any_reached(cx, peers.to_vec(), target)?;
    }
    Ok(reached)
}

/// The published position is that of the record before the shutdown checkpoint when nothing
/// but a WAL switch lies between: a standby that lacks only the checkpoint record lacks nothing.
fn release(
    cx: &mut Cx<'_>,
    judged: Option<Leader>,
    reason: DemoteReason,
    point: ShutdownPoint,
) -> Asked<bool> {
    let at = match reason {
        DemoteReason::Switchover | DemoteReason::Failover => point.previous,
        DemoteReason::DemoteCluster => point.checkpoint,
    };
    cx.effects.push(Effect::LockReleased);
    cx.release_judged(judged, Some(at))
}

fn come_back(cx: &mut Cx<'_>, role: Role, seen: bool) -> Asked<JobEnd> {
    demote::clear_sync_names(cx)?;
    let due = rewind::needed(cx)?;
    if let Some(found) = cx.memory.divergence.clone().filter(|_| due) {
        cx.effects.push(Effect::Compared(found));
    }
    cx.effects.push(Effect::Rewind(cx.memory.rewind));
    if due && cx.memory.rewind == RewindState::Need {
        return Ok(JobEnd::Success);
    }
    let upstream = if seen { follow::upstream(cx) } else { None };
    let outcome = cx.start(demote::as_standby(upstream.unwrap_or(Upstream::None), role))?;
    Ok(start::end_of(&outcome))
}
