//! Requests to the agent: each within its time, repeated only here.
//!
//! Source: store contract, section 11 (request timeout, retries) and 7 (back-off).

use patroni_core::Causes;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::header::{HeaderMap, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Client, Method, Url};
use serde::de::DeserializeOwned;
use tokio::time::{Instant, sleep, timeout};

use super::failure::Failure;
use super::options::{Changeable, Options};
use crate::body::{self, first_line};
use crate::retry::{Backoff, Effort};
use crate::store::Timings;
use crate::tls;

/// The agent, and how this process speaks to it at the moment.
pub(super) struct Agent {
    pub(super) options: Options,
    base: Url,
    state: Mutex<State>,
}

struct State {
    changeable: Changeable,
    timings: Timings,
    /// Dropped after each failure of a connection and after a reload, so that the next one is
    /// made with the certificates as they are then.
    client: Option<Client>,
}

/// Whom a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Audience {
    /// The servers of the datacenter, which the agent passes it on to.
    Datacenter,
    /// The agent itself.
    Agent,
}

/// One request, the same however often it is repeated.
#[derive(Clone, Debug)]
pub(super) struct Request {
    audience: Audience,
    method: Method,
    /// Segments after `/v1`, as they are: escaping is done here.
    path: Vec<String>,
    query: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

impl Request {
    /// A request to a path below `/v1`, which is cut at its slashes.
    pub(super) fn new(audience: Audience, method: Method, path: &str) -> Self {
        Self {
            audience,
            method,
            path: path.split('/').map(str::to_owned).collect(),
            query: Vec::new(),
            body: Vec::new(),
        }
    }

    pub(super) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.query.push((name, value.into()));
        self
    }

    pub(super) fn with_body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    fn url(&self, base: &Url, dc: Option<&str>) -> Result<Url, Failure> {
        let mut url = base.clone();
        url.path_segments_mut()
            .map_err(|()| Failure::Denied("the URL of the agent cannot have a path".to_owned()))?
            .push("v1")
            .extend(&self.path);
        let dc = dc.filter(|_| self.audience == Audience::Datacenter);
        if !self.query.is_empty() || dc.is_some() {
            let mut query = url.query_pairs_mut();
            query.extend_pairs(self.query.iter().map(|(name, value)| (*name, value)));
            query.extend_pairs(dc.map(|dc| ("dc", dc)));
        }
        Ok(url)
    }
}

/// What the agent answered: a success, "there is no such thing", or "in conflict".
#[derive(Clone, Debug)]
pub(super) struct Answer {
    status: u16,
    /// The index of a read, for waiting on the next change.
    pub(super) index: Option<u64>,
    body: Vec<u8>,
}

impl Answer {
    /// Whether a read found nothing. Only Consul's own "not found" says so, which carries an
    /// index: that of a stranger at this address must not look like an empty store.
    pub(super) fn found_nothing(&self) -> bool {
        self.is_unknown() && self.index.is_some()
    }

    /// 404: an unknown session, for one.
    pub(super) fn is_unknown(&self) -> bool {
        self.status == 404
    }

    /// 409: a transaction was rolled back.
    pub(super) fn is_conflict(&self) -> bool {
        self.status == 409
    }

    /// Whether the agent did what it was told, of requests that have no other answer.
    pub(super) fn done(&self) -> Result<(), Failure> {
        if self.status == 200 {
            return Ok(());
        }
        let text = String::from_utf8_lossy(&self.body);
        Err(Failure::Rejected(format!(
            "HTTP {}: {}",
            self.status,
            first_line(&text)
        )))
    }

    /// The value in the body.
    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        serde_json::from_slice(&self.body).map_err(|error| {
            let text = String::from_utf8_lossy(&self.body);
            Failure::Nonsense(format!(
                "HTTP {}: {error}: {}",
                self.status,
                first_line(&text)
            ))
        })
    }
}

