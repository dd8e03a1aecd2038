//! Replication slots, as far as the leader publishes them.

use std::collections::BTreeSet;

use patroni_core::{Member, SlotName};

use super::super::facts::Facts;
use super::super::finding::Finding;

pub(super) fn check(facts: &Facts) -> Vec<Finding> {
    let status = &facts.cluster.status;
    if !facts.settings.use_slots || status.slots.is_empty() || facts.cluster.is_unlocked() {
        return Vec::new();
    }
    let mut findings = missing(facts);
    findings.extend(of_absent_members(facts));
    findings
}

fn missing(facts: &Facts) -> Vec<Finding> {
    // with member_slots_ttl: 0 only permanent slots are published
    if facts.settings.member_slots_ttl.is_zero() {
        return Vec::new();
    }
    let slots = &facts.cluster.status.slots;
    let without = facts.others().filter_map(|standby| {
        let slot = SlotName::of_member(standby.name());
        let needs = follows_leader(facts, &standby.member) && !slots.contains_key(&slot);
        needs.then(|| {
            let reason = format!(
                "the leader has published no slot {slot} for it: WAL that it still needs may be removed"
            );
            let remedy = "the leader makes it in its next cycle: look again, then at the leader's log \
                          (max_replication_slots)";
            Finding::warning("slot-missing", reason, remedy).of(standby.name())
        })
    });
    without.collect()
}

/// It streams from the leader itself, not from another member or the archive.
fn follows_leader(facts: &Facts, member: &Member) -> bool {
    let tags = member.data.tags();
    let elsewhere = tags
        .replicatefrom()
        .is_some_and(|from| facts.cluster.member(&from).is_some());
    !tags.nostream() && (!elsewhere || tags.replicatefrom().as_ref() == facts.cluster.leader_name())
}

fn of_absent_members(facts: &Facts) -> Vec<Finding> {
    let status = &facts.cluster.status;
    let present: BTreeSet<SlotName> = facts
        .cluster
        .members
        .iter()
        .map(|member| SlotName::of_member(&member.name))
        .collect();
    let absent = status
        .retain_slots
        .iter()
        .filter(|slot| !present.contains(*slot));
    absent
        .filter_map(|slot| {
            let held = status.slots.get(slot)?.lag_behind(status.optime);
            let ttl = facts.settings.member_slots_ttl.as_secs();
            let reason = format!(
                "the slot {slot} is kept for a member that is away, and holds {held} bytes of WAL back"
            );
            let remedy = format!("it goes {ttl} s (member_slots_ttl) after the member did");
            Some(Finding::note("slot-of-absent-member", reason, &remedy))
        })
        .collect()
}
