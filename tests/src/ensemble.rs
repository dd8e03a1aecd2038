//! Three servers of one store.

use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::consul::Consul;
use crate::etcd::{Etcd, Place};
use crate::node::Node;
use crate::proc;
use crate::store::{Server, StoreKind};
use crate::zookeeper::ZooKeeper;

/// Three servers, of which one may fail.
#[derive(Debug)]
pub struct Ensemble {
    /// The servers.
    pub servers: Vec<Server>,
    /// The agent that the nodes ask, which passes everything on (Consul).
    agent: Option<Consul>,
}

impl Ensemble {
    /// Starts them, and waits until all take requests.
    ///
    /// # Errors
    /// They do not, or the tests know no three servers of this kind.
    pub fn start(kind: StoreKind, dir: &Path) -> Result<Self> {
        let (servers, agent) = match kind {
            StoreKind::Etcd3 => {
                let servers = Etcd::cluster(dir, &[(); 3].map(|()| Place::on_loopback()))?;
                (servers.into_iter().map(Server::Etcd).collect(), None)
            }
            StoreKind::Consul => {
                let (servers, agent) = Consul::datacenter(dir)?;
                (
                    servers.into_iter().map(Server::Consul).collect(),
                    Some(agent),
                )
            }
            StoreKind::ZooKeeper => {
                let servers = ZooKeeper::ensemble(dir)?;
                (servers.into_iter().map(Server::ZooKeeper).collect(), None)
            }
            StoreKind::Etcd2 | StoreKind::Raft | StoreKind::Kubernetes => {
                bail!("no three servers of {kind:?}")
            }
        };
        let ensemble = Self { servers, agent };
        ensemble.servers.iter().try_for_each(Server::wait_ready)?;
        if let Some(agent) = &ensemble.agent {
            agent.wait_ready()?;
        }
        Ok(ensemble)
    }

    /// The section of a node's file.
    pub fn section(&self) -> String {
        if let Some(agent) = &self.agent {
            return format!("consul:\n  host: 127.0.0.1:{}\n", agent.port);
        }
        let hosts = self.servers.iter();
        let hosts: Vec<String> = hosts
            .map(|server| format!("'127.0.0.1:{}'", server.port()))
            .collect();
        let name = match self.servers[0] {
            Server::ZooKeeper(_) => "zookeeper",
            _ => "etcd3",
        };
        format!("{name}:\n  hosts: [{}]\n", hosts.join(", "))
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
        let ports = proc::connected_to(match &self.agent {
            Some(agent) => agent.process.pid(),
            None => node.daemon().pid(),
        })?;
        let asked = |server: &Server| {
            let port = match server {
                Server::Consul(server) => server.server_port,
                server => server.port(),
            };
            ports.contains(&port)
        };
        let asked = self.servers.iter().position(asked);
        asked.with_context(|| format!("connected to {ports:?}"))
    }
}
