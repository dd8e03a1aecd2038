//! Carrying out one request within its time, on the nodes that are there.
//!
//! Source: store contract, section 8 (timeout split). This is the only layer that repeats
//! anything.

use std::fmt::Display;
use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::discover::rediscover;
use super::nodes::Topology;
use crate::retry::{Backoff, Effort, Split};

/// How one protocol reaches the nodes.
pub(crate) trait Reach: Sync {
    /// The client of one node.
    type Client: Clone + Send;
    /// Why a request failed.
    type Failure: Failed;

    /// The nodes.
    fn topology(&self) -> &Topology<Self::Client>;

    /// Asks one node for the URLs of all, within `limit`.
    fn members(
        &self,
        url: &str,
        limit: Duration,
    ) -> impl Future<Output = Result<Vec<String>, Self::Failure>> + Send;
}

/// A failure as far as it concerns the nodes.
pub(crate) trait Failed: Display + Send {
    /// That of a node that could not be asked.
    fn of_node(why: String) -> Self;

    /// What it asks of whoever made the request.
    fn asks(&self) -> Asks;

    /// Whether every node will say the same: we may not.
    fn is_denied(&self) -> bool;
}

/// What a failure asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asks {
    /// To try another node.
    AnotherNode,
    /// To come again later.
    #[cfg(feature = "etcd3")]
    Patience,
    /// Nothing: it is the answer.
    Nothing,
}

/// Makes a request, each attempt of which is given a node and its time. It ends within the
/// effort's time whatever the nodes do. After a failure that asks for another node it may or may
/// not have been carried out, also more than once.
pub(crate) async fn call<N, T, A, F>(nodes: &N, effort: Effort, attempt: A) -> Result<T, N::Failure>
where
    N: Reach,
    A: Fn(String, Duration) -> F,
    F: Future<Output = Result<T, N::Failure>>,
{
    match effort {
        Effort::Once => call_once(nodes, &attempt).await,
        Effort::Until(deadline) => call_until(nodes, deadline, &attempt).await,
    }
}

fn no_nodes<E: Failed>() -> E {
    E::of_node("no nodes are known".to_owned())
}

async fn call_once<N, T, A, F>(nodes: &N, attempt: &A) -> Result<T, N::Failure>
where
    N: Reach,
    A: Fn(String, Duration) -> F,
    F: Future<Output = Result<T, N::Failure>>,
{
    let topology = nodes.topology();
    let Some(url) = topology.order().into_iter().next() else {
        return Err(no_nodes());
    };
    let result = attempt(url.clone(), topology.single_attempt()).await;
    if let Err(failure) = &result
        && failure.asks() == Asks::AnotherNode
    {
        tracing::error!("Request to server {url} failed: {failure}");
        topology.move_on_from(&url);
    }
    result
}

async fn call_until<N, T, A, F>(nodes: &N, deadline: Instant, attempt: &A) -> Result<T, N::Failure>
where
    N: Reach,
    A: Fn(String, Duration) -> F,
    F: Future<Output = Result<T, N::Failure>>,
{
    let mut backoff = Backoff::default();
    let mut last = N::Failure::of_node("no time left".to_owned());
    loop {
        let order = nodes.topology().order();
        let left = deadline.saturating_duration_since(Instant::now());
        let Some(split) = Split::of(order.len(), left) else {
            return Err(last);
        };
        match round(nodes, &order, split, attempt).await {
            Ok(answer) => return Ok(answer),
            Err(failure) => {
                match failure.asks() {
                    Asks::AnotherNode => rediscover(nodes, deadline).await,
                    #[cfg(feature = "etcd3")]
                    Asks::Patience => {}
                    Asks::Nothing => return Err(failure),
                }
                last = failure;
            }
        }
        let left = deadline.saturating_duration_since(Instant::now());
        let Some(pause) = backoff.pause(left, getrandom::u32().unwrap_or(0)) else {
            return Err(last);
        };
        sleep(pause).await;
    }
}

/// Asks one node after the other until one can serve.
async fn round<N, T, A, F>(
    nodes: &N,
    order: &[String],
    split: Split,
    attempt: &A,
) -> Result<T, N::Failure>
where
    N: Reach,
    A: Fn(String, Duration) -> F,
    F: Future<Output = Result<T, N::Failure>>,
{
    let mut last = no_nodes();
    for (index, url) in order.iter().take(split.nodes).enumerate() {
        if index > 0 {
            tracing::info!("Retrying on {url}");
        }
        for _ in 0..split.attempts {
            match attempt(url.clone(), split.per_attempt).await {
                Ok(answer) => {
                    nodes.topology().select(url);
                    return Ok(answer);
                }
                Err(failure) if failure.asks() == Asks::AnotherNode => {
                    tracing::error!("Request to server {url} failed: {failure}");
                    last = failure;
                }
                Err(other) => return Err(other),
            }
        }
        tracing::info!("Reconnection allowed, looking for another server.");
    }
    Err(last)
}
