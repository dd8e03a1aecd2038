//! A cluster whose nodes and stores are on machines of their own.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::ensemble::Ensemble;
use crate::maker::Maker;
use crate::netns::Network;
use crate::node::{ConfigText, Node, Ports, tail};
use crate::place::Place;
use crate::store::StoreKind;
use crate::writer::{Pace, Writer};
use crate::{proc, wait};

/// The ports are the same on every machine.
const PORTS: Ports = Ports {
    postgres: 5432,
    rest: 8008,
    raft: 2222,
};

/// Three nodes and three servers of a store, each on its own machine.
#[derive(Debug)]
pub struct Machines {
    /// The nodes.
    pub nodes: Vec<Node>,
    /// The servers of the store.
    pub stores: Ensemble,
    /// The network; the nodes are its first machines, the servers of the store the others.
    pub network: Network,
    _home: TempDir,
}

/// How many nodes there are, and how many servers of the store.
pub const COUNT: usize = 3;

impl Machines {
    /// A healthy cluster on etcd with this dynamic configuration (lines indented by four). `edit`
    /// gets each node's folder and file and gives the file to use. `None`, with a line that says
    /// so, where namespaces cannot be made.
    ///
    /// # Errors
    /// It does not come to that.
    pub fn start(dynamic: &str, edit: impl Fn(&Path, &str) -> String) -> Result<Option<Self>> {
        Self::start_with(StoreKind::Etcd3, Maker::Ours, dynamic, edit)
    }

    /// The same on this store, with the daemons of this maker.
    ///
    /// # Errors
    /// It does not come to that.
    pub fn start_with(
        kind: StoreKind,
        maker: Maker,
        dynamic: &str,
        edit: impl Fn(&Path, &str) -> String,
    ) -> Result<Option<Self>> {
        let Some(network) = Network::new(2 * COUNT)? else {
            return Ok(None);
        };
        let home = tempfile::Builder::new().prefix("patroni-test-").tempdir()?;
        let dir = home.path();
        proc::give_to_runner(dir)?;
        let mut places: Vec<Place> = (0..2 * COUNT)
            .map(|host| Place::on_machine(&network, host))
            .collect();
        let servers = places.split_off(COUNT);
        let stores = Ensemble::launch(kind, dir, &servers, &places)?;
        let section = stores.section();
        let mut nodes = Vec::new();
        for host in 0..COUNT {
            let name = format!("node{}", host + 1);
            let node_dir = dir.join(&name);
            let text = ConfigText {
                scope: "demo",
                name: &name,
                ports: PORTS,
                dir: &node_dir,
                store: &section,
                dynamic,
                extra: "",
                host: &network.address(host),
            }
            .render();
            let text = edit(&node_dir, &text);
            let mut node = Node::create(node_dir, &name, PORTS, &text)?;
            node.namespace = Some(network.space(host));
            node.maker = maker;
            nodes.push(node);
        }
        let mut machines = Self {
            nodes,
            stores,
            network,
            _home: home,
        };
        machines.bootstrap()?;
        Ok(Some(machines))
    }

    fn bootstrap(&mut self) -> Result<()> {
        for (index, server) in self.stores.servers.iter().enumerate() {
            let machine = Self::store(index);
            self.network.inside(machine, || server.wait_ready())?;
        }
        for (index, agent) in self.stores.agents.iter().enumerate() {
            self.network.inside(index, || agent.wait_ready())?;
        }
        self.nodes[0].start()?;
        wait::until("a primary", SOON, || self.on(0, |node| node.is("primary")))?;
        self.nodes.iter_mut().skip(1).try_for_each(Node::start)?;
        self.wait_healthy().map(|_| ())
    }

    /// Asks a node on its own machine.
    ///
    /// # Errors
    /// Those of the question.
    pub fn on<T: Send>(
        &self,
        index: usize,
        ask: impl FnOnce(&Node) -> Result<T> + Send,
    ) -> Result<T> {
        let node = &self.nodes[index];
        self.network.inside(index, || ask(node))
    }

    /// The index of the machine of a server of the store.
    pub const fn store(index: usize) -> usize {
        COUNT + index
    }

    /// Cuts a node off from all servers of the store.
    ///
    /// # Errors
    /// The system refuses.
    pub fn cut_from_stores(&self, node: usize) -> Result<()> {
        (0..COUNT).try_for_each(|index| self.network.cut(node, Self::store(index)))
    }

    /// Mends [`Machines::cut_from_stores`].
    ///
    /// # Errors
    /// The system refuses.
    pub fn mend_to_stores(&self, node: usize) -> Result<()> {
        (0..COUNT).try_for_each(|index| self.network.mend(node, Self::store(index)))
    }

