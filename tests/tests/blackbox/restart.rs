//! Restarts and new copies on request, and the daemon's own end and return.

use anyhow::{Result, ensure};
use patroni_tests::cluster::SOON;
use patroni_tests::{Cluster, StoreKind, wait};

on_each_store!(
    a_replica_is_reinitialized,
    a_killed_daemon_adopts_its_postgresql,
    a_leader_that_ends_in_order_hands_over,
    the_whole_cluster_stops_and_starts,
);

fn a_replica_is_reinitialized(store: StoreKind) -> Result<()> {
    let cluster = Cluster::start(store, 2)?;
    let leader = cluster.leader()?;
    let replica = 1 - leader;
    cluster.nodes[leader].sql("create table t (n int); insert into t values (1)")?;
    let name = cluster.nodes[replica].name.clone();
    let marker = cluster.nodes[replica].data_dir().join("marker");
    std::fs::write(&marker, "old")?;
    let out = cluster.ctl_ok(&["reinit", "demo", &name, "--force", "--wait"])?;
    ensure!(
        out.contains(&format!("Success: reinitialize for member {name}")),
        "{out}"
    );
    wait::until("a new copy", SOON, || {
        ensure!(!marker.exists(), "the old data are still there");
        cluster.nodes[replica].is("replica")
    })?;
    let leader_name = cluster.nodes[leader].name.clone();
    let answer = cluster.nodes[leader].rest("POST", "/reinitialize", None)?;
    ensure!(
        answer.body == "I am the leader, can not reinitialize",
        "{leader_name}: {answer:?}"
    );
    Ok(())
}

fn a_killed_daemon_adopts_its_postgresql(store: StoreKind) -> Result<()> {
    let mut cluster = Cluster::start(store, 2)?;
    let leader = cluster.leader()?;
    let postmaster = cluster.nodes[leader].postmaster()?;
    cluster.nodes[leader].kill_daemon();
    cluster.nodes[leader].sql("create table t (n int)")?;
    cluster.nodes[leader].start()?;
    ensure!(cluster.wait_healthy(SOON)? == leader);
    ensure!(
        cluster.nodes[leader].postmaster()? == postmaster,
        "PostgreSQL was restarted"
    );
    Ok(())
}

fn a_leader_that_ends_in_order_hands_over(store: StoreKind) -> Result<()> {
    let mut cluster = Cluster::start(store, 3)?;
    let old = cluster.leader()?;
    cluster.nodes[old].sql("create table t (n int); insert into t values (1)")?;
    ensure!(cluster.nodes[old].terminate()? == 0);
    ensure!(
        cluster.nodes[old].postmaster().is_err(),
        "PostgreSQL is still there"
    );
    let new = cluster.wait_other_leader(old, SOON)?;
    ensure!(cluster.nodes[new].sql("select n from t")? == ["1"]);
    cluster.nodes[old].start()?;
    ensure!(cluster.wait_healthy(SOON)? == new);
    Ok(())
}

fn the_whole_cluster_stops_and_starts(store: StoreKind) -> Result<()> {
    let mut cluster = Cluster::start(store, 3)?;
    let leader = cluster.leader()?;
    cluster.nodes[leader].sql("create table t (n int); insert into t values (1)")?;
    for node in &mut cluster.nodes {
        node.kill_all();
    }
    for node in &mut cluster.nodes {
        node.start()?;
    }
    let leader = cluster.wait_healthy(SOON)?;
    ensure!(cluster.nodes[leader].sql("select n from t")? == ["1"]);
    Ok(())
}
