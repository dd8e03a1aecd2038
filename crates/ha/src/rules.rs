//! The decision table of a cycle (HA contract 4): first match ends it.

pub(crate) mod bootstrap;
pub(crate) mod busy;
pub(crate) mod demote;
pub(crate) mod failover;
pub(crate) mod follow;
pub(crate) mod identity;
pub(crate) mod leader;
pub(crate) mod pause;
pub(crate) mod promote;
pub(crate) mod race;
#[cfg(test)]
mod race_cases;
pub(crate) mod recovery;
pub(crate) mod reinit;
pub(crate) mod restart;
pub(crate) mod rewind;
pub(crate) mod silent;
pub(crate) mod stall;
pub(crate) mod starting;
pub(crate) mod store_down;
pub(crate) mod votes;

use patroni_core::server::DataDir;
use patroni_core::{Role, State};

use crate::command::{CallbackEvent, LogicalSlot};
use crate::context::Cx;
use crate::job::{Job, JobEnd, JobReport};
use crate::memory::{BootstrapPhase, Lease, RewindState};
use crate::observation::Observation;
use crate::replay::{Asked, Halt};
use crate::rule::Rule;
use crate::sentence::{NameList, Text};
use crate::verdict::{CycleResult, Exit};

/// The end of the decision: the result, and whether the daemon must end.
pub(crate) type Decided = (CycleResult, Option<Exit>);

/// Runs the whole cycle up to its result, including what follows every result.
pub(crate) fn cycle(cx: &mut Cx<'_>, obs: &Observation) -> Asked<Decided> {
    remember_finished(cx, &obs.finished);
    match decide(cx, obs) {
        Ok(decided) => {
            let spoke = std::mem::replace(&mut cx.rule, Rule::Z);
            end(cx)?;
            cx.rule = spoke;
            Ok(decided)
        }
        Err(Halt::StoreFailed) => Ok((store_down::store_down(cx, obs)?, None)),
        Err(halt) => Err(halt),
    }
}

/// Row Z: what happens after every result that the store answered.
fn end(cx: &mut Cx<'_>) -> Asked<()> {
    if cx.is_leader() {
        cx.memory.failsafe_until = None;
    }
    cx.touch_member()?;
    Ok(())
}

/// What long tasks left behind.
fn remember_finished(cx: &mut Cx<'_>, finished: &[JobReport]) {
    for report in finished {
        for effect in &report.effects {
            cx.memory.apply(effect);
        }
        let failed = report.end != JobEnd::Success;
        match &report.job {
            Job::Bootstrap | Job::BootstrapStandbyLeader if failed => {
                cx.memory.bootstrap = BootstrapPhase::Failed;
            }
            Job::PostBootstrap => {
                cx.memory.bootstrap = if failed {
                    BootstrapPhase::Failed
                } else {
                    BootstrapPhase::Ready
                };
            }
            Job::Bootstrap
            | Job::BootstrapStandbyLeader
            | Job::Clone { .. }
            | Job::CrashRecovery
            | Job::Rewind { .. }
            | Job::Reinitialize { .. }
            | Job::StartPrimary { .. }
            | Job::StartReplica { .. }
            | Job::RestartFollow { .. }
            | Job::Demote { .. }
            | Job::Promote
            | Job::CopyLogicalSlots { .. }
            | Job::Restart(_)
            | Job::Shutdown => {}
        }
    }
}

/// Rows A1 to A19.
fn decide(cx: &mut Cx<'_>, obs: &Observation) -> Asked<Decided> {
    load(cx, obs)?;
    look_again_after_a_freeze(cx)?;
    pause::note_leader(cx);
    if cx.paused() {
        cx.rule = Rule::A3;
        cx.watchdog_disable()?;
        cx.memory.was_paused = true;
    } else if cx.memory.was_paused {
        cx.rule = Rule::A4;
        pause::resume(cx)?;
    }
    if let Some(result) = leader::unasked(cx)? {
        return Ok((result, None));
    }
    if cx.view.member(cx.me()).is_none() {
        cx.rule = Rule::A5;
        cx.touch_member()?;
    }
    if cx.has_lock() {
        cx.rule = Rule::A6;
        identity::restore_keys(cx, obs)?;
    } else {
        // What was said against promoting was about a lock that is gone.
        cx.memory.pre_promote_failed = false;
        cx.memory.race = None;
    }
    cx.memory.leaving_sync = restarts_out_of_sync(cx, obs);
    if let Some(running) = &obs.executor {
        return Ok((busy::busy(cx, running)?, None));
    }
    if let Some(result) = starting::starting(cx, obs)? {
        return Ok((result, None));
    }
    if cx.memory.bootstrap != BootstrapPhase::None {
        cx.rule = Rule::A10;
        return bootstrap::post_bootstrap(cx, obs);
    }
    if cx.memory.recovering
        && let Some(result) = recovery::after_start(cx)?
    {
        return Ok((result, None));
    }
    match cx.server.data_dir.clone() {
        DataDir::Present => {}
        DataDir::Empty => return Ok((no_data(cx, None)?, None)),
        DataDir::Inaccessible(error) => return Ok((no_data(cx, Some(error))?, None)),
    }
    if let Some(decided) = identity::judge(cx)? {
        return Ok(decided);
    }
    if !cx.is_running() {
        cx.rule = Rule::A16;
        cx.say(Text::PostgresqlNotRunning);
        if cx.paused()
            && let Some(result) = pause::not_running(cx)?
        {
            return Ok((result, None));
        }
        if matches!(cx.server.state, State::Running | State::Starting) {
            cx.set_state(State::Crashed)?;
        }
        if cx.server.half_rewound {
            return Ok((recovery::half_rewound(cx)?, None));
        }
        return Ok((recovery::recover(cx)?, None));
    }
    let result = lead_or_follow(cx, obs)?;
    let spoke = std::mem::replace(&mut cx.rule, Rule::A19);
    let instead = afterwards(cx)?;
    if instead.is_none() {
        cx.rule = spoke;
    }
    Ok((instead.unwrap_or(result), None))
}

