//! The connections: one client per node, the sticky current node, the stale node guard.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use etcd_client::{Client, ConnectOptions, ResponseHeader};
use tokio::sync::watch;

use super::failure::Failure;
use super::guard::{Guard, Judgement};
use super::options::Options;
use super::tls;
use crate::error::chain;
use crate::retry::Split;
use crate::ring::Ring;
use crate::store::Timings;

/// etcd refuses clients that ping more often than every 5 s.
const PING_INTERVAL: Duration = Duration::from_secs(6);

/// Everything about reaching the cluster; requests go through [`call`](super::call).
pub(super) struct Nodes {
    pub(super) options: Options,
    state: Mutex<State>,
    /// Counts the changes of the current node.
    switches: watch::Sender<u64>,
}

struct State {
    ring: Ring,
    clients: HashMap<String, Client>,
    guard: Guard,
    timings: Timings,
    /// The ring holds what the cluster said, not only what was configured.
    discovered: bool,
}

impl Nodes {
    pub(super) fn new(options: Options, timings: Timings) -> Self {
        let ring = Ring::new(options.urls());
        Self {
            options,
            state: Mutex::new(State {
                ring,
                clients: HashMap::new(),
                guard: Guard::default(),
                timings,
                discovered: false,
            }),
            switches: watch::Sender::new(0),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn has_credentials(&self) -> bool {
        self.options.credentials().is_some()
    }

    pub(super) fn timings(&self) -> Timings {
        self.state().timings
    }

    pub(super) fn set_timings(&self, timings: Timings) {
        self.state().timings = timings;
    }

    /// All nodes, the current one first.
    pub(super) fn order(&self) -> Vec<String> {
        self.state().ring.order()
    }

    /// How one attempt of a request without a budget of its own is bounded.
    pub(super) fn single_attempt(&self) -> Duration {
        let state = self.state();
        let whole = state.timings.retry_timeout;
        Split::of(state.ring.len(), whole).map_or(whole, |split| split.per_attempt)
    }

    /// Tells of each change of the current node.
    pub(super) fn switches(&self) -> watch::Receiver<u64> {
        self.switches.subscribe()
    }

    /// The node served us: it becomes the current one.
    pub(super) fn select(&self, url: &str) {
        let selected = self.state().ring.select(url);
        if selected {
            self.announce(url);
        }
    }

    /// The node failed us and nobody else was asked: the next request goes elsewhere.
    pub(super) fn move_on_from(&self, failed: &str) {
        let next = self.state().ring.move_on_from(failed).map(str::to_owned);
        if let Some(url) = next {
            self.announce(&url);
        }
    }

    /// Whether the cluster has told its members before.
    pub(super) fn has_discovered(&self) -> bool {
        self.state().discovered
    }

    /// A new list of nodes. The first one says nothing about which node is in use: the clients
    /// of a cluster spread over its nodes, whatever order they were configured in.
    pub(super) fn replace(&self, urls: Vec<String>) {
        let switched = {
            let mut state = self.state();
            state.clients.retain(|url, _| urls.contains(url));
            let switched = if state.discovered {
                state.ring.replace(urls)
            } else {
                let before = std::mem::replace(&mut state.ring, Ring::new(urls));
                before.current() != state.ring.current()
            };
            state.discovered = true;
            switched.then(|| state.ring.current().map(str::to_owned))
        };
        if let Some(url) = switched.flatten() {
            self.announce(&url);
        }
    }

    fn announce(&self, url: &str) {
        tracing::info!("Selected new etcd server {url}");
        self.switches.send_modify(|count| *count += 1);
    }

    /// The client of a node, connected (and authenticated) now if it is not yet.
    ///
    /// Cancel safe: an unfinished client is dropped.
    pub(super) async fn client(&self, url: &str) -> Result<Client, Failure> {
        let known = self.state().clients.get(url).cloned();
        if let Some(client) = known {
            return Ok(client);
        }
        let client = self.connect(url).await?;
        self.state().clients.insert(url.to_owned(), client.clone());
        Ok(client)
    }

    /// Drops the connection to a node.
    pub(super) fn forget(&self, url: &str) {
        self.state().clients.remove(url);
    }

    async fn connect(&self, url: &str) -> Result<Client, Failure> {
        let plain = self.connect_options(url).await?;
        let Some((user, password)) = self.options.credentials() else {
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
        let (timings, split) = {
            let state = self.state();
            let retry_timeout = state.timings.retry_timeout;
            (state.timings, Split::of(state.ring.len(), retry_timeout))
        };
        let connect_timeout = split.map_or(timings.retry_timeout, |split| split.connect_timeout());
        let answer_to_ping = (timings.retry_timeout / 4).max(Duration::from_secs(1));
        let options = ConnectOptions::new()
            .with_connect_timeout(connect_timeout)
            .with_keep_alive(PING_INTERVAL, answer_to_ping)
            .with_keep_alive_while_idle(false)
            .with_tcp_keepalive(timings.loop_wait + timings.retry_timeout)
            .with_require_leader(true);
        if !url.starts_with("https://") {
            return Ok(options);
        }
        match tls::load(&self.options).await {
            Ok(tls) => Ok(options.with_tls(tls)),
            Err(error) => Err(Failure::Node(chain(&error))),
        }
    }

    /// Refuses an answer of a node that fell behind.
    pub(super) fn judge(&self, header: Option<&ResponseHeader>) -> Result<(), Failure> {
        let Some(header) = header else {
            return Ok(());
        };
        let (cluster, term) = (header.cluster_id(), header.raft_term());
        let judgement = self.state().guard.judge(cluster, term);
        match judgement {
            Judgement::Good => Ok(()),
            Judgement::NewCluster { from } => {
                tracing::warn!("Etcd Cluster ID changed from {from} to {cluster}");
                Ok(())
            }
            Judgement::Stale { known } => {
                let why = format!(
                    "Connected to Etcd node with term {term}. Old known term {known}. \
                     Switching to another node."
                );
                tracing::warn!("{why}");
                Err(Failure::Node(why))
            }
        }
    }
}

async fn connect(url: &str, options: ConnectOptions) -> Result<Client, etcd_client::Error> {
    Client::connect([url], Some(options)).await
}
