//! Finding the nodes of the cluster behind the configured ones.
//!
//! Source: store contract, section 8 (topology discovery).

use tokio::net::lookup_host;
use tokio::time::{Instant, timeout_at};

use super::call::Target;
use super::failure::Failure;
use super::nodes::Nodes;
use super::options::Protocol;
use crate::chance::shuffle;
use crate::retry::Split;

impl Nodes {
    /// Asks any configured or known node for the member list and uses what it says. Behind
    /// proxies this only shows that somebody answers. Ends by `deadline`.
    pub(super) async fn discover(&self, deadline: Instant) -> Result<(), Failure> {
        let mut candidates = match timeout_at(deadline, self.configured()).await {
            Ok(urls) => urls,
            Err(_) => self.options.urls(),
        };
        candidates.extend(self.order());
        remove_duplicates(&mut candidates);
        let mut last = Failure::Node("no nodes are configured".to_owned());
        for (index, url) in candidates.iter().enumerate() {
            let left = deadline.saturating_duration_since(Instant::now());
            let Some(split) = Split::of(candidates.len() - index, left) else {
                break;
            };
            let limit = split.per_attempt;
            let request = |Target { mut client, .. }| async move { client.member_list().await };
            match self.attempt(url, limit, &request).await {
                Ok(answer) => {
                    let members = answer.members().iter();
                    let urls = members.flat_map(|member| member.client_urls().iter().cloned());
                    self.use_members(urls.collect());
                    return Ok(());
                }
                Err(Failure::Denied(why)) => return Err(Failure::Denied(why)),
                Err(failure) => {
                    tracing::error!("Failed to get list of machines from {url}: {failure}");
                    last = failure;
                }
            }
        }
        Err(last)
    }

    /// The same after all nodes failed; that it may fail too changes nothing.
    pub(super) async fn rediscover(&self, deadline: Instant) {
        if let Err(failure) = self.discover(deadline).await {
            tracing::debug!(%failure, "could not renew the list of nodes");
        }
    }

    fn use_members(&self, mut urls: Vec<String>) {
        for url in &mut urls {
            url.truncate(url.trim_end_matches('/').len());
        }
        urls.retain(|url| !url.is_empty());
        remove_duplicates(&mut urls);
        if self.options.use_proxies || urls.is_empty() {
            return;
        }
        urls.sort();
        let mut known = self.order();
        known.sort();
        if urls != known || !self.has_discovered() {
            shuffle(&mut urls);
            self.replace(urls);
        }
    }

    /// The configured URLs; a single plain-text host stands for all its addresses.
    async fn configured(&self) -> Vec<String> {
        let urls = self.options.urls();
        let [url] = urls.as_slice() else {
            return urls;
        };
        let host = match url.strip_prefix("http://") {
            Some(host) if self.options.protocol == Protocol::Http && !self.options.use_proxies => {
                host
            }
            Some(_) | None => return urls,
        };
        let found = lookup_host(host).await;
        let found = found.map(|all| all.map(|at| format!("http://{at}")).collect::<Vec<_>>());
        match found {
            Ok(mut all) => {
                remove_duplicates(&mut all);
                all
            }
            Err(error) => {
                tracing::warn!("failed to resolve host {host}: {error}");
                urls
            }
        }
    }
}

fn remove_duplicates(urls: &mut Vec<String>) {
    let mut seen = std::collections::HashSet::new();
    urls.retain(|url| seen.insert(url.clone()));
}
