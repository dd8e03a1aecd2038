//! Every action of `patronictl`, by the tool of each maker, on a cluster with nodes of both: the
//! same words, the same exit codes, the same effect.

use anyhow::{Context, Result, ensure};
use patroni_tests::cluster::SOON;
use patroni_tests::maker::reference_is_there;
use patroni_tests::{Cluster, Maker, StoreKind, wait};
use serde_json::Value;

use crate::agree::{Golden, same_output};
use crate::transcript;

/// A time that never comes while a test runs.
const NEVER: &str = "2099-12-31T10:00:00+00:00";

/// What is refused, by the tool or by a node.
const REFUSED: [&[&str]; 14] = [
    &["switchover", "--leader", "node3", "--force"],
    &["switchover", "--candidate", "node1", "--force"],
    &["switchover", "--candidate", "nobody", "--force"],
    &["switchover", "--scheduled", "nonsense", "--force"],
    &[
        "switchover",
        "--scheduled",
        "2001-01-01T00:00+00:00",
        "--force",
    ],
    &["failover", "--force"],
    &["failover", "--candidate", "nobody", "--force"],
    &["restart", "demo", "nobody", "--force"],
    &["restart", "demo", "--pg-version", "14", "--force"],
    &["restart", "demo", "node2", "--timeout", "never", "--force"],
    &["reinit", "demo", "node1", "--force"],
    &["reload", "nosuchcluster", "--force"],
    &["edit-config", "-s", "noequals", "--force"],
    &["resume"],
];

on_each_store!(the_tools_of_both_makers_drive_the_nodes_of_both);

fn the_tools_of_both_makers_drive_the_nodes_of_both(store: StoreKind) -> Result<()> {
    if !reference_is_there("the_tools_of_both_makers_drive_the_nodes_of_both") {
        return Ok(());
    }
    let makers = [Maker::Reference, Maker::Ours, Maker::Reference];
    let cluster = Cluster::start_made_by(store, &makers)?;
    ensure!(cluster.leader()? == 0);
    let [golden, ours] = Maker::BOTH.map(|tool| drive(&cluster, tool));
    let (golden, ours) = (golden?, ours?);
    for (golden, ours) in golden.iter().zip(&ours) {
        ensure!(golden == ours, "the reference:\n{golden}\nours:\n{ours}");
    }
    Ok(())
}

/// Goes through every action and leaves the cluster as it was.
fn drive(cluster: &Cluster, tool: Maker) -> Result<Vec<String>> {
    let mut seen = Vec::new();
    let mut run = |args: &[&str]| -> Result<()> {
        wait_streaming(cluster)?;
        seen.push(transcript::of(cluster, tool, args)?);
        Ok(())
    };
    let connections = match tool {
        Maker::Reference => "max_connections=41",
        Maker::Ours => "max_connections=42",
    };
    REFUSED.iter().try_for_each(|args| run(args))?;

    run(&["edit-config", "-p", connections, "--force"])?;
    wait_pending(cluster, 3)?;
    same_output(cluster, &["list"])?;
    same_output(cluster, &["list", "-f", "json"])?;
    run(&["restart", "demo", "--pending", "--force"])?;
    wait_pending(cluster, 0)?;
    cluster.wait_healthy(SOON)?;
    for node in &cluster.nodes {
        let value = node.sql("show max_connections")?;
        ensure!(connections.ends_with(&value[0]), "{}: {value:?}", node.name);
    }

    for name in ["node1", "node2"] {
        run(&["restart", "demo", name, "--scheduled", NEVER, "--force"])?;
        wait_listed(cluster, "Scheduled restart", true)?;
        same_output(cluster, &["list"])?;
        same_output(cluster, &["list", "-f", "yaml"])?;
        run(&["flush", "demo", name, "restart", "--force"])?;
        wait_listed(cluster, "Scheduled restart", false)?;
    }

    for name in ["node2", "node3"] {
        let out = cluster.ctl_by(tool, 0, &["reinit", "demo", name, "--force", "--wait"])?;
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        ensure!(
            text.contains(&format!("Success: reinitialize for member {name}")),
            "{text}"
        );
        cluster.wait_healthy(SOON)?;
    }

    run(&["pause", "--wait"])?;
    run(&["pause", "--wait"])?;
    same_output(cluster, &["list"])?;
    run(&["switchover", "--force"])?;
    run(&["switchover", "--scheduled", NEVER, "--force"])?;
    run(&["resume", "--wait"])?;
    run(&["reload", "demo", "--force"])?;

    run(&[
        "switchover",
        "--candidate",
        "node2",
        "--scheduled",
        NEVER,
        "--force",
    ])?;
    same_output(cluster, &["list"])?;
    same_output(cluster, &["topology"])?;
    run(&["flush", "demo", "switchover", "--force"])?;
    run(&["flush", "demo", "switchover", "--force"])?;
    Golden::default().check(cluster)?;

    run(&["switchover", "--candidate", "node2", "--force"])?;
    ensure!(cluster.wait_healthy(SOON)? == 1);
    run(&["failover", "--candidate", "node1", "--force"])?;
    ensure!(cluster.wait_healthy(SOON)? == 0);
    scheduled_switchover(cluster, tool)?;
    Ok(seen)
}

/// To the node of ours and back, at a time.
fn scheduled_switchover(cluster: &Cluster, tool: Maker) -> Result<()> {
    for (from, to) in [(0, 1), (1, 0)] {
        let at = cluster.nodes[from]
            .sql("select to_char(now() + interval '30 s', 'YYYY-MM-DD\"T\"HH24:MI:SSOF')")?;
        let at = at.first().context("no time")?.clone();
        let candidate = cluster.nodes[to].name.clone();
        let args = [
            "switchover",
            "--candidate",
            &candidate,
            "--scheduled",
            &at,
            "--force",
        ];
        let out = cluster.ctl_by(tool, 0, &args)?;
        let text = String::from_utf8_lossy(&out.stdout);
        ensure!(text.contains("Switchover scheduled"), "{text}");
        ensure!(cluster.wait_other_leader(from, SOON)? == to);
        ensure!(cluster.wait_healthy(SOON)? == to);
    }
    Ok(())
}

/// Waits until so many members have a restart pending.
fn wait_pending(cluster: &Cluster, count: usize) -> Result<()> {
    wait::until(&format!("{count} pending restarts"), SOON, || {
        let members = cluster.list()?;
        let pending = members
            .iter()
            .filter(|member| member.get("Pending restart").is_some());
        ensure!(pending.count() == count, "{members:?}");
        Ok(())
    })
}

/// Waits until the members say so themselves, which they do once a cycle, and lack nothing.
fn wait_streaming(cluster: &Cluster) -> Result<()> {
    let lacks_nothing = |member: &&Value| {
        let mut columns = member.as_object().into_iter().flatten();
        columns.all(|(name, value)| !name.contains("Lag") || *value == 0)
    };
    wait::until("two streaming replicas in the list", SOON, || {
        let members = cluster.list()?;
        let streaming = members
            .iter()
            .filter(|member| member["State"] == "streaming")
            .filter(lacks_nothing);
        ensure!(streaming.count() == 2, "{members:?}");
        Ok(())
    })
}

/// Waits until a member has this column, or none has.
fn wait_listed(cluster: &Cluster, column: &str, there: bool) -> Result<()> {
    wait::until(column, SOON, || {
        let members = cluster.list()?;
        let listed = members.iter().any(|member| member.get(column).is_some());
        ensure!(listed == there, "{members:?}");
        Ok(())
    })
}
