//! Which members are meant, and how they are shown.

use patroni_config::{ControlSettings, Local};
use patroni_core::{Cluster, Member, MemberData, MemberName, Revision};
use serde_json::{Value, json};

use crate::dry_run::cluster;
use crate::world::{Fake, run, run_with};

/// Exit status, output, errors; `west` has a leader and a replica, `lone` no replica.
fn tell(words: &[&str]) -> (u8, String, String) {
    let mut lone = cluster();
    lone.members.truncate(1);
    let mut fake = Fake::default();
    fake.set("west", cluster(), cluster(), Vec::new());
    fake.set("lone", lone.clone(), lone, Vec::new());
    fake.set("empty", Cluster::default(), Cluster::default(), Vec::new());
    run(&fake, words)
}

fn member(name: &str, data: &Value) -> Member {
    Member {
        name: MemberName::new(name),
        session: None,
        data: MemberData::parse(&data.to_string()),
    }
}

#[test]
fn names_that_nobody_has_are_told_below_the_table() {
    for (words, role) in [
        (&["reload", "west", "x", "--force"][..], "'any'"),
        (&["restart", "empty", "x", "--force"], "'any'"),
        (&["flush", "empty", "x", "restart", "--force"], "'any'"),
        (&["reinit", "west", "a", "--force"], "replica"),
        (&["reload", "west", "b", "-r", "leader"], "'leader'"),
    ] {
        let (code, out, err) = tell(words);
        let expected = format!("Error: No {role} among provided members\n");
        assert_eq!((code, err), (1, expected), "{words:?}");
        assert!(out.starts_with("+ Cluster: "), "{words:?} {out}");
    }
}

#[test]
fn a_role_that_nobody_has_is_told_in_place_of_the_table() {
    for words in [
        &["reload", "lone", "-r", "replica", "--force"][..],
        &["restart", "lone", "-r", "standby", "--force"],
        &["reinit", "lone", "--force"],
        &["flush", "empty", "restart", "--force"],
        &["reinit", "empty", "--force"],
    ] {
        let (code, out, err) = tell(words);
        let expected = format!("Error: {} cluster doesn't have any members\n", words[1]);
        assert_eq!((code, out.as_str(), err), (1, "", expected), "{words:?}");
    }
}

#[test]
fn a_rehearsal_without_steps_says_so() {
    let (code, out, err) = tell(&["restart", "west", "--pending", "--force", "--dry-run"]);
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(
        out.ends_with("\nDry run: there is nothing to do.\n"),
        "{out}"
    );
}

#[test]
fn the_cluster_changes_its_role_with_all_groups() {
    let mut fake = Fake::default();
    for key in ["west/0", "west/1"] {
        fake.set(key, cluster(), cluster(), Vec::new());
    }
    let settings = json!({"citus": {"group": 1, "database": "d"}});
    let local = Local {
        settings: settings.as_object().unwrap().clone(),
        ..Local::default()
    };
    let settings = ControlSettings::read(&local).unwrap();
    let words = ["demote-cluster", "west", "--host", "h"];
    let (code, out, _) = run_with(&fake, &words, "n\n", Box::new(move |_, _| Ok(settings)));
    assert_eq!(code, 1);
    assert!(
        out.contains("| Group | Member |") && out.contains("\n|     1 | b "),
        "{out}"
    );
}

/// A cluster in which `c` and `d` replicate from each other.
fn with_loop() -> Cluster {
    let mut cluster = cluster();
    let looped = |from: &str, port: u16| {
        let url = format!("postgres://10.0.0.9:{port}/postgres");
        json!({"conn_url": url, "tags": {"replicatefrom": from}, "pending_restart": true})
    };
    cluster.members.push(member("c", &looped("d", 5433)));
    cluster.members.push(member("d", &looped("c", 5432)));
    cluster
}

#[test]
fn members_outside_of_the_tree_count_for_its_columns() {
    let mut fake = Fake::default();
    fake.set("west", with_loop(), with_loop(), Vec::new());
    let (code, out, _) = run(&fake, &["topology", "west"]);
    assert_eq!(code, 0);
    assert!(
        out.contains("| b:5432 |") && !out.contains("10.0.0.9"),
        "{out}"
    );
    assert!(out.contains("| Pending restart | Tags |"), "{out}");
}

#[test]
fn empty_tags_are_shown_and_zero_is_no_position() {
    let mut with_zero = cluster();
    let data = json!({
        "conn_url": "postgres://10.0.0.3:5432/postgres", "state": "running", "tags": {},
        "receive_lsn": 0, "replay_lsn": 0,
    });
    with_zero.members.push(member("c", &data));
    let data = json!({"conn_url": "postgres://10.0.0.4:5432/postgres", "tags": {"x": 1}});
    with_zero.members.push(member("d", &data));
    let mut fake = Fake::default();
    fake.set("west", with_zero.clone(), with_zero, Vec::new());
    let (_, out, _) = run(&fake, &["list", "west", "-f", "tsv"]);
    let row = out.lines().find(|line| line.contains("\tc\t")).unwrap();
    assert!(row.ends_with("\tunknown\t\tunknown\t\t{}"), "{row}");
}

#[test]
fn the_question_for_the_leader_follows_the_configuration() {
    let mut standby = cluster();
    let config = standby.config.as_mut().unwrap();
    let settings = json!({"standby_cluster": {"host": "h"}});
    config.data = std::sync::Arc::new(settings.as_object().unwrap().clone());
    config.revision = Revision::new("2");
    let mut fake = Fake::default();
    fake.set("west", standby.clone(), standby, Vec::new());
    let settings = Box::new(patroni_ctl::find);
    let (_, out, _) = run_with(&fake, &["switchover", "west"], "", settings);
    assert!(out.ends_with("Standby Leader [a]: "), "{out}");
}

#[test]
fn a_failed_query_is_a_row_in_a_box() {
    let words = ["query", "empty", "-c", "selec", "--format", "pretty"];
    let (code, out, _) = tell(&words);
    assert_eq!(code, 0);
    assert!(out.contains("| Field 1             | Field 2 "), "{out}");
    assert!(out.contains("| No connection is available |"), "{out}");
}

/// Members that hang take ten seconds each: one after the other that was too long.
#[test]
fn versions_are_asked_of_all_at_once() {
    let mut fake = Fake::default();
    fake.set("west", cluster(), cluster(), Vec::new());
    let (code, out, _) = run(&fake, &["version", "west"]);
    assert_eq!(code, 0);
    assert_eq!(out.matches("failed to get version").count(), 2, "{out}");
    assert_eq!(fake.most_waiting(), 2);
}
