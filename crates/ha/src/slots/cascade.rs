//! Who streams through whom.

use patroni_core::{Member, MemberName, SlotName, Tags};

use crate::context::Cx;

/// The members through which `tags` (of the member `name`) makes WAL flow, nearest first, without
/// the leader. A chain that comes back to itself ends there.
pub(super) fn parents<'a>(cx: &'a Cx<'_>, name: &MemberName, tags: &Tags) -> Vec<&'a Member> {
    let mut chain: Vec<&Member> = Vec::new();
    let mut next = tags.replicatefrom();
    while let Some(parent) = next.as_ref().and_then(|name| cx.view.member(name)) {
        let seen = parent.name == *name || chain.iter().any(|known| known.name == parent.name);
        if seen || cx.view.leader_name() == Some(&parent.name) {
            break;
        }
        chain.push(parent);
        next = parent.data.tags().replicatefrom();
    }
    chain
}

/// The physical slot on the leader through which this node's WAL comes: its own, or that of its
/// outermost cascade parent. `None` when nothing streams.
pub(super) fn slot_on_leader(cx: &Cx<'_>) -> Option<SlotName> {
    if cx.node.tags.nostream() {
        return None;
    }
    let chain = parents(cx, cx.me(), &cx.node.tags);
    let outermost = chain.last().map_or(cx.me(), |member| &member.name);
    Some(SlotName::of_member(outermost))
}
