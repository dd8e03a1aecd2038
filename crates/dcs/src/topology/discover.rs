//! Finding the nodes of the cluster behind the configured ones.
//!
//! Source: store contract, section 8 (topology discovery).

use std::collections::HashSet;

use tokio::net::lookup_host;
use tokio::time::{Instant, timeout};

use super::call::{Failed, Reach};
use super::nodes::Topology;
use super::options::{Options, Protocol};
use crate::chance::shuffle;
use crate::retry::Split;

/// Asks any configured or known node for the member list and uses what it says. Behind
/// proxies this only shows that somebody answers. Ends by `deadline`.
pub(crate) async fn discover<N: Reach>(nodes: &N, deadline: Instant) -> Result<(), N::Failure> {
    let topology = nodes.topology();
    let left = deadline.saturating_duration_since(Instant::now());
    // Half of the time is for name servers, the other half for nodes.
    let mut candidates = match timeout(left / 2, configured(&topology.options)).await {
        Ok(urls) => urls,
        Err(_) => topology.options.urls(),
    };
    if topology.options.use_proxies && topology.order().is_empty() {
        topology.replace(candidates.clone());
    }
    candidates.extend(topology.order());
    remove_duplicates(&mut candidates);
    let mut last = N::Failure::of_node("no nodes are configured".to_owned());
    for (index, url) in candidates.iter().enumerate() {
        let left = deadline.saturating_duration_since(Instant::now());
        let Some(split) = Split::of(candidates.len() - index, left) else {
            break;
        };
        match nodes.members(url, split.per_attempt).await {
            Ok(urls) => {
                use_members(topology, urls);
                return Ok(());
            }
            Err(failure) if failure.is_denied() => return Err(failure),
            Err(failure) => {
                tracing::error!("Failed to get list of machines from {url}: {failure}");
                last = failure;
            }
        }
    }
    Err(last)
}

/// The same after all nodes failed; that it may fail too changes nothing.
pub(super) async fn rediscover<N: Reach>(nodes: &N, deadline: Instant) {
    if let Err(failure) = discover(nodes, deadline).await {
        tracing::debug!(%failure, "could not renew the list of nodes");
    }
}

fn use_members<C: Clone>(topology: &Topology<C>, mut urls: Vec<String>) {
    for url in &mut urls {
        url.truncate(url.trim_end_matches('/').len());
    }
    urls.retain(|url| !url.is_empty());
    remove_duplicates(&mut urls);
    if topology.options.use_proxies {
        topology.use_configured();
        return;
    }
    if urls.is_empty() {
        return;
    }
    urls.sort();
    let mut known = topology.order();
    known.sort();
    if urls != known || !topology.has_discovered() {
        shuffle(&mut urls);
        topology.replace(urls);
    }
}

/// The configured URLs, or those that SRV records name; a single plain-text host stands for all
/// its addresses.
async fn configured(options: &Options) -> Vec<String> {
    if let Some(srv) = &options.srv {
        let urls = srv.urls(options).await;
        if !urls.is_empty() {
            return urls;
        }
    }
    let urls = options.urls();
    let [url] = urls.as_slice() else {
        return urls;
    };
    let host = match url.strip_prefix("http://") {
        Some(host) if options.protocol == Protocol::Http && !options.use_proxies => host,
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

fn remove_duplicates(urls: &mut Vec<String>) {
    let mut seen = HashSet::new();
    urls.retain(|url| seen.insert(url.clone()));
}