impl Agent {
    pub(super) fn new(options: Options, timings: Timings) -> Result<Self, Failure> {
        let base = Url::parse(&options.url)
            .map_err(|error| Failure::Denied(format!("the URL of the agent: {error}")))?;
        let state = State {
            changeable: options.changeable.clone(),
            timings,
            client: None,
        };
        Ok(Self {
            options,
            base,
            state: Mutex::new(state),
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

    pub(super) fn changeable(&self) -> Changeable {
        self.state().changeable.clone()
    }

    /// Takes new options over; the next request makes a new connection.
    pub(super) fn change(&self, changeable: Changeable) {
        let mut state = self.state();
        state.changeable = changeable;
        state.client = None;
    }

    /// Makes a request. After [`Failure::Unanswered`] it may or may not have been carried out,
    /// also more than once.
    pub(super) async fn call(&self, effort: Effort, request: &Request) -> Result<Answer, Failure> {
        let longest = self.timings().retry_timeout / 3;
        let deadline = match effort {
            Effort::Once => return self.send(request, longest).await,
            Effort::Until(deadline) => deadline,
        };
        let left = || deadline.saturating_duration_since(Instant::now());
        let mut backoff = Backoff::default();
        let mut last = Failure::Unanswered("no time left".to_owned());
        while !left().is_zero() {
            match self.send(request, longest.min(left())).await {
                Err(failure @ Failure::Unanswered(_)) => last = failure,
                other => return other,
            }
            let chance = getrandom::u32().unwrap_or(0);
            let Some(pause) = backoff.pause(left(), chance) else {
                break;
            };
            tracing::debug!(error = %last, "asking Consul again");
            sleep(pause).await;
        }
        Err(last)
    }

    /// One attempt, connecting as needed, all within `limit`.
    pub(super) async fn send(&self, request: &Request, limit: Duration) -> Result<Answer, Failure> {
        let exchanged = match timeout(limit, self.exchange(request)).await {
            Ok(exchanged) => exchanged,
            Err(_) => Err(Failure::Unanswered(format!("no answer within {limit:.1?}"))),
        };
        let answer = exchanged.inspect_err(|_| self.state().client = None)?;
        match answer.status {
            200 | 404 | 409 => Ok(answer),
            status => {
                let text = String::from_utf8_lossy(&answer.body);
                Err(Failure::of_status(status, &text))
            }
        }
    }

    async fn exchange(&self, request: &Request) -> Result<Answer, Failure> {
        let client = self.client().await?;
        let Changeable { token, dc, .. } = self.changeable();
        let mut headers = HeaderMap::new();
        if let Some(token) = token.filter(|token| !token.is_empty()) {
            let mut value = HeaderValue::from_str(token.expose()).map_err(|_| {
                Failure::Denied("the token has letters that cannot be sent".to_owned())
            })?;
            value.set_sensitive(true);
            headers.insert("X-Consul-Token", value);
        }
        let sent = client
            .request(
                request.method.clone(),
                request.url(&self.base, dc.as_deref())?,
            )
            .headers(headers)
            .body(request.body.clone())
            .send()
            .await;
        let mut response = sent.map_err(broken)?;
        let index = response.headers().get("X-Consul-Index");
        Ok(Answer {
            status: response.status().as_u16(),
            index: index.and_then(|index| index.to_str().ok()?.parse().ok()),
            body: match body::read(&mut response, body::LARGEST)
                .await
                .map_err(broken)?
            {
                Some(body) => body,
                None => return Err(Failure::Nonsense("the answer does not end".to_owned())),
            },
        })
    }

    async fn client(&self) -> Result<Client, Failure> {
        if let Some(client) = &self.state().client {
            return Ok(client.clone());
        }
        let files = tls::Files {
            verify: self.options.verify,
            cacert: self.options.cacert.as_deref(),
            cert: self.options.cert.as_deref(),
            key: self.options.key.as_deref(),
        };
        let tls = tls::load(&self.options.url, files)
            .await
            .map_err(|error| Failure::Unanswered(Causes(&error).to_string()))?;
        let timings = self.timings();
        let client = Client::builder()
            .tls_backend_preconfigured(tls)
            .no_proxy()
            .redirect(Policy::none())
            .tcp_keepalive(timings.loop_wait + timings.retry_timeout)
            .user_agent(concat!("patroni-rs/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(broken)?;
        self.state().client = Some(client.clone());
        Ok(client)
    }
}

fn broken(error: reqwest::Error) -> Failure {
    Failure::Unanswered(Causes(&error.without_url()).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_letters_may_stand_in_a_path() {
        let base = Url::parse("http://h:8500").unwrap();
        let request = Request::new(
            Audience::Datacenter,
            Method::GET,
            "kv/service/a b/members/ü?#%",
        )
        .with("recurse", "1");
        assert_eq!(
            request.url(&base, None).unwrap().as_str(),
            "http://h:8500/v1/kv/service/a%20b/members/%C3%BC%3F%23%25?recurse=1"
        );
        assert_eq!(
            request.url(&base, Some("dc 1")).unwrap().query(),
            Some("recurse=1&dc=dc+1")
        );
        let local = Request::new(Audience::Agent, Method::PUT, "kv/service/demo/");
        assert_eq!(
            local.url(&base, Some("x")).unwrap().as_str(),
            "http://h:8500/v1/kv/service/demo/"
        );
    }
}
