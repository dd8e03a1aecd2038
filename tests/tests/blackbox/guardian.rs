//! A primary whose daemon is dead or stands still: its guardian ends it with its lease.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use patroni_tests::cluster::SOON;
use patroni_tests::writer::Writer;
use patroni_tests::{Cluster, StoreKind, wait};

const TTL: Duration = Duration::from_secs(20);

/// What becomes of a primary without its daemon: its last acknowledged write and its end, both
/// since the fault, and the node that leads after it.
fn without_daemon(
    cluster: &mut Cluster,
    fault: impl FnOnce(&mut Cluster, usize),
) -> Result<(Duration, usize)> {
    let old = cluster.leader()?;
    cluster.nodes[old].sql("create table written (n bigint)")?;
    let writer = Writer::start(vec![cluster.nodes[old].ports.postgres]);
    writer.wait_write(Duration::from_secs(10))?;
    let begun = Instant::now();
    fault(cluster, old);
    let new = wait::until("another leader", SOON, || {
        let index = (0..cluster.nodes.len())
            .filter(|&index| index != old)
            .find(|&index| cluster.nodes[index].is("primary").is_ok());
        index.context("nobody yet")
    })?;
    let taken_over = begun.elapsed();
    wait::pause(Duration::from_secs(3)); // time to write beside the new one, if it could
    let last = writer.acknowledged().last().context("no write")?.at - begun;
    ensure!(
        last < TTL,
        "a write was acknowledged {last:?} after the fault"
    );
    ensure!(
        last < taken_over,
        "a write was acknowledged beside the new primary"
    );
    Ok((last, new))
}

#[test]
fn a_primary_with_a_dead_daemon_ends_with_its_lease() -> Result<()> {
    let mut cluster = Cluster::start(StoreKind::Etcd3, 3)?;
    let old = cluster.leader()?;
    let (last, new) = without_daemon(&mut cluster, |cluster, old| {
        cluster.nodes[old].kill_daemon();
    })?;
    println!(
        "daemon killed: last write acknowledged after {:.1} s, none beside the new primary (the \
         reference: 15 s of writes beside it)",
        last.as_secs_f64()
    );
    cluster.nodes[old].start()?;
    ensure!(cluster.wait_healthy(SOON)? == new);
    Ok(())
}

#[test]
fn a_primary_with_a_stopped_daemon_ends_with_its_lease() -> Result<()> {
    let mut cluster = Cluster::start(StoreKind::Etcd3, 3)?;
    let old = cluster.leader()?;
    let (last, new) = without_daemon(&mut cluster, |cluster, old| {
        cluster.nodes[old].signal(Signal::SIGSTOP);
    })?;
    println!(
        "daemon stopped: last write acknowledged after {:.1} s, none beside the new primary (the \
         reference: 6.8 s of writes beside it)",
        last.as_secs_f64()
    );
    cluster.nodes[old].signal(Signal::SIGCONT);
    ensure!(cluster.wait_healthy(SOON)? == new);
    Ok(())
}

/// A daemon that comes back in time finds its server as it was, and the guardian of the daemon
/// before does not end it at the end of the old lease.
#[test]
fn a_daemon_that_comes_back_in_time_keeps_its_server() -> Result<()> {
    let mut cluster = Cluster::start(StoreKind::Etcd3, 2)?;
    let leader = cluster.leader()?;
    let started = cluster.nodes[leader].sql("select pg_postmaster_start_time()")?;
    cluster.nodes[leader].kill_daemon();
    wait::pause(Duration::from_secs(2)); // the service manager takes its time
    cluster.nodes[leader].start()?;
    ensure!(cluster.wait_healthy(SOON)? == leader);
    wait::pause(TTL + Duration::from_secs(3)); // longer than the lease of the daemon before
    ensure!(cluster.leader()? == leader, "it does not lead any more");
    let now = cluster.nodes[leader].sql("select pg_postmaster_start_time()")?;
    ensure!(now == started, "the server was restarted");
    Ok(())
}

/// In a pause nothing is promised to anybody, and nothing is stopped.
#[test]
fn nobody_is_guarded_in_a_pause_or_when_it_is_off() -> Result<()> {
    let off = |_| "guardian:\n  mode: off\n".to_owned();
    let mut unguarded = Cluster::prepare_with(StoreKind::Etcd3, 1, "", off)?;
    unguarded.bootstrap()?;
    let mut paused = Cluster::start(StoreKind::Etcd3, 1)?;
    paused.ctl_ok(&["pause", "--wait"])?;
    for cluster in [&mut unguarded, &mut paused] {
        let started = cluster.nodes[0].sql("select pg_postmaster_start_time()")?;
        cluster.nodes[0].kill_daemon();
        wait::pause(TTL + Duration::from_secs(2));
        let now = cluster.nodes[0].sql("select pg_postmaster_start_time()")?;
        ensure!(now == started, "the server was stopped");
    }
    Ok(())
}
