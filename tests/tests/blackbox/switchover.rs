//! Switchovers: a leader goes in order, a healthy standby takes over, nothing is lost.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use patroni_tests::cluster::SOON;
use patroni_tests::{Cluster, Node, StoreKind, wait};

on_each_store!(
    a_switchover_goes_to_the_candidate_and_back,
    a_switchover_without_candidate_finds_one,
    a_scheduled_switchover_happens_at_its_time,
    a_scheduled_switchover_can_be_cancelled,
    a_switchover_to_nobody_is_refused,
    a_leader_that_goes_calls_on_stop_once,
    a_daemon_that_has_just_started_takes_over_from_one_that_goes,
);

fn a_switchover_goes_to_the_candidate_and_back(store: StoreKind) -> Result<()> {
    let cluster = Cluster::start(store, 3)?;
    let first = cluster.leader()?;
    cluster.nodes[first].sql("create table t (n int); insert into t values (1)")?;
    let second = (first + 1) % 3;
    for (from, to) in [(first, second), (second, first)] {
        let (leader, candidate) = (
            cluster.nodes[from].name.clone(),
            cluster.nodes[to].name.clone(),
        );
        let out = cluster.ctl_ok(&[
            "switchover",
            "--leader",
            &leader,
            "--candidate",
            &candidate,
            "--force",
        ])?;
        ensure!(
            out.contains(&format!("Successfully switched over to \"{candidate}\"")),
            "{out}"
        );
        let now = cluster.wait_healthy(SOON)?;
        ensure!(now == to, "leader is {}", cluster.nodes[now].name);
    }
    let rows = cluster.nodes[first].sql("select n from t")?;
    ensure!(rows == ["1"], "{rows:?}");
    let history = cluster.ctl_ok(&["history", "-f", "json"])?;
    let lines: Vec<serde_json::Value> = serde_json::from_str(&history)?;
    ensure!(
        lines.len() == 2 && lines[1]["New Leader"] == cluster.nodes[first].name.as_str(),
        "{history}"
    );
    Ok(())
}

fn a_switchover_without_candidate_finds_one(store: StoreKind) -> Result<()> {
    let cluster = Cluster::start(store, 3)?;
    let old = cluster.leader()?;
    let out = cluster.ctl_ok(&["switchover", "--force"])?;
    ensure!(out.contains("Successfully switched over to"), "{out}");
    ensure!(cluster.wait_healthy(SOON)? != old);
    Ok(())
}

fn a_scheduled_switchover_happens_at_its_time(store: StoreKind) -> Result<()> {
    let cluster = Cluster::start(store, 2)?;
    let old = cluster.leader()?;
    let at = cluster.nodes[old]
        .sql("select to_char(now() + interval '15 s', 'YYYY-MM-DD\"T\"HH24:MI:SSOF')")?;
    let at = at.first().context("no time")?;
    let out = cluster.ctl_ok(&["switchover", "--scheduled", at, "--force"])?;
    ensure!(out.contains("Switchover scheduled"), "{out}");
    let listed = cluster.ctl_ok(&["list"])?;
    ensure!(listed.contains("Switchover scheduled at"), "{listed}");
    ensure!(cluster.leader()? == old, "too early");
    let new = cluster.wait_other_leader(old, SOON)?;
    let due = cluster.nodes[new].sql(&format!("select now() >= timestamptz '{at}'"))?;
    ensure!(due == ["t"], "too early: {due:?}");
    cluster.wait_healthy(SOON)?;
    Ok(())
}

fn a_scheduled_switchover_can_be_cancelled(store: StoreKind) -> Result<()> {
    let cluster = Cluster::start(store, 2)?;
    let old = cluster.leader()?;
    cluster.ctl_ok(&[
        "switchover",
        "--scheduled",
        "2099-01-01T00:00:00+00:00",
        "--force",
    ])?;
    let answer = cluster.nodes[old].rest("DELETE", "/switchover", None)?;
    ensure!(
        (answer.status, answer.body.as_str()) == (200, "scheduled switchover deleted"),
        "{answer:?}"
    );
    let answer = cluster.nodes[old].rest("DELETE", "/switchover", None)?;
    ensure!(answer.status == 404, "{answer:?}");
    Ok(())
}

