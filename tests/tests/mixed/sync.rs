//! Synchronous mode between one node of each maker: nothing acknowledged is ever missing, whoever
//! leads and however the leadership changes.

use std::time::Duration;

use anyhow::{Result, ensure};
use patroni_tests::cluster::SOON;
use patroni_tests::maker::reference_is_there;
use patroni_tests::writer::Writer;
use patroni_tests::{Cluster, Maker, StoreKind, wait};

use crate::agree::Golden;
use crate::migrate::{step, write};

on_each_store!(synchronous_mode_loses_nothing_between_the_makers);

fn synchronous_mode_loses_nothing_between_the_makers(store: StoreKind) -> Result<()> {
    if !reference_is_there("synchronous_mode_loses_nothing_between_the_makers") {
        return Ok(());
    }
    let makers = [Maker::Reference, Maker::Ours];
    let mut cluster = Cluster::start_made_by(store, &makers)?;
    let mut golden = Golden::default();
    let writer = write(&cluster)?;
    let args = ["edit-config", "-s", "synchronous_mode=true", "--force"];
    let out = cluster.ctl_by(Maker::Ours, 0, &args)?;
    ensure!(out.status.success(), "{out:?}");
    settle(&mut golden, &cluster, &writer)?;
    // Each way of changing the leader from each maker's node to the other's.
    for round in [with_candidate, without_candidate, kill_leader] {
        for _ in 0..2 {
            let old = cluster.leader()?;
            round(&mut cluster, old)?;
            let new = cluster.wait_other_leader(old, SOON)?;
            writer.check_nothing_lost(cluster.nodes[new].ports.postgres)?;
            settle(&mut golden, &cluster, &writer)?;
        }
    }
    Ok(())
}

/// Waits for the synchronous standby, then checks everything.
fn settle(golden: &mut Golden, cluster: &Cluster, writer: &Writer) -> Result<()> {
    wait::until("a synchronous standby", SOON, || {
        let leader = cluster.leader()?;
        let code = cluster.nodes[1 - leader].health("/sync")?;
        ensure!(code == 200, "{}", cluster.log_tails());
        Ok(())
    })?;
    step(golden, cluster, writer)
}

fn with_candidate(cluster: &mut Cluster, old: usize) -> Result<()> {
    let (leader, candidate) = (
        cluster.nodes[old].name.clone(),
        cluster.nodes[1 - old].name.clone(),
    );
    let args = [
        "switchover",
        "--leader",
        &leader,
        "--candidate",
        &candidate,
        "--force",
    ];
    switch_over(cluster, old, &args)
}

fn without_candidate(cluster: &mut Cluster, old: usize) -> Result<()> {
    switch_over(cluster, old, &["switchover", "--force"])
}

/// By the tool of the other maker than the leader's.
fn switch_over(cluster: &Cluster, old: usize, args: &[&str]) -> Result<()> {
    let tool = cluster.nodes[old].maker.other();
    let out = cluster.ctl_by(tool, old, args)?;
    let text = String::from_utf8_lossy(&out.stdout);
    let expected = format!(
        "Successfully switched over to \"{}\"",
        cluster.nodes[1 - old].name
    );
    ensure!(text.contains(&expected), "{text}{}", cluster.log_tails());
    Ok(())
}

/// As a power cut; the node comes back when the other one leads.
fn kill_leader(cluster: &mut Cluster, old: usize) -> Result<()> {
    cluster.nodes[old].kill_all();
    wait::until("the standby takes over", Duration::from_mins(1), || {
        cluster.nodes[1 - old].is("primary")
    })?;
    cluster.nodes[old].start()
}
