//! Asking the Exhibitors.

use patroni_core::Causes;
use std::time::Duration;

use reqwest::Client;
use tokio::sync::watch;
use tokio::time::sleep;

use super::Options;
use super::answer::{self, Servers};
use crate::body;
use crate::chance::shuffle;
use crate::crypto;

/// How long one Exhibitor may take.
const PATIENCE: Duration = Duration::from_millis(3100);

/// How soon they are asked again when none answered: about one cycle.
const AGAIN: Duration = Duration::from_secs(10);

/// An answer is a few lines.
const LARGEST_ANSWER: usize = 1 << 20;

/// The Exhibitors that are known.
pub(super) struct Directory {
    http: Client,
    configured: Vec<String>,
    port: u16,
    /// The servers of the last answer, beside each of which an Exhibitor runs.
    learnt: Vec<String>,
}

impl Directory {
    /// Nobody is asked yet.
    ///
    /// # Errors
    /// The HTTP client cannot be made.
    pub(super) fn new(options: Options) -> Result<Self, reqwest::Error> {
        crypto::ensure_provider();
        Ok(Self {
            http: Client::builder().no_proxy().timeout(PATIENCE).build()?,
            configured: options.hosts,
            port: options.port,
            learnt: Vec::new(),
        })
    }

    /// All Exhibitors, in the order of asking: the last known servers first, each group by
    /// chance.
    pub(super) fn known(&self) -> Vec<String> {
        let (mut first, mut then) = (self.learnt.clone(), self.configured.clone());
        shuffle(&mut first);
        shuffle(&mut then);
        then.retain(|host| !first.contains(host));
        first.into_iter().chain(then).collect()
    }

    /// The addresses of the ensemble, from the first Exhibitor that tells.
    pub(super) async fn ask(&mut self) -> Option<Vec<String>> {
        for host in self.known() {
            match self.ask_one(&host).await {
                Ok(servers) => {
                    self.learnt = servers.names;
                    return Some(servers.addresses);
                }
                Err(why) => tracing::debug!("Exhibitor {host}:{}: {why}", self.port),
            }
        }
        None
    }

    /// The status does not matter, the body does.
    async fn ask_one(&self, host: &str) -> Result<Servers, String> {
        let url = format!("http://{host}:{}/exhibitor/v1/cluster/list", self.port);
        let sent = self.http.get(url).send().await;
        let mut response = sent.map_err(|error| Causes(&error).to_string())?;
        let body = body::read(&mut response, LARGEST_ANSWER).await;
        match body.map_err(|error| Causes(&error).to_string())? {
            Some(body) => answer::read(&body),
            None => Err("the answer is too long".to_owned()),
        }
    }

    /// Asks again and again, and tells of changes. Never ends.
    pub(super) async fn keep(mut self, hosts: watch::Sender<Vec<String>>, interval: Duration) {
        let mut pause = interval;
        loop {
            sleep(pause).await;
            let Some(found) = self.ask().await else {
                pause = interval.min(AGAIN);
                continue;
            };
            pause = interval;
            hosts.send_if_modified(|known| {
                let changed = *known != found;
                if changed {
                    let (old, new) = (known.join(","), found.join(","));
                    tracing::info!("ZooKeeper connection string has changed: {old} => {new}");
                    *known = found;
                }
                changed
            });
        }
    }
}