    /// Cuts a node off from everything else, or mends that.
    ///
    /// # Errors
    /// The system refuses.
    pub fn isolate(&self, node: usize, isolated: bool) -> Result<()> {
        let others = (0..2 * COUNT).filter(|&other| other != node);
        for other in others {
            if isolated {
                self.network.cut(node, other)?;
            } else {
                self.network.mend(node, other)?;
            }
        }
        Ok(())
    }

    /// A client on the machine of a node that writes to it alone.
    ///
    /// # Errors
    /// The namespace is gone.
    pub fn writer_on(&self, index: usize) -> Result<Writer> {
        let port = self.nodes[index].ports.postgres;
        self.network.inside(index, || Ok(Writer::start(vec![port])))
    }

    /// The same with numbers after this one, at this pace.
    ///
    /// # Errors
    /// The namespace is gone.
    pub fn writer_after(&self, index: usize, number: i64, pace: Pace) -> Result<Writer> {
        let port = self.nodes[index].ports.postgres;
        let start = || Ok(Writer::start_after(number, pace, vec![port]));
        self.network.inside(index, start)
    }

    /// Every process on a machine.
    ///
    /// # Errors
    /// The system does not tell.
    pub fn processes(&self, machine: usize) -> Result<Vec<Pid>> {
        let space = self.network.space(machine);
        let output = Command::new("ip")
            .args(["netns", "pids", &space])
            .output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        let pids = text
            .lines()
            .map(|line| Ok(Pid::from_raw(line.trim().parse()?)));
        pids.collect()
    }

    /// Stops every process on a machine, or lets them go on.
    ///
    /// # Errors
    /// The system does not tell which there are.
    pub fn freeze(&self, machine: usize, frozen: bool) -> Result<()> {
        let signal = if frozen {
            Signal::SIGSTOP
        } else {
            Signal::SIGCONT
        };
        for pid in self.processes(machine)? {
            // One that has just ended does not mind.
            let _ = kill(pid, signal);
        }
        Ok(())
    }

    /// Ends every process on the machine of a node at once, as a power cut would; the disk has
    /// everything.
    ///
    /// # Errors
    /// The system does not tell which there are.
    pub fn power_off(&mut self, index: usize) -> Result<()> {
        for pid in self.processes(index)? {
            let _ = kill(pid, Signal::SIGKILL);
        }
        self.nodes[index].kill_all();
        Ok(())
    }

    /// Starts what [`Self::power_off`] has ended.
    ///
    /// # Errors
    /// The programs cannot be started.
    pub fn power_on(&mut self, index: usize) -> Result<()> {
        if let Some(agent) = self.stores.agents.get_mut(index) {
            agent.process.restart()?;
        }
        self.nodes[index].start()
    }

    /// The node that leads and runs as primary, if there is just one.
    ///
    /// # Errors
    /// There is none, or more than one.
    pub fn leader(&self) -> Result<usize> {
        let leads = |&index: &usize| {
            self.on(index, |node| {
                ensure!(node.health("/primary")? == 200, "no leader");
                node.is("primary")
            })
            .is_ok()
        };
        let leaders: Vec<usize> = (0..COUNT).filter(leads).collect();
        ensure!(leaders.len() == 1, "leaders: {leaders:?}\n{}", self.tails());
        Ok(leaders[0])
    }

    /// Waits until one node is primary and the others stream from it; gives its index.
    ///
    /// # Errors
    /// It does not come to that.
    pub fn wait_healthy(&self) -> Result<usize> {
        wait::until("one primary, the others streaming", SOON, || {
            let leader = self.leader()?;
            let timeline = self.timeline(leader)?;
            for index in (0..COUNT).filter(|&index| index != leader) {
                self.on(index, |node| node.is("replica"))
                    .with_context(|| self.tails())?;
                ensure!(self.timeline(index)? == timeline, "another timeline");
            }
            Ok(leader)
        })
    }

    /// The timeline of a node.
    ///
    /// # Errors
    /// It does not answer.
    pub fn timeline(&self, index: usize) -> Result<u64> {
        let status = self.on(index, Node::status)?;
        status["timeline"].as_u64().context("no timeline")
    }

    /// The end of every node's log.
    pub fn tails(&self) -> String {
        let logs = self.nodes.iter();
        let tails: Vec<_> = logs
            .map(|node| format!("--- {}\n{}\n", node.name, tail(&node.log(), 8)))
            .collect();
        tails.concat()
    }
}

/// How long a healthy step may take on a small, busy machine.
const SOON: Duration = Duration::from_mins(2);
