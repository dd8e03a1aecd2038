//! What the leader publishes about itself and the cluster (HA contract 21, 22, 29).

use std::collections::BTreeMap;

use patroni_config::Dynamic;
use patroni_core::server::{CheckpointTask, LocalServer, SlotKind};
use patroni_core::{Lsn, MemberName, SlotName, Status};

use crate::context::Cx;
use crate::slots;

/// The status measured in this cycle; `None` when the server did not answer.
pub(crate) fn status(cx: &Cx<'_>) -> Option<Status> {
    let measured = cx.status()?;
    Some(Status {
        optime: measured.main_position(),
        slots: slot_positions(&cx.server, cx.settings, cx.me()),
        retain_slots: slots::retained(cx),
    })
}

/// The positions of slots that others want to know of a leader, with its own position under its
/// own slot name: what is published in the store, and announced without one. Without
/// `member_slots_ttl` only permanent slots matter. Source: PostgreSQL contract 13.4.
pub fn slot_positions(
    server: &LocalServer,
    settings: &Dynamic,
    me: &MemberName,
) -> BTreeMap<SlotName, Lsn> {
    let permanent = &settings.permanent_slots;
    let all = !settings.member_slots_ttl.is_zero();
    let modern = server.major_version.is_some_and(|v| v >= 110_000);
    let mut positions = BTreeMap::new();
    let Some(status) = server.status.known().filter(|_| modern) else {
        return positions;
    };
    let Some(rows) = status
        .slots
        .as_ref()
        .filter(|_| all || !permanent.is_empty())
    else {
        return positions;
    };
    for row in rows {
        let at = match row.kind {
            SlotKind::Physical => row.restart_lsn,
            SlotKind::Logical { .. } => row.confirmed_flush_lsn,
        };
        if let Some(at) = at.filter(|_| all || permanent.contains_key(row.name.as_str())) {
            positions.insert(row.name.clone(), at);
        }
    }
    positions.insert(SlotName::of_member(me), status.main_position());
    positions
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
