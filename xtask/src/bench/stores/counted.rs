//! A store's server, and the place where what it is asked is counted.

use std::net::TcpListener;
use std::path::Path;

use anyhow::{Context, Result};
use patroni_tests::StoreKind;
use patroni_tests::etcd::Etcd;
use patroni_tests::ports;
use patroni_tests::store::Server;
use patroni_tests::tap::{Language, Requests, Tap};

/// A server and its count.
pub(super) struct Counted {
    pub(super) server: Server,
    /// Where the server itself does not count everything: etcd's version 2 API leaves out what
    /// waits, Consul forgets after a while, and ZooKeeper knows no kinds.
    tap: Option<Tap>,
}

impl Counted {
    /// Starts the server of a kind of store.
    ///
    /// # Errors
    /// It does not come up, or there is none (Raft).
    pub(super) fn start(kind: StoreKind, dir: &Path) -> Result<Self> {
        let language = match kind {
            StoreKind::Etcd2 | StoreKind::Consul => Some(Language::Http),
            StoreKind::ZooKeeper => Some(Language::ZooKeeper),
            StoreKind::Etcd3 | StoreKind::Kubernetes | StoreKind::Raft => None,
        };
        let Some(language) = language else {
            let server = Server::start(kind, dir)?.context("the nodes are the store")?;
            return Ok(Self { server, tap: None });
        };
        let listener = TcpListener::bind(("127.0.0.1", ports::free()))?;
        let server = if kind == StoreKind::Etcd2 {
            // Clients ask it where it is, and go there.
            let port = listener.local_addr()?.port();
            Server::Etcd2(Etcd::start_with_old_api_behind(dir, port)?)
        } else {
            Server::start(kind, dir)?.context("the nodes are the store")?
        };
        let tap = Tap::start(listener, server.port(), language)?;
        let tap = Some(tap);
        Ok(Self { server, tap })
    }

    /// The section of a node's file.
    pub(super) fn section(&self) -> String {
        match &self.tap {
            Some(tap) => self.server.section_by(tap.port),
            None => self.server.section(),
        }
    }

    /// What it was asked so far.
    ///
    /// # Errors
    /// It does not tell.
    pub(super) fn requests(&self) -> Result<Requests> {
        match (&self.tap, &self.server) {
            (Some(tap), _) => Ok(tap.requests()),
            (None, Server::Kubernetes(server)) => server.requests(),
            (None, server) => server.etcd()?.requests(),
        }
    }
}
