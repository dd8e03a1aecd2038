//! Following somebody (HA contract 12).

use patroni_config::dynamic::StandbyCluster;
use patroni_core::server::ServerStatus;
use patroni_core::{Member, MemberName, Role, SlotName, Upstream};

use crate::command::CallbackEvent;
use crate::context::Cx;
use crate::eligibility;
use crate::job::{DemotePlan, DemoteReason, Job};
use crate::outcome::RecoveryChange;
use crate::replay::Asked;
use crate::rule::Rule;
use crate::rules::demote::{self, Mode};
use crate::rules::{rewind, stall};
use crate::verdict::CycleResult;

/// What the cycle is called when the node had to stop being primary, and when it only follows.
pub(crate) struct Texts {
    pub(crate) demoted: CycleResult,
    pub(crate) following: CycleResult,
}

/// Follows whom the view names, demoting first where needed.
pub(crate) fn follow(cx: &mut Cx<'_>, texts: Texts, reload: bool) -> Asked<CycleResult> {
    if reload {
        cx.reload()?;
        cx.has_lock();
    }
    let primary = if cx.paused() {
        cx.is_primary()
    } else {
        cx.may_be_primary()
    };
    if cx.paused() {
        if (!cx.rewind_due() || cx.view.is_unlocked())
            && let Some(result) = paused(cx, primary)?
        {
            cx.rule = Rule::F1;
            return Ok(result);
        }
    } else if primary {
        cx.rule = Rule::F2;
        if cx.in_standby_cluster() {
            return demote_cluster(cx, texts.demoted);
        }
        demote::demote(cx, Mode::ImmediateNoLock)?;
        return Ok(texts.demoted);
    }
    if !cx.paused() && past_the_standby_leader(cx)? {
        cx.mark_check();
    }
    // While paused nothing new is judged, but a rewind that is known to be needed goes on.
    if (!cx.paused() || cx.rewind_due())
        && let Some(result) = rewind::rewind_or_reinit(cx)?
    {
        cx.rule = Rule::F3;
        return Ok(result);
    }
    cx.rule = Rule::F5;
    if !cx.paused() && cx.status().is_some_and(|status| status.replay_paused) {
        cx.resume_replay()?;
    }
    let Some(upstream) = upstream(cx) else {
        if cx.in_standby_cluster() {
            return Ok(CycleResult::FollowingOldStandbyLeader);
        }
        return Ok(texts.following);
    };
    follow_upstream(cx, upstream, texts.following)
}

/// Holding the lock of a standby cluster: follow the remote as its leader.
pub(crate) fn follow_as_standby_leader(
    cx: &mut Cx<'_>,
    promoted: CycleResult,
) -> Asked<CycleResult> {
    let me = cx.me().clone();
    let text = if cx.server.role == Role::StandbyLeader {
        CycleResult::StandbyLeader { me }
    } else {
        promoted
    };
    let texts = Texts {
        demoted: CycleResult::NoRealPrimaryStandbyCluster,
        following: text,
    };
    follow(cx, texts, false)
}

/// A primary in what became a standby cluster.
fn demote_cluster(cx: &mut Cx<'_>, text: CycleResult) -> Asked<CycleResult> {
    let job = Job::Demote {
        reason: DemoteReason::DemoteCluster,
        judged: cx.view.leader.clone(),
        plan: DemotePlan {
            candidates: eligibility::askable(cx),
        },
    };
    if let Err(old) = cx.schedule(job)? {
        return Ok(CycleResult::InProgress { action: old });
    }
    Ok(text)
}

fn paused(cx: &mut Cx<'_>, primary: bool) -> Asked<Option<CycleResult>> {
    if primary {
        cx.set_role(Role::Primary)?;
        return Ok(Some(CycleResult::ContinueWithoutLock));
    }
    // One that was told to become primary still may, and has to be stopped after the pause.
    if !matches!(cx.server.role, Role::StandbyLeader | Role::Promoted) {
        cx.set_role(Role::Replica)?;
    }
    if matches!(upstream(cx), None | Some(Upstream::None)) {
        let me = cx.me().clone();
        return Ok(Some(CycleResult::NoAction { me }));
    }
    Ok(None)
}

/// A replica of a standby cluster can reach a later timeline of the remote by the archive, before
/// its standby leader does. Then it is the remote who tells whose history is right.
fn past_the_standby_leader(cx: &mut Cx<'_>) -> Asked<bool> {
    if !cx.in_standby_cluster() || !cx.can_rewind_or_wipe() {
        return Ok(false);
    }
    let leader = cx.view.leader_member();
    let leader = leader.filter(|leader| !cx.is_me(&leader.name));
    match leader.and_then(|leader| leader.data.timeline()) {
        Some(timeline) => cx.has_history(timeline.next()),
        None => Ok(false),
    }
}