fn a_switchover_to_nobody_is_refused(store: StoreKind) -> Result<()> {
    let cluster = Cluster::start(store, 1)?;
    let body = r#"{"leader": "node1", "candidate": "node9"}"#;
    let answer = cluster.nodes[0].rest("POST", "/switchover", Some(body))?;
    ensure!(
        (answer.status, answer.body.as_str()) == (412, "candidate does not exists"),
        "{answer:?}"
    );
    let answer = cluster.nodes[0].rest("POST", "/switchover", Some(r#"{"leader": "node1"}"#))?;
    let expected = "switchover is not possible: cluster does not have members except leader";
    ensure!(
        (answer.status, answer.body.as_str()) == (412, expected),
        "{answer:?}"
    );
    wait::until("still a leader", Duration::from_secs(5), || {
        cluster.leader()
    })?;
    Ok(())
}

/// In a switchover and at the end of its daemon: who drops a virtual address by it needs both.
fn a_leader_that_goes_calls_on_stop_once(store: StoreKind) -> Result<()> {
    let mut cluster = Cluster::prepare(store, 2)?;
    for node in &cluster.nodes {
        let called = node.dir.join("called");
        let script = node.dir.join("call");
        std::fs::write(&script, format!("echo \"$@\" >> {}\n", called.display()))?;
        let text = std::fs::read_to_string(node.config_path())?;
        let callbacks = format!(
            "\npostgresql:\n  callbacks:\n    on_stop: sh {script}\n    on_role_change: sh {script}\n",
            script = script.display()
        );
        node.write_config(&text.replace("\npostgresql:\n", &callbacks))?;
    }
    cluster.bootstrap()?;
    let first = cluster.leader()?;
    cluster.ctl_ok(&["switchover", "--force"])?;
    cluster.wait_healthy(SOON)?;
    wait_called(
        &cluster.nodes[first],
        &["on_stop demoted demo", "on_role_change replica demo"],
    )?;
    wait_called(&cluster.nodes[1 - first], &["on_role_change primary demo"])?;
    ensure!(cluster.nodes[1 - first].terminate()? == 0);
    wait_called(
        &cluster.nodes[1 - first],
        &["on_role_change primary demo", "on_stop primary demo"],
    )?;
    Ok(())
}

/// In failsafe mode it cannot know what its predecessor has promised, and asks everybody: a leader
/// that has stepped down answers at once, though its PostgreSQL does not.
fn a_daemon_that_has_just_started_takes_over_from_one_that_goes(store: StoreKind) -> Result<()> {
    let dynamic = "    failsafe_mode: true\n";
    let mut cluster = Cluster::prepare_with(store, 3, dynamic, |_| String::new())?;
    cluster.bootstrap()?;
    let leader = cluster.leader()?;
    let young = (leader + 1) % 3;
    ensure!(cluster.nodes[young].terminate()? == 0);
    cluster.nodes[young].start()?;
    cluster.wait_healthy(SOON)?;
    let from = cluster.nodes[young].log().len();
    let candidate = cluster.nodes[young].name.clone();
    cluster.ctl_ok(&["switchover", "--candidate", &candidate, "--force"])?;
    ensure!(cluster.wait_healthy(SOON)? == young);
    let log = cluster.nodes[young].log();
    let refused = log[from..].contains("not the healthiest node");
    ensure!(!refused, "it waited:\n{}", &log[from..]);
    Ok(())
}

fn wait_called(node: &Node, wanted: &[&str]) -> Result<()> {
    wait::until("the callbacks", SOON, || {
        let called = std::fs::read_to_string(node.dir.join("called"))?;
        let called: Vec<_> = called.lines().collect();
        ensure!(called == wanted, "{called:?}");
        Ok(())
    })
}
