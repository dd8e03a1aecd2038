//! Processes that hang instead of failing.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use patroni_tests::cluster::SOON;
use patroni_tests::{Cluster, StoreKind, wait};

on_each_store!(a_frozen_leader_does_not_split_the_cluster);

fn a_frozen_leader_does_not_split_the_cluster(store: StoreKind) -> Result<()> {
    let mut cluster = Cluster::start(store, 3)?;
    let old = cluster.leader()?;
    cluster.nodes[old].sql("create table t (n int)")?;
    cluster.nodes[old].signal(Signal::SIGSTOP);
    let new = wait::until("another leader", SOON, || {
        let index = (0..3)
            .filter(|&index| index != old)
            .find(|&index| cluster.nodes[index].is("primary").is_ok());
        index.context("nobody yet")
    })?;
    // Its guardian has ended the server before anybody could be promoted.
    ensure!(
        cluster.nodes[old].sql("insert into t values (1)").is_err(),
        "the frozen node takes writes beside the new leader"
    );
    cluster.nodes[old].signal(Signal::SIGCONT);
    wait::until(
        "the thawed node refuses writes",
        Duration::from_secs(20),
        || {
            ensure!(
                cluster.nodes[old].sql("insert into t values (1)").is_err(),
                "it takes writes"
            );
            Ok(())
        },
    )?;
    ensure!(cluster.wait_healthy(SOON)? == new);
    Ok(())
}
