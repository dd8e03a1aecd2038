//! The connections: one client per node, and one request on one node.

use patroni_core::Causes;
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Client, Method, RequestBuilder, Response, Url};
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::failure::Failure;
use super::redirect;
use crate::body::{self, first_line};
use crate::store::Timings;
use crate::tls;
use crate::topology::{Options, Reach, Topology};

/// Where the API is, unless the settings say otherwise.
const VERSION_PREFIX: &str = "/v2";

/// As many redirects are followed.
const MOST_REDIRECTS: usize = 3;

/// Everything about reaching the cluster.
pub(super) struct Nodes {
    pub(super) topology: Topology<Client>,
}

/// One request, the same however often it is repeated.
#[derive(Clone, Debug)]
pub(super) struct Request {
    method: Method,
    /// Segments after the prefix of the version, as they are: escaping is done here.
    path: Vec<String>,
    query: Vec<(&'static str, String)>,
    form: Vec<(&'static str, String)>,
}

impl Request {
    /// A request to a path below the prefix of the version, which is cut at its slashes.
    pub(super) fn new(method: Method, path: &str) -> Self {
        Self {
            method,
            path: path.split('/').map(str::to_owned).collect(),
            query: Vec::new(),
            form: Vec::new(),
        }
    }

    pub(super) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.query.push((name, value.into()));
        self
    }

    pub(super) fn with_field(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.form.push((name, value.into()));
        self
    }

    fn url(&self, node: &str, prefix: &str) -> Result<Url, Failure> {
        let unusable = |why: String| Failure::Node(format!("the URL of the node: {why}"));
        let mut url = Url::parse(node).map_err(|error| unusable(error.to_string()))?;
        url.path_segments_mut()
            .map_err(|()| unusable("it cannot have a path".to_owned()))?
            .extend(prefix.split('/').filter(|part| !part.is_empty()))
            .extend(&self.path);
        if !self.query.is_empty() {
            let pairs = self.query.iter().map(|(name, value)| (*name, value));
            url.query_pairs_mut().extend_pairs(pairs);
        }
        Ok(url)
    }
}

/// A success.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    /// The index of the store.
    pub(super) index: u64,
    pub(super) body: Vec<u8>,
}

impl Answer {
    /// The value in the body.
    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        json(&self.body)
    }
}

/// A success in parts, of which each is a line.
pub(super) struct Parts {
    /// The index of the store when the answer began.
    pub(super) index: u64,
    response: Response,
    /// What has come of the next lines.
    rest: Vec<u8>,
}

impl Parts {
    /// The value in the next part; `None` when there are no more. Without a limit, cancel safe.
    pub(super) async fn next<T: DeserializeOwned>(&mut self) -> Result<Option<T>, Failure> {
        loop {
            if let Some(end) = self.rest.iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = self.rest.drain(..=end).collect();
                if !line.trim_ascii().is_empty() {
                    return json(&line).map(Some);
                }
                continue;
            }
            let piece = self.response.chunk().await.map_err(broken)?;
            let Some(piece) = piece else {
                let last = std::mem::take(&mut self.rest);
                let last = Some(last).filter(|last| !last.trim_ascii().is_empty());
                return last.map(|last| json(&last)).transpose();
            };
            if self.rest.len() + piece.len() > body::LARGEST {
                return Err(Failure::Nonsense("a part does not end".to_owned()));
            }
            self.rest.extend_from_slice(&piece);
        }
    }
}

fn json<T: DeserializeOwned>(text: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(text).map_err(|error| {
        let text = String::from_utf8_lossy(text);
        Failure::Nonsense(format!("{error}: {}", first_line(&text)))
    })
}

impl Nodes {
    pub(super) fn new(options: Options, timings: Timings) -> Self {
        Self {
            topology: Topology::new(options, timings),
        }
    }

    /// One attempt on one node, connecting as needed, all within `limit`.
    pub(super) async fn attempt(
        &self,
        url: &str,
        limit: Duration,
        request: &Request,
    ) -> Result<Answer, Failure> {
        let exchanged = match timeout(limit, self.exchange(url, request)).await {
            Ok(exchanged) => exchanged,
            Err(_) => Err(Failure::Node(format!("no answer within {limit:.1?}"))),
        };
        if matches!(exchanged, Err(Failure::Node(_))) {
            self.topology.forget(url);
        }
        exchanged
    }

    async fn exchange(&self, url: &str, request: &Request) -> Result<Answer, Failure> {
        let mut response = self.send(url, request).await?;
        let index = number(&response, INDEX).unwrap_or(0);
        let body = whole(&mut response).await?;
        Ok(Answer { index, body })
    }

    /// Begins an answer that may never end: one part of it comes whenever something happens.
    /// Without a limit, cancel safe for reads.
    pub(super) async fn open(&self, url: &str, request: &Request) -> Result<Parts, Failure> {
        let response = self.send(url, request).await?;
        Ok(Parts {
            index: number(&response, INDEX).unwrap_or(0),
            response,
            rest: Vec::new(),
        })
    }

