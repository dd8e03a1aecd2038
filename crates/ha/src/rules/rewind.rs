//! Have my data diverged, and what follows from it (HA contract 22).

use patroni_core::server::ControlState;
use patroni_core::{Role, Upstream};

use crate::command::LeaderAddress;
use crate::context::Cx;
use crate::divergence;
use crate::job::Job;
use crate::memory::RewindState;
use crate::outcome::InspectFailure;
use crate::replay::Asked;
use crate::rules::{follow, reinit};
use crate::sentence::Text;
use crate::verdict::CycleResult;

/// The leader to compare with: another member that is a primary and has an address.
pub(crate) fn leader_address(cx: &Cx<'_>) -> Option<LeaderAddress> {
    let leader = cx.view.leader_member()?;
    if cx.is_me(&leader.name) || leader.data.role() != Some(Role::Primary) {
        return None;
    }
    Some(LeaderAddress {
        name: leader.name.clone(),
        conn_url: leader.data.conn_url()?,
    })
}

/// Answers a check that is due, as far as the leader lets it, and tells whether a rewind (or a
/// new copy) has to come before the next start.
pub(crate) fn needed(cx: &mut Cx<'_>) -> Asked<bool> {
    if !cx.can_rewind_or_wipe() {
        return Ok(false);
    }
    if cx.memory.rewind == RewindState::Check
        && let Some(leader) = leader_address(cx)
    {
        check(cx, leader)?;
    }
    Ok(cx.memory.rewind == RewindState::Need)
}

/// One divergence check. Without an answer of the leader it stays due.
fn check(cx: &mut Cx<'_>, leader: LeaderAddress) -> Asked<()> {
    let Some(local) = cx.local_position()? else {
        return Ok(());
    };
    cx.say(Text::LocalTimeline {
        timeline: local.timeline,
        lsn: local.lsn,
    });
    let inspection = match cx.inspect_leader(leader)? {
        Ok(inspection) => inspection,
        Err(InspectFailure::InRecovery) => {
            cx.say(Text::LeaderInRecovery);
            return Ok(());
        }
        Err(InspectFailure::Failed(_)) => {
            cx.say(Text::LeaderNotInspected);
            return Ok(());
        }
    };
    cx.say(Text::PrimaryTimeline {
        timeline: inspection.timeline,
    });
    let judged = divergence::judge(&local, &inspection);
    if let Some(lines) = judged.lines {
        cx.say(Text::PrimaryHistory { lines });
    }
    cx.memory.rewind = if judged.diverged {
        RewindState::Need
    } else {
        RewindState::NotNeed
    };
    Ok(())
}

/// Rewinds or copies anew where that is needed and possible; `None` means go on.
pub(crate) fn rewind_or_reinit(cx: &mut Cx<'_>) -> Asked<Option<CycleResult>> {
    if !needed(cx)? {
        return Ok(None);
    }
    let Some(leader) = leader_address(cx) else {
        return Ok(None);
    };
    let (job, result) = if cx.can_rewind() {
        let halfway = cx
            .server
            .control
            .as_ref()
            .is_some_and(|control| control.state == ControlState::InArchiveRecovery);
        if halfway && !cx.is_running() && cx.memory.crash_recovery_tried.is_none() {
            cx.memory.crash_recovery_tried = Some(cx.now());
            (Job::CrashRecovery, CycleResult::SingleUserRecovery)
        } else {
            let result = CycleResult::Rewinding {
                leader: leader.name.clone(),
            };
            (Job::Rewind(leader), result)
        }
    } else if cx.node.wipe_on_divergence && !cx.in_standby_cluster() {
        let Some(source) = reinit::source(cx) else {
            return Ok(None);
        };
        let upstream = follow::upstream(cx).unwrap_or(Upstream::None);
        let job = Job::Reinitialize {
            source: source.from,
            upstream,
            diverged: true,
        };
        (job, CycleResult::Reinitializing)
    } else {
        return Ok(None);
    };
    Ok(Some(match cx.schedule(job)? {
        Ok(()) => result,
        Err(action) => CycleResult::InProgress { action },
    }))
}
