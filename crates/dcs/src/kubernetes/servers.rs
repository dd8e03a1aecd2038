//! The API servers: one client per server, the sticky current server.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::Uri;
use hyper_util::client::legacy::{Client as HttpClient, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use kube::client::{Body, ConfigExt};
use kube::{Client, Config};
use tokio::sync::watch;
use tower::{BoxError, ServiceBuilder};

use super::access::{Access, NoAccess};
use super::failure::Failure;
use super::options::Options;
use crate::retry::Split;
use crate::ring::Ring;
use crate::store::Timings;

/// Probes of a silent connection before it is given up.
const KEEP_ALIVE_PROBES: u32 = 3;

/// Everything about reaching the API; requests go through [`call`](super::call).
pub(super) struct Servers {
    access: Access,
    /// The configured address, and the name that the servers' certificates have to carry.
    home: String,
    server_name: Option<String>,
    pub(super) retriable: Vec<u16>,
    state: Mutex<State>,
    /// Counts the changes of the current server.
    switches: watch::Sender<u64>,
}

struct State {
    ring: Ring,
    clients: HashMap<String, Client>,
    timings: Timings,
}

impl Servers {
    /// Reads where the API is. Nothing is sent yet.
    pub(super) async fn new(options: &Options, timings: Timings) -> Result<Self, NoAccess> {
        let access = Access::find(options);
        let config = access.config().await?;
        let home = config.cluster_url.to_string();
        let host = config.cluster_url.host().map(bare);
        Ok(Self {
            server_name: config.tls_server_name.or(host),
            access,
            retriable: options.retriable_http_codes.clone(),
            state: Mutex::new(State {
                ring: Ring::new(vec![home.clone()]),
                clients: HashMap::new(),
                timings,
            }),
            home,
            switches: watch::Sender::new(0),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn timings(&self) -> Timings {
        self.state().timings
    }

    pub(super) fn set_timings(&self, timings: Timings) {
        self.state().timings = timings;
    }

    /// The configured address.
    pub(super) fn home(&self) -> &str {
        &self.home
    }

    /// All servers, the current one first.
    pub(super) fn order(&self) -> Vec<String> {
        self.state().ring.order()
    }

    /// How one attempt of a request without a budget of its own is bounded.
    pub(super) fn single_attempt(&self) -> Duration {
        let state = self.state();
        let whole = state.timings.retry_timeout;
        Split::of_api_servers(state.ring.len(), whole).map_or(whole, |split| split.per_attempt)
    }

    /// Tells of each change of the current server.
    pub(super) fn switches(&self) -> watch::Receiver<u64> {
        self.switches.subscribe()
    }

    /// The server answered: it becomes the current one.
    pub(super) fn select(&self, url: &str) {
        let selected = self.state().ring.select(url);
        if selected {
            self.announce(url);
        }
    }

    /// The server failed us and nobody else was asked: the next request goes elsewhere.
    pub(super) fn move_on_from(&self, failed: &str) {
        let next = self.state().ring.move_on_from(failed).map(str::to_owned);
        if let Some(url) = next {
            self.announce(&url);
        }
    }

    /// A new list of servers.
    pub(super) fn replace(&self, urls: Vec<String>) {
        let switched = {
            let mut state = self.state();
            let home = &self.home;
            state
                .clients
                .retain(|url, _| url == home || urls.contains(url));
            let switched = state.ring.replace(urls);
            switched.then(|| state.ring.current().map(str::to_owned))
        };
        if let Some(url) = switched.flatten() {
            self.announce(&url);
        }
    }

    fn announce(&self, url: &str) {
        tracing::info!("Selected new K8s API server endpoint {url}");
        self.switches.send_modify(|count| *count += 1);
    }

    /// The client of a server, made now from what the files say if there is none yet.
    pub(super) async fn client(&self, url: &str) -> Result<Client, Failure> {
        let known = self.state().clients.get(url).cloned();
        if let Some(client) = known {
            return Ok(client);
        }
        let fail = |why: String| Failure::Node(format!("cannot connect to {url}: {why}"));
        let mut config = self
            .access
            .config()
            .await
            .map_err(|e| fail(e.to_string()))?;
        config.cluster_url = url.parse::<Uri>().map_err(|e| fail(e.to_string()))?;
        if config.tls_server_name.is_none() {
            config.tls_server_name.clone_from(&self.server_name);
        }
        let timings = self.timings();
        // Credentials may come from a program of the user's, which is waited for.
        let made = tokio::task::spawn_blocking(move || client(&config, timings));
        let client = made
            .await
            .map_err(|error| fail(error.to_string()))?
            .map_err(|error| fail(error.to_string()))?;
        self.state().clients.insert(url.to_owned(), client.clone());
        Ok(client)
    }

    /// Drops the connections to a server.
    pub(super) fn forget(&self, url: &str) {
        self.state().clients.remove(url);
    }
}

/// A client without timeouts, repetitions or logs of its own: all three are ours.
fn client(config: &Config, timings: Timings) -> Result<Client, kube::Error> {
    let namespace = config.default_namespace.clone();
    let https = config.rustls_https_connector_with_connector(connector(timings))?;
    let http = HttpClient::builder(TokioExecutor::new()).build::<_, Body>(https);
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer()?)
        .map_err(BoxError::from)
        .service(http);
    Ok(Client::new(service, namespace))
}

/// Connections that notice within the ttl that the other end is gone (store contract, section
/// 10, on TCP keep-alive).
fn connector(timings: Timings) -> HttpConnector {
    let idle = timings.loop_wait + timings.retry_timeout;
    let between = timings.ttl.saturating_sub(idle) / KEEP_ALIVE_PROBES;
    let mut connector = HttpConnector::new();
    connector.enforce_http(false);
    connector.set_nodelay(true);
    connector.set_keepalive(Some(idle));
    connector.set_keepalive_interval(Some(between.max(Duration::from_secs(1))));
    connector.set_keepalive_retries(Some(KEEP_ALIVE_PROBES));
    connector
}

/// A host without the brackets of an IPv6 address.
fn bare(host: &str) -> String {
    host.trim_start_matches('[')
        .trim_end_matches(']')
        .to_owned()
}
