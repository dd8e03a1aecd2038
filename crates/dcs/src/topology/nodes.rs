//! The known nodes with a client for each, the sticky current one, the stale node guard.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::guard::{Guard, Judgement};
use super::options::{Credentials, Options};
use crate::retry::Split;
use crate::ring::Ring;
use crate::store::Timings;

/// What one process knows of the cluster's nodes. `C` is the client of one node.
pub(crate) struct Topology<C> {
    pub(crate) options: Options,
    state: Mutex<State<C>>,
    /// Counts the changes of the current node.
    switches: watch::Sender<u64>,
}

struct State<C> {
    ring: Ring,
    clients: HashMap<String, C>,
    guard: Guard,
    timings: Timings,
    credentials: Credentials,
    /// The ring holds what the cluster said, not only what was configured.
    discovered: bool,
}

impl<C: Clone> Topology<C> {
    pub(crate) fn new(options: Options, timings: Timings) -> Self {
        let ring = Ring::new(options.urls());
        let credentials = options.credentials();
        Self {
            options,
            state: Mutex::new(State {
                ring,
                clients: HashMap::new(),
                guard: Guard::default(),
                timings,
                credentials,
                discovered: false,
            }),
            switches: watch::Sender::new(0),
        }
    }

    fn state(&self) -> MutexGuard<'_, State<C>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn timings(&self) -> Timings {
        self.state().timings
    }

    pub(crate) fn set_timings(&self, timings: Timings) {
        self.state().timings = timings;
    }

    /// All nodes, the current one first.
    pub(crate) fn order(&self) -> Vec<String> {
        self.state().ring.order()
    }

    /// How one attempt of a request without a budget of its own is bounded.
    pub(crate) fn single_attempt(&self) -> Duration {
        let (split, whole) = self.split();
        split.map_or(whole, |split| split.per_attempt)
    }

    /// How long the making of a connection may take.
    pub(crate) fn connect_timeout(&self) -> Duration {
        let (split, whole) = self.split();
        split.map_or(whole, |split| split.connect_timeout())
    }

    fn split(&self) -> (Option<Split>, Duration) {
        let state = self.state();
        let whole = state.timings.retry_timeout;
        (Split::of(state.ring.len(), whole), whole)
    }

    /// Tells of each change of the current node.
    pub(crate) fn switches(&self) -> watch::Receiver<u64> {
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
    pub(crate) fn move_on_from(&self, failed: &str) {
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
                self.options.is_list || before.current() != state.ring.current()
            };
            state.discovered = true;
            switched.then(|| state.ring.current().map(str::to_owned))
        };
        if let Some(url) = switched.flatten() {
            self.announce(&url);
        }
    }

    /// The configured nodes serve us, and are all there are.
    pub(super) fn use_configured(&self) {
        let first = {
            let mut state = self.state();
            let is_first = !std::mem::replace(&mut state.discovered, true);
            let url = state.ring.current().filter(|_| is_first);
            url.filter(|_| self.options.is_list).map(str::to_owned)
        };
        if let Some(url) = first {
            self.announce(&url);
        }
    }

    fn announce(&self, url: &str) {
        tracing::info!("Selected new etcd server {url}");
        self.switches.send_modify(|count| *count += 1);
    }

    /// The client of a node, if it has one.
    pub(crate) fn client(&self, url: &str) -> Option<C> {
        self.state().clients.get(url).cloned()
    }

    /// Gives a node its client.
    pub(crate) fn keep(&self, url: &str, client: C) {
        self.state().clients.insert(url.to_owned(), client);
    }

    /// Drops the client of a node, and with it its connections.
    pub(crate) fn forget(&self, url: &str) {
        self.state().clients.remove(url);
    }

    /// User and password, as they are now.
    pub(crate) fn credentials(&self) -> Credentials {
        self.state().credentials.clone()
    }

    /// Takes new credentials over and drops all clients: new ones are made with them, and with
    /// the certificate files as they are then.
    pub(crate) fn reconfigure(&self, options: &Options) {
        let mut state = self.state();
        state.credentials = options.credentials();
        state.clients.clear();
    }

    /// Refuses an answer of a node that fell behind, saying why.
    pub(crate) fn judge(&self, cluster: &str, term: u64) -> Result<(), String> {
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
                Err(why)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMINGS: Timings = Timings {
        ttl: Duration::from_secs(30),
        loop_wait: Duration::from_secs(10),
        retry_timeout: Duration::from_secs(10),
    };

    /// As the reference does it: `host`, `url` and `proxy` name the node in use, `hosts` names none.
    #[test]
    fn the_node_in_use_is_told_at_the_start_unless_it_is_the_one_that_was_named() {
        let told = |is_list: bool, found: &str, times: usize| {
            let mut options = Options::new(["a:1"]);
            options.is_list = is_list;
            options.use_proxies = found.is_empty();
            let topology = Topology::<()>::new(options, TIMINGS);
            for _ in 0..times {
                if found.is_empty() {
                    topology.use_configured();
                } else {
                    topology.replace(vec![found.to_owned()]);
                }
            }
            *topology.switches().borrow()
        };
        assert_eq!(told(false, "http://a:1", 1), 0);
        assert_eq!(told(false, "http://b:1", 1), 1);
        assert_eq!(told(true, "http://a:1", 2), 1);
        assert_eq!(told(false, "", 1), 0, "proxies");
        assert_eq!(told(true, "", 2), 1, "proxies");
    }
}
