//! Carrying out one request within its time, on the nodes that are there.
//!
//! Source: store contract, section 8 (timeout split) and 10 (error classes). This is the only
//! layer that repeats anything.

use std::future::Future;

use etcd_client::{Client, Error};
use tokio::time::{Instant, sleep, timeout};

use super::failure::Failure;
use super::guard::Answer;
use super::nodes::Nodes;
use crate::retry::{Backoff, Effort, Split};

/// A node as a request sees it.
#[derive(Clone)]
pub(super) struct Target {
    pub(super) url: String,
    pub(super) client: Client,
}

impl Nodes {
    /// Makes a request. It ends within the effort's time whatever the nodes do. After
    /// [`Failure::Node`] it may or may not have been carried out, also more than once.
    pub(super) async fn call<T, F, Fut>(&self, effort: Effort, request: F) -> Result<T, Failure>
    where
        T: Answer,
        F: Fn(Target) -> Fut,
        Fut: Future<Output = Result<T, Error>>,
    {
        match effort {
            Effort::Once => self.call_once(&request).await,
            Effort::Until(deadline) => self.call_until(deadline, &request).await,
        }
    }

    async fn call_once<T, F, Fut>(&self, request: &F) -> Result<T, Failure>
    where
        T: Answer,
        F: Fn(Target) -> Fut,
        Fut: Future<Output = Result<T, Error>>,
    {
        let Some(url) = self.order().into_iter().next() else {
            return Err(Failure::Node("no nodes are known".to_owned()));
        };
        let limit = self.single_attempt();
        let result = self.attempt(&url, limit, request).await;
        if let Err(Failure::Node(why)) = &result {
            tracing::error!("Request to server {url} failed: {why}");
            self.move_on_from(&url);
        }
        result
    }

    async fn call_until<T, F, Fut>(&self, deadline: Instant, request: &F) -> Result<T, Failure>
    where
        T: Answer,
        F: Fn(Target) -> Fut,
        Fut: Future<Output = Result<T, Error>>,
    {
        let mut backoff = Backoff::default();
        let mut last = Failure::Node("no time left".to_owned());
        loop {
            let nodes = self.order();
            let left = deadline.saturating_duration_since(Instant::now());
            let Some(split) = Split::of(nodes.len(), left) else {
                return Err(last);
            };
            match self.round(&nodes, split, request).await {
                Ok(answer) => return Ok(answer),
                Err(failure @ Failure::Node(_)) => {
                    last = failure;
                    self.rediscover(deadline).await;
                }
                Err(failure @ Failure::Busy(_)) => last = failure,
                Err(other) => return Err(other),
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let Some(pause) = backoff.pause(left, getrandom::u32().unwrap_or(0)) else {
                return Err(last);
            };
            sleep(pause).await;
        }
    }

    /// Asks one node after the other until one can serve.
    async fn round<T, F, Fut>(
        &self,
        nodes: &[String],
        split: Split,
        request: &F,
    ) -> Result<T, Failure>
    where
        T: Answer,
        F: Fn(Target) -> Fut,
        Fut: Future<Output = Result<T, Error>>,
    {
        let mut last = Failure::Node("no nodes are known".to_owned());
        for (index, url) in nodes.iter().take(split.nodes).enumerate() {
            if index > 0 {
                tracing::info!("Retrying on {url}");
            }
            for _ in 0..split.attempts {
                match self.attempt(url, split.per_attempt, request).await {
                    Ok(answer) => {
                        self.select(url);
                        return Ok(answer);
                    }
                    Err(Failure::Node(why)) => {
                        tracing::error!("Request to server {url} failed: {why}");
                        last = Failure::Node(why);
                    }
                    Err(other) => return Err(other),
                }
            }
            if index + 1 < split.nodes.min(nodes.len()) {
                tracing::info!("Reconnection allowed, looking for another server.");
            }
        }
        Err(last)
    }

    /// One attempt on one node, connecting and authenticating as needed, all within `limit`.
    pub(super) async fn attempt<T, F, Fut>(
        &self,
        url: &str,
        limit: std::time::Duration,
        request: &F,
    ) -> Result<T, Failure>
    where
        T: Answer,
        F: Fn(Target) -> Fut,
        Fut: Future<Output = Result<T, Error>>,
    {
        let result = match timeout(limit, self.attempt_unbounded(url, request)).await {
            Ok(result) => result,
            Err(_) => Err(Failure::Node(format!("no answer within {limit:.1?}"))),
        };
        if matches!(result, Err(Failure::Node(_))) {
            self.forget(url);
        }
        result
    }

    async fn attempt_unbounded<T, F, Fut>(&self, url: &str, request: &F) -> Result<T, Failure>
    where
        T: Answer,
        F: Fn(Target) -> Fut,
        Fut: Future<Output = Result<T, Error>>,
    {
        let answer = match self.send(url, request).await {
            Err(Failure::Token(why)) => {
                if self.options.credentials().is_none() {
                    tracing::error!(
                        critical = true,
                        "Username or password not set, authentication is not possible"
                    );
                    return Err(Failure::Denied(why));
                }
                tracing::error!("{why}");
                self.forget(url); // connecting anew authenticates anew
                self.send(url, request).await?
            }
            other => other?,
        };
        self.judge(answer.header())?;
        Ok(answer)
    }

    async fn send<T, F, Fut>(&self, url: &str, request: &F) -> Result<T, Failure>
    where
        F: Fn(Target) -> Fut,
        Fut: Future<Output = Result<T, Error>>,
    {
        let target = Target {
            url: url.to_owned(),
            client: self.client(url).await?,
        };
        request(target).await.map_err(|error| Failure::of(&error))
    }
}
