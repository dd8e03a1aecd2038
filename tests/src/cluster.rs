//! A cluster of nodes around one store.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tempfile::TempDir;

use crate::maker::Maker;
use crate::node::{ConfigText, LOOPBACK, Node, Ports, tail};
use crate::store::{Server, StoreKind};
use crate::terminal::Terminal;
use crate::{ports, proc, wait};

/// How long a healthy step of a cluster may take on a small, busy machine.
pub const SOON: Duration = Duration::from_secs(90);

/// A running cluster; everything ends when it is dropped.
#[derive(Debug)]
pub struct Cluster {
    /// The nodes, in the order of their start.
    pub nodes: Vec<Node>,
    /// The server of the store, unless the nodes are it.
    pub store: Option<Server>,
    kind: StoreKind,
    dynamic: String,
    home: Home,
}

/// Where a cluster's files are.
#[derive(Debug)]
enum Home {
    /// Removed with the cluster.
    Temporary(TempDir),
    /// Left where it is.
    Kept(PathBuf),
}

impl Home {
    fn path(&self) -> &Path {
        match self {
            Self::Temporary(dir) => dir.path(),
            Self::Kept(path) => path,
        }
    }
}

/// The dynamic configuration that tests start with: short, but within the contract's minima.
const DYNAMIC: &str =
    "    ttl: 20\n    loop_wait: 2\n    retry_timeout: 5\n    maximum_lag_on_failover: 1048576\n";

impl Cluster {
    /// A store and the files of `count` nodes, nothing started but the store.
    ///
    /// # Errors
    /// Something cannot be made or started.
    pub fn prepare(kind: StoreKind, count: usize) -> Result<Self> {
        Self::prepare_with(kind, count, "", |_| String::new())
    }

