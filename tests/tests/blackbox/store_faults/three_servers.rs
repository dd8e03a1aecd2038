//! A store of three servers bears the failure of one, and not of two.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use patroni_tests::cluster::SOON;
use patroni_tests::ensemble::Ensemble;
use patroni_tests::machines::{COUNT, Machines};
use patroni_tests::writer::Pace;
use patroni_tests::{Cluster, Node, StoreKind, proc, wait};

use super::story::{DYNAMIC, GRACE, Story, TTL, check_gap, tell, wait_seen_by_all};

patroni_tests::on_store!(Etcd3 in etcd3: one_server_may_fail_and_two_demote_the_leader_in_time);
patroni_tests::on_store!(Consul in consul: one_server_may_fail_and_two_demote_the_leader_in_time);
patroni_tests::on_store!(ZooKeeper in zookeeper: one_server_may_fail_and_two_demote_the_leader_in_time);

/// Longer than a call to the store may take with all its repetitions.
const HANG: Duration = Duration::from_secs(8);

fn one_server_may_fail_and_two_demote_the_leader_in_time(kind: StoreKind) -> Result<()> {
    let dir = tempfile::tempdir()?;
    proc::give_to_runner(dir.path())?;
    let mut stores = Ensemble::start(kind, dir.path())?;
    let cluster = Cluster::start_on(&stores.section(), 3, DYNAMIC)?;
    let mut story = Story::of(kind, cluster)?;

    let asked = stores.asked_by(&mut story.cluster.nodes[story.leader])?;
    let fault = Instant::now();
    stores.servers[asked].signal(Signal::SIGSTOP)?;
    wait::pause(HANG); // the fault itself has a length
    stores.servers[asked].signal(Signal::SIGCONT)?;
    story.end_unnoticed(fault, "the asked one of three hangs for 8 s")?;

    let first = stores.leader()?;
    let fault = Instant::now();
    stores.servers[first].kill()?;
    story.end_unnoticed(fault, "leader of three killed")?;

    let mut others = (0..3).filter(|&index| index != first);
    let second = others.next().context("three servers")?;
    let fault = Instant::now();
    stores.servers[second].kill()?;
    story.wait_read_only(fault)?;
    for index in [first, second] {
        stores.servers[index].restart()?;
    }
    for server in &stores.servers {
        server.wait_ready()?;
    }
    story.end("two of three dead for longer than ttl")?;
    Ok(())
}

/// All nodes reach the leader of the store, but it can promise nothing any more.
#[test]
fn a_cut_between_the_servers_changes_nothing() -> Result<()> {
    let Some(machines) = Machines::start(DYNAMIC, |_, text| text.to_owned())? else {
        return Ok(());
    };
    let leader = machines.leader()?;
    let timeline = machines.timeline(leader)?;
    machines.on(leader, |node| node.sql("create table written (n bigint)"))?;
    let pause = Duration::from_millis(20);
    let pace = Pace {
        between: pause,
        retry: pause,
    };
    let writer = machines.writer_after(leader, 0, pace)?;
    writer.wait_write(SOON)?;

    let leads = |index: &usize| {
        let server = &machines.etcd[*index];
        let leads = machines
            .network
            .inside(Machines::store(*index), || server.leads());
        leads.unwrap_or(false)
    };
    let first = (0..COUNT).find(leads).context("no leader of the store")?;
    let others = (0..COUNT).filter(|&index| index != first);
    let links = others.map(|other| (Machines::store(first), Machines::store(other)));
    let links: Vec<(usize, usize)> = links.collect();
    let fault = Instant::now();
    for &(one, other) in &links {
        machines.network.cut(one, other)?;
    }
    wait::pause(TTL + GRACE); // the fault itself has a length
    for &(one, other) in &links {
        machines.network.mend(one, other)?;
    }
    let over = Instant::now();
    wait_seen_by_all(|index| machines.on(index, Node::status))?;
    ensure!(machines.wait_healthy()? == leader, "another leader");
    tell(
        StoreKind::Etcd3,
        "leader of three cut off from the two",
        over.elapsed(),
    );
    ensure!(machines.timeline(leader)? == timeline, "a new timeline");
    check_gap(&writer, fault)?;
    let port = machines.nodes[leader].ports.postgres;
    machines
        .network
        .inside(leader, || writer.check_nothing_lost(port))?;
    Ok(())
}
