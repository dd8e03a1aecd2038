//! Requests as the routes see them.

use std::time::Duration;

use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::header::{CONTENT_LENGTH, HeaderName, HeaderValue, TRANSFER_ENCODING};
use hyper::{HeaderMap, Method, Request, StatusCode};
use serde_json::{Map, Value};
use tokio::time::timeout;

use super::access::Peer;
use crate::wire::{Answer, BodyFault, body};

/// The largest body that is read. The largest honest one is a configuration.
const MAX_BODY: usize = 1 << 20;

/// The longest line of a header.
const MAX_LINE: usize = 65_536;

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
            path: without_parameters(head.uri.path()).to_owned(),
            query: head.uri.query().unwrap_or_default().to_owned(),
            headers: head.headers,
            peer,
            body,
        }
    }

    /// What the reference's HTTP layer refuses and ours lets pass.
    pub(super) fn refusal(&self) -> Option<Answer> {
        let is_long = |(name, value): (&HeaderName, &HeaderValue)| {
            name.as_str().len() + ": \r\n".len() + value.len() > MAX_LINE
        };
        let is_refused = self.headers.iter().any(is_long);
        is_refused.then(|| {
            let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
            Answer::error_page_with(status, "Line too long".to_owned())
        })
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

/// The path without what stands behind a semicolon in its last segment.
fn without_parameters(path: &str) -> &str {
    let last = path.rfind('/').unwrap_or_default();
    let end = path[last..].find(';').map(|at| last + at);
    &path[..end.unwrap_or(path.len())]
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_of_the_last_segment_are_no_part_of_the_path() {
        for (path, expected) in [
            ("/patroni;x=1", "/patroni"),
            ("/a;b/primary;c;d", "/a;b/primary"),
            ("/a;b/c", "/a;b/c"),
            ("/", "/"),
            ("*", "*"),
            (";", ""),
        ] {
            assert_eq!(without_parameters(path), expected);
        }
    }
}
