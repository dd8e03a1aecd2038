//! Answers as values.

use bytes::Bytes;
use hyper::StatusCode;
use patroni_core::json;
use serde::Serialize;

/// What a request gets: code, body and the headers of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The code.
    pub status: StatusCode,
    /// The body.
    pub content: Content,
    /// Headers of this answer alone, such as `lsn`.
    pub headers: Vec<(&'static str, String)>,
}

/// The kinds of bodies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// Only the status line.
    Bare,
    /// `application/json`, already written.
    Json(Bytes),
    /// A sentence; `text/html` for the sake of compatibility.
    Text(Bytes),
    /// A page for people; `text/html` in UTF-8.
    Page(Bytes),
    /// Metrics; `text/plain`.
    Metrics(Bytes),
    /// The HTTP layer's page for a code, with another message than the code's own.
    ErrorPage(Option<String>),
}

impl Answer {
    /// A JSON document in the REST style.
    pub fn json(status: StatusCode, document: &impl Serialize) -> Self {
        Self::of(status, Content::Json(json::spaced(document).into()))
    }

    /// A sentence.
    pub fn text(status: StatusCode, text: impl Into<String>) -> Self {
        Self::of(status, Content::Text(text.into().into()))
    }

    /// The page of a code.
    pub const fn error_page(status: StatusCode) -> Self {
        Self::of(status, Content::ErrorPage(None))
    }

    /// The page of a code with a message.
    pub fn error_page_with(status: StatusCode, message: impl Into<String>) -> Self {
        Self::of(status, Content::ErrorPage(Some(message.into())))
    }

    /// Only a code: 200 or 503.
    pub const fn bare(up: bool) -> Self {
        Self::of(health_code(up), Content::Bare)
    }

    /// An answer without headers of its own.
    pub const fn of(status: StatusCode, content: Content) -> Self {
        Self {
            status,
            content,
            headers: Vec::new(),
        }
    }

    /// The same answer with one more header.
    #[must_use]
    pub fn with_header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// 200 when up, else 503.
pub const fn health_code(up: bool) -> StatusCode {
    if up {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    }
}
