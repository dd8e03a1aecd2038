//! A cluster moves from one implementation to the other, node by node, while it is written to.

use std::time::Duration;

use anyhow::{Result, ensure};
use patroni_tests::cluster::SOON;
use patroni_tests::maker::reference_is_there;
use patroni_tests::writer::Writer;
use patroni_tests::{Cluster, Maker, StoreKind};

use crate::agree::{Golden, same_outputs};

on_each_store!(
    a_cluster_moves_over_node_by_node_and_back,
    in_a_pause_postgresql_runs_on_while_its_daemon_changes,
);

fn a_cluster_moves_over_node_by_node_and_back(store: StoreKind) -> Result<()> {
    if !reference_is_there("a_cluster_moves_over_node_by_node_and_back") {
        return Ok(());
    }
    let mut cluster = Cluster::start_made_by(store, &[Maker::Reference; 3])?;
    let mut golden = Golden::default();
    let writer = write(&cluster)?;
    golden.check(&cluster)?;
    for to in [Maker::Ours, Maker::Reference] {
        let leader = cluster.leader()?;
        for replica in (0..3).filter(|&index| index != leader) {
            change_daemon(&mut cluster, replica, to)?;
            step(&mut golden, &cluster, &writer)?;
        }
        same_outputs(&cluster)?;
        // The last one goes by a switchover that the tool of its maker asks for.
        let out = cluster.ctl_by(to.other(), leader, &["switchover", "--force"])?;
        let text = String::from_utf8_lossy(&out.stdout);
        ensure!(text.contains("Successfully switched over to"), "{text}");
        let next = cluster.wait_other_leader(leader, SOON)?;
        ensure!(cluster.nodes[next].maker == to, "still a node of the old");
        step(&mut golden, &cluster, &writer)?;
        change_daemon(&mut cluster, leader, to)?;
        step(&mut golden, &cluster, &writer)?;
    }
    Ok(())
}

fn in_a_pause_postgresql_runs_on_while_its_daemon_changes(store: StoreKind) -> Result<()> {
    if !reference_is_there("in_a_pause_postgresql_runs_on_while_its_daemon_changes") {
        return Ok(());
    }
    let mut cluster = Cluster::start_made_by(store, &[Maker::Reference; 3])?;
    let mut golden = Golden::default();
    let writer = write(&cluster)?;
    let leader = cluster.leader()?;
    pause(&cluster, "pause", Maker::Reference)?;
    golden.check(&cluster)?;
    for to in [Maker::Ours, Maker::Reference] {
        for index in 0..3 {
            let postmaster = cluster.nodes[index].postmaster()?;
            change_daemon(&mut cluster, index, to)?;
            step(&mut golden, &cluster, &writer)?;
            ensure!(
                cluster.nodes[index].postmaster()? == postmaster,
                "PostgreSQL of {} was restarted",
                cluster.nodes[index].name
            );
            ensure!(cluster.leader()? == leader, "the leader changed");
        }
        pause(&cluster, "resume", to)?;
        let mut awake = Golden::default();
        awake.check(&cluster)?;
        pause(&cluster, "pause", to.other())?;
    }
    let gap = writer.longest_gap_since(writer.acknowledged()[0].at);
    ensure!(
        gap < Duration::from_secs(3),
        "nothing was written for {gap:?}"
    );
    Ok(())
}

/// A client that writes to whichever node takes writes.
pub(crate) fn write(cluster: &Cluster) -> Result<Writer> {
    let leader = cluster.leader()?;
    cluster.nodes[leader].sql("create table written (n bigint)")?;
    let ports = cluster.nodes.iter().map(|node| node.ports.postgres);
    let writer = Writer::start_every(Duration::from_millis(50), ports.collect());
    writer.wait_write(SOON)?;
    Ok(writer)
}

/// Stops a node's daemon and starts that of another maker with the same file.
fn change_daemon(cluster: &mut Cluster, index: usize, to: Maker) -> Result<()> {
    let node = &mut cluster.nodes[index];
    let code = node.terminate()?;
    ensure!(code == 0, "{} ended with {code}", node.name);
    node.maker = to;
    node.start()
}

/// After a step: healthy, alike, writable, complete.
pub(crate) fn step(golden: &mut Golden, cluster: &Cluster, writer: &Writer) -> Result<()> {
    golden.check(cluster)?;
    writer.wait_write(SOON)?;
    let leader = cluster.leader()?;
    writer.check_nothing_lost(cluster.nodes[leader].ports.postgres)?;
    Ok(())
}

fn pause(cluster: &Cluster, command: &str, by: Maker) -> Result<()> {
    let out = cluster.ctl_by(by, 0, &[command, "--wait"])?;
    let text = String::from_utf8_lossy(&out.stdout);
    ensure!(
        text.contains(&format!("Success: cluster management is {command}d")),
        "{text}"
    );
    Ok(())
}
