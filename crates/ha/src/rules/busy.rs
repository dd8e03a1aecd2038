//! A long task runs (HA contract 9): keep the lock for it, or end it when the lock is lost.

use patroni_core::Role;

use crate::context::Cx;
use crate::eligibility::{self, Search};
use crate::job::{Job, RunningJob};
use crate::memory::BootstrapPhase;
use crate::replay::Asked;
use crate::rule::Rule;
use crate::rules::demote::{self, Mode};
use crate::sentence::Text;
use crate::verdict::CycleResult;

/// Row A8.
pub(crate) fn busy(cx: &mut Cx<'_>, running: &RunningJob) -> Asked<CycleResult> {
    cx.rule = Rule::X5;
    let action = running.job.to_string();
    // A task that gives the lock back by itself must not find it taken again by its own node: a
    // view from before the release still shows it ours.
    let given_back = matches!(running.job, Job::Demote { .. }) && running.committed;
    if cx.has_lock() && !given_back && cx.update_leader(None)? {
        return with_lock(cx, running, action);
    }
    let bootstrapping = cx.memory.bootstrap != BootstrapPhase::None;
    if !bootstrapping && !cx.paused() {
        if running.job == Job::Promote && !running.committed {
            cx.rule = Rule::X3;
            cx.cancel_job(action)?;
            return Ok(CycleResult::LostBeforePromote);
        }
        // A restarting primary is one, too, although its server may be down at the moment.
        let primary = matches!(cx.server.role, Role::Primary | Role::Promoted) || cx.is_primary();
        if primary && !steps_down_already(&running.job) {
            return lost(cx, running, action);
        }
    }
    if cx.view.is_unlocked() {
        cx.say(Text::NotHealthyEnough);
    }
    Ok(CycleResult::InProgress { action })
}

fn with_lock(cx: &mut Cx<'_>, running: &RunningJob, action: String) -> Asked<CycleResult> {
    cx.rule = Rule::X2;
    let took = cx.now().since(running.since);
    if running.job == Job::CrashRecovery
        && took > cx.settings.primary_start_timeout
        && eligibility::failover_possible(cx, &Search::default())?
    {
        cx.rule = Rule::X1;
        cx.say(Text::RecoveryTakesTooLong);
        cx.cancel_job(action)?;
        demote::demote(cx, Mode::Immediate)?;
        return Ok(CycleResult::RecoveryTerminated);
    }
    // Ordered in a pause, whose end the promotion may have missed.
    let promotes = running.job == Job::Promote && !running.committed;
    if promotes && !cx.paused() && !cx.watchdog_activate()? {
        cx.rule = Rule::X3;
        cx.cancel_job(action)?;
        return Ok(CycleResult::WatchdogForbids);
    }
    Ok(CycleResult::LockUpdatedDuring { action })
}

/// The lock is lost while this node is primary: the task must not outlive the leadership.
fn lost(cx: &mut Cx<'_>, running: &RunningJob, action: String) -> Asked<CycleResult> {
    cx.rule = Rule::X4;
    cx.say(Text::DemotingPrimaryDuring {
        action: action.clone(),
    });
    let name = running.job.to_string();
    cx.cancel_job(name)?;
    cx.requery()?;
    demote::demote(cx, Mode::ImmediateNoLock)?;
    Ok(CycleResult::LostDuring { action })
}

/// Tasks that stop the server as their first act: a second demotion beside them would fight
/// with the first about the same process.
pub(crate) fn steps_down_already(job: &Job) -> bool {
    match job {
        Job::Demote { .. } | Job::Rewind { .. } | Job::Reinitialize { .. } | Job::Shutdown => true,
        Job::Bootstrap
        | Job::BootstrapStandbyLeader
        | Job::Clone { .. }
        | Job::PostBootstrap
        | Job::CrashRecovery
        | Job::StartPrimary { .. }
        | Job::StartReplica { .. }
        | Job::RestartFollow { .. }
        | Job::Promote
        | Job::CopyLogicalSlots { .. }
        | Job::Restart(_) => false,
    }
}
