//! `hot_standby_feedback`: without it the primary removes catalog rows that a logical slot on a
//! standby still needs.

use super::{cascade, wishes};
use crate::context::Cx;
use crate::replay::Asked;

/// Has the setting forced where logical slots are kept, and where their WAL and their feedback
/// pass through. A daemon begins without it.
pub(super) fn enforce(cx: &mut Cx<'_>) -> Asked<()> {
    let needed = cx.settings.use_slots && is_needed(cx);
    if cx.memory.slots.feedback != needed && cx.enforce_feedback(needed)? {
        cx.memory.slots.feedback = needed;
    }
    Ok(())
}

pub(super) fn is_needed(cx: &Cx<'_>) -> bool {
    if wishes::holds_logical(cx, cx.me(), &cx.node.tags) {
        return true;
    }
    cx.view.members.iter().any(|member| {
        let tags = member.data.tags();
        let through_me = || {
            let parents = cascade::parents(cx, &member.name, &tags);
            parents.iter().any(|parent| cx.is_me(&parent.name))
        };
        let is_leader = cx.view.leader_name() == Some(&member.name);
        !is_leader
            && !cx.is_me(&member.name)
            && through_me()
            && wishes::holds_logical(cx, &member.name, &tags)
    })
}
