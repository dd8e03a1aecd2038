//! Requests of people: the exact answers.

mod support;

use patroni_core::sync::SyncState;
use patroni_core::{RestartConditions, Role};
use patroni_ha::intent::{
    FailoverBody, FailoverKind, GivenTime, conditions_met, judge, judge_reinitialize, nobody_is_fit,
};
use patroni_ha::intent::{Refuse, ReinitializeBody};
use serde_json::json;
use support::*;

const NOW: &str = "2026-01-01T00:00:00Z";

fn body(leader: &str, candidate: &str) -> FailoverBody {
    let text = |text: &str| (!text.is_empty()).then(|| name(text));
    FailoverBody {
        leader: text(leader),
        candidate: text(candidate),
        scheduled_at: None,
    }
}

fn answer(kind: FailoverKind, body: &FailoverBody, doc: serde_json::Value) -> (u16, String) {
    let mut view = cluster(Some("a"));
    view.sync = SyncState::parse(r#"{"leader":"a","quorum":0,"sync_standby":"c"}"#, None);
    match judge(
        kind,
        body,
        &view,
        &settings(doc),
        NOW.parse().expect("a time"),
    ) {
        Ok(accepted) => {
            let asked: Vec<&str> = accepted.ask.iter().map(|peer| peer.name.as_str()).collect();
            (200, format!("{} {}", accepted.kind.word(), asked.join(",")))
        }
        Err(Refuse { code, text }) => (code, text),
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn switchover_and_failover_are_judged_in_order() {
    use FailoverKind::{Failover, Switchover};
    let later = |text: &str| FailoverBody {
        scheduled_at: Some(text.parse().map_or(GivenTime::Unreadable, GivenTime::At)),
        ..body("a", "b")
    };
    let sync = json!({"synchronous_mode": true});
    for (kind, body, doc, code, text) in [
        (
            Failover,
            body("", ""),
            json!({}),
            400,
            "Failover could be performed only to a specific candidate",
        ),
        (
            Switchover,
            body("", "b"),
            json!({}),
            400,
            "Switchover could be performed only from a specific leader",
        ),
        (
            Failover,
            later("2099-01-01T00:00:00Z"),
            json!({}),
            400,
            "Failover can't be scheduled",
        ),
        (
            Switchover,
            later("2099-01-01T00:00:00Z"),
            json!({"pause": true}),
            400,
            "Can't schedule switchover in the paused state",
        ),
        (
            Switchover,
            later("2001-01-01T00:00:00Z"),
            json!({}),
            422,
            "Cannot schedule switchover in the past",
        ),
        (
            Switchover,
            later("tomorrow"),
            json!({}),
            422,
            "Unable to parse scheduled timestamp. It should be in an unambiguous format, e.g. ISO 8601",
        ),
        (
            Switchover,
            later("2099-01-01T00:00:00Z"),
            json!({}),
            200,
            "switchover ",
        ),
        (
            Switchover,
            body("a", ""),
            json!({"pause": true}),
            400,
            "Switchover is possible only to a specific candidate in a paused state",
        ),
        (
            Switchover,
            body("b", "b"),
            json!({}),
            400,
            "Switchover target and source are the same",
        ),
        (
            Switchover,
            body("b", "c"),
            json!({}),
            412,
            "leader name does not match",
        ),
        (
            Failover,
            body("b", "c"),
            json!({}),
            412,
            "leader name does not match",
        ),
        (
            Switchover,
            body("a", "b"),
            sync.clone(),
            412,
            "candidate name does not match with sync_standby",
        ),
        (Failover, body("", "b"), sync.clone(), 200, "failover b"),
        (Failover, body("a", "c"), sync.clone(), 200, "switchover c"),
        (
            Switchover,
            body("a", "x"),
            json!({}),
            412,
            "candidate does not exists",
        ),
        (Switchover, body("a", ""), sync, 200, "switchover c"),
        (Switchover, body("a", ""), json!({}), 200, "switchover b,c"),
    ] {
        assert_eq!(
            answer(kind, &body, doc),
            (code, text.to_owned()),
            "{body:?}"
        );
    }
}

#[test]
fn somebody_must_be_fit() {
    let good = peer(&name("b"), 1);
    let mut bad = good.clone();
    bad.reply = Err("refused".to_owned());
    assert!(nobody_is_fit(FailoverKind::Failover, &[bad.clone(), good]).is_ok());
    let refused = nobody_is_fit(FailoverKind::Failover, &[bad]).unwrap_err();
    assert_eq!(
        refused.text,
        "failover is not possible: no good candidates have been found"
    );
}

#[test]
fn reinitialize_is_refused_where_it_would_hurt() {
    let ask = |me: &str, owner, force, busy| {
        let options = ReinitializeBody {
            force,
            from_leader: true,
        };
        judge_reinitialize(options, &name(me), &cluster(owner), busy).map_or_else(
            |refused| format!("{} {}", refused.code, refused.text),
            |job| job.to_string(),
        )
    };
    assert_eq!(
        ask("b", None, false, None),
        "503 Cluster has no leader, can not reinitialize"
    );
    assert_eq!(
        ask("a", Some("a"), false, None),
        "503 I am the leader, can not reinitialize"
    );
    assert_eq!(
        ask("b", Some("a"), false, Some("restart")),
        "503 restart already in progress"
    );
    assert_eq!(ask("b", Some("a"), true, Some("restart")), "reinitialize");
}

#[test]
fn restarts_have_conditions() {
    let met = |conditions: RestartConditions, version, pending| {
        conditions_met(&conditions, Role::Promoted, version, pending)
    };
    let none = RestartConditions::default();
    assert!(met(none.clone(), None, false));
    let pending = RestartConditions {
        only_if_pending: true,
        ..none.clone()
    };
    assert!(met(pending.clone(), None, true) && !met(pending, None, false));
    let older = RestartConditions {
        older_than: Some(150_002),
        ..none.clone()
    };
    assert!(met(older.clone(), Some(150_001), false));
    assert!(!met(older.clone(), Some(150_002), false) && !met(older, None, false));
    let of_role = |role| RestartConditions {
        role: Some(role),
        ..none.clone()
    };
    assert!(met(of_role(Role::Primary), None, false));
    assert!(!met(of_role(Role::Replica), None, false));
}
