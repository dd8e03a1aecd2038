//! Processes that hang instead of failing.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use patroni_tests::cluster::SOON;
use patroni_tests::{Cluster, StoreKind, wait};

on_each_store!(a_frozen_leader_does_not_split_the_cluster);

on_each_server!(
    a_hanging_store_demotes_the_leader_and_its_return_heals,
    a_short_hang_of_the_store_is_sat_out,
);

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

/// Only a store outside the nodes can hang apart from them.
fn a_hanging_store_demotes_the_leader_and_its_return_heals(kind: StoreKind) -> Result<()> {
    let cluster = Cluster::start(kind, 3)?;
    let leader = cluster.leader()?;
    let store = cluster.store.as_ref().context("no store")?;
    store.signal(Signal::SIGSTOP)?;
    wait::until("the leader is read-only", SOON, || {
        let recovery = cluster.nodes[leader].sql("select pg_is_in_recovery()")?;
        ensure!(recovery == ["t"], "still primary");
        Ok(())
    })?;
    for node in &cluster.nodes {
        ensure!(node.health("/primary")? == 503);
    }
    store.signal(Signal::SIGCONT)?;
    cluster.wait_healthy(SOON)?;
    Ok(())
}

fn a_short_hang_of_the_store_is_sat_out(kind: StoreKind) -> Result<()> {
    let cluster = Cluster::start(kind, 2)?;
    let leader = cluster.leader()?;
    let timeline = cluster.nodes[leader].status()?["timeline"].clone();
    let store = cluster.store.as_ref().context("no store")?;
    store.signal(Signal::SIGSTOP)?;
    wait::pause(Duration::from_secs(2)); // shorter than retry_timeout: the fault itself has a length
    store.signal(Signal::SIGCONT)?;
    ensure!(cluster.wait_healthy(SOON)? == leader);
    ensure!(
        cluster.nodes[leader].status()?["timeline"] == timeline,
        "somebody was promoted"
    );
    Ok(())
}
