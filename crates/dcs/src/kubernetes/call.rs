//! Carrying out one request within its time, on the servers that are there.
//!
//! Source: store contract, section 13 (timeouts, retriable statuses). This is the only layer
//! that repeats anything.

use std::time::Duration;

use futures_util::Stream;
use http::header::RETRY_AFTER;
use http::{HeaderMap, StatusCode};
use http_body_util::{BodyExt, Limited};
use kube::client::Body;
use kube::core::WatchEvent;
use serde::de::DeserializeOwned;
use tokio::time::{Instant, sleep, timeout};

use super::failure::Failure;
use super::object::Object;
use super::request::Request;
use super::servers::Servers;
use crate::retry::{Backoff, Effort, Split};

/// A cluster's objects are small; this bounds one answer far above what they come to.
const LARGEST_ANSWER: usize = 64 << 20;

impl Servers {
    /// Makes a request and reads the answer. It ends within the effort's time whatever the
    /// servers do. After [`Failure::Node`] and [`Failure::Busy`] it may or may not have been
    /// carried out, also more than once.
    pub(super) async fn call<T: DeserializeOwned>(
        &self,
        effort: Effort,
        request: &Request,
    ) -> Result<T, Failure> {
        let result = match effort {
            Effort::Once => self.call_once(request).await,
            Effort::Until(deadline) => self.call_until(deadline, request).await,
        };
        match &result {
            Err(Failure::Forbidden(why)) => tracing::error!(error = %why, "Permission denied"),
            Err(Failure::Unauthorized(why) | Failure::Rejected(why)) => {
                tracing::error!(error = %why, "Unexpected error from Kubernetes API");
            }
            Ok(_)
            | Err(
                Failure::Node(_)
                | Failure::Busy { .. }
                | Failure::Conflict(_)
                | Failure::Absent(_)
                | Failure::Nonsense(_),
            ) => {}
        }
        let body = result?;
        serde_json::from_slice(&body)
            .map_err(|error| Failure::Nonsense(format!("answer to {request}: {error}")))
    }

    async fn call_once(&self, request: &Request) -> Result<Vec<u8>, Failure> {
        let Some(url) = self.order().into_iter().next() else {
            return Err(Failure::Node("no API servers are known".to_owned()));
        };
        let result = self.attempt(&url, self.single_attempt(), request).await;
        if let Err(Failure::Node(why)) = &result {
            tracing::error!("Request to server {url} failed: {why}");
            self.move_on_from(&url);
        }
        result
    }

    async fn call_until(&self, deadline: Instant, request: &Request) -> Result<Vec<u8>, Failure> {
        let mut backoff = Backoff::default();
        let mut last = Failure::Node("no time left".to_owned());
        loop {
            let servers = self.order();
            let left = deadline.saturating_duration_since(Instant::now());
            let Some(split) = Split::of_api_servers(servers.len(), left) else {
                return Err(last);
            };
            let asked_for = match self.round(&servers, split, request).await {
                Ok(answer) => return Ok(answer),
                Err(Failure::Busy { why, after }) => {
                    last = Failure::Busy { why, after };
                    self.move_on();
                    after
                }
                Err(failure @ Failure::Node(_)) => {
                    last = failure;
                    None
                }
                Err(other) => return Err(other),
            };
            let left = deadline.saturating_duration_since(Instant::now());
            let own = backoff.pause(left, getrandom::u32().unwrap_or(0));
            let Some(pause) = asked_for.or(own).filter(|pause| *pause < left) else {
                return Err(last);
            };
            sleep(pause).await;
        }
    }

    /// The current server answered that it cannot serve now: another one may.
    fn move_on(&self) {
        if let Some(url) = self.order().first() {
            self.move_on_from(url);
        }
    }

