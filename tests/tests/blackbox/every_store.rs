//! The life of a cluster on each of the stores beside etcd's present API and the embedded one.

use std::time::Duration;

use anyhow::{Result, ensure};
use patroni_tests::cluster::SOON;
use patroni_tests::writer::Writer;
use patroni_tests::{Cluster, StoreKind, wait};

patroni_tests::on_store!(Etcd2 in etcd2: a_cluster_lives_on_it);
patroni_tests::on_store!(Consul in consul: a_cluster_lives_on_it);
patroni_tests::on_store!(ZooKeeper in zookeeper: a_cluster_lives_on_it);
patroni_tests::on_store!(Kubernetes in kubernetes: a_cluster_lives_on_it);

fn a_cluster_lives_on_it(store: StoreKind) -> Result<()> {
    let mut cluster = Cluster::start(store, 3)?;
    let first = cluster.leader()?;
    cluster.nodes[first].sql("create table written (n bigint)")?;
    let ports = cluster.nodes.iter().map(|node| node.ports.postgres);
    let writer = Writer::start_every(Duration::from_millis(20), ports.collect());
    cluster.ctl_ok(&["edit-config", "--force", "-s", "synchronous_mode=true"])?;
    cluster.wait_synchronous()?;

    cluster.ctl_ok(&["switchover", "--force"])?;
    let second = cluster.wait_other_leader(first, SOON)?;
    writer.wait_write(SOON)?;
    cluster.wait_synchronous()?;

    cluster.nodes[second].kill_all();
    let third = cluster.wait_other_leader(second, SOON)?;
    writer.wait_write(SOON)?;
    cluster.nodes[second].start()?;
    ensure!(cluster.wait_healthy(SOON)? == third, "the leader changed");

    cluster.ctl_ok(&["pause", "--wait"])?;
    cluster.nodes[third].terminate()?;
    ensure!(
        cluster.nodes[third].sql("select 1")? == ["1"],
        "in a pause PostgreSQL stays"
    );
    cluster.nodes[third].start()?;
    wait::until("the leader is back", SOON, || {
        ensure!(cluster.leader()? == third);
        Ok(())
    })?;
    cluster.ctl_ok(&["resume", "--wait"])?;
    ensure!(cluster.wait_healthy(SOON)? == third, "the leader changed");

    // The last one ends in order, and the lock is free at once.
    cluster.nodes[third].terminate()?;
    let last = cluster.wait_other_leader(third, SOON)?;
    writer.wait_write(SOON)?;
    writer.check_nothing_lost(cluster.nodes[last].ports.postgres)?;
    Ok(())
}