    /// The same with further lines of dynamic configuration (indented by four) and, for each
    /// node, further top-level lines of its file.
    ///
    /// # Errors
    /// Something cannot be made or started.
    pub fn prepare_with(
        kind: StoreKind,
        count: usize,
        dynamic: &str,
        extra: impl Fn(usize) -> String,
    ) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("patroni-test-").tempdir()?;
        Self::prepare_at(kind, count, Home::Temporary(dir), dynamic, extra)
    }

    /// The same in a folder that stays.
    ///
    /// # Errors
    /// Something cannot be made or started.
    pub fn prepare_in(kind: StoreKind, count: usize, dir: &Path, dynamic: &str) -> Result<Self> {
        std::fs::create_dir_all(dir)?;
        Self::prepare_at(
            kind,
            count,
            Home::Kept(dir.canonicalize()?),
            dynamic,
            |_| String::new(),
        )
    }

    fn prepare_at(
        kind: StoreKind,
        count: usize,
        home: Home,
        dynamic: &str,
        extra: impl Fn(usize) -> String,
    ) -> Result<Self> {
        let dir = home.path();
        proc::give_to_runner(dir)?;
        let store = Server::start(kind, dir)?;
        let dynamic = format!("{DYNAMIC}{dynamic}");
        let section = store.as_ref().map(Server::section);
        let nodes = create_nodes(dir, count, section.as_deref(), &dynamic, extra)?;
        if let Some(store) = &store {
            nodes.iter().try_for_each(|node| store.welcome(node))?;
        }
        Ok(Self {
            nodes,
            store,
            kind,
            dynamic,
            home,
        })
    }

    /// A running cluster on a store of the test's own, with the whole dynamic configuration
    /// given. `store` is the section of the store in each node's file.
    ///
    /// # Errors
    /// It does not come to that.
    pub fn start_on(store: &str, count: usize, dynamic: &str) -> Result<Self> {
        let mut cluster = Self::prepare_on(store, count, dynamic)?;
        cluster.bootstrap()?;
        Ok(cluster)
    }

    /// The same with nothing started yet.
    ///
    /// # Errors
    /// Its files cannot be written.
    pub fn prepare_on(store: &str, count: usize, dynamic: &str) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("patroni-test-").tempdir()?;
        proc::give_to_runner(dir.path())?;
        let nodes = create_nodes(dir.path(), count, Some(store), dynamic, |_| String::new())?;
        Ok(Self {
            nodes,
            store: None,
            kind: StoreKind::Etcd3,
            dynamic: dynamic.to_owned(),
            home: Home::Temporary(dir),
        })
    }

    /// A cluster whose first node is the primary and whose others stream from it.
    ///
    /// # Errors
    /// It does not come to that; the logs' ends are in the text.
    pub fn start(kind: StoreKind, count: usize) -> Result<Self> {
        let mut cluster = Self::prepare(kind, count)?;
        cluster.bootstrap()?;
        Ok(cluster)
    }

    /// The same with the daemons of these makers, one node each.
    ///
    /// # Errors
    /// It does not come to that.
    pub fn start_made_by(kind: StoreKind, makers: &[Maker]) -> Result<Self> {
        let mut cluster = Self::prepare(kind, makers.len())?;
        for (node, maker) in cluster.nodes.iter_mut().zip(makers) {
            node.maker = *maker;
        }
        cluster.bootstrap()?;
        Ok(cluster)
    }

    /// Somebody promotes a standby by hand while its daemon is away, and writes to it: the table
    /// `t (n int)` gets rows from 100 to 200 that the cluster never has.
    ///
    /// # Errors
    /// The server does not do it.
    pub fn promote_by_hand(&mut self, index: usize) -> Result<()> {
        let node = &mut self.nodes[index];
        wait::until("the table on the standby", SOON, || {
            node.sql("select 1 from t limit 1").map(drop)
        })?;
        node.kill_daemon();
        node.pg_ctl(&["promote"])?;
        wait::until("a write on the fork", SOON, || {
            node.sql("insert into t select generate_series(100, 200)")
        })?;
        node.sql("checkpoint").map(drop)
    }

    /// Starts the nodes: the first one (on Raft all, because a majority must be there) until it
    /// is primary, then the others until they stream.
    ///
    /// # Errors
    /// It does not come to that.
    pub fn bootstrap(&mut self) -> Result<()> {
        if self.kind == StoreKind::Raft {
            self.nodes.iter_mut().try_for_each(Node::start)?;
        } else {
            self.nodes[0].start()?;
            self.wait_leader(SOON)?;
            self.nodes.iter_mut().skip(1).try_for_each(Node::start)?;
        }
        self.wait_healthy(SOON).map(|_| ())
    }

    /// A standby cluster of other servers: dynamic configuration that names their addresses.
    ///
    /// # Errors
    /// It cannot be made or started.
    pub fn start_standby(kind: StoreKind, count: usize, remote: &[Ports]) -> Result<Self> {
        let hosts = vec!["127.0.0.1"; remote.len()].join(",");
        let ports: Vec<String> = remote.iter().map(|own| own.postgres.to_string()).collect();
        let dynamic = format!(
            "    standby_cluster:\n      host: {hosts}\n      port: '{}'\n      create_replica_methods: [basebackup]\n",
            ports.join(",")
        );
        let mut cluster = Self::prepare_with(kind, count, &dynamic, |_| String::new())?;
        if kind == StoreKind::Raft {
            cluster.nodes.iter_mut().try_for_each(Node::start)?;
        } else {
            cluster.nodes[0].start()?;
            cluster.wait_standby(&[0], SOON)?;
            cluster.nodes.iter_mut().skip(1).try_for_each(Node::start)?;
        }
        let all: Vec<usize> = (0..count).collect();
        cluster.wait_standby(&all, SOON)?;
        Ok(cluster)
    }

    /// Waits until one of these nodes is standby leader and streams, and every other streams.
    /// Gives the standby leader.
    ///
    /// # Errors
    /// It does not come to that.
    pub fn wait_standby(&self, nodes: &[usize], at_most: Duration) -> Result<usize> {
        wait::until("one standby leader, all streaming", at_most, || {
            let leads = |&index: &usize| {
                let health = self.nodes[index].health("/standby-leader");
                health.is_ok_and(|code| code == 200)
                    && self.nodes[index].is("standby_leader").is_ok()
            };
            let leaders: Vec<usize> = nodes.iter().copied().filter(leads).collect();
            ensure!(
                leaders.len() == 1,
                "standby leaders: {leaders:?}\n{}",
                self.log_tails()
            );
            for &index in nodes {
                let node = &self.nodes[index];
                let status = node.status()?;
                ensure!(
                    status["replication_state"] == "streaming",
                    "{}: {status}",
                    node.name
                );
                ensure!(
                    index == leaders[0] || status["role"] == "replica",
                    "{}: {status}",
                    node.name
                );
            }
            Ok(leaders[0])
        })
    }

    /// The name of the store's kind.
    pub fn kind(&self) -> StoreKind {
        self.kind
    }

    /// The folder of the cluster.
    pub fn dir(&self) -> &Path {
        self.home.path()
    }

    /// The dynamic configuration that the cluster started with.
    pub fn dynamic(&self) -> &str {
        &self.dynamic
    }

    /// The index of the node that has the lock and runs as primary.
    ///
    /// # Errors
    /// There is none, or more than one.
    pub fn leader(&self) -> Result<usize> {
        let leaders: Vec<usize> = (0..self.nodes.len())
            .filter(|&index| {
                let node = &self.nodes[index];
                node.health("/primary").is_ok_and(|code| code == 200) && node.is("primary").is_ok()
            })
            .collect();
        ensure!(
            leaders.len() == 1,
            "leaders: {leaders:?}\n{}",
            self.log_tails()
        );
        Ok(leaders[0])
    }

    /// Waits for a leader.
    ///
    /// # Errors
    /// There is none in time.
    pub fn wait_leader(&self, at_most: Duration) -> Result<usize> {
        wait::until("a leader", at_most, || self.leader())
    }

    /// Waits for a leader other than `old`.
    ///
    /// # Errors
    /// There is none in time.
    pub fn wait_other_leader(&self, old: usize, at_most: Duration) -> Result<usize> {
        wait::until("another leader", at_most, || {
            let leader = self.leader()?;
            ensure!(leader != old, "still {}", self.nodes[old].name);
            Ok(leader)
        })
    }

    /// Waits until one node is primary and every other streams from it on its timeline.
    ///
    /// # Errors
    /// It does not come to that.
    pub fn wait_healthy(&self, at_most: Duration) -> Result<usize> {
        let all: Vec<usize> = (0..self.nodes.len()).collect();
        self.wait_healthy_nodes(&all, at_most)
    }

    /// Waits until the primary has a synchronous standby.
    ///
    /// # Errors
    /// It does not come to that.
    pub fn wait_synchronous(&self) -> Result<()> {
        wait::until("a synchronous standby", SOON, || {
            let members = self.list()?;
            let mut roles = members.iter().map(|member| &member["Role"]);
            ensure!(roles.any(|role| role == "Sync Standby"), "{members:?}");
            Ok(())
        })
    }

    /// The same for some of the nodes.
    ///
    /// # Errors
    /// It does not come to that.
    pub fn wait_healthy_nodes(&self, nodes: &[usize], at_most: Duration) -> Result<usize> {
        wait::until("one primary, the others streaming", at_most, || {
            let leader = self.leader()?;
            let timeline = self.nodes[leader].status()?["timeline"].clone();
            for &index in nodes.iter().filter(|&&index| index != leader) {
                let node = &self.nodes[index];
                node.is("replica").with_context(|| self.log_tails())?;
                let status = node.status()?;
                ensure!(
                    status["timeline"] == timeline,
                    "{}: {status}, leader on {timeline}",
                    node.name
                );
            }
            Ok(leader)
        })
    }

    /// Runs `patronictl` with this cluster's first configuration.
    ///
    /// # Errors
    /// The program cannot be started.
    pub fn ctl(&self, args: &[&str]) -> Result<Output> {
        self.ctl_on(0, args)
    }

    /// Runs `patronictl` with the configuration of a node.
    ///
    /// # Errors
    /// The program cannot be started.
    pub fn ctl_on(&self, node: usize, args: &[&str]) -> Result<Output> {
        self.ctl_by(Maker::Ours, node, args)
    }

    /// Runs a maker's `patronictl` with the configuration of a node.
    ///
    /// # Errors
    /// The program cannot be started.
    pub fn ctl_by(&self, maker: Maker, node: usize, args: &[&str]) -> Result<Output> {
        let node = &self.nodes[node];
        Self::ctl_with(maker, &node.config_path(), &node.dir, args)
    }

    /// Runs a maker's `patronictl` with a configuration and a home of the caller's choice.
    ///
    /// # Errors
    /// The program cannot be started.
    pub fn ctl_with(maker: Maker, config: &Path, home: &Path, args: &[&str]) -> Result<Output> {
        Self::command_of(maker, config, home, args)
            .stdin(std::process::Stdio::null())
            .output()
            .context("run patronictl")
    }

    /// Starts `patronictl` with this cluster's first configuration on a terminal of so many
    /// columns and rows.
    ///
    /// # Errors
    /// The program cannot be started.
    pub fn ctl_on_terminal(&self, args: &[&str], columns: u16, rows: u16) -> Result<Terminal> {
        Terminal::start(self.ctl_command(args), columns, rows)
    }

    /// `patronictl` with this cluster's first configuration, not yet run.
    pub fn ctl_command(&self, args: &[&str]) -> Command {
        let node = &self.nodes[0];
        Self::command_of(Maker::Ours, &node.config_path(), &node.dir, args)
    }

    fn command_of(maker: Maker, config: &Path, home: &Path, args: &[&str]) -> Command {
        let mut command = proc::command(maker.program("patronictl"));
        command.arg("-c").arg(config).args(args).env("HOME", home);
        command
    }

    /// Runs `patronictl`, which must succeed, and gives its output.
    ///
    /// # Errors
    /// It does not succeed.
    pub fn ctl_ok(&self, args: &[&str]) -> Result<String> {
        let output = self.ctl(args)?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        ensure!(
            output.status.success(),
            "patronictl {args:?}: {}\n{text}{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(text)
    }

    /// The members as `patronictl list -f json` prints them.
    ///
    /// # Errors
    /// It fails.
    pub fn list(&self) -> Result<Vec<Value>> {
        let text = self.ctl_ok(&["list", "-f", "json"])?;
        serde_json::from_str(&text).with_context(|| format!("no JSON array: {text}"))
    }

    /// The value of a key of the cluster as it is stored, by its name below the scope.
    ///
    /// # Errors
    /// There is none, or the store does not answer.
    pub fn key(&self, name: &str) -> Result<String> {
        let keys = match &self.store {
            Some(Server::Etcd(server)) => server.keys("/service/demo/")?,
            Some(Server::Consul(server)) => server.keys("/service/demo/")?,
            Some(Server::Etcd2(_) | Server::ZooKeeper(_) | Server::Kubernetes(_)) | None => {
                return Ok(self.ctl_ok(&["dcs", "get", name])?.trim_end().to_owned());
            }
        };
        let value = keys.get(&format!("/service/demo/{name}"));
        value.cloned().with_context(|| format!("no key {name}"))
    }

    /// The end of every node's log.
    pub fn log_tails(&self) -> String {
        let logs = self
            .nodes
            .iter()
            .map(|node| format!("--- {}\n{}\n", node.name, tail(&node.log(), 12)));
        logs.collect()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.log_tails());
        }
    }
}

