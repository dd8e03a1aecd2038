//! What the leader publishes about itself and the cluster (HA contract 21, 22, 29).

use std::collections::BTreeMap;

use patroni_core::server::{CheckpointTask, SlotKind};
use patroni_core::{MemberName, SlotName, Status};

use crate::context::Cx;
use crate::slots;

/// The status measured in this cycle; `None` when the server did not answer.
pub(crate) fn status(cx: &Cx<'_>) -> Option<Status> {
    let measured = cx.status()?;
    let optime = measured.main_position();
    let ttl_on = !cx.settings.member_slots_ttl.is_zero();
    let mut published: BTreeMap<SlotName, _> = BTreeMap::new();
    for row in measured.slots.iter().flatten() {
        let at = match row.kind {
            SlotKind::Physical => row.restart_lsn,
            SlotKind::Logical { .. } => row.confirmed_flush_lsn,
        };
        let wanted = ttl_on || cx.settings.permanent_slots.contains_key(row.name.as_str());
        if let Some(at) = at.filter(|_| wanted) {
            published.insert(row.name.clone(), at);
        }
    }
    let modern = cx.server.major_version.is_some_and(|v| v >= 110_000);
    if modern && measured.slots.is_some() {
        published.insert(SlotName::of_member(cx.me()), optime);
    }
    Some(Status {
        optime,
        slots: published,
        retain_slots: slots::retained(cx),
    })
}

/// The members that may be asked in failsafe mode, always with this node.
pub(crate) fn failsafe_members(cx: &Cx<'_>) -> BTreeMap<MemberName, String> {
    let mut members: BTreeMap<MemberName, String> = cx
        .view
        .members
        .iter()
        .filter_map(|member| Some((member.name.clone(), member.data.api_url()?.to_owned())))
        .collect();
    members.insert(cx.me().clone(), cx.node.api_url.clone());
    members
}

/// The leader's control file may still be on the timeline before its promotion, so that nobody
/// can rewind to it yet.
pub(crate) fn awaits_checkpoint(cx: &Cx<'_>) -> bool {
    cx.is_leader() && !checkpoint_done(cx)
}

/// A checkpoint has to be started now.
pub(crate) fn needs_checkpoint(cx: &mut Cx<'_>) -> bool {
    let idle = cx.server.checkpoint != CheckpointTask::Running;
    idle && !checkpoint_done(cx) && cx.is_primary()
}

fn checkpoint_done(cx: &Cx<'_>) -> bool {
    // A standby leader's control file follows the remote: nobody shall rewind to it, ever.
    if cx.in_standby_cluster() {
        return false;
    }
    if cx.server.checkpoint == CheckpointTask::Done {
        return true;
    }
    cx.status().is_some_and(|status| {
        status.primary_timeline.is_some() && status.primary_timeline == status.control_timeline
    })
}
