//! Requests as the routes see them.

use std::time::Duration;

use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use hyper::{HeaderMap, Method, Request};
use serde_json::{Map, Value};
use tokio::time::timeout;

use super::access::Peer;
use crate::wire::{BodyFault, body};

/// The largest body that is read. The largest honest one is a configuration.
const MAX_BODY: usize = 1 << 20;

/// The time for a body to arrive. A connection counts as busy meanwhile and makes no room.
const BODY_TIME: Duration = Duration::from_secs(10);

/// A request, its body unread.
pub(super) struct ApiRequest {
    pub method: Method,
    /// With one leading slash at least; neither decoded nor shortened.
    pub path: String,
    pub query: String,
    pub headers: HeaderMap,
    pub peer: Peer,
    body: Incoming,
}

impl ApiRequest {
    pub(super) fn new(request: Request<Incoming>, peer: Peer) -> Self {
        let (head, body) = request.into_parts();
        Self {
            method: head.method,
            path: head.uri.path().to_owned(),
            query: head.uri.query().unwrap_or_default().to_owned(),
            headers: head.headers,
            peer,
            body,
        }
    }

    /// The first segment of the path, which picks the handler.
    pub(super) fn segment(&self) -> &str {
        let path = self.path.trim_start_matches('/');
        path.split('/').next().unwrap_or_default()
    }

    /// An object with content.
    pub(super) async fn required(self) -> Result<Map<String, Value>, BodyFault> {
        if !self.states_length() {
            return Err(BodyFault::NoLength);
        }
        body::required(&read(self.body).await?)
    }

    /// An object, or nothing. A chunked body is not looked at.
    pub(super) async fn optional(self) -> Result<Map<String, Value>, BodyFault> {
        if !self.states_length() {
            return Ok(Map::new());
        }
        body::optional(&read(self.body).await?)
    }

    fn states_length(&self) -> bool {
        self.headers.contains_key(CONTENT_LENGTH) && !self.headers.contains_key(TRANSFER_ENCODING)
    }
}

async fn read(body: Incoming) -> Result<bytes::Bytes, BodyFault> {
    let Ok(read) = timeout(BODY_TIME, Limited::new(body, MAX_BODY).collect()).await else {
        return Err(BodyFault::TooSlow);
    };
    match read {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => Err(BodyFault::TooLarge),
        Err(_) => Err(BodyFault::NoObject),
    }
}
