//! PostgreSQL does not run although there are data (HA contract 7).

use patroni_core::server::ControlState;
use patroni_core::{Role, State, Upstream};

use crate::command::CallbackEvent;
use crate::context::Cx;
use crate::eligibility::{self, Search};
use crate::job::Job;
use crate::memory::RewindState;
use crate::mutant::Mutant;
use crate::replay::Asked;
use crate::rule::Rule;
use crate::rules::demote::{self, Mode};
use crate::rules::{follow, rewind};
use crate::sentence::Text;
use crate::verdict::CycleResult;
use std::time::Duration;

/// Row A11: a start was ordered; did it work?
pub(crate) fn after_start(cx: &mut Cx<'_>) -> Asked<Option<CycleResult>> {
    cx.rule = Rule::A11;
    cx.memory.recovering = false;
    if cx.is_running() || cx.rewind_due() {
        cx.memory.start_timeout = None;
        super::forget_success(cx);
        if cx.node.store_is_raft && cx.view.is_unlocked() {
            return Ok(Some(CycleResult::StartedAsSecondary));
        }
        return Ok(None);
    }
    cx.watchdog_disable()?;
    if !cx.has_lock() {
        return Ok(Some(CycleResult::StartFailed));
    }
    if matches!(cx.server.role, Role::Primary | Role::StandbyLeader) {
        cx.set_role(Role::Demoted)?;
        cx.run_callback(CallbackEvent::RoleChange)?;
    }
    cx.release_leader(None)?;
    Ok(Some(CycleResult::ReleasedAfterFailedStart))
}

/// Rows R1 to R11.
pub(crate) fn recover(cx: &mut Cx<'_>) -> Asked<CycleResult> {
    let mut timeout = None;
    if cx.mutated(Mutant::StartWithoutLock) && crashed_primary(cx) {
        let timeout = cx.settings.loop_wait;
        let job = Job::StartPrimary { timeout };
        return start(cx, job, CycleResult::StartingPrimary);
    }
    if cx.has_lock() && cx.update_leader(None)? {
        cx.rule = Rule::R1;
        let limit = cx.settings.primary_start_timeout;
        timeout = Some(limit).filter(|limit| !limit.is_zero());
        if limit.is_zero() && eligibility::failover_possible(cx, &Search::default())? {
            cx.watchdog_disable()?;
            cx.say(Text::PrimaryCrashed);
            demote::demote(cx, Mode::Immediate)?;
            return Ok(CycleResult::StoppedToFailOver);
        }
        if !limit.is_zero() && !cx.in_standby_cluster() && crashed_primary(cx) {
            cx.rule = Rule::R2;
            say_control_data(cx);
            return start(
                cx,
                Job::StartPrimary { timeout: limit },
                CycleResult::StartingPrimary,
            );
        }
    }
    cx.rule = Rule::R4;
    cx.watchdog_disable()?;
    say_control_data(cx);
    if let Some(result) = crash_recovery(cx)? {
        return Ok(result);
    }
    cx.rule = Rule::R7;
    cx.reload()?;
    come_up_as_standby(cx, timeout)
}

/// Row R12: data of two histories are no database. They wait for the rewind that makes them one,
/// or for a new copy where the settings allow that.
pub(crate) fn half_rewound(cx: &mut Cx<'_>) -> Asked<CycleResult> {
    cx.rule = Rule::R12;
    cx.watchdog_disable()?;
    cx.say(Text::HalfRewound);
    if cx.has_lock() {
        cx.release_leader(None)?;
        return Ok(CycleResult::ReleasedNotRunning);
    }
    cx.reload()?;
    if !cx.memory.rewind.was_executed() {
        cx.mark_check();
    }
    if let Some(result) = rewind::rewind_or_reinit(cx)? {
        return Ok(result);
    }
    Ok(CycleResult::HalfRewound)
}

