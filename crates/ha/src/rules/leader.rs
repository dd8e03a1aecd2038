//! Somebody holds the lock (HA contract 11).

use patroni_core::MemberName;

use crate::context::Cx;
use crate::lease::Again;
use crate::memory::Lease;
use crate::observation::Observation;
use crate::publish;
use crate::replay::Asked;
use crate::rule::Rule;
use crate::rules::demote::{self, Mode};
use crate::rules::follow::{self, Texts};
use crate::rules::{failover, promote, race, silent};
use crate::sentence::Text;
use crate::verdict::CycleResult;

/// Row A18: lead with the lock, follow without it.
pub(crate) fn leader_exists(cx: &mut Cx<'_>, obs: &Observation) -> Asked<CycleResult> {
    if !cx.has_lock() {
        cx.rule = Rule::L4;
        let me = cx.me().clone();
        let leader = cx.view.leader_name().cloned();
        let texts = following(cx, me, leader.unwrap_or_else(|| MemberName::new("")));
        return follow::follow(cx, texts, false);
    }
    if let Some(result) = race::undecided(cx)? {
        return Ok(result);
    }
    // A promotion that was issued cannot be taken back, and ends some time.
    if cx.paused()
        && !cx.may_be_primary()
        && let Some(result) = paused_without_primary(cx)?
    {
        cx.rule = Rule::L1;
        return Ok(result);
    }
    if lease_is_over(cx) {
        cx.rule = Rule::A18;
        if !(cx.try_reload()? && cx.has_lock()) {
            cx.again = Some(Again::SOON);
            return Ok(CycleResult::LeaseRanOutMeanwhile);
        }
    }
    cx.rule = Rule::L2;
    let status = publish::status(cx);
    if status.is_none() && cx.is_running() {
        cx.say(Text::NoStatus);
    }
    if cx.update_leader(status)? {
        if !cx.is_leader() && !cx.paused() {
            // Nothing is done by a view from before the lease ran out.
            cx.rule = Rule::A18;
            cx.again = Some(Again::SOON);
            return Ok(CycleResult::LeaseRanOutMeanwhile);
        }
        return lead(cx, obs);
    }
    cx.rule = Rule::L3;
    cx.say(Text::FailedToUpdateLock);
    if !cx.may_be_primary() {
        return Ok(CycleResult::NotPromotingWithoutLock);
    }
    if cx.paused() {
        return Ok(CycleResult::ContinuePrimaryPaused);
    }
    demote::demote(cx, Mode::ImmediateNoLock)?;
    Ok(CycleResult::DemotedForLock)
}

/// The last renewal holds no more. The node may have stood still since the store was read, also in
/// a pause, in which nothing else minds; and a renewal makes a lock anew that is gone, whoever
/// has had it meanwhile.
fn lease_is_over(cx: &Cx<'_>) -> bool {
    matches!(cx.memory.lease, Lease::Until(_)) && !cx.is_leader()
}

/// The lock names this node, which stood by while another one led, and did not ask for it: what
/// the store says is of another time. Nobody is promoted by that; the race decides anew.
pub(crate) fn unasked(cx: &mut Cx<'_>) -> Asked<Option<CycleResult>> {
    let Some(former) = cx.memory.unasked_lock.clone() else {
        return Ok(None);
    };
    if cx.may_be_primary() {
        return Ok(None);
    }
    cx.rule = Rule::L4;
    cx.say(Text::UnaskedLock { former });
    cx.release_leader(None)?;
    cx.again = Some(Again::SOON);
    Ok(Some(CycleResult::ReleasedUnaskedLock))
}

/// The lock was just extended.
fn lead(cx: &mut Cx<'_>, obs: &Observation) -> Asked<CycleResult> {
    if let Some(result) = silent::on_leader(cx, obs)? {
        return Ok(result);
    }
    if let Some(result) = failover::on_leader(cx, obs)? {
        return Ok(result);
    }
    cx.rule = Rule::L2;
    if publish::needs_checkpoint(cx) {
        cx.start_checkpoint()?;
    }
    if cx.in_standby_cluster() {
        return follow::follow_as_standby_leader(cx, CycleResult::PromotedStandbyLeaderWithLock);
    }
    let me = cx.me().clone();
    promote::promote(
        cx,
        CycleResult::Leader { me },
        CycleResult::PromotedWithLock,
    )
}

/// Paused, with the lock on a node that is no primary.
fn paused_without_primary(cx: &mut Cx<'_>) -> Asked<Option<CycleResult>> {
    let wanted = cx
        .view
        .failover_request()
        .and_then(|key| key.request.candidate.clone());
    if wanted.is_some_and(|name| cx.is_me(&name)) {
        return Ok(Some(CycleResult::WaitingToPromote));
    }
    if cx.in_standby_cluster() {
        return Ok(None);
    }
    cx.release_leader(None)?;
    Ok(Some(CycleResult::ReleasedNotPrimary))
}

fn following(cx: &Cx<'_>, me: MemberName, leader: MemberName) -> Texts {
    if cx.in_standby_cluster() {
        Texts {
            demoted: CycleResult::NoRealPrimaryInStandbyCluster,
            following: CycleResult::FollowingStandbyLeader { me, leader },
        }
    } else {
        Texts {
            demoted: CycleResult::DemotingWithoutLock,
            following: CycleResult::Following { me, leader },
        }
    }
}
