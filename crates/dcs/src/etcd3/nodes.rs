//! The connections: one client per node.

use patroni_core::Causes;
use std::time::Duration;

use etcd_client::{Client, ConnectOptions, ResponseHeader};
use tokio::time::Instant;

use super::failure::Failure;
use super::tls;
use crate::store::Timings;
use crate::topology::{Options, Topology, discover};

/// etcd refuses clients that ping more often than every 5 s.
const PING_INTERVAL: Duration = Duration::from_secs(6);

/// Everything about reaching the cluster; requests go through [`call`](super::call).
pub(super) struct Nodes {
    pub(super) topology: Topology<Client>,
}

impl Nodes {
    pub(super) fn new(options: Options, timings: Timings) -> Self {
        Self {
            topology: Topology::new(options, timings),
        }
    }

    pub(super) fn has_credentials(&self) -> bool {
        self.topology.credentials().is_some()
    }

    pub(super) fn timings(&self) -> Timings {
        self.topology.timings()
    }

    /// Asks the cluster for its nodes. Ends by `deadline`.
    pub(super) async fn discover(&self, deadline: Instant) -> Result<(), Failure> {
        discover(self, deadline).await
    }

    /// The client of a node, connected (and authenticated) now if it is not yet.
    ///
    /// Cancel safe: an unfinished client is dropped.
    pub(super) async fn client(&self, url: &str) -> Result<Client, Failure> {
        if let Some(client) = self.topology.client(url) {
            return Ok(client);
        }
        let client = self.connect(url).await?;
        self.topology.keep(url, client.clone());
        Ok(client)
    }

    async fn connect(&self, url: &str) -> Result<Client, Failure> {
        let plain = self.connect_options(url).await?;
        let Some((user, password)) = self.topology.credentials() else {
            return connect(url, plain)
                .await
                .map_err(|error| Failure::of(&error));
        };
        tracing::info!("Trying to authenticate on Etcd...");
        let options = plain
            .clone()
            .with_user(user, password.expose())
            .with_auto_token_refresh(true);
        match connect(url, options).await {
            Err(error) if Failure::means_no_authentication(&error) => {
                tracing::info!("Etcd authentication is not enabled");
                connect(url, plain)
                    .await
                    .map_err(|error| Failure::of(&error))
            }
            other => other.map_err(|error| Failure::of(&error)),
        }
    }

    async fn connect_options(&self, url: &str) -> Result<ConnectOptions, Failure> {
        let timings = self.timings();
        let answer_to_ping = (timings.retry_timeout / 4).max(Duration::from_secs(1));
        let options = ConnectOptions::new()
            .with_connect_timeout(self.topology.connect_timeout())
            .with_keep_alive(PING_INTERVAL, answer_to_ping)
            .with_keep_alive_while_idle(false)
            .with_tcp_keepalive(timings.loop_wait + timings.retry_timeout)
            .with_require_leader(true);
        if !url.starts_with("https://") {
            return Ok(options);
        }
        match tls::load(&self.topology.options).await {
            Ok(tls) => Ok(options.with_tls(tls)),
            Err(error) => Err(Failure::Node(Causes(&error).to_string())),
        }
    }

    /// Refuses an answer of a node that fell behind.
    pub(super) fn judge(&self, header: Option<&ResponseHeader>) -> Result<(), Failure> {
        let Some(header) = header else {
            return Ok(());
        };
        let cluster = header.cluster_id().to_string();
        let judged = self.topology.judge(&cluster, header.raft_term());
        judged.map_err(Failure::Node)
    }
}

async fn connect(url: &str, options: ConnectOptions) -> Result<Client, etcd_client::Error> {
    Client::connect([url], Some(options)).await
}
