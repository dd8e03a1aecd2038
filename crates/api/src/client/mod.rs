//! Calls to other members: small requests with a deadline, over one connection each.
//!
//! No proxy settings of the environment are looked at: members talk to members. Redirects are
//! not followed; an answer is an answer.

mod exchange;
mod settings;

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use hyper::{HeaderMap, Method, StatusCode};
use patroni_core::{Causes, Lsn};
use serde_json::Value;
use tokio::time::timeout;

pub use settings::{ClientSettings, Verification};

use crate::error::{ClientError, ClientErrorKind, TlsError};
use crate::wire::{FailsafeBody, PeerStatus};
use exchange::Exchange;

/// A client with its credentials and trust. Cheap to clone; clones share what a
/// [`Client::reload`] brings.
#[derive(Clone, Debug)]
pub struct Client {
    exchange: Arc<RwLock<Exchange>>,
}

/// An answer, read to its end.
#[derive(Clone, Debug)]
pub struct Response {
    /// The code.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Client {
    /// A client. Certificate files are read now.
    ///
    /// # Errors
    /// The TLS files cannot be used.
    pub fn new(settings: &ClientSettings) -> Result<Self, TlsError> {
        Ok(Self {
            exchange: Arc::new(RwLock::new(Exchange::new(settings)?)),
        })
    }

    /// Takes other settings for the calls from now on. Certificate files are read again in any
    /// case, so that a renewed certificate is taken up.
    ///
    /// # Errors
    /// The TLS files cannot be used. The client goes on with the old settings.
    pub fn reload(&self, settings: &ClientSettings) -> Result<(), TlsError> {
        let exchange = Exchange::new(settings)?;
        *self
            .exchange
            .write()
            .unwrap_or_else(PoisonError::into_inner) = exchange;
        Ok(())
    }

    fn exchange(&self) -> Exchange {
        let exchange = self.exchange.read().unwrap_or_else(PoisonError::into_inner);
        exchange.clone()
    }

    /// Sends a request and reads the answer, all within `deadline`. May be dropped at any time;
    /// whether the other end got the request is then unknown.
    ///
    /// # Errors
    /// No connection, no HTTP, too large an answer, or too late. Codes are no errors.
    pub async fn request(
        &self,
        method: Method,
        url: &str,
        body: Option<&Value>,
        deadline: Duration,
    ) -> Result<Response, ClientError> {
        let exchange = self.exchange();
        match timeout(deadline, exchange.call(method, url, body)).await {
            Ok(done) => done,
            Err(_) => Err(ClientErrorKind::Deadline),
        }
        .map_err(|kind| ClientError {
            url: url.to_owned(),
            kind,
        })
    }

    /// What the member with this API address (`.../patroni`) shows of itself. Every failure is
    /// "unreachable", and is logged as a warning.
    pub async fn peer_status(&self, api_url: &str, deadline: Duration) -> PeerStatus {
        match self.request(Method::GET, api_url, None, deadline).await {
            Ok(response) => PeerStatus::parse(&response.body),
            Err(error) => {
                tracing::warn!("Request failed: GET {api_url} ({})", Causes(&error));
                PeerStatus::Unreachable
            }
        }
    }

    /// Announces to the member with this `/failsafe` address that this leader goes on without the
    /// store. What fails is tried once more, each time within `deadline`: it is safe to repeat.
    ///
    /// # Errors
    /// See [`Client::request`].
    pub async fn failsafe(
        &self,
        url: &str,
        announcement: &FailsafeBody,
        deadline: Duration,
    ) -> Result<FailsafeAnswer, ClientError> {
        let body = announcement.to_value();
        let post = || self.request(Method::POST, url, Some(&body), deadline);
        let response = match post().await {
            Err(_) => post().await?,
            Ok(response) => response,
        };
        if response.status != StatusCode::OK || response.body != "Accepted" {
            let (code, text) = (response.status.as_u16(), response.text());
            return Ok(FailsafeAnswer::Refused { code, text });
        }
        let lsn = response.headers.get("lsn");
        Ok(FailsafeAnswer::Accepted {
            position: lsn
                .and_then(|lsn| lsn.to_str().ok()?.parse().ok())
                .map(Lsn::new),
        })
    }
}

/// What a member says to a failsafe announcement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FailsafeAnswer {
    /// It goes along.
    Accepted {
        /// Its last known received or replayed position.
        position: Option<Lsn>,
    },
    /// It does not.
    Refused {
        /// The HTTP code.
        code: u16,
        /// The body.
        text: String,
    },
}

impl Response {
    /// The body as text; what is no UTF-8 is replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON; `None` when it is none.
    pub fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok()
    }
}