/// A primary that died: its own start is the quickest way back. Not where the cluster has become
/// a standby of another, which may have been promoted by now.
fn crashed_primary(cx: &Cx<'_>) -> bool {
    let restartable = matches!(
        control_state(cx),
        Some(
            ControlState::InProduction
                | ControlState::InCrashRecovery
                | ControlState::ShuttingDown
                | ControlState::ShutDown
        )
    );
    restartable
        && cx.server.state == State::Crashed
        && cx.server.role == Role::Primary
        && !cx.server.has_recovery_signal
}

/// What every attempt to recover begins from, for the operator.
fn say_control_data(cx: &mut Cx<'_>) {
    let Some(control) = cx.server.control.as_ref() else {
        return;
    };
    if !control.lines.is_empty() {
        let lines = format!("\n  {}", control.lines.join("\n  "));
        cx.say(Text::ControlData { lines });
    }
}

fn control_state<'c>(cx: &'c Cx<'_>) -> Option<&'c ControlState> {
    cx.server.control.as_ref().map(|control| &control.state)
}

/// Row R4: a primary's crash has to be finished before its data can be judged or followed.
fn crash_recovery(cx: &mut Cx<'_>) -> Asked<Option<CycleResult>> {
    let unfinished = matches!(
        control_state(cx),
        Some(
            ControlState::InProduction | ControlState::ShuttingDown | ControlState::InCrashRecovery
        )
    );
    if !unfinished {
        return Ok(None);
    }
    let has_label = cx.server.has_backup_label;
    if has_label && cx.server.major_version.is_some_and(|v| v >= 150_000) {
        cx.say(Text::SkippingCrashRecovery);
        return Ok(None);
    }
    let worth_it = cx.view.is_unlocked() || cx.can_rewind();
    if cx.memory.crash_recovery_tried.is_some() || !worth_it {
        return Ok(None);
    }
    // On a full disk it fails, and a server that starts after that has no end that a rewind could
    // go back from: it waits where its last record is cut. So that counts as no try.
    if !cx.server.disk_is_full {
        cx.memory.crash_recovery_tried = Some(cx.now());
    }
    Ok(Some(match cx.schedule(Job::CrashRecovery)? {
        Ok(()) => CycleResult::SingleUserRecovery,
        Err(action) => CycleResult::InProgress { action },
    }))
}

/// Rows R6 to R11, with a view that is new.
fn come_up_as_standby(cx: &mut Cx<'_>, timeout: Option<Duration>) -> Asked<CycleResult> {
    let lock = cx.has_lock();
    let standby_cluster = cx.in_standby_cluster();
    if lock && !standby_cluster {
        cx.rule = Rule::R6;
        cx.memory.rewind = RewindState::Initial;
        let job = start_replica(Upstream::None, Role::Replica, timeout);
        return start(cx, job, CycleResult::StartingReadOnly);
    }
    if !cx.memory.rewind.was_executed() {
        cx.mark_check();
    }
    if let Some(result) = rewind::rewind_or_reinit(cx)? {
        return Ok(result);
    }
    demote::clear_sync_names(cx)?;
    let upstream = follow::upstream(cx).unwrap_or(Upstream::None);
    let (row, role, result) = if lock {
        (
            Rule::R8,
            Role::StandbyLeader,
            CycleResult::StartingStandbyLeader,
        )
    } else if standby_cluster && cx.view.is_unlocked() {
        (Rule::R9, Role::Replica, CycleResult::FollowingRemote)
    } else {
        (Rule::R10, Role::Replica, CycleResult::StartingSecondary)
    };
    cx.rule = row;
    let job = start_replica(upstream, role, timeout.filter(|_| lock));
    start(cx, job, result)
}

fn start_replica(upstream: Upstream, role: Role, timeout: Option<Duration>) -> Job {
    Job::StartReplica {
        upstream,
        role,
        timeout,
        after_demotion: false,
    }
}

fn start(cx: &mut Cx<'_>, job: Job, result: CycleResult) -> Asked<CycleResult> {
    match cx.schedule(job)? {
        Ok(()) => {
            cx.memory.recovering = true;
            cx.memory.start_timeout = None;
            Ok(result)
        }
        Err(action) => Ok(CycleResult::InProgress { action }),
    }
}
