//! A store of three servers bears the failure of one, and not of two.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::sys::signal::Signal;
use patroni_tests::ensemble::Ensemble;
use patroni_tests::{Cluster, StoreKind, proc, wait};

use super::story::{DYNAMIC, Story};

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
