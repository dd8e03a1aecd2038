//! `cargo xtask servers`: real servers of every store, to try a node or a test on.

mod exhibitor;
mod running;

use std::path::Path;

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand, ValueEnum};
use patroni_tests::consul::Consul;
use patroni_tests::etcd::Etcd;
use patroni_tests::kubernetes::{self, Kubernetes};
use patroni_tests::proc;
use patroni_tests::store::Server;
use patroni_tests::zookeeper::ZooKeeper;

use crate::needs::{self, Need};
use running::{Process, Running};

/// Options of `cargo xtask servers`.
#[derive(Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Start the server of a store, or of all that are installed, and print the section to paste.
    Up {
        /// The store.
        store: Option<Store>,
        /// Install what is missing, where that is known how (Debian, as root).
        #[arg(long)]
        install: bool,
    },
    /// End what `up` started, and remove its folders.
    Down {
        /// Only this store.
        store: Option<Store>,
    },
    /// Tell what runs, where, and what is not installed.
    Status {
        /// Only this store.
        store: Option<Store>,
    },
    /// Answer as an Exhibitor that knows one server; `up exhibitor` starts this.
    #[command(hide = true)]
    Exhibitor {
        /// Where to listen.
        port: u16,
        /// The port of the ZooKeeper server.
        zookeeper: u16,
    },
}

/// The stores that are servers, by the names of their sections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Store {
    /// etcd by its API of version 2.
    Etcd,
    /// etcd.
    Etcd3,
    /// Consul.
    Consul,
    /// ZooKeeper.
    Zookeeper,
    /// Something that answers as an Exhibitor, with a ZooKeeper server behind it.
    Exhibitor,
    /// A Kubernetes API server.
    Kubernetes,
}

impl Store {
    const fn name(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::Etcd3 => "etcd3",
            Self::Consul => "consul",
            Self::Zookeeper => "zookeeper",
            Self::Exhibitor => "exhibitor",
            Self::Kubernetes => "kubernetes",
        }
    }

    /// What is missing, and how to get it. `None` when it can be started.
    fn missing(self) -> Option<String> {
        match self {
            Self::Etcd | Self::Etcd3 if !Etcd::is_installed() => Some(needs::advice(Need::Etcd)),
            Self::Etcd if !Etcd::has_old_api() => {
                Some("this etcd has no API of version 2: etcd before 3.6 has it".to_owned())
            }
            Self::Consul if !Consul::is_installed() => Some(
                "the Consul server is not installed; Debian had it up to release 11: as root, \
                 `cargo xtask servers up consul --install` takes it from there"
                    .to_owned(),
            ),
            Self::Zookeeper | Self::Exhibitor if !needs::is_met(Need::ZooKeeper) => {
                Some(needs::advice(Need::ZooKeeper))
            }
            Self::Kubernetes if !Kubernetes::is_installed() => Some(format!(
                "{} names no program that starts an API server (see docs/src/kubernetes.md)",
                kubernetes::PROGRAM
            )),
            Self::Etcd
            | Self::Etcd3
            | Self::Consul
            | Self::Zookeeper
            | Self::Exhibitor
            | Self::Kubernetes => None,
        }
    }

    fn install(self) -> Result<()> {
        match self {
            Self::Etcd | Self::Etcd3 => needs::ensure(&[Need::Etcd]),
            Self::Zookeeper | Self::Exhibitor => needs::ensure(&[Need::ZooKeeper]),
            Self::Consul => {
                needs::want_servers();
                Ok(())
            }
            // No distribution has one.
            Self::Kubernetes => Ok(()),
        }
    }
}

/// Starts, ends or shows.
///
/// # Errors
/// A named store is not installed or does not start; something cannot be ended.
pub(crate) fn run(options: &Options) -> Result<()> {
    match options.action {
        Action::Up { store, install } => up(store, install),
        Action::Down { store } => chosen(store).try_for_each(down),
        Action::Status { store } => chosen(store).try_for_each(|store| {
            match (Running::read(store)?, store.missing()) {
                (Some(running), _) => running.show(),
                (None, None) => say!("{}: not started", store.name()),
                (None, Some(missing)) => say!("{}: {missing}", store.name()),
            }
            Ok(())
        }),
        Action::Exhibitor { port, zookeeper } => exhibitor::serve(port, zookeeper),
    }
}

