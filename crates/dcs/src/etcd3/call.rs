//! One request on one node; [`call`](Nodes::call) makes it on those that are there.
//!
//! Source: store contract, section 10 (error classes).

use std::future::Future;
use std::time::Duration;

use etcd_client::{Client, Error};
use tokio::time::timeout;

use super::answer::Answer;
use super::failure::Failure;
use super::nodes::Nodes;
use crate::retry::Effort;
use crate::topology::{Reach, Topology, call};

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
        let request = &request;
        call(self, effort, |url, limit| async move {
            self.attempt(&url, limit, request).await
        })
        .await
    }

    /// One attempt on one node, connecting and authenticating as needed, all within `limit`.
    async fn attempt<T, F, Fut>(
        &self,
        url: &str,
        limit: Duration,
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
            self.topology.forget(url);
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
                if !self.has_credentials() {
                    tracing::error!(
                        critical = true,
                        "Username or password not set, authentication is not possible"
                    );
                    return Err(Failure::Denied(why));
                }
                tracing::error!("{why}");
                self.topology.forget(url); // connecting anew authenticates anew
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

impl Reach for Nodes {
    type Client = Client;
    type Failure = Failure;

    fn topology(&self) -> &Topology<Client> {
        &self.topology
    }

    async fn members(&self, url: &str, limit: Duration) -> Result<Vec<String>, Failure> {
        let request = |Target { mut client, .. }: Target| async move { client.member_list().await };
        let answer = self.attempt(url, limit, &request).await?;
        let members = answer.members().iter();
        let urls = members.flat_map(|member| member.client_urls().iter().cloned());
        Ok(urls.collect())
    }
}
