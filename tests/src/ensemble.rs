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
    /// The name of the section in a node's file.
    section: &'static str,
}

impl Ensemble {
    /// Starts them, and waits until all take requests.
    ///
    /// # Errors
    /// They do not, or the tests know no three servers of this kind.
    pub fn start(kind: StoreKind, dir: &Path) -> Result<Self> {
        let (section, servers, agent) = match kind {
            StoreKind::Etcd3 => {
                let servers = Etcd::cluster(dir, &[(); 3].map(|()| Place::on_loopback()))?;
                let servers = servers.into_iter().map(Server::Etcd).collect();
                ("etcd3", servers, None)
            }
            StoreKind::Consul => {
                let (servers, agent) = Consul::datacenter(dir)?;
                let servers = servers.into_iter().map(Server::Consul).collect();
                ("consul", servers, Some(agent))
            }
            StoreKind::ZooKeeper => {
                let servers = ZooKeeper::ensemble(dir)?;
                let servers = servers.into_iter().map(Server::ZooKeeper).collect();
                ("zookeeper", servers, None)
            }
            StoreKind::Etcd2 | StoreKind::Raft | StoreKind::Kubernetes => {
                bail!("no three servers of {kind:?}")
            }
        };
        let ensemble = Self {
            servers,
            agent,
            section,
        };
        ensemble.servers.iter().try_for_each(Server::wait_ready)?;
        if let Some(agent) = &ensemble.agent {
            agent.wait_ready()?;
        }
        Ok(ensemble)
    }

    /// The section of a node's file.
    pub fn section(&self) -> String {
        if let Some(agent) = &self.agent {
            return format!("{}:\n  host: 127.0.0.1:{}\n", self.section, agent.port);
        }
        let hosts = self.servers.iter();
        let hosts: Vec<String> = hosts
            .map(|server| format!("'127.0.0.1:{}'", server.port()))
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
        let ports = proc::connected_to(match &self.agent {
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
