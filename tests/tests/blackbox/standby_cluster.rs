//! A cluster that is a standby of another: it follows through the other's failover and its own,
//! is promoted, and two clusters change roles.

use anyhow::{Result, ensure};
use patroni_tests::cluster::SOON;
use patroni_tests::{Cluster, StoreKind, wait};

on_each_store!(
    a_standby_cluster_follows_both_failovers_and_is_promoted,
    two_clusters_change_roles,
);

/// Waits for these rows of `t` on a node.
fn wait_rows(cluster: &Cluster, node: usize, rows: &[&str]) -> Result<()> {
    let node = &cluster.nodes[node];
    wait::until(&format!("rows {rows:?} on {}", node.name), SOON, || {
        let seen = node.sql("select n from t order by n")?;
        ensure!(seen == rows, "{seen:?}");
        Ok(())
    })
}

fn insert(cluster: &Cluster, node: usize, row: u32) -> Result<()> {
    wait::until("a write", SOON, || {
        cluster.nodes[node].sql(&format!("insert into t values ({row})"))
    })
    .map(|_| ())
}

fn a_standby_cluster_follows_both_failovers_and_is_promoted(store: StoreKind) -> Result<()> {
    // A Raft of two has no majority without one of them.
    let count = if store == StoreKind::Raft { 3 } else { 2 };
    let mut main = Cluster::start(store, count)?;
    let old = main.leader()?;
    main.nodes[old].sql("create table t (n int); insert into t values (1)")?;
    let remote: Vec<_> = main.nodes.iter().map(|node| node.ports).collect();

    // It is copied from the remote, and its replica cascades from its leader.
    let mut west = Cluster::start_standby(StoreKind::Etcd3, 2, &remote)?;
    let leader = west.wait_standby(&[0, 1], SOON)?;
    for (path, leads, follows) in [
        ("/leader", 200, 503),
        ("/standby-leader", 200, 503),
        ("/primary", 503, 503),
        ("/replica", 503, 200),
    ] {
        // A member answers by the view of its last cycle.
        wait::until(&format!("the answers to {path}"), SOON, || {
            let codes = [leader, 1 - leader].map(|node| west.nodes[node].health(path).ok());
            ensure!(codes == [Some(leads), Some(follows)], "{path}: {codes:?}");
            Ok(())
        })?;
    }
    let cascade = west.nodes[leader].sql("select application_name from pg_stat_replication")?;
    ensure!(
        cascade == [west.nodes[1 - leader].name.clone()],
        "{cascade:?}"
    );
    let members = west.list()?;
    ensure!(members[leader]["Role"] == "Standby Leader", "{members:?}");
    wait_rows(&west, 1 - leader, &["1"])?;

    // The remote fails over: of its hosts the one that takes writes is followed.
    main.nodes[old].kill_all();
    let new = main.wait_other_leader(old, SOON)?;
    insert(&main, new, 2)?;
    wait_rows(&west, 1 - leader, &["1", "2"])?;
    main.nodes[old].start()?;
    main.wait_healthy(SOON)?;

    // Its own leader dies: the other takes over and follows the remote, and nobody is promoted.
    west.nodes[leader].kill_all();
    let next = 1 - leader;
    wait::until("another standby leader", SOON, || {
        west.nodes[next].is("standby_leader")
    })?;
    insert(&main, new, 3)?;
    wait_rows(&west, next, &["1", "2", "3"])?;
    west.nodes[leader].start()?;
    let leads = west.wait_standby(&[0, 1], SOON)?;
    wait_rows(&west, leader, &["1", "2", "3"])?;
    ensure!(west.nodes[leads].sql("insert into t values (9)").is_err());

    let told = west.ctl_ok(&["promote-cluster", "--force"])?;
    ensure!(told.contains("cluster is successfully promoted"), "{told}");
    let promoted = west.wait_healthy(SOON)?;
    insert(&west, promoted, 4)?;
    wait_rows(&west, 1 - promoted, &["1", "2", "3", "4"])?;
    wait_rows(&main, new, &["1", "2", "3"])
}

fn two_clusters_change_roles(store: StoreKind) -> Result<()> {
    let east = Cluster::start(store, 2)?;
    let old = east.leader()?;
    east.nodes[old].sql("create table t (n int); insert into t values (1)")?;
    let remote: Vec<_> = east.nodes.iter().map(|node| node.ports).collect();
    let west = Cluster::start_standby(StoreKind::Etcd3, 1, &remote)?;
    wait_rows(&west, 0, &["1"])?;

    insert(&east, old, 2)?;
    let port = west.nodes[0].ports.postgres.to_string();
    let told = east.ctl_ok(&[
        "demote-cluster",
        "--host",
        "127.0.0.1",
        "--port",
        &port,
        "--force",
    ])?;
    ensure!(told.contains("cluster is successfully demoted"), "{told}");
    for node in &east.nodes {
        ensure!(
            node.sql("insert into t values (9)").is_err(),
            "{}",
            node.name
        );
    }
    // Nothing that was acknowledged before is missing on the other side.
    wait_rows(&west, 0, &["1", "2"])?;
    let told = west.ctl_ok(&["promote-cluster", "--force"])?;
    ensure!(told.contains("cluster is successfully promoted"), "{told}");
    insert(&west, 0, 3)?;
    east.wait_standby(&[0, 1], SOON)?;
    for node in 0..2 {
        wait_rows(&east, node, &["1", "2", "3"])?;
    }
    Ok(())
}
