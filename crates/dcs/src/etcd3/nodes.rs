//! The connections: one client per node.

use etcd_client::{Channel, Client, ConnectOptions, ResponseHeader};
use tokio::time::Instant;

use super::channel;
use super::failure::Failure;
use crate::store::Timings;
use crate::topology::{Options, Topology, discover};

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
        let patience = channel::Patience {
            connect: self.topology.connect_timeout(),
            timings: self.timings(),
        };
        let channel = channel::open(url, &self.topology.options, patience).await?;
        let plain = ConnectOptions::new().with_require_leader(true);
        let Some((user, password)) = self.topology.credentials() else {
            return client(channel, plain)
                .await
                .map_err(|error| Failure::of(&error));
        };
        tracing::info!("Trying to authenticate on Etcd...");
        let options = plain
            .clone()
            .with_user(user, password.expose())
            .with_auto_token_refresh(true);
        match client(channel.clone(), options).await {
            Err(error) if Failure::means_no_authentication(&error) => {
                tracing::info!("Etcd authentication is not enabled");
                client(channel, plain)
                    .await
                    .map_err(|error| Failure::of(&error))
            }
            other => other.map_err(|error| Failure::of(&error)),
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

async fn client(channel: Channel, options: ConnectOptions) -> Result<Client, etcd_client::Error> {
    Client::from_channel(channel, Some(options)).await
}
