//! The wish list, by tables: who wishes which slots where.

use std::collections::BTreeMap;

use patroni_config::Dynamic;
use patroni_core::server::LocalServer;
use patroni_core::{Cluster, Lsn, SlotName};
use serde_json::{Value, json};

use super::wishes::{self, Wish};
use super::{cascade, feedback};
use crate::context::for_tests;
use crate::memory::Memory;
use crate::support::*;

/// The wish list in short: `name` for a slot in use here, `name-` for one that is used elsewhere,
/// `name?` for one that is only kept, `name:plugin` for logical ones; `@n` where it may move.
fn wished(server: LocalServer, view: Cluster, own: Value, doc: Value) -> String {
    let mut observed = observation(server, view);
    observed.node.tags = tags(own);
    observed.settings = settings(doc);
    let mut cx = for_tests(&observed, Memory::default());
    super::note_present(&mut cx);
    let wishes = wishes::of(&mut cx).into_iter();
    let shown: Vec<String> = wishes.map(|(name, wish)| short(&name, &wish)).collect();
    shown.join(" ")
}

fn short(name: &SlotName, wish: &Wish) -> String {
    let (kind, moves) = match wish {
        Wish::Physical {
            expected_active,
            known,
        } => {
            let kind = match expected_active {
                Some(true) => String::new(),
                Some(false) => "-".to_owned(),
                None => "?".to_owned(),
            };
            (kind, *known)
        }
        Wish::Logical { slot, published } => (format!(":{}", slot.plugin), *published),
    };
    let moves = moves.map_or_else(String::new, |at| format!("@{}", at.bytes()));
    format!("{name}{kind}{moves}")
}

/// Three members `a` (this node), `b`, `c`; `c` with these tags.
fn view(owner: &str, tags_of_c: &Value) -> Cluster {
    let mut view = cluster(Some(owner));
    view.members[2] = member_with(
        "c",
        json!({"role": "replica", "state": "running", "xlog_location": 90, "tags": tags_of_c}),
    );
    view.status.slots = ["a", "b", "c", "app", "log"]
        .map(|name| (SlotName::new(name), Lsn::new(70)))
        .into();
    view
}

#[test]
fn member_slots_follow_the_table_of_the_contract() {
    let off = json!({"member_slots_ttl": 0});
    let on = json!({});
    for (server, owner, own, of_c, doc, expected) in [
        (primary(), "a", json!({}), json!({}), &on, "b@70 c@70"),
        (primary(), "a", json!({}), json!({}), &off, "b@70 c@70"),
        (
            primary(),
            "a",
            json!({}),
            json!({"nostream": true}),
            &on,
            "b@70",
        ),
        (
            primary(),
            "a",
            json!({}),
            json!({"replicatefrom": "b"}),
            &on,
            "b@70 c-@90",
        ),
        (
            primary(),
            "a",
            json!({}),
            json!({"replicatefrom": "b"}),
            &off,
            "b@70",
        ),
        (
            primary(),
            "a",
            json!({}),
            json!({"replicatefrom": "a"}),
            &off,
            "b@70 c@90",
        ),
        (
            primary(),
            "a",
            json!({}),
            json!({"replicatefrom": "x"}),
            &off,
            "b@70 c@90",
        ),
        (replica(), "b", json!({}), json!({}), &on, "b-@70 c-@70"),
        (replica(), "b", json!({}), json!({}), &off, ""),
        (
            replica(),
            "b",
            json!({}),
            json!({"replicatefrom": "a"}),
            &off,
            "c@90",
        ),
        (
            replica(),
            "b",
            json!({"nofailover": true}),
            json!({}),
            &on,
            "",
        ),
        (
            replica(),
            "b",
            json!({"nofailover": true}),
            json!({"replicatefrom": "a"}),
            &on,
            "c@90",
        ),
        (
            replica(),
            "c",
            json!({}),
            json!({"replicatefrom": "a"}),
            &on,
            "b-@70 c-@90",
        ),
    ] {
        let found = wished(server, view(owner, &of_c), own.clone(), doc.clone());
        assert_eq!(found, expected, "owner {owner}, own {own}, c {of_c}, {doc}");
    }
}

#[test]
fn a_leader_before_4_publishes_no_member_slots() {
    let mut old = view("b", &json!({}));
    old.members[1] = member_with("b", json!({"version": "3.3.0", "xlog_location": 95}));
    assert_eq!(wished(replica(), old, json!({}), json!({})), "b-@95 c-@90");
}

