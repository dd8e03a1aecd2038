//! Recorded answers, and values of our own types, held against the description for programs.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

#[path = "support/schema.rs"]
mod schema;

use std::time::Instant;

use jiff::Timestamp;
use patroni_api::wire::events::{Change, Present, Seen, Sync};
use patroni_api::wire::{JournalPage, Snapshot, openapi};
use patroni_core::account::{Account, Act, Kind, Refused, Turn};
use patroni_core::{MemberName, Role, Scope, State, Timeline};
use serde_json::{Value, json};

#[track_caller]
fn fits(name: &str, value: &Value) {
    let document = openapi::document();
    let schema = &document["components"]["schemas"][name];
    let faults = schema::faults(&document, schema, value);
    assert!(faults.is_empty(), "{name}: {}\n{value}", faults.join("\n"));
}

#[test]
fn recorded_documents_are_as_described() {
    let health: Value = serde_json::from_str(include_str!("golden/health.json")).unwrap();
    for case in health["cases"].as_array().unwrap() {
        fits("Status", &case["document"]);
    }
    let clusters: Value = serde_json::from_str(include_str!("golden/cluster.json")).unwrap();
    for case in clusters.as_array().unwrap() {
        fits("Cluster", &case["document"]);
    }
}

#[test]
fn histories_of_all_ages_are_as_described() {
    fits(
        "History",
        &json!([
            [1, 25_623_960, "no recovery target specified"],
            [
                2,
                25_624_344,
                "no recovery target specified",
                "2026-01-31T13:00:00+00:00"
            ],
            [
                3,
                25_624_344,
                "no recovery target specified",
                "2026-01-31T13:00:00+00:00",
                "node1"
            ]
        ]),
    );
}

#[test]
fn every_event_is_as_described() {
    let at = Timestamp::UNIX_EPOCH;
    let snapshot = Snapshot::new(Scope::new("demo"), MemberName::new("a"));
    let present = Present::of(&snapshot, Instant::now(), None);
    fits(
        "Snapshot",
        &serde_json::to_value(Seen { at, what: present }).unwrap(),
    );
    for what in [
        Change::Role(Role::Promoted),
        Change::State(State::CreatingReplica),
        Change::Leader(None),
        Change::Timeline(Timeline::new(2)),
        Change::Pause(true),
        Change::Sync(Sync::default()),
        Change::Store(false),
    ] {
        fits("Change", &serde_json::to_value(Seen { at, what }).unwrap());
    }
}

#[test]
fn journals_are_as_described() {
    let at = Timestamp::UNIX_EPOCH;
    let account = Account {
        number: 1,
        member: MemberName::new("a"),
        at,
        until: at,
        times: 1,
        kind: Kind::Task,
        turn: Turn::TookOver,
        rule: "J".to_owned(),
        about: "a long task".to_owned(),
        leader: None,
        former: Some(MemberName::new("b")),
        revision: None,
        request: None,
        verdict: "done".to_owned(),
        why: vec!["because".to_owned()],
        refused: vec![Refused {
            name: MemberName::new("c"),
            reason: "NotAllowed".to_owned(),
            evidence: "tag".to_owned(),
        }],
        acts: vec![Act {
            rule: "J".to_owned(),
            command: "promote".to_owned(),
            outcome: None,
            failed: true,
            after_ms: 5,
        }],
        said: Vec::new(),
    };
    let page = JournalPage {
        member: MemberName::new("a"),
        enabled: true,
        oldest: None,
        newest: Some(1),
        lost: 0,
        records: vec![account],
    };
    fits("Journal", &serde_json::to_value(page).unwrap());
}
