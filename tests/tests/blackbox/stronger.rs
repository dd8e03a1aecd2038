//! Where the reference was measured weak: three nodes, three etcd servers, `ttl` 20, `loop_wait`
//! 2, `retry_timeout` 3. Each test prints its figure beside the reference's.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use patroni_tests::cluster::SOON;
use patroni_tests::etcd::Etcd;
use patroni_tests::machines::Machines;
use patroni_tests::place::Place;
use patroni_tests::slow_link::{Quality, SlowLink};
use patroni_tests::{Cluster, proc, wait};

const DYNAMIC: &str = "    ttl: 20\n    loop_wait: 2\n    retry_timeout: 3\n";
const TTL: Duration = Duration::from_secs(20);

fn seconds(length: Duration) -> String {
    format!("{:.1} s", length.as_secs_f64())
}

/// A fast shutdown waits for WAL senders whose standbys cannot be reached. The writes of a client
/// on the isolated machine must end before anybody else can get the lock, whatever hangs.
#[test]
fn an_isolated_primary_acknowledges_nothing_after_its_lease() -> Result<()> {
    let Some(machines) = Machines::start(DYNAMIC, |_, text| text.to_owned())? else {
        return Ok(());
    };
    let old = machines.leader()?;
    machines.on(old, |node| node.sql("create table written (n bigint)"))?;
    let writer = machines.writer_on(old)?;
    writer.wait_write(Duration::from_secs(10))?;
    let postmaster = machines.nodes[old].postmaster()?;

    machines.isolate(old, true)?;
    // The last renewal was sent before this moment, so the lease is over a ttl later.
    let cut = Instant::now();
    let stopped = wait::until("the old server has ended", 2 * TTL, || {
        ensure!(
            machines.nodes[old].postmaster().ok() != Some(postmaster),
            "it runs"
        );
        Ok(cut.elapsed())
    })?;
    let new = wait::until("another primary", SOON, || {
        let others = (0..3).filter(|&index| index != old);
        let is_primary = |index: &usize| machines.on(*index, |node| node.is("primary")).is_ok();
        others.clone().find(is_primary).context("nobody yet")
    })?;
    let taken_over = cut.elapsed();
    let last = writer.acknowledged().last().context("no write")?.at - cut;
    println!(
        "isolated primary: last write acknowledged {} after the cut, server ended after {}, \
         {} leads after {} (the reference: stopped after up to 46 s)",
        seconds(last),
        seconds(stopped),
        machines.nodes[new].name,
        seconds(taken_over)
    );
    ensure!(last < TTL, "a write was acknowledged after the lease");
    ensure!(stopped < TTL, "the server outlived the lease");
    drop(writer);
    machines.isolate(old, false)?;
    ensure!(machines.wait_healthy()? == new);
    Ok(())
}

#[test]
fn a_cut_from_the_stores_inside_the_lease_changes_nothing() -> Result<()> {
    let Some(machines) = Machines::start(DYNAMIC, |_, text| text.to_owned())? else {
        return Ok(());
    };
    let leader = machines.leader()?;
    let timeline = machines.timeline(leader)?;
    machines.on(leader, |node| node.sql("create table written (n bigint)"))?;
    let writer = machines.writer_on(leader)?;
    writer.wait_write(Duration::from_secs(10))?;
    let from = machines.nodes[leader].log().len();
    let begun = Instant::now();
    for length in [5, 7, 8] {
        machines.cut_from_stores(leader)?;
        wait::pause(Duration::from_secs(length)); // the fault itself has a length
        machines.mend_to_stores(leader)?;
        let from = machines.nodes[leader].log().len();
        machines.nodes[leader].wait_log(from, "the leader with the lock", SOON)?;
    }
    let gap = writer.longest_gap_since(begun);
    check_no_demotion(&machines.nodes[leader].log()[from..])?;
    ensure!(machines.wait_healthy()? == leader, "another leader");
    ensure!(machines.timeline(leader)? == timeline, "a new timeline");
    println!(
        "cuts of 5, 7 and 8 s from all stores: no demotion, no new timeline, longest gap between \
         writes {} (the reference: demoted itself)",
        seconds(gap)
    );
    Ok(())
}