#[test]
fn permanent_slots_are_where_a_leader_may_be() {
    let slots = json!({"slots": {
        "app": {"type": "physical"}, "a": null, "c": null,
        "there": {"cluster_type": "standby"}, "here": {"cluster_type": "primary"},
        "log": {"database": "d", "plugin": "p"},
    }});
    let standby_cluster = json!({"slots": slots["slots"], "standby_cluster": {"host": "h"}});
    let all =
        |members: &str, active: &str| format!("app{active}@70 {members} here{active} log:p@70");
    for (server, owner, own, of_c, doc, expected) in [
        (
            primary(),
            "a",
            json!({}),
            json!({}),
            &slots,
            all("b@70 c@70", ""),
        ),
        (
            replica(),
            "b",
            json!({}),
            json!({}),
            &slots,
            all("b-@70 c-@70", "-"),
        ),
        (
            replica(),
            "b",
            json!({"nofailover": true}),
            json!({}),
            &slots,
            String::new(),
        ),
        (
            replica(),
            "b",
            json!({"nostream": true}),
            json!({}),
            &slots,
            "app-@70 b-@70 c-@70 here-".to_owned(),
        ),
        (
            replica(),
            "b",
            json!({"replicatefrom": "c"}),
            json!({"nostream": true}),
            &slots,
            "app-@70 b-@70 c-@70 here-".to_owned(),
        ),
        (
            replica(),
            "b",
            json!({}),
            json!({}),
            &standby_cluster,
            "app-@70 b-@70 c-@70 there-".to_owned(),
        ),
    ] {
        let found = wished(server, view(owner, &of_c), own.clone(), doc.clone());
        assert_eq!(found, expected, "owner {owner}, own {own}, c {of_c}");
    }
}

#[test]
fn old_servers_have_slots_only_where_they_are_used() {
    let slots = json!({"slots": {"app": null, "log": {"database": "d", "plugin": "p"}}});
    for (mut server, owner, expected) in
        [(primary(), "a", "app@70 b@70 c@70"), (replica(), "b", "")]
    {
        server.major_version = Some(100_000);
        let found = wished(server, view(owner, &json!({})), json!({}), slots.clone());
        assert_eq!(found, expected);
    }
}

#[test]
fn slots_of_absent_members_are_kept_but_do_not_move() {
    let mut with_absent = view("b", &json!({}));
    with_absent.status.retain_slots = ["a", "b", "gone"].map(SlotName::new).into();
    with_absent
        .status
        .slots
        .insert(SlotName::new("gone"), Lsn::new(99));
    let found = wished(replica(), with_absent.clone(), json!({}), json!({}));
    assert_eq!(found, "b-@70 c-@70 gone?");
    // A daemon that starts beside its own lock keeps what its predecessor kept.
    let mut mine = with_absent;
    mine.leader = Some(leader("a"));
    let found = wished(primary(), mine.clone(), json!({}), json!({}));
    assert_eq!(found, "b@70 c@70 gone?");
    let found = wished(primary(), mine, json!({}), json!({"member_slots_ttl": 0}));
    assert_eq!(found, "b@70 c@70");
}

#[test]
fn wal_and_feedback_of_a_cascade_pass_through_its_parents() {
    let doc = json!({"slots": {"log": {"database": "d", "plugin": "p"}}});
    for (own, of_c, on_leader, needed) in [
        (json!({}), json!({}), Some("a"), true),
        (json!({"replicatefrom": "c"}), json!({}), Some("c"), true),
        (json!({"replicatefrom": "b"}), json!({}), Some("a"), true),
        (
            json!({"replicatefrom": "c"}),
            json!({"replicatefrom": "a"}),
            Some("c"),
            true,
        ),
        (json!({"nostream": true}), json!({}), None, false),
        (json!({"nofailover": true}), json!({}), Some("a"), false),
        (
            json!({"nofailover": true}),
            json!({"replicatefrom": "a"}),
            Some("a"),
            true,
        ),
        (
            json!({"nofailover": true}),
            json!({"replicatefrom": "a", "nofailover": true}),
            Some("a"),
            false,
        ),
    ] {
        let mut observed = observation(replica(), view("b", &of_c));
        observed.node.tags = tags(own.clone());
        observed.settings = settings(doc.clone());
        let cx = for_tests(&observed, Memory::default());
        let slot = cascade::slot_on_leader(&cx);
        assert_eq!(slot, on_leader.map(SlotName::new), "own {own}, c {of_c}");
        assert_eq!(feedback::is_needed(&cx), needed, "own {own}, c {of_c}");
    }
}

#[test]
fn only_relevant_positions_are_published() {
    let rows = vec![physical_row("b"), logical_row("log", "d", "p")];
    let server = with_slots(primary(), rows);
    let on = |doc: Value| -> std::sync::Arc<Dynamic> { settings(doc) };
    let positions = |doc: Value| crate::slot_positions(&server, &on(doc), &name("a"));
    let named = |pairs: &[(&str, u64)]| -> BTreeMap<SlotName, Lsn> {
        pairs
            .iter()
            .map(|(name, at)| (SlotName::new(*name), Lsn::new(*at)))
            .collect()
    };
    assert_eq!(
        positions(json!({})),
        named(&[("a", 100), ("b", 50), ("log", 60)])
    );
    let off = json!({"member_slots_ttl": 0});
    assert_eq!(positions(off), named(&[]));
    let permanent =
        json!({"member_slots_ttl": 0, "slots": {"log": {"database": "d", "plugin": "p"}}});
    assert_eq!(positions(permanent), named(&[("a", 100), ("log", 60)]));
}