/// The named store, or all.
fn chosen(named: Option<Store>) -> impl Iterator<Item = Store> {
    let all = Store::value_variants().iter().copied();
    all.filter(move |store| named.is_none_or(|named| named == *store))
}

fn up(named: Option<Store>, install: bool) -> Result<()> {
    for store in chosen(named) {
        if install && store.missing().is_some() {
            store.install()?;
        }
        if let Some(missing) = store.missing() {
            if named.is_some() {
                bail!("{missing}");
            }
            say!("{}: {missing}", store.name());
            continue;
        }
        if let Some(running) = Running::read(store)? {
            if running.is_alive() {
                running.show();
                continue;
            }
            running.end()?;
        }
        let running = start(store).with_context(|| format!("start {}", store.name()))?;
        running.show();
    }
    Ok(())
}

fn down(store: Store) -> Result<()> {
    match Running::read(store)? {
        Some(running) => {
            running.end()?;
            say!("{}: ended", store.name());
        }
        None => say!("{}: not started", store.name()),
    }
    Ok(())
}

/// Starts a store in a folder of its own. What was started goes again when the rest fails.
fn start(store: Store) -> Result<Running> {
    let prefix = format!("patroni-servers-{}-", store.name());
    let folder = tempfile::Builder::new().prefix(&prefix).tempdir()?;
    proc::give_to_runner(folder.path())?;
    let mut running = Running::new(store, folder.keep());
    if let Err(error) = start_in(store, &mut running) {
        running.end()?;
        return Err(error);
    }
    Ok(running)
}

fn start_in(store: Store, running: &mut Running) -> Result<()> {
    let dir = running.folder.clone();
    match store {
        Store::Etcd => leave(running, Server::Etcd2(Etcd::start_with_old_api(&dir)?)),
        Store::Etcd3 => leave(running, Server::Etcd(Etcd::start(&dir)?)),
        Store::Consul => leave(running, Server::Consul(Consul::start(&dir)?)),
        Store::Zookeeper => leave(running, Server::ZooKeeper(ZooKeeper::start(&dir)?)),
        Store::Exhibitor => {
            leave(running, Server::ZooKeeper(ZooKeeper::start(&dir)?))?;
            let (process, port) = exhibitor::start(&dir, running.port)?;
            running.section = format!("exhibitor:\n  hosts: [127.0.0.1]\n  port: {port}\n");
            running.port = port;
            running.add(Process::alone("exhibitor", process.leave())?)
        }
        Store::Kubernetes => start_kubernetes(running, &dir),
    }
}

/// Leaves a server running, and notes it.
fn leave(running: &mut Running, server: Server) -> Result<()> {
    running.section = server.section();
    let (name, port, process) = match server {
        Server::Etcd(server) | Server::Etcd2(server) => ("etcd", server.port, server.process),
        Server::Consul(server) => ("consul", server.port, server.process),
        Server::ZooKeeper(server) => ("zookeeper", server.port, server.process),
        Server::Kubernetes(_) => bail!("it ends with this process"),
    };
    running.port = port;
    running.add(Process::alone(name, process.leave())?)
}

fn start_kubernetes(running: &mut Running, dir: &Path) -> Result<()> {
    let home = dir.join("kubernetes");
    let (process, port) = Kubernetes::launch(&home, &dir.join("kubernetes.log"))?;
    running.port = port;
    kubernetes::SECTION.clone_into(&mut running.section);
    running.note = format!(
        "export KUBECONFIG={}\nEach member needs a Pod of its name with the labels \
         application=patroni and cluster-name=SCOPE.",
        home.join("kubeconfig").display()
    );
    running.add(Process::group("kubernetes", process.leave())?)
}