/// Makes the server follow `upstream`.
fn follow_upstream(
    cx: &mut Cx<'_>,
    upstream: Upstream,
    following: CycleResult,
) -> Asked<CycleResult> {
    match cx.compare_recovery(upstream.clone())? {
        RecoveryChange::Same => {
            take_role(cx, &upstream)?;
            if !cx.paused() && behind_the_leader(cx)? {
                cx.mark_check();
                if let Some(result) = rewind::rewind_or_reinit(cx)? {
                    cx.rule = Rule::F3;
                    return Ok(result);
                }
            }
            if !cx.paused()
                && let Some(result) = stall::watch(cx, &upstream)?
            {
                return Ok(result);
            }
        }
        RecoveryChange::Reload => {
            cx.rule = Rule::F4;
            cx.reload_recovery(upstream)?;
            cx.mark_check();
        }
        RecoveryChange::Restart => {
            cx.rule = Rule::F4;
            cx.mark_check();
            if let Err(old) = cx.schedule(Job::RestartFollow { upstream })? {
                return Ok(CycleResult::InProgress { action: old });
            }
        }
    }
    Ok(following)
}

/// The role of a node whose recovery settings are right already.
fn take_role(cx: &mut Cx<'_>, upstream: &Upstream) -> Asked<()> {
    let leads = matches!(upstream, Upstream::Remote { leading: true, .. });
    if leads && cx.server.role != Role::StandbyLeader {
        cx.set_role(Role::StandbyLeader)?;
        return cx.run_callback(CallbackEvent::RoleChange);
    }
    let stands_by = cx.status().is_some_and(ServerStatus::in_recovery);
    if !leads && stands_by && cx.server.role != Role::Replica && !cx.paused() {
        // A promotion that came to nothing, or a server that was started by hand.
        let changes = cx.server.callback_ran;
        cx.set_role(Role::Replica)?;
        if changes {
            cx.run_callback(CallbackEvent::RoleChange)?;
        }
    }
    Ok(())
}

/// The leader went to a later timeline. A standby that does not stream shows no timeline by
/// itself, and is the one that most needs the question.
fn behind_the_leader(cx: &mut Cx<'_>) -> Asked<bool> {
    let leader = cx.view.leader_member();
    let Some(leaders) = leader.and_then(|member| member.data.timeline()) else {
        return Ok(false);
    };
    let mut mine = cx.timeline();
    if mine.is_none() && cx.status().is_some() && cx.can_rewind_or_wipe() {
        mine = cx.local_position()?.map(|local| local.timeline);
    }
    Ok(mine.is_some_and(|mine| mine < leaders))
}

/// Whom this node should follow; `None` when the right one has no address, and the settings
/// stay as they are.
pub(crate) fn upstream(cx: &Cx<'_>) -> Option<Upstream> {
    if cx.node.tags.nostream() {
        return Some(Upstream::None);
    }
    let owner = cx.view.leader_name();
    let mine = owner.is_some_and(|name| cx.is_me(name));
    if let Some(remote) = &cx.settings.standby_cluster
        && (mine || (owner.is_none() && !cx.paused()))
    {
        return Some(Upstream::Remote {
            host: remote.host.clone(),
            port: remote.port.clone(),
            slot: remote_slot(remote),
            leading: mine,
        });
    }
    let chosen = cx
        .node
        .tags
        .replicatefrom()
        .filter(|name| !cx.is_me(name))
        .and_then(|name| cx.view.member(&name))
        .filter(|member| member.data.conn_url().is_some());
    if let Some(member) = chosen {
        return following_member(cx, member);
    }
    match owner {
        Some(_) if mine => Some(Upstream::None),
        None => Some(Upstream::None),
        Some(_) => following_member(cx, cx.view.leader_member()?),
    }
}

/// The slot on the remote, by the rule that makes a slot's name of a member's.
fn remote_slot(remote: &StandbyCluster) -> Option<SlotName> {
    let configured = remote.primary_slot_name.clone()?;
    Some(SlotName::of_member(&MemberName::new(configured)))
}

fn following_member(cx: &Cx<'_>, member: &Member) -> Option<Upstream> {
    Some(Upstream::Member {
        name: member.name.clone(),
        conn_url: member.data.conn_url()?,
        slot: cx.settings.use_slots.then(|| SlotName::of_member(cx.me())),
    })
}