    /// Asks one server after the other until one answers.
    async fn round(
        &self,
        servers: &[String],
        split: Split,
        request: &Request,
    ) -> Result<Vec<u8>, Failure> {
        let mut last = Failure::Node("no API servers are known".to_owned());
        for (index, url) in servers.iter().take(split.nodes).enumerate() {
            if index > 0 {
                tracing::info!("Retrying on {url}");
            }
            for _ in 0..split.attempts {
                match self.attempt(url, split.per_attempt, request).await {
                    Err(Failure::Node(why)) => {
                        tracing::error!("Request to server {url} failed: {why}");
                        last = Failure::Node(why);
                    }
                    answered => {
                        self.select(url);
                        return answered;
                    }
                }
            }
        }
        Err(last)
    }

    /// One attempt on one server, all within `limit`.
    pub(super) async fn attempt(
        &self,
        url: &str,
        limit: Duration,
        request: &Request,
    ) -> Result<Vec<u8>, Failure> {
        let result = match timeout(limit, self.attempt_unbounded(url, request)).await {
            Ok(result) => result,
            Err(_) => Err(Failure::Node(format!("no answer within {limit:.1?}"))),
        };
        if matches!(result, Err(Failure::Node(_) | Failure::Unauthorized(_))) {
            self.forget(url); // a new connection reads the files anew
        }
        result
    }

    async fn attempt_unbounded(&self, url: &str, request: &Request) -> Result<Vec<u8>, Failure> {
        match self.send(url, request).await {
            Err(Failure::Unauthorized(_)) => {
                self.forget(url);
                self.send(url, request).await
            }
            other => other,
        }
    }

    async fn send(&self, url: &str, request: &Request) -> Result<Vec<u8>, Failure> {
        let client = self.client(url).await?;
        let sent = http_request(request)?.map(Body::from);
        let answer = client.send(sent).await;
        let (head, body) = answer
            .map_err(|error| Failure::of_transport(&error))?
            .into_parts();
        let body = Limited::new(body, LARGEST_ANSWER).collect().await;
        let body = body
            .map_err(|error| Failure::of_transport(error.as_ref()))?
            .to_bytes();
        if is_success(head.status) {
            return Ok(body.to_vec());
        }
        let after = retry_after(&head.headers);
        Err(Failure::of_status(
            request,
            head.status,
            after,
            &body,
            &self.retriable,
        ))
    }

    /// Opens a stream of events on the current server. Only the opening is bounded, by the time
    /// of one attempt.
    pub(super) async fn open(
        &self,
        request: &Request,
    ) -> Result<impl Stream<Item = Result<WatchEvent<Object>, kube::Error>> + use<>, Failure> {
        let Some(url) = self.order().into_iter().next() else {
            return Err(Failure::Node("no API servers are known".to_owned()));
        };
        let limit = self.single_attempt();
        let opened = match timeout(limit, self.open_on(&url, request)).await {
            Ok(result) => result,
            Err(_) => Err(Failure::Node(format!("no answer within {limit:.1?}"))),
        };
        if let Err(Failure::Node(_) | Failure::Unauthorized(_)) = &opened {
            self.forget(&url);
            self.move_on_from(&url);
        }
        opened
    }

    async fn open_on(
        &self,
        url: &str,
        request: &Request,
    ) -> Result<impl Stream<Item = Result<WatchEvent<Object>, kube::Error>> + use<>, Failure> {
        let client = self.client(url).await?;
        let events = client
            .request_events::<Object>(http_request(request)?)
            .await;
        let events = events.map_err(|error| Failure::of_watch(request, &error))?;
        Ok(events)
    }
}

fn http_request(request: &Request) -> Result<http::Request<Vec<u8>>, Failure> {
    let made = request.to_http();
    made.map_err(|error| Failure::Rejected(format!("{request}: {error}")))
}

/// What the reference takes for success (store contract, section 13).
fn is_success(status: StatusCode) -> bool {
    (200..=205).contains(&status.as_u16())
}

/// The seconds after which the server wants to be asked again.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    seconds.parse().ok().map(Duration::from_secs)
}
