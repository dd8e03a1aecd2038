//! Which slots a node wishes, read from the command of a cycle.

mod support;

use std::collections::BTreeMap;

use patroni_core::{Lsn, SlotName};
use patroni_ha::command::SlotPlan;
use patroni_ha::{Command, Memory};
use serde_json::json;
use support::*;

fn plan_of(observed: patroni_ha::Observation, memory: Memory) -> (SlotPlan, Memory) {
    let played = play(observed, memory, |_| None);
    let plan = played.commands.iter().find_map(|command| match command {
        Command::SyncSlots(plan) => Some(plan.clone()),
        _ => None,
    });
    (plan.expect("the cycle looks after slots"), played.memory)
}

fn names(plan: &SlotPlan) -> Vec<String> {
    plan.wishes
        .iter()
        .map(|wish| wish.name.to_string())
        .collect()
}

#[test]
fn a_standby_keeps_the_slots_of_the_others_and_follows_the_leader_position() {
    let mut view = cluster(Some("b"));
    view.status.slots = BTreeMap::from([(SlotName::new("c"), Lsn::new(70))]);
    view.members[2] = member_with(
        "c",
        json!({"role": "replica", "state": "running",
        "xlog_location": 90, "tags": {"replicatefrom": "a"}}),
    );
    let (plan, _) = plan_of(observation(replica(), view), Memory::default());
    assert_eq!(names(&plan), ["b", "c"]);
    let c = &plan.wishes[1];
    assert_eq!(c.expected_active, Some(true));
    assert_eq!(
        c.advance_to,
        Some(Lsn::new(90)),
        "a cascading member tells its own position"
    );
}

#[test]
fn tags_take_slots_away() {
    let mut view = cluster(Some("a"));
    view.members[1] = member_with("b", json!({"tags": {"nostream": true}}));
    let (plan, _) = plan_of(observation(primary(), view), Memory::default());
    assert_eq!(names(&plan), ["c"]);
    let mut observed = observation(replica(), cluster(Some("b")));
    observed.node.tags = tags(json!({"nofailover": true}));
    let (plan, _) = plan_of(observed, Memory::default());
    assert_eq!(names(&plan), Vec::<String>::new());
}

#[test]
fn permanent_slots_are_on_every_node_that_may_lead() {
    let doc = json!({"slots": {"app": {"type": "physical"}, "log": {"type": "logical",
        "database": "d", "plugin": "p"}, "a": {"type": "physical"}, "Bad-name": null, "x": 5}});
    let mut observed = observation(replica(), cluster(Some("b")));
    observed.settings = settings(doc);
    let (plan, _) = plan_of(observed, Memory::default());
    assert_eq!(names(&plan), ["app", "b", "c"]);
    assert_eq!(plan.wishes[0].expected_active, Some(false));
}

#[test]
fn the_slot_of_an_absent_member_is_kept_for_its_time() {
    let memory = Memory {
        last_seen: BTreeMap::from([
            (SlotName::new("gone"), at(0)),
            (SlotName::new("away"), at(990)),
        ]),
        ..Memory::default()
    };
    let mut observed = observation(primary(), cluster(Some("a")));
    observed.settings = settings(json!({"member_slots_ttl": 900}));
    let (plan, memory) = plan_of(observed, memory);
    assert_eq!(names(&plan), ["away", "b", "c"]);
    assert_eq!(plan.wishes[0].expected_active, None);
    assert!(!memory.last_seen.contains_key(&SlotName::new("gone")));
}
