//! The only server of a store dies, hangs or crawls.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use patroni_tests::slow_link::{Quality, SlowLink};
use patroni_tests::store::Server;
use patroni_tests::{Cluster, StoreKind, proc, wait};

use super::story::{DYNAMIC, GRACE, Story, TTL};

on_each_server!(
    a_server_that_is_killed_and_started_is_sat_out,
    a_dead_server_demotes_the_leader_in_time,
    in_failsafe_mode_a_dead_server_changes_nothing,
    a_hanging_server_is_sat_out_or_demotes_the_leader_in_time,
    a_slow_server_is_sat_out,
);

fn a_server_that_is_killed_and_started_is_sat_out(kind: StoreKind) -> Result<()> {
    let mut story = Story::begin(kind, "")?;
    let fault = Instant::now();
    story.server()?.kill()?;
    story.server()?.restart()?;
    story.server()?.wait_ready()?;
    story.end_unnoticed(fault, "killed and started")
}

fn a_dead_server_demotes_the_leader_in_time(kind: StoreKind) -> Result<()> {
    let mut story = Story::begin(kind, "")?;
    let fault = Instant::now();
    story.server()?.kill()?;
    story.wait_read_only(fault)?;
    story.server()?.restart()?;
    story.server()?.wait_ready()?;
    story.end("dead for longer than ttl")?;
    Ok(())
}

fn in_failsafe_mode_a_dead_server_changes_nothing(kind: StoreKind) -> Result<()> {
    let mut story = Story::begin(kind, "    failsafe_mode: true\n")?;
    let fault = Instant::now();
    story.server()?.kill()?;
    wait::pause(TTL + GRACE); // the fault itself has a length
    for node in &story.cluster.nodes {
        let status = node.status()?;
        ensure!(status["failsafe_mode_is_active"] == true, "{status}");
    }
    story.server()?.restart()?;
    story.server()?.wait_ready()?;
    story.end_unnoticed(fault, "the same in failsafe mode")
}

fn a_hanging_server_is_sat_out_or_demotes_the_leader_in_time(kind: StoreKind) -> Result<()> {
    let mut story = Story::begin(kind, "")?;
    let fault = Instant::now();
    story.server()?.signal(Signal::SIGSTOP)?;
    wait::pause(Duration::from_secs(3)); // shorter than retry_timeout: the fault itself has a length
    story.server()?.signal(Signal::SIGCONT)?;
    story.end_unnoticed(fault, "hangs for 3 s")?;

    let fault = Instant::now();
    story.server()?.signal(Signal::SIGSTOP)?;
    story.wait_read_only(fault)?;
    for node in &story.cluster.nodes {
        ensure!(node.health("/primary")? == 503, "{} leads", node.name);
    }
    story.server()?.signal(Signal::SIGCONT)?;
    story.end("hangs for longer than ttl")?;
    Ok(())
}

/// Every piece of data on its way to the server comes a second late.
fn a_slow_server_is_sat_out(kind: StoreKind) -> Result<()> {
    let dir = tempfile::tempdir()?;
    proc::give_to_runner(dir.path())?;
    let server = Server::start(kind, dir.path())?.context("no server")?;
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let quality = Quality {
        latency: Duration::from_secs(1),
        loss: 0,
    };
    let link = SlowLink::start(listener, server.port(), quality)?;
    let mut cluster = Cluster::prepare_on(&server.section_by(link.port), 3, DYNAMIC)?;
    let mut nodes = cluster.nodes.iter();
    nodes.try_for_each(|node| server.welcome_by(link.port, node))?;
    cluster.bootstrap()?;
    let story = Story::of(kind, cluster)?;
    let fault = Instant::now();
    link.set_bad(true);
    wait::pause(TTL + GRACE); // the fault itself has a length
    link.set_bad(false);
    story.end_unnoticed(fault, "one second slow")
}