/// The files of so many nodes; without the section of a store they are their own (Raft).
fn create_nodes(
    dir: &Path,
    count: usize,
    store: Option<&str>,
    dynamic: &str,
    extra: impl Fn(usize) -> String,
) -> Result<Vec<Node>> {
    let ports: Vec<Ports> = (0..count)
        .map(|_| Ports {
            postgres: ports::free(),
            rest: ports::free(),
            raft: ports::free(),
        })
        .collect();
    let mut nodes = Vec::new();
    for (index, own) in ports.iter().enumerate() {
        let name = format!("node{}", index + 1);
        let node_dir = dir.join(&name);
        let store = match store {
            Some(store) => store.to_owned(),
            None => raft_section(&node_dir, index, &ports),
        };
        let text = ConfigText {
            scope: "demo",
            name: &name,
            ports: *own,
            dir: &node_dir,
            store: &store,
            dynamic,
            extra: &extra(index),
            host: LOOPBACK,
        }
        .render();
        nodes.push(Node::create(node_dir, &name, *own, &text)?);
    }
    Ok(nodes)
}

/// The section of a node whose daemon is a voter of the embedded store.
pub fn raft_section(dir: &Path, index: usize, ports: &[Ports]) -> String {
    let partners: Vec<String> = ports
        .iter()
        .enumerate()
        .filter(|(other, _)| *other != index)
        .map(|(_, ports)| format!("127.0.0.1:{}", ports.raft))
        .collect();
    format!(
        "raft:\n  self_addr: 127.0.0.1:{}\n  partner_addrs: [{}]\n  data_dir: {}/raft\n  password: raft-secret\n",
        ports[index].raft,
        partners.join(", "),
        dir.display()
    )
}
