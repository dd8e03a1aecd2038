//! The rights of the nodes in the store come to an end.

use std::time::Instant;

use anyhow::{Result, ensure};
use nix::sys::signal::Signal;
use patroni_tests::authority::Authority;
use patroni_tests::cluster::SOON;
use patroni_tests::consul::Consul;
use patroni_tests::secured::Secured;
use patroni_tests::{Cluster, StoreKind, proc};

use super::story::{DYNAMIC, Story};

patroni_tests::on_store!(Consul in consul: a_revoked_token_demotes_the_leader_in_time, certificates_change);
patroni_tests::on_store!(Etcd3 in etcd3: certificates_change);
patroni_tests::on_store!(Etcd2 in etcd: certificates_change);
patroni_tests::on_store!(ZooKeeper in zookeeper: certificates_change, servers_are_not_verified);

fn a_revoked_token_demotes_the_leader_in_time(kind: StoreKind) -> Result<()> {
    let dir = tempfile::tempdir()?;
    proc::give_to_runner(dir.path())?;
    let agent = Consul::start_with_tokens(dir.path())?;
    let token = agent.make_token()?;
    let section = format!(
        "consul:\n  host: 127.0.0.1:{}\n  token: {}\n",
        agent.port, token.secret
    );
    let cluster = Cluster::start_on(&section, 3, DYNAMIC)?;
    let mut story = Story::of(kind, cluster)?;

    let fault = Instant::now();
    agent.revoke(&token)?;
    story.wait_read_only(fault)?;
    let new = agent.make_token()?;
    for node in &mut story.cluster.nodes {
        let text = std::fs::read_to_string(node.config_path())?;
        node.write_config(&text.replace(&token.secret, &new.secret))?;
        node.signal(Signal::SIGHUP);
    }
    story.end("no token for longer than ttl, a new one by reload")?;
    Ok(())
}

/// In order, as one does it: everybody trusts the new authority before anybody has a certificate of
/// it. And without order.
fn certificates_change(kind: StoreKind) -> Result<()> {
    let dir = tempfile::tempdir()?;
    proc::give_to_runner(dir.path())?;
    let [old, new, newest] = [Authority::new()?, Authority::new()?, Authority::new()?];
    let mut secured = Secured::start(kind, dir.path(), &old)?;
    let cluster = Cluster::start_on(&secured.section, 3, DYNAMIC)?;
    let mut story = Story::of(kind, cluster)?;

    let fault = Instant::now();
    secured.certify("client", &old, &[&old, &new])?;
    reload(&mut story)?;
    secured.certify("server", &new, &[&old, &new])?;
    secured.server.restart()?;
    secured.server.wait_ready()?;
    secured.certify("client", &new, &[&new])?;
    reload(&mut story)?;
    secured.certify("server", &new, &[&new])?;
    secured.server.restart()?;
    secured.server.wait_ready()?;
    story.end_unnoticed(fault, "all certificates change in order")?;

    secured.certify("server", &newest, &[&newest])?;
    let fault = Instant::now();
    secured.server.restart()?;
    story.wait_read_only(fault)?;
    secured.server.wait_ready()?;
    secured.certify("client", &newest, &[&newest])?;
    reload(&mut story)?;
    story.end("strange certificates for longer than ttl, new ones by reload")?;
    Ok(())
}

/// `verify: false`: daemons and `patronictl` believe a server of an authority that they do not know,
/// and say so once.
fn servers_are_not_verified(kind: StoreKind) -> Result<()> {
    let dir = tempfile::tempdir()?;
    proc::give_to_runner(dir.path())?;
    let authority = Authority::new()?;
    let secured = Secured::start(kind, dir.path(), &authority)?;
    secured.certify("client", &authority, &[&Authority::new()?])?;
    let section = format!("{}  verify: false\n", secured.section);
    let cluster = Cluster::start_on(&section, 3, DYNAMIC)?;
    cluster.wait_synchronous()?;

    let first = cluster.leader()?;
    cluster.ctl_ok(&["switchover", "--force"])?;
    cluster.wait_other_leader(first, SOON)?;
    cluster.wait_healthy(SOON)?;
    for node in &cluster.nodes {
        let said = node.log().matches("are not verified").count();
        ensure!(said == 1, "{} said it {said} times", node.name);
    }
    Ok(())
}

/// Waits until all nodes have read their files again.
fn reload(story: &mut Story) -> Result<()> {
    for node in &mut story.cluster.nodes {
        let from = node.log().len();
        node.signal(Signal::SIGHUP);
        node.wait_log(from, "No local configuration items changed.", SOON)?;
    }
    Ok(())
}
