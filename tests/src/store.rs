//! The store of a test cluster: which kind, and the real server behind it.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;

use crate::consul::Consul;
use crate::etcd::Etcd;
use crate::kubernetes::{self, Kubernetes};
use crate::node::Node;
use crate::proc;
use crate::zookeeper::ZooKeeper;

/// Makes a test for one store, in a module, from each function that takes the store.
#[macro_export]
macro_rules! on_store {
    ($kind:ident in $module:ident: $($name:ident),+ $(,)?) => {
        mod $module {
            $(#[test] fn $name() -> anyhow::Result<()> {
                let store = $crate::StoreKind::$kind;
                if store.is_there(concat!(stringify!($module), "::", stringify!($name))) {
                    super::$name(store)
                } else {
                    Ok(())
                }
            })+
        }
    };
}

/// The store that a cluster uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreKind {
    /// One real etcd server.
    Etcd3,
    /// The same by its API of version 2.
    Etcd2,
    /// The embedded Raft of the nodes themselves.
    Raft,
    /// One real Consul agent.
    Consul,
    /// One real ZooKeeper server.
    ZooKeeper,
    /// One real Kubernetes API server, with ConfigMaps.
    Kubernetes,
}

impl StoreKind {
    /// Whether such a store can be started here. When not, one line says which test is skipped;
    /// it goes past the test runner's capture, because a skipped test must not look like a passed
    /// one.
    pub fn is_there(self, test: &str) -> bool {
        let (there, missing) = match self {
            // The suite does not begin without them.
            Self::Etcd3 | Self::Raft => (true, String::new()),
            Self::Etcd2 => (
                Etcd::has_old_api(),
                "this etcd has no API of version 2".to_owned(),
            ),
            Self::Consul => (Consul::is_installed(), "consul is not installed".to_owned()),
            Self::ZooKeeper => (
                ZooKeeper::is_installed(),
                "ZooKeeper is not installed".to_owned(),
            ),
            Self::Kubernetes => (
                Kubernetes::is_installed(),
                format!(
                    "{} names no program that starts an API server",
                    kubernetes::PROGRAM
                ),
            ),
        };
        if !there {
            let _ = writeln!(std::io::stderr(), "skipped: {test}: {missing}");
        }
        there
    }
}

/// A running store server; it ends when it is dropped.
#[derive(Debug)]
pub enum Server {
    /// etcd.
    Etcd(Etcd),
    /// etcd with its API of version 2.
    Etcd2(Etcd),
    /// Consul.
    Consul(Consul),
    /// ZooKeeper.
    ZooKeeper(ZooKeeper),
    /// A Kubernetes API server.
    Kubernetes(Kubernetes),
}

impl Server {
    /// Starts the server of a kind of store; the embedded one has none.
    ///
    /// # Errors
    /// It is not installed or does not come up.
    pub fn start(kind: StoreKind, dir: &Path) -> Result<Option<Self>> {
        Ok(Some(match kind {
            StoreKind::Raft => return Ok(None),
            StoreKind::Etcd3 => Self::Etcd(Etcd::start(dir)?),
            StoreKind::Etcd2 => Self::Etcd2(Etcd::start_with_old_api(dir)?),
            StoreKind::Consul => Self::Consul(Consul::start(dir)?),
            StoreKind::ZooKeeper => Self::ZooKeeper(ZooKeeper::start(dir)?),
            StoreKind::Kubernetes => Self::Kubernetes(Kubernetes::start(&dir.join("kubernetes"))?),
        }))
    }

    /// The section of a node's file.
    pub fn section(&self) -> String {
        self.section_by(self.port())
    }

    /// The same for nodes that reach it by another port of loopback. (Kubernetes has its port in a
    /// file of its own.)
    pub fn section_by(&self, port: u16) -> String {
        match self {
            Self::Etcd(_) => format!("etcd3:\n  host: 127.0.0.1:{port}\n"),
            Self::Etcd2(_) => format!("etcd:\n  host: 127.0.0.1:{port}\n"),
            Self::Consul(_) => format!("consul:\n  host: 127.0.0.1:{port}\n"),
            Self::ZooKeeper(_) => format!("zookeeper:\n  hosts: ['127.0.0.1:{port}']\n"),
            Self::Kubernetes(_) => kubernetes::SECTION.to_owned(),
        }
    }

    /// Where clients connect.
    pub fn port(&self) -> u16 {
        match self {
            Self::Etcd(server) | Self::Etcd2(server) => server.port,
            Self::Consul(server) => server.port,
            Self::ZooKeeper(server) => server.port,
            Self::Kubernetes(server) => server.port,
        }
    }

    /// Kills the server, and waits for its end. That of Kubernetes is the API server; its etcd goes
    /// on.
    ///
    /// # Errors
    /// It does not run.
    pub fn kill(&mut self) -> Result<()> {
        match self {
            Self::Etcd(server) | Self::Etcd2(server) => server.process.kill(),
            Self::Consul(server) => server.process.kill(),
            Self::ZooKeeper(server) => server.process.kill(),
            Self::Kubernetes(server) => server.kill()?,
        }
        Ok(())
    }

