//! Being primary with the lock held, or becoming it (HA contract 13).

use patroni_core::Role;

use crate::context::Cx;
use crate::job::Job;
use crate::mutant::Mutant;
use crate::replay::Asked;
use crate::rule::Rule;
use crate::rules::demote::{self, Mode};
use crate::sentence::Text;
use crate::verdict::CycleResult;
use crate::{history, sync};

/// Goes on as primary with the text `heartbeat`, or starts the promotion with the text
/// `promoted`. Called only with the lock confirmed in this cycle.
pub(crate) fn promote(
    cx: &mut Cx<'_>,
    heartbeat: CycleResult,
    promoted: CycleResult,
) -> Asked<CycleResult> {
    cx.rule = Rule::P1;
    if !cx.paused()
        && let Some(result) = gates(cx)?
    {
        return Ok(result);
    }
    cx.memory.trouble = None;
    if cx.is_primary() {
        cx.rule = Rule::P2;
        // A promotion is over when the server says so: a query that timed out does not.
        if cx.status().is_some() {
            cx.set_role(Role::Primary)?;
        }
        sync::process(cx)?;
        history::publish(cx)?;
        cx.keep_node_table()?;
        return Ok(heartbeat);
    }
    if matches!(cx.server.role, Role::Primary | Role::Promoted) {
        cx.rule = Rule::P3;
        sync::process(cx)?;
        return Ok(heartbeat);
    }
    cx.rule = Rule::P4;
    if !cx.is_leader() {
        // The answer took longer than the lease lasts.
        return Ok(CycleResult::NotPromotingWithoutLock);
    }
    if !sync::before_promote(cx)? {
        return Ok(CycleResult::PostponingPromotion);
    }
    cx.memory.failsafe_until = None;
    if let Err(old) = cx.schedule(Job::Promote)? {
        return Ok(CycleResult::InProgress { action: old });
    }
    Ok(promoted)
}

/// What may forbid to lead although the lock is held.
fn gates(cx: &mut Cx<'_>) -> Asked<Option<CycleResult>> {
    if !cx.mutated(Mutant::WatchdogForgotten) && !cx.watchdog_activate()? {
        return Ok(Some(if give_back(cx)? {
            CycleResult::WatchdogDemotes
        } else {
            CycleResult::WatchdogForbids
        }));
    }
    if cx.memory.pre_promote_failed {
        cx.memory.pre_promote_failed = false;
        cx.say(Text::ReleasingAfterPrePromote);
        give_back(cx)?;
        cx.memory.backing_off_since = Some(cx.now());
        return Ok(Some(CycleResult::PrePromoteFailed));
    }
    Ok(None)
}

/// Gives the lock back, after a stop where the server may be a primary; tells whether it was.
fn give_back(cx: &mut Cx<'_>) -> Asked<bool> {
    if cx.may_be_primary() {
        demote::demote(cx, Mode::Immediate)?;
        return Ok(true);
    }
    cx.release_leader(None)?;
    demote::clear_sync_names(cx)?;
    Ok(false)
}