/// Rows A1 and A2: the snapshot to judge.
fn load(cx: &mut Cx<'_>, obs: &Observation) -> Asked<()> {
    if let Ok(view) = &obs.store {
        cx.see(view.clone());
        cx.note_inherited();
        cx.memory.failsafe_positions.clear();
        crate::failsafe::note_mode(cx);
        crate::failsafe::inject(cx, obs);
        crate::slots::note_present(cx);
        Ok(())
    } else {
        cx.rule = Rule::A1;
        cx.view = cx.memory.old_view.clone().unwrap_or_default();
        cx.say(Text::StoreUnreachable);
        Err(Halt::StoreFailed)
    }
}

/// While a standby restarts on request it asks the primary to wait for others instead.
fn restarts_out_of_sync(cx: &Cx<'_>, obs: &Observation) -> bool {
    let restarts = obs
        .executor
        .as_ref()
        .is_some_and(|running| matches!(running.job, Job::Restart(_)));
    let leads = cx.view.leader_name().is_some_and(|name| cx.is_me(name));
    restarts && !leads && cx.settings.is_synchronous() && !cx.node.tags.nosync()
}

/// Row A17.
fn lead_or_follow(cx: &mut Cx<'_>, obs: &Observation) -> Asked<CycleResult> {
    cx.has_lock();
    if cx.view.is_unlocked() {
        return race::race(cx, obs);
    }
    let result = leader::leader_exists(cx, obs)?;
    let spoke = cx.rule;
    if cx.executor_free()
        && let Some(restarting) = restart::scheduled(cx, obs)?
    {
        return Ok(restarting);
    }
    cx.rule = spoke;
    Ok(result)
}

/// Row A18, before all others: the lease ran out without being given up, so this process did not
/// run, or ran very slowly. The snapshot may be as old as that, and is read anew before anything
/// is judged or renewed by it.
fn look_again_after_a_freeze(cx: &mut Cx<'_>) -> Asked<()> {
    let now = cx.now();
    if let Lease::Until(_) = cx.memory.lease
        && let Some(over) = cx.memory.lease.over_for(now)
        && !cx.paused()
    {
        cx.rule = Rule::A18;
        cx.say(Text::LeaseRanOut {
            seconds: over.as_secs(),
        });
        cx.reload()?;
    }
    Ok(())
}

/// Row A12: nothing to run on.
fn no_data(cx: &mut Cx<'_>, error: Option<String>) -> Asked<CycleResult> {
    cx.rule = Rule::A12;
    cx.set_role(Role::Uninitialized)?;
    if cx.is_running() {
        let limit = cx.settings.retry_timeout;
        if !cx.stop_immediately(Some(limit))?.stopped {
            // Neither the lock nor the directory is anybody else's before the end of the server.
            let error = "PostgreSQL still runs on it".to_owned();
            return Ok(CycleResult::DataInaccessible { error });
        }
    }
    cx.watchdog_disable()?;
    if cx.has_lock() {
        cx.release_leader(None)?;
        let what = if error.is_some() {
            "not accessible"
        } else {
            "empty"
        };
        return Ok(CycleResult::ReleasedWithoutData {
            what: what.to_owned(),
        });
    }
    if let Some(error) = error {
        return Ok(CycleResult::DataInaccessible { error });
    }
    if cx.paused() {
        return Ok(CycleResult::EmptyWhilePaused);
    }
    bootstrap::bootstrap(cx)
}

/// Row A19: slots and the first callback. A result when slots have to be copied.
fn afterwards(cx: &mut Cx<'_>) -> Asked<Option<CycleResult>> {
    let promoting = matches!(cx.scheduled, Some(Job::Promote));
    if !(cx.executor_free() || promoting) || cx.server.state.is_starting() || !cx.is_running() {
        return Ok(None);
    }
    let missing = crate::slots::sync(cx)?;
    if !cx.server.callback_ran {
        if !promoting && !cx.is_primary() {
            cx.mark_check();
        }
        cx.run_callback(CallbackEvent::Start)?;
    }
    copy_slots(cx, missing)
}

/// Copies logical slots from the primary, unless something else keeps this node busy.
fn copy_slots(cx: &mut Cx<'_>, slots: Vec<LogicalSlot>) -> Asked<Option<CycleResult>> {
    let Some(leader) = rewind::leader_address(cx) else {
        return Ok(None);
    };
    if slots.is_empty() || !cx.executor_free() {
        return Ok(None);
    }
    let names = NameList::of(slots.iter().map(|slot| &slot.name));
    if let Err(action) = cx.schedule(Job::CopyLogicalSlots { leader, slots })? {
        return Ok(Some(CycleResult::InProgress { action }));
    }
    Ok(Some(CycleResult::CopyingSlots { slots: names }))
}

/// The rewind state that a good start resets.
pub(crate) fn forget_success(cx: &mut Cx<'_>) {
    cx.memory.crash_recovery_tried = None;
    if cx.memory.rewind == RewindState::Success {
        cx.memory.rewind = RewindState::Initial;
    }
}