#[test]
fn one_of_three_stores_may_hang_or_die() -> Result<()> {
    let dir = tempfile::tempdir()?;
    proc::give_to_runner(dir.path())?;
    let places = [(); 3].map(|()| Place::on_loopback());
    let mut etcd = Etcd::cluster(dir.path(), &places)?;
    etcd.iter().try_for_each(Etcd::wait_ready)?;
    let cluster = Cluster::start_on(&etcd_section(&places), 3, DYNAMIC)?;
    let leader = cluster.leader()?;
    let timeline = cluster.nodes[leader].status()?["timeline"].clone();
    let from = cluster.nodes[leader].log().len();
    // One after the other, so that the one in use and the leader of the store are among them.
    for server in &etcd {
        server.process.signal(Signal::SIGSTOP);
        wait::pause(Duration::from_secs(12)); // the fault itself has a length
        server.process.signal(Signal::SIGCONT);
        wait::pause(Duration::from_secs(4));
    }
    etcd[0].process.kill();
    wait::pause(Duration::from_secs(12));
    check_no_demotion(&cluster.nodes[leader].log()[from..])?;
    ensure!(cluster.wait_healthy(SOON)? == leader, "another leader");
    ensure!(
        cluster.nodes[leader].status()?["timeline"] == timeline,
        "a new timeline"
    );
    println!(
        "each of three etcd servers stopped for 12 s, then one killed: no demotion, no new \
         timeline (the reference: demoted itself)"
    );
    Ok(())
}

#[test]
fn a_slow_and_lossy_way_to_the_stores_changes_nothing() -> Result<()> {
    let dir = tempfile::tempdir()?;
    proc::give_to_runner(dir.path())?;
    let mut links = Vec::new();
    let mut places = Vec::new();
    for _ in 0..3 {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let mut place = Place::on_loopback();
        place.advertised = listener.local_addr()?.port();
        let quality = Quality {
            latency: Duration::from_millis(300),
            loss: 10,
        };
        links.push(SlowLink::start(listener, place.port, quality)?);
        places.push(place);
    }
    let etcd = Etcd::cluster(dir.path(), &places)?;
    etcd.iter().try_for_each(Etcd::wait_ready)?;
    let cluster = Cluster::start_on(&etcd_section(&places), 3, DYNAMIC)?;
    let leader = cluster.leader()?;
    let timeline = cluster.nodes[leader].status()?["timeline"].clone();
    let from = cluster.nodes[leader].log().len();
    for link in &links {
        link.set_bad(true);
    }
    wait::pause(Duration::from_mins(1)); // the fault itself has a length
    let lost: u64 = links.iter().map(SlowLink::lost).sum();
    let log = cluster.nodes[leader].log();
    check_no_demotion(&log[from..])?;
    for link in &links {
        link.set_bad(false);
    }
    ensure!(cluster.wait_healthy(SOON)? == leader, "another leader");
    ensure!(
        cluster.nodes[leader].status()?["timeline"] == timeline,
        "a new timeline"
    );
    println!(
        "300 ms latency and 10 % loss (proxies above TCP) for 60 s, {lost} pieces sent again: no \
         demotion, no new timeline (the reference: demoted itself); least left of the lease: {:?} s",
        least_left(&log[from..])
    );
    Ok(())
}

fn etcd_section(places: &[Place]) -> String {
    let hosts: Vec<String> = places
        .iter()
        .map(|place| format!("{}:{}", place.host, place.advertised))
        .collect();
    format!("etcd3:\n  hosts: [{}]\n", hosts.join(", "))
}

/// The fewest seconds of its lease that a leader said were left; nothing when it never had to.
fn least_left(log: &str) -> Option<u64> {
    let left = |line: &str| {
        let (_, after) = line.split_once("while the lease lasts (")?;
        after.split_once(' ')?.0.parse().ok()
    };
    log.lines().filter_map(left).min()
}

fn check_no_demotion(log: &str) -> Result<()> {
    let demoted = log.find("emoting self").or_else(|| log.find("emoted self"));
    let story = demoted.map(|end| &log[..end + "emoting self".len()]);
    ensure!(story.is_none(), "a demotion: {}", story.unwrap_or_default());
    Ok(())
}