    /// The beginning of an answer that is a success.
    async fn send(&self, url: &str, request: &Request) -> Result<Response, Failure> {
        let client = self.client(url).await?;
        let prefix = self.topology.options.version_prefix.as_deref();
        let node = request.url(url, prefix.unwrap_or(VERSION_PREFIX))?;
        let mut at = node.clone();
        for _ in 0..=MOST_REDIRECTS {
            let sending = self.prepare(&client, &node, &at, request);
            let response = sending.send().await.map_err(broken)?;
            match redirect::target(&at, &response).map_err(Failure::Node)? {
                Some(next) => at = next,
                None => return self.accept(response).await,
            }
        }
        let why = format!("more than {MOST_REDIRECTS} redirects, the last one to {at}");
        Err(Failure::Node(why))
    }

    /// The request to `node`, which may have sent us on from there.
    fn prepare(&self, client: &Client, node: &Url, at: &Url, request: &Request) -> RequestBuilder {
        let mut sending = client.request(request.method.clone(), at.clone());
        let known = self.topology.order();
        if let Some((user, password)) = self.topology.credentials()
            && redirect::is_trusted(node, at, &known)
        {
            sending = sending.basic_auth(user, Some(password.expose()));
        }
        if !request.form.is_empty() {
            sending = sending.form(&request.form);
        }
        sending
    }

    async fn accept(&self, mut response: Response) -> Result<Response, Failure> {
        self.judge(&response)?;
        match response.status().as_u16() {
            200 | 201 => Ok(response),
            other => Err(Failure::of_answer(other, &whole(&mut response).await?)),
        }
    }

    /// Refuses an answer of a node that fell behind. Errors do not carry the term.
    fn judge(&self, response: &Response) -> Result<(), Failure> {
        let cluster = response.headers().get("X-Etcd-Cluster-Id");
        let cluster = cluster.and_then(|cluster| cluster.to_str().ok());
        match (cluster, number(response, "X-Raft-Term")) {
            (Some(cluster), Some(term)) => {
                let judged = self.topology.judge(cluster, term);
                judged.map_err(Failure::Node)
            }
            (Some(_) | None, _) => Ok(()),
        }
    }

    async fn client(&self, url: &str) -> Result<Client, Failure> {
        if let Some(client) = self.topology.client(url) {
            return Ok(client);
        }
        let options = &self.topology.options;
        let files = tls::Files {
            verify: true,
            cacert: options.cacert.as_deref(),
            cert: options.cert.as_deref(),
            key: options.key.as_deref(),
        };
        let tls = tls::load(url, files).await;
        let tls = tls.map_err(|error| Failure::Node(Causes(&error).to_string()))?;
        let timings = self.topology.timings();
        let client = Client::builder()
            .tls_backend_preconfigured(tls)
            .no_proxy()
            .redirect(Policy::none())
            .connect_timeout(self.topology.connect_timeout())
            .tcp_keepalive(timings.loop_wait + timings.retry_timeout)
            .user_agent(concat!("patroni-rs/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(broken)?;
        self.topology.keep(url, client.clone());
        Ok(client)
    }
}

/// The header with the index of the store at the moment of the answer.
const INDEX: &str = "X-Etcd-Index";

async fn whole(response: &mut Response) -> Result<Vec<u8>, Failure> {
    let body = body::read(response, body::LARGEST).await;
    let body = body.map_err(broken)?;
    body.ok_or_else(|| Failure::Nonsense("the answer does not end".to_owned()))
}

fn number(response: &Response, header: &str) -> Option<u64> {
    response.headers().get(header)?.to_str().ok()?.parse().ok()
}

fn broken(error: reqwest::Error) -> Failure {
    Failure::Node(Causes(&error.without_url()).to_string())
}

impl Reach for Nodes {
    type Client = Client;
    type Failure = Failure;

    fn topology(&self) -> &Topology<Client> {
        &self.topology
    }

    async fn members(&self, url: &str, limit: Duration) -> Result<Vec<String>, Failure> {
        let request = Request::new(Method::GET, "machines");
        let answer = self.attempt(url, limit, &request).await?;
        let text = String::from_utf8_lossy(&answer.body);
        let urls: Vec<String> = text.split(',').map(|url| url.trim().to_owned()).collect();
        if urls.iter().any(|url| Url::parse(url).is_err()) {
            return Err(Failure::Nonsense(first_line(&text)));
        }
        Ok(urls)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_letters_may_stand_in_a_path() {
        let request = Request::new(Method::GET, "keys/service/a b/members/ü?#%/");
        let request = request.with("recursive", "true");
        let url = |prefix| request.url("http://h:2379", prefix).unwrap().to_string();
        let path = "keys/service/a%20b/members/%C3%BC%3F%23%25/?recursive=true";
        assert_eq!(url(VERSION_PREFIX), format!("http://h:2379/v2/{path}"));
        assert_eq!(url("old/v2/"), format!("http://h:2379/old/v2/{path}"));
    }
}
