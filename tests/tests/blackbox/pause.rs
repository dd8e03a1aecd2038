//! Maintenance mode: nothing is started, stopped or promoted behind the operator's back.

use std::time::Duration;

use anyhow::{Result, ensure};
use patroni_tests::cluster::SOON;
use patroni_tests::{Cluster, StoreKind, wait};

on_each_store!(
    a_paused_cluster_leaves_postgresql_alone,
    a_server_started_by_hand_in_a_pause_runs,
    a_paused_daemon_leaves_postgresql_running
);

fn a_paused_cluster_leaves_postgresql_alone(store: StoreKind) -> Result<()> {
    let cluster = Cluster::start(store, 2)?;
    let out = cluster.ctl_ok(&["pause", "--wait"])?;
    ensure!(
        out.contains("Success: cluster management is paused"),
        "{out}"
    );
    ensure!(cluster.ctl_ok(&["list"])?.contains(" Maintenance mode: on"));
    let leader = cluster.leader()?;
    let replica = 1 - leader;
    let from = cluster.nodes[replica].log().len();
    cluster.nodes[replica].kill_postmaster()?;
    cluster.nodes[replica].wait_log(from, "PAUSE: postgres is not running", SOON)?;
    ensure!(
        cluster.nodes[replica].sql("select 1").is_err(),
        "started although paused"
    );
    let out = cluster.ctl_ok(&["resume", "--wait"])?;
    ensure!(
        out.contains("Success: cluster management is resumed"),
        "{out}"
    );
    ensure!(cluster.wait_healthy(SOON)? == leader);
    Ok(())
}

/// A person stops and starts every server; the cluster goes on with what it finds.
fn a_server_started_by_hand_in_a_pause_runs(store: StoreKind) -> Result<()> {
    let cluster = Cluster::start(store, 2)?;
    cluster.ctl_ok(&["pause", "--wait"])?;
    for node in &cluster.nodes {
        let from = node.log().len();
        node.pg_ctl(&["stop", "-m", "fast"])?;
        node.wait_log(from, "PAUSE: postgres is not running", SOON)?;
    }
    for node in &cluster.nodes {
        let log = node.dir.join("by_hand.log");
        node.pg_ctl(&["start", "-l", &log.display().to_string()])?;
    }
    cluster.wait_healthy(SOON)?;
    wait::until("the store shows them", SOON, || {
        let states = cluster.list()?;
        let is = |state: &str| states.iter().any(|member| member["State"] == state);
        ensure!(is("running") && is("streaming"), "{states:?}");
        Ok(())
    })?;
    cluster.ctl_ok(&["resume", "--wait"])?;
    cluster.ctl_ok(&["switchover", "--force"])?;
    cluster.wait_healthy(SOON)?;
    Ok(())
}

fn a_paused_daemon_leaves_postgresql_running(store: StoreKind) -> Result<()> {
    let mut cluster = Cluster::start(store, 2)?;
    cluster.ctl_ok(&["pause", "--wait"])?;
    let leader = cluster.leader()?;
    let postmaster = cluster.nodes[leader].postmaster()?;
    ensure!(cluster.nodes[leader].terminate()? == 0);
    cluster.nodes[leader].sql("create table t (n int)")?;
    cluster.nodes[leader].start()?;
    ensure!(wait::until("the same leader", SOON, || cluster.leader())? == leader);
    ensure!(
        cluster.nodes[leader].postmaster()? == postmaster,
        "PostgreSQL was restarted"
    );
    wait::until("resume", Duration::from_secs(30), || {
        cluster.ctl_ok(&["resume", "--wait"])
    })?;
    cluster.wait_healthy(SOON)?;
    Ok(())
}
