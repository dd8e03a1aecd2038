//! `patroni_raft_controller`: the third vote that makes two nodes with PostgreSQL enough.

use std::path::PathBuf;
use std::process::Output;

use anyhow::{Result, ensure};
use nix::sys::signal::Signal;
use patroni_tests::cluster::SOON;
use patroni_tests::proc::{self, Proc};
use patroni_tests::{Cluster, StoreKind, ports, wait};

/// A voter beside the nodes of a cluster.
struct Witness {
    config: PathBuf,
    log: PathBuf,
    process: Proc,
    port: u16,
}

impl Witness {
    /// Makes a voter known to the nodes, which must not run yet, and starts it.
    fn start(cluster: &Cluster) -> Result<Self> {
        let port = ports::free();
        for node in &cluster.nodes {
            let text = std::fs::read_to_string(node.config_path())?;
            let named = format!("partner_addrs: [127.0.0.1:{port}, ");
            node.write_config(&text.replace("partner_addrs: [", &named))?;
        }
        let partners: Vec<String> = cluster
            .nodes
            .iter()
            .map(|node| format!("127.0.0.1:{}", node.ports.raft))
            .collect();
        let dir = cluster.dir().join("witness");
        std::fs::create_dir(&dir)?;
        proc::give_to_runner(&dir)?;
        let config = dir.join("witness.yml");
        let text = format!(
            "raft:\n  self_addr: 127.0.0.1:{port}\n  partner_addrs: [{}]\n  data_dir: {}/raft\n  \
             password: raft-secret\n",
            partners.join(", "),
            dir.display()
        );
        std::fs::write(&config, text)?;
        proc::give_to_runner(&config)?;
        let mut command = proc::command(proc::bin("patroni_raft_controller"));
        command.arg(&config);
        let log = dir.join("witness.log");
        let process = Proc::start("witness", command, &log)?;
        Ok(Self {
            config,
            log,
            process,
            port,
        })
    }

    fn wait_log(&self, text: &str) -> Result<()> {
        wait::until(&format!("the witness logs {text:?}"), SOON, || {
            let log = std::fs::read_to_string(&self.log)?;
            ensure!(log.contains(text), "{log}");
            Ok(())
        })
    }
}

#[test]
fn the_second_of_two_nodes_takes_over() -> Result<()> {
    let mut cluster = Cluster::prepare(StoreKind::Raft, 2)?;
    let mut witness = Witness::start(&cluster)?;
    cluster.bootstrap()?;
    let old = cluster.leader()?;
    cluster.nodes[old].sql("create table t (n int); insert into t values (1)")?;
    cluster.nodes[old].kill_all();
    let new = cluster.wait_other_leader(old, SOON)?;
    wait::until("writes on the new leader", SOON, || {
        cluster.nodes[new].sql("insert into t values (2)")
    })?;
    cluster.nodes[old].start()?;
    ensure!(cluster.wait_healthy(SOON)? == new);

    // Only the log is read again, and the voter votes on.
    let text = std::fs::read_to_string(&witness.config)?;
    std::fs::write(
        &witness.config,
        format!("{text}log:\n  format: 'again %(message)s'\n"),
    )?;
    witness.process.signal(Signal::SIGHUP);
    witness.wait_log("again log settings were read again")?;
    std::fs::write(&witness.config, "log: [broken\n")?;
    witness.process.signal(Signal::SIGHUP);
    witness.wait_log("again the log settings stay as they were")?;

    witness.process.signal(Signal::SIGTERM);
    ensure!(witness.process.wait_exit(SOON)? == 0);
    ensure!(cluster.leader()? == new, "two of three votes are enough");

    // Without its vote the two that are left are all there is.
    let address = format!("127.0.0.1:{}", witness.port);
    let members = raft_members(&cluster)?;
    ensure!(members.len() == 3, "{members:?}");
    let silent: Vec<_> = members
        .iter()
        .filter(|member| member["State"] == "no answer")
        .map(|member| member["Address"].as_str())
        .collect();
    ensure!(silent == [Some(address.as_str())], "{members:?}");
    let out = cluster.ctl_ok(&["raft-remove", &address, "--force"])?;
    ensure!(out.contains("was removed"), "{out}");
    let members = raft_members(&cluster)?;
    ensure!(members.len() == 2, "{members:?}");
    let refused = cluster.ctl(&["raft-remove", &address, "--force"])?;
    ensure!(refused.status.code() == Some(1), "{refused:?}");
    Ok(())
}

fn raft_members(cluster: &Cluster) -> Result<Vec<serde_json::Value>> {
    let text = cluster.ctl_ok(&["raft-members", "-f", "json"])?;
    Ok(serde_json::from_str(&text)?)
}

fn run(args: &[&str], variables: &[(&str, &str)]) -> Result<Output> {
    let mut command = proc::command(proc::bin("patroni_raft_controller"));
    command.args(args).envs(variables.iter().copied());
    Ok(command.output()?)
}

#[test]
fn what_is_missing_is_said_in_one_line() -> Result<()> {
    for (variables, line) in [
        (&[][..], "Config is empty."),
        (&[("PATRONI_SCOPE", "a")], "raft is not defined"),
        (
            &[("PATRONI_RAFT_PARTNER_ADDRS", "'10.0.0.1:2222'")],
            "raft.self_addr is not defined: a voter needs an address",
        ),
    ] {
        let output = run(&[], variables)?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.code() == Some(1), "{}", output.status);
        ensure!(said.lines().count() == 1 && said.contains(line), "{said}");
    }
    let output = run(&["--version"], &[])?;
    ensure!(output.stdout == b"patroni_raft_controller 4.1.5\n");
    Ok(())
}
