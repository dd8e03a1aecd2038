//! Proxies and poolers with the files of `docs` in front of a cluster.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use nix::unistd::Pid;
use patroni_tests::cluster::SOON;
use patroni_tests::proxy::{Haproxy, PgBouncer};
use patroni_tests::writer::Writer;
use patroni_tests::{Cluster, StoreKind, proc, sql, wait};

/// How long one question through a proxy may take.
const ASK: Duration = Duration::from_secs(5);

/// Which server a port leads to, by that server's own port.
fn leads_to(port: u16) -> Result<u16> {
    let rows = sql::query(port, "show port", ASK)?;
    Ok(rows.first().context("no row")?.parse()?)
}

/// That so many new connections all lead there.
fn leads_only_to(port: u16, expected: u16) -> Result<()> {
    for _ in 0..6 {
        let found = leads_to(port)?;
        ensure!(found == expected, "{found}, not {expected}");
    }
    Ok(())
}

#[test]
fn the_read_port_skips_who_lags_or_takes_no_load() -> Result<()> {
    let extra = |index| {
        let tags = "tags:\n  noloadbalance: true\n";
        if index == 2 { tags } else { "" }.to_owned()
    };
    let mut cluster = Cluster::prepare_with(StoreKind::Etcd3, 3, "", extra)?;
    cluster.bootstrap()?;
    let proxy = Haproxy::start(&cluster)?;
    let port = |index: usize| cluster.nodes[index].ports.postgres;
    wait::until("the ports", SOON, || {
        leads_only_to(proxy.write, port(0))?;
        leads_only_to(proxy.read, port(1))
    })?;

    // A receiver that stands still: the leader goes on, and the replica falls behind.
    let receiver = cluster.nodes[1].sql("select pid from pg_stat_wal_receiver")?;
    let receiver = Pid::from_raw(receiver.first().context("no receiver")?.parse()?);
    proc::signal(receiver, Signal::SIGSTOP)?;
    cluster.nodes[0].sql("create table far (n bigint)")?;
    for n in 0..3 {
        let step = format!("insert into far values ({n}); select pg_switch_wal()");
        cluster.nodes[0].sql(&step)?;
    }
    wait::until("nobody to read from", SOON, || {
        let found = leads_to(proxy.read);
        ensure!(found.is_err(), "{found:?}");
        Ok(())
    })?;
    leads_only_to(proxy.write, port(0))?;
    proc::signal(receiver, Signal::SIGCONT)?;
    wait::until("the replica again", SOON, || {
        leads_only_to(proxy.read, port(1))
    })
}

#[test]
fn clients_of_the_write_port_fail_only_while_the_leader_changes() -> Result<()> {
    const CLIENTS: usize = 20;
    const ROUNDS: usize = 10;
    let cluster = Cluster::start(StoreKind::Etcd3, 3)?;
    let mut leader = cluster.leader()?;
    cluster.nodes[leader].sql("create table written (n bigint)")?;
    let proxy = Haproxy::start(&cluster)?;
    let pause = Duration::from_millis(20);
    let clients: Vec<Writer> = (0..CLIENTS)
        .map(|_| Writer::start_every(pause, vec![proxy.write]))
        .collect();
    clients
        .iter()
        .try_for_each(|client| client.wait_write(SOON))?;

    let mut changes = Vec::new();
    for _ in 0..ROUNDS {
        let asked = Instant::now();
        cluster.ctl_ok(&["switchover", "--force"])?;
        clients
            .iter()
            .try_for_each(|client| client.wait_write(SOON))?;
        changes.push((asked, Instant::now()));
        leader = cluster.wait_other_leader(leader, SOON)?;
        ensure!(cluster.wait_healthy(SOON)? == leader, "the leader changed");
    }
    let longest: Vec<Duration> = changes.iter().map(|(asked, back)| *back - *asked).collect();
    let begun = changes.first().map(|(asked, _)| *asked);
    let failures: Vec<Instant> = clients.iter().flat_map(Writer::failures).collect();
    // Before the first change the proxy had yet to find the leader.
    let failures = failures.into_iter().filter(|at| Some(*at) >= begun);
    let failures: Vec<Instant> = failures.collect();
    println!(
        "{} failed attempts; all could write again after {longest:?}",
        failures.len()
    );
    for failure in &failures {
        let change = changes.iter().rfind(|(asked, _)| asked <= failure);
        let (asked, back) = change.context("it is later than the first of them")?;
        let late = failure.saturating_duration_since(*back);
        ensure!(
            late.is_zero(),
            "a transaction failed {late:?} after all clients could write again, which took {:?}",
            *back - *asked
        );
    }
    let port = cluster.nodes[leader].ports.postgres;
    clients
        .iter()
        .try_for_each(|client| client.check_nothing_lost(port).map(|_| ()))
}

#[test]
fn clients_of_a_pooler_wait_for_the_new_leader() -> Result<()> {
    let cluster = Cluster::start(StoreKind::Etcd3, 3)?;
    let leader = cluster.leader()?;
    cluster.nodes[leader].sql("create table written (n bigint)")?;
    let proxy = Haproxy::start(&cluster)?;
    let pooler = PgBouncer::start(&cluster, proxy.write)?;
    let client = Writer::start_every(Duration::from_millis(20), vec![pooler.port]);
    client.wait_write(SOON)?;
    cluster.ctl_ok(&["switchover", "--force"])?;
    let second = cluster.wait_other_leader(leader, SOON)?;
    client.wait_write(SOON)?;
    wait::until("the pooler's way to the new leader", SOON, || {
        leads_only_to(pooler.port, cluster.nodes[second].ports.postgres)
    })?;
    client.check_nothing_lost(cluster.nodes[second].ports.postgres)?;
    Ok(())
}