    /// Starts it again, with what it keeps; [`Self::wait_ready`] tells when it serves.
    ///
    /// # Errors
    /// The program cannot be started.
    pub fn restart(&mut self) -> Result<()> {
        match self {
            Self::Etcd(server) | Self::Etcd2(server) => server.process.restart(),
            Self::Consul(server) => server.process.restart(),
            Self::ZooKeeper(server) => server.process.restart(),
            Self::Kubernetes(server) => server.restart(),
        }
    }

    /// Whether it has ended by itself.
    ///
    /// # Errors
    /// The system does not tell, or there are several processes (Kubernetes).
    pub fn has_ended(&mut self) -> Result<bool> {
        let process = match self {
            Self::Etcd(server) | Self::Etcd2(server) => &mut server.process,
            Self::Consul(server) => &mut server.process,
            Self::ZooKeeper(server) => &mut server.process,
            Self::Kubernetes(_) => bail!("an API server is not alone"),
        };
        Ok(process.exit_code()?.is_some())
    }

    /// Where it keeps its data, when [`Self::start`] got this folder. ZooKeeper's number is there,
    /// too.
    ///
    /// # Errors
    /// It has none of its own (Kubernetes).
    pub fn data_dir(&self, dir: &Path) -> Result<PathBuf> {
        Ok(match self {
            Self::Etcd(_) | Self::Etcd2(_) => dir.join("etcd"),
            Self::Consul(_) => dir.join("consul"),
            Self::ZooKeeper(_) => dir.join("zookeeper").join("version-2"),
            Self::Kubernetes(_) => bail!("an API server keeps nothing itself"),
        })
    }

    /// Waits until it takes requests again.
    ///
    /// # Errors
    /// It does not.
    pub fn wait_ready(&self) -> Result<()> {
        match self {
            Self::Etcd(server) | Self::Etcd2(server) => server.wait_ready(),
            Self::Consul(server) => server.wait_ready(),
            Self::ZooKeeper(server) => server.wait_ready(),
            Self::Kubernetes(server) => server.wait_ready(),
        }
    }

    /// Writes something of no meaning.
    ///
    /// # Errors
    /// The server does not take it.
    pub fn write(&self) -> Result<()> {
        match self {
            Self::Etcd(server) | Self::Etcd2(server) => server.put("/probe", &"x".repeat(2048)),
            Self::Consul(server) => server.register_probe(),
            Self::ZooKeeper(server) => server.open_and_close_session(),
            Self::Kubernetes(_) => bail!("an API server keeps nothing itself"),
        }
    }

    /// Whether it leads the servers of its store.
    ///
    /// # Errors
    /// It does not answer, or is alone always.
    pub fn leads(&self) -> Result<bool> {
        match self {
            Self::Etcd(server) => server.leads(),
            Self::Consul(server) => server.leads(),
            Self::ZooKeeper(server) => server.leads(),
            Self::Etcd2(_) | Self::Kubernetes(_) => bail!("the tests have one of these alone"),
        }
    }

    /// Takes the leader's lock away behind its back: ends the session that holds it or, where there
    /// are none, deletes it.
    ///
    /// # Errors
    /// There is no lock, or the server refuses.
    pub fn take_lock_away(&self) -> Result<()> {
        const LOCK: &str = "/service/demo/leader";
        match self {
            Self::Etcd(server) => server.revoke_lease_of(LOCK),
            Self::Etcd2(server) => server.delete_by_old_api(LOCK),
            Self::Consul(server) => server.end_session_of(LOCK),
            Self::ZooKeeper(server) => server.end_session_of(LOCK),
            Self::Kubernetes(server) => server.delete("configmaps/demo-leader"),
        }
    }

    /// Gives a node what it needs on this store beyond its file.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn welcome(&self, node: &Node) -> Result<()> {
        self.welcome_by(self.port(), node)
    }

    /// The same for a node that reaches it by another port of loopback.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn welcome_by(&self, port: u16, node: &Node) -> Result<()> {
        let Self::Kubernetes(server) = self else {
            return Ok(());
        };
        server.make_pod(&node.name)?;
        let folder = node.dir.join(".kube");
        let file = folder.join("config");
        std::fs::create_dir_all(&folder)?;
        let text = std::fs::read_to_string(server.kubeconfig())?;
        let text = text.replace(&format!(":{}", self.port()), &format!(":{port}"));
        std::fs::write(&file, text)?;
        proc::give_to_runner(&folder)?;
        proc::give_to_runner(&file)
    }

    /// Sends a signal to the server.
    ///
    /// # Errors
    /// It does not run.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        match self {
            Self::Etcd(server) | Self::Etcd2(server) => server.process.signal(signal),
            Self::Consul(server) => server.process.signal(signal),
            Self::ZooKeeper(server) => server.process.signal(signal),
            Self::Kubernetes(server) => server.signal(signal)?,
        }
        Ok(())
    }

    /// The etcd server.
    ///
    /// # Errors
    /// It is another one.
    pub fn etcd(&self) -> Result<&Etcd> {
        match self {
            Self::Etcd(server) | Self::Etcd2(server) => Some(server),
            Self::Consul(_) | Self::ZooKeeper(_) | Self::Kubernetes(_) => None,
        }
        .context("the store is not etcd")
    }
}
