//! The rights of the nodes in the store come to an end.

use std::time::Instant;

use anyhow::Result;
use nix::sys::signal::Signal;
use patroni_tests::consul::Consul;
use patroni_tests::{Cluster, StoreKind, proc};

use super::story::{DYNAMIC, Story};

patroni_tests::on_store!(Consul in consul: a_revoked_token_demotes_the_leader_in_time);

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
