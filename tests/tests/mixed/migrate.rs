//! In a pause the daemons of a cluster change, and PostgreSQL runs on.

use std::time::Duration;

use anyhow::{Result, ensure};
use patroni_tests::cluster::SOON;
use patroni_tests::maker::reference_is_there;
use patroni_tests::writer::Writer;
use patroni_tests::{Cluster, Maker, StoreKind};

use crate::agree::Golden;

on_each_store!(in_a_pause_postgresql_runs_on_while_its_daemon_changes);

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
pub(crate) fn change_daemon(cluster: &mut Cluster, index: usize, to: Maker) -> Result<()> {
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

pub(crate) fn pause(cluster: &Cluster, command: &str, by: Maker) -> Result<()> {
    let out = cluster.ctl_by(by, 0, &[command, "--wait"])?;
    let text = String::from_utf8_lossy(&out.stdout);
    ensure!(
        text.contains(&format!("Success: cluster management is {command}d")),
        "{text}"
    );
    Ok(())
}
