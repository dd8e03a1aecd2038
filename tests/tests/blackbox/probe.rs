//! A postmaster that hangs: its sessions go on, new connections wait for ever.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use patroni_tests::cluster::SOON;
use patroni_tests::{Cluster, StoreKind, proc, wait};

fn accepts_connections(cluster: &Cluster, index: usize) -> Result<bool> {
    let status = cluster.nodes[index].status()?;
    Ok(status.get("accepts_connections") != Some(&false.into()))
}

fn metric(cluster: &Cluster, index: usize) -> Result<bool> {
    let page = cluster.nodes[index].rest("GET", "/metrics", None)?.body;
    let line = page
        .lines()
        .find(|line| line.starts_with("patroni_postgres_accepts_connections{"));
    Ok(line.context("no such metric")?.ends_with(" 1"))
}

#[test]
fn a_postmaster_that_hangs_is_reported() -> Result<()> {
    let cluster = Cluster::start(StoreKind::Etcd3, 2)?;
    let leader = cluster.leader()?;
    let timeline = cluster.nodes[leader].status()?["timeline"].clone();
    ensure!(accepts_connections(&cluster, leader)? && metric(&cluster, leader)?);
    let from = cluster.nodes[leader].log().len();
    let postmaster = cluster.nodes[leader].postmaster()?;
    proc::signal(postmaster, Signal::SIGSTOP)?;
    let begun = Instant::now();
    wait::until("the silence is reported", SOON, || {
        ensure!(!accepts_connections(&cluster, leader)?, "it is not");
        Ok(())
    })?;
    println!(
        "postmaster stopped: reported after {:.1} s (the reference: never)",
        begun.elapsed().as_secs_f64()
    );
    ensure!(!metric(&cluster, leader)?);
    wait::pause(Duration::from_secs(12)); // it stays a report
    let log = cluster.nodes[leader].log();
    let lines = log[from..].matches("does not answer new connections");
    ensure!(lines.count() == 1, "said more than once, or never");
    proc::signal(postmaster, Signal::SIGCONT)?;
    wait::until("it is reported no more", SOON, || {
        ensure!(accepts_connections(&cluster, leader)?, "it is");
        Ok(())
    })?;
    ensure!(cluster.wait_healthy(SOON)? == leader);
    ensure!(cluster.nodes[leader].status()?["timeline"] == timeline);
    Ok(())
}

#[test]
fn a_postmaster_that_hangs_is_given_up_when_that_is_asked_for() -> Result<()> {
    let probe = |_| "  probe:\n    mode: failover\n    after: 6\n".to_owned();
    let mut cluster = Cluster::prepare_with(StoreKind::Etcd3, 3, "", probe)?;
    cluster.bootstrap()?;
    let old = cluster.leader()?;
    let postmaster = cluster.nodes[old].postmaster()?;
    proc::signal(postmaster, Signal::SIGSTOP)?;
    let begun = Instant::now();
    let new = cluster.wait_other_leader(old, SOON)?;
    println!(
        "postmaster stopped, `failover` after 6 s: another leader after {:.1} s (the reference: \
         never)",
        begun.elapsed().as_secs_f64()
    );
    cluster.nodes[old].wait_log(
        0,
        "demoted self because PostgreSQL does not answer new connections",
        SOON,
    )?;
    ensure!(cluster.wait_healthy(SOON)? == new);
    ensure!(
        cluster.nodes[old].postmaster()? != postmaster,
        "it was not replaced"
    );
    Ok(())
}
