//! The API: operations that are begun and then asked after.

use std::io;
use std::time::Duration;

use patroni_core::Causes;
use reqwest::{Client, Identity, Method, Url};
use serde_json::Value;
use tokio::time::sleep;
use tracing::warn;

use super::{Options, seconds};

/// The API of one Barman.
#[derive(Debug)]
pub(super) struct Api {
    base: Url,
    client: Client,
    attempts: u32,
    pause: Duration,
}

/// How an operation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// It is under way.
    Running,
    /// It has succeeded.
    Done,
    /// It has failed.
    Failed,
}

/// No useful answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum ApiError {
    /// The address is none.
    #[error("read the address of the API: {0}")]
    Address(String),
    /// The certificate or its key cannot be used.
    #[error("read the certificate of the client")]
    Certificate(#[source] io::Error),
    /// No client can be made, for example because no authority is trusted on this machine.
    #[error("prepare requests")]
    Client(#[source] reqwest::Error),
    /// No connection, or it broke.
    #[error("ask {url}")]
    Unanswered {
        /// The address.
        url: Url,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// An answer of another kind.
    #[error("read the answer of {url}: it is no JSON")]
    NoJson {
        /// The address.
        url: Url,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// Answers without what was asked for.
    #[error("get a useful answer of {url} in {attempts} attempts")]
    Useless {
        /// The address.
        url: Url,
        /// How many.
        attempts: u32,
    },
}

impl ApiError {
    /// The exit code of a task, when there was `no_answer` of use.
    pub(super) fn code(&self, no_answer: u8) -> u8 {
        match self {
            Self::NoJson { .. } => NO_JSON,
            Self::Address(_)
            | Self::Certificate(_)
            | Self::Client(_)
            | Self::Unanswered { .. }
            | Self::Useless { .. } => no_answer,
        }
    }
}

/// The exit code after an answer that is no JSON.
const NO_JSON: u8 = 1;

/// Requests are answered at once: the work is done behind them.
const REQUEST: Duration = Duration::from_mins(1);

/// Repetitions after a connection that failed.
const CONNECTIONS: u32 = 3;

impl Api {
    /// Prepares requests; asks nothing yet.
    ///
    /// # Errors
    /// The address, the certificate or the client.
    pub(super) fn new(options: &Options) -> Result<Self, ApiError> {
        let base = Url::parse(&options.api_url).map_err(|e| ApiError::Address(e.to_string()))?;
        let mut builder = Client::builder().no_proxy().timeout(REQUEST);
        if let Some(identity) = identity(options).map_err(ApiError::Certificate)? {
            builder = builder.identity(identity);
        }
        Ok(Self {
            base,
            client: builder.build().map_err(ApiError::Client)?,
            attempts: options.max_retries,
            pause: seconds(options.retry_wait),
        })
    }

    /// What the API says of itself: `OK` when all is well.
    pub(super) async fn status(&self) -> Result<String, ApiError> {
        let answer = self.ask(&Method::GET, self.url("status")?, None).await?;
        Ok(answer
            .as_str()
            .map_or_else(|| answer.to_string(), str::to_owned))
    }

    /// Begins an operation on a server and gives its number.
    pub(super) async fn begin(&self, server: &str, body: &Value) -> Result<String, ApiError> {
        let url = self.url(&format!("servers/{server}/operations"))?;
        self.ask_until(&Method::POST, url, Some(body), |answer| {
            Some(answer.get("operation_id")?.as_str()?.to_owned())
        })
        .await
    }

    /// How an operation stands.
    pub(super) async fn progress(&self, server: &str, id: &str) -> Result<Progress, ApiError> {
        let url = self.url(&format!("servers/{server}/operations/{id}"))?;
        self.ask_until(&Method::GET, url, None, |answer| {
            match answer.get("status")?.as_str()? {
                "IN_PROGRESS" => Some(Progress::Running),
                "DONE" => Some(Progress::Done),
                "FAILED" => Some(Progress::Failed),
                _ => None,
            }
        })
        .await
    }

    /// Begins an operation and asks after it until it has ended; `true` when it succeeded. An
    /// operation takes as long as it takes: the caller's own end is the only limit.
    pub(super) async fn complete(
        &self,
        server: &str,
        body: &Value,
        pause: Duration,
    ) -> Result<bool, ApiError> {
        let id = self.begin(server, body).await?;
        tracing::info!("operation {id} has begun on {server}");
        loop {
            match self.progress(server, &id).await? {
                Progress::Done => return Ok(true),
                Progress::Failed => return Ok(false),
                Progress::Running => sleep(pause).await,
            }
        }
    }

    fn url(&self, path: &str) -> Result<Url, ApiError> {
        let joined = self.base.join(path);
        joined.map_err(|error| ApiError::Address(error.to_string()))
    }

    /// Repeats a request until its answer holds what is looked for.
    async fn ask_until<T>(
        &self,
        method: &Method,
        url: Url,
        body: Option<&Value>,
        find: impl Fn(&Value) -> Option<T>,
    ) -> Result<T, ApiError> {
        for attempt in 1..=self.attempts {
            let answer = self.ask(method, url.clone(), body).await?;
            if let Some(found) = find(&answer) {
                return Ok(found);
            }
            warn!(
                "Attempt {attempt} of {} on method {method} {} failed with {answer}.",
                self.attempts,
                url.path()
            );
            if attempt < self.attempts {
                sleep(self.pause).await;
            }
        }
        Err(ApiError::Useless {
            url,
            attempts: self.attempts,
        })
    }

    /// One request; only a connection that failed is tried again. The status of the answer does
    /// not matter: a refusal is JSON, too.
    async fn ask(
        &self,
        method: &Method,
        url: Url,
        body: Option<&Value>,
    ) -> Result<Value, ApiError> {
        let mut left = CONNECTIONS;
        let text = loop {
            match self.send(method, &url, body).await {
                Ok(text) => break text,
                Err(reason) if reason.is_connect() && left > 0 => {
                    left -= 1;
                    warn!("failed to ask {url}, trying again: {}", Causes(&reason));
                }
                Err(source) => return Err(ApiError::Unanswered { url, source }),
            }
        };
        serde_json::from_str(&text).map_err(|source| ApiError::NoJson { url, source })
    }

    async fn send(
        &self,
        method: &Method,
        url: &Url,
        body: Option<&Value>,
    ) -> Result<String, reqwest::Error> {
        let mut request = self.client.request(method.clone(), url.clone());
        if let Some(body) = body {
            request = request.json(body);
        }
        // The address is in our own message.
        let answer = request.send().await.map_err(reqwest::Error::without_url)?;
        answer.text().await.map_err(reqwest::Error::without_url)
    }
}

/// Certificate and key, which may also stand in one file.
fn identity(options: &Options) -> io::Result<Option<Identity>> {
    let Some(certificate) = &options.cert_file else {
        return Ok(None);
    };
    let mut pem = std::fs::read(certificate)?;
    if let Some(key) = &options.key_file {
        pem.push(b'\n');
        pem.extend(std::fs::read(key)?);
    }
    let identity = Identity::from_pem(&pem).map_err(io::Error::other)?;
    Ok(Some(identity))
}
