//! How long the slot of a member outlives it (`member_slots_ttl`).

use patroni_core::SlotName;

use crate::context::Cx;
use crate::sentence::Text;

/// Notes which members are present, for the time that their slots outlive them.
pub(crate) fn note_present(cx: &mut Cx<'_>) {
    let now = cx.now();
    if cx.memory.last_seen.is_empty() {
        // A daemon that has just started, perhaps beside a lock that it still holds, has seen
        // nobody. It must not drop what its predecessor kept.
        restart_retention(cx);
    }
    let present: Vec<SlotName> = cx
        .view
        .members
        .iter()
        .filter(|member| !member.data.tags().nostream())
        .map(|member| SlotName::of_member(&member.name))
        .collect();
    for slot in present {
        cx.memory.last_seen.insert(slot, now);
    }
    let ttl = cx.settings.member_slots_ttl;
    let leads = cx.view.leader_name().is_some_and(|name| cx.is_me(name));
    let expired: Vec<SlotName> = cx
        .memory
        .last_seen
        .iter()
        .filter(|(_, seen)| now.since(**seen) > ttl)
        .map(|(slot, _)| slot.clone())
        .collect();
    for slot in expired {
        cx.memory.last_seen.remove(&slot);
        if leads {
            cx.say(Text::SlotExpired {
                slot,
                seconds: ttl.as_secs(),
            });
        }
    }
}

/// On taking the lock the clock of every retained name starts anew.
pub(crate) fn restart_retention(cx: &mut Cx<'_>) {
    let now = cx.now();
    for slot in cx.view.status.retain_slots.clone() {
        cx.memory.last_seen.insert(slot, now);
    }
}

/// The names that the leader publishes to be kept, sorted.
pub(crate) fn retained(cx: &Cx<'_>) -> Vec<SlotName> {
    if cx.settings.member_slots_ttl.is_zero() {
        return Vec::new();
    }
    cx.memory
        .last_seen
        .keys()
        .filter(|slot| !cx.settings.permanent_slots.contains_key(slot.as_str()))
        .cloned()
        .collect()
}
