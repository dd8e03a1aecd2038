//! `--dry-run`: the steps, the refusals of the members, and that nothing changes.

use std::sync::Arc;

use patroni_core::{Cluster, ConfigDoc, Leader, Lsn, Member, MemberData, MemberName, Revision};
use serde_json::{Value, json};

use crate::world::{Fake, run};

type Says = (String, String, String, u16, String);

pub(crate) fn cluster() -> Cluster {
    let member = |name: &str| {
        let data = json!({
            "api_url": format!("http://{name}.api:8008/patroni"), "state": "running",
            "conn_url": format!("postgres://{name}:5432/postgres"),
        });
        Member {
            name: MemberName::new(name),
            session: None,
            data: MemberData::parse(&data.to_string()),
        }
    };
    let mut cluster = Cluster {
        leader: Some(Leader {
            name: MemberName::new("a"),
            revision: Revision::new("1"),
            session: None,
        }),
        config: Some(ConfigDoc {
            revision: Revision::new("1"),
            modify_revision: Some(Revision::new("1")),
            data: Arc::new(json!({"ttl": 30}).as_object().unwrap().clone()),
        }),
        members: vec![member("a"), member("b")],
        ..Cluster::default()
    };
    cluster.status.optime = Lsn::new(9_000_000);
    cluster
}

fn status(name: &str, document: &Value) -> Says {
    let body = document.to_string();
    (name.into(), "GET".into(), "patroni".into(), 200, body)
}

fn leader() -> Says {
    let document = json!({"state": "running", "role": "primary", "xlog": {"location": 9_000_000}});
    status("a", &document)
}

fn standby(received: u64) -> Says {
    let xlog = json!({"received_location": received});
    status(
        "b",
        &json!({"state": "running", "role": "replica", "xlog": xlog}),
    )
}

/// Exit status, the steps, the errors; fails when anything was changed.
fn rehearse(says: Vec<Says>, words: &[&str]) -> (u8, Vec<String>, String) {
    let mut fake = Fake::default();
    fake.set("west", cluster(), cluster(), says);
    let words: Vec<&str> = words.iter().chain(&["--dry-run"]).copied().collect();
    let (code, out, err) = run(&fake, &words);
    assert_eq!(fake.changes(), [""; 0], "{words:?}");
    let steps = out.lines().filter(|line| line.get(3..5) == Some(". "));
    let steps = steps.map(|line| line[5..].to_owned()).collect();
    (code, steps, err)
}

#[test]
fn a_switchover_is_told_in_steps() {
    let words = [
        "switchover",
        "west",
        "--leader",
        "a",
        "--candidate",
        "b",
        "--scheduled",
        "now",
    ];
    let (code, steps, err) = rehearse(vec![leader(), standby(9_000_000)], &words);
    assert_eq!((code, err.as_str()), (0, ""));
    assert_eq!(
        steps,
        [
            r#"POST /switchover {"candidate":"b","leader":"a"} to a"#,
            "it asks b, which is fit to lead",
            "it writes the key failover",
            "a stops its PostgreSQL in order, and gives the lock back once a candidate has everything",
            "b takes the lock and is promoted",
            "the others follow the new leader, a former one after a rewind if it needs one",
        ]
    );
}

#[test]
fn the_checks_of_the_members_are_foreseen() {
    let words = ["switchover", "west", "--candidate", "b", "--force"];
    let (code, _, err) = rehearse(vec![leader()], &words);
    let text = "Error: the member would refuse: 412, switchover is not possible: no good candidates \
                have been found\n";
    assert_eq!((code, err.as_str()), (1, text));
    let (code, steps, err) = rehearse(vec![leader(), standby(1)], &words);
    assert_eq!(
        steps[1],
        "it asks b, which is lagging by 8999999 bytes (limit 1048576)"
    );
    let text = "Error: the switchover would be accepted and then given up: nobody can take over\n";
    assert_eq!((code, err.as_str()), (1, text));
    let later = [
        "switchover",
        "west",
        "--force",
        "--scheduled",
        "2001-01-01T00:00:00Z",
    ];
    let (code, _, err) = rehearse(vec![leader()], &later);
    let text = "Error: the member would refuse: 422, Cannot schedule switchover in the past\n";
    assert_eq!((code, err.as_str()), (1, text));
}

#[test]
fn a_failover_past_a_silent_leader_is_told() {
    let words = ["failover", "west", "--candidate", "b"];
    let (code, steps, _) = rehearse(Vec::new(), &words);
    assert_eq!(code, 0);
    assert!(
        steps[1].contains("so the key failover is written without its checks"),
        "{steps:?}"
    );
}

#[test]
fn restarts_and_reinitialisations_are_told() {
    let restart = ["restart", "west", "b", "--pg-version", "14.0", "--force"];
    let old = status("b", &json!({"role": "replica", "server_version": 130_001}));
    let new = status("b", &json!({"role": "replica", "server_version": 150_001}));
    let (code, steps, _) = rehearse(vec![old], &restart);
    assert_eq!(code, 0);
    assert_eq!(
        steps,
        [
            r#"POST /restart {"postgres_version":"14.0"} to b"#,
            "b restarts, with its role and a lock that it holds",
        ]
    );
    let (code, _, err) = rehearse(vec![new], &restart);
    let text = "Error: b would refuse: 503, restart conditions are not satisfied\n";
    assert_eq!((code, err.as_str()), (1, text));

    let (code, steps, _) = rehearse(vec![standby(1)], &["reinit", "west", "b"]);
    assert_eq!(
        (code, steps[2].as_str()),
        (0, "b copies a and follows the leader")
    );
    let copying = status("b", &json!({"state": "creating replica"}));
    let (code, _, err) = rehearse(vec![copying], &["reinit", "west", "b"]);
    let text = "Error: b would refuse: 503, reinitialize already in progress\n";
    assert_eq!((code, err.as_str()), (1, text));
}

#[test]
fn a_configuration_that_nodes_correct_or_refuse_is_told() {
    let (code, steps, _) = rehearse(Vec::new(), &["edit-config", "west", "-s", "ttl=25"]);
    assert_eq!(code, 0);
    assert!(
        steps[2].starts_with("each node corrects it: Violated the rule"),
        "{steps:?}"
    );
    let (code, _, err) = rehearse(Vec::new(), &["edit-config", "west", "-s", "ttl=abc"]);
    let text = "Error: each node would refuse the document: failed to read dynamic setting ttl: abc is not \
                an integer\n";
    assert_eq!((code, err.as_str()), (1, text));
}
