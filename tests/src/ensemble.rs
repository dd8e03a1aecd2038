//! Three servers of one store.

use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::consul::Consul;
use crate::etcd::Etcd;
use crate::node::Node;
use crate::place::Place;
use crate::proc;
use crate::store::{Server, StoreKind};
use crate::zookeeper::ZooKeeper;

/// Three servers, of which one may fail.
#[derive(Debug)]
pub struct Ensemble {
    /// The servers.
    pub servers: Vec<Server>,
    /// The agents that the nodes ask, which pass everything on (Consul).
    pub(crate) agents: Vec<Consul>,
    places: Vec<Place>,
    /// The name of the section in a node's file.
    section: &'static str,
}

impl Ensemble {
    /// Starts them on loopback, and waits until all take requests.
    ///
    /// # Errors
    /// They do not, or the tests know no three servers of this kind.
    pub fn start(kind: StoreKind, dir: &Path) -> Result<Self> {
        let places = [(); 3].map(|()| Place::on_loopback());
        let ensemble = Self::launch(kind, dir, &places, &[Place::on_loopback()])?;
        ensemble.servers.iter().try_for_each(Server::wait_ready)?;
        ensemble.agents.iter().try_for_each(Consul::wait_ready)?;
        Ok(ensemble)
    }

    /// Starts them at these places, and agents at those where the store has such. They may not
    /// serve yet.
    ///
    /// # Errors
    /// The programs cannot be started, or the tests know no three servers of this kind.
    pub fn launch(kind: StoreKind, dir: &Path, places: &[Place], agents: &[Place]) -> Result<Self> {
        let (section, servers, agents) = match kind {
            StoreKind::Etcd3 => {
                let servers = Etcd::cluster(dir, places)?;
                let servers = servers.into_iter().map(Server::Etcd).collect();
                ("etcd3", servers, Vec::new())
            }
            StoreKind::Consul => {
                let (servers, agents) = Consul::datacenter(dir, places, agents)?;
                let servers = servers.into_iter().map(Server::Consul).collect();
                ("consul", servers, agents)
            }
            StoreKind::ZooKeeper => {
                let servers = ZooKeeper::ensemble(dir, places)?;
                let servers = servers.into_iter().map(Server::ZooKeeper).collect();
                ("zookeeper", servers, Vec::new())
            }
            StoreKind::Etcd2 | StoreKind::Raft | StoreKind::Kubernetes => {
                bail!("no three servers of {kind:?}")
            }
        };
        Ok(Self {
            servers,
            agents,
            places: places.to_vec(),
            section,
        })
    }

    /// The section of a node's file. Each node has its agent on its own machine.
    pub fn section(&self) -> String {
        if let Some(agent) = self.agents.first() {
            return format!("{}:\n  host: 127.0.0.1:{}\n", self.section, agent.port);
        }
        let hosts = self.places.iter();
        let hosts: Vec<String> = hosts
            .map(|place| format!("'{}:{}'", place.host, place.advertised))
            .collect();
        format!("{}:\n  hosts: [{}]\n", self.section, hosts.join(", "))
    }

    /// The index of the leader among those that answer.
    ///
    /// # Errors
    /// There is none.
    pub fn leader(&self) -> Result<usize> {
        let leads = |server: &Server| server.leads().unwrap_or(false);
        let leader = self.servers.iter().position(leads);
        leader.context("the store has no leader")
    }

    /// The index of a server that a node's requests go to.
    ///
    /// # Errors
    /// It is connected to none.
    pub fn asked_by(&self, node: &mut Node) -> Result<usize> {
        let ports = proc::connected_to(match self.agents.first() {
            Some(agent) => agent.process.pid(),
            None => node.daemon().pid(),
        })?;
        let asked = |server: &Server| {
            let port = match server {
                Server::Consul(server) => server.server_port,
                Server::Etcd(_)
                | Server::Etcd2(_)
                | Server::ZooKeeper(_)
                | Server::Kubernetes(_) => server.port(),
            };
            ports.contains(&port)
        };
        let asked = self.servers.iter().position(asked);
        asked.with_context(|| format!("connected to {ports:?}"))
    }
}
