//! Answers on their way to the wire.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Frame, SizeHint};
use hyper::ext::ReasonPhrase;
use hyper::header::{
    CACHE_CONTROL, CONNECTION, CONTENT_TYPE, DATE, HeaderMap, HeaderName, HeaderValue, SERVER,
};
use hyper::{Response, StatusCode};
use jiff::Timestamp;

use super::connections::Busy;
use super::events::Frames;
use super::line::Departure;
use super::settings::ServerSettings;
use crate::wire::{Answer, Content, error_page};

/// What a request comes to.
#[derive(Debug)]
pub(super) enum Reply {
    /// An answer, known to its end.
    Answer(Answer),
    /// Events, as they come.
    Events(Frames),
}

/// The body of a response.
#[derive(Debug)]
pub(super) enum Body {
    Full(Full<Bytes>),
    /// The connection is busy as long as the events go on: until the server's end or the client's.
    Events(
        Frames,
        Departure,
        #[expect(dead_code, reason = "lives as long as the body")] Busy,
    ),
}

/// The headers that a configuration adds.
#[derive(Debug)]
pub(super) struct Dress {
    server: HeaderValue,
    extra: HeaderMap,
}

impl Dress {
    /// Headers that HTTP does not allow are logged and left out.
    pub(super) fn new(settings: &ServerSettings) -> Self {
        let https: &[(String, String)] = match settings.tls {
            Some(_) => &settings.https_headers,
            None => &[],
        };
        let mut extra = HeaderMap::new();
        for (name, value) in settings.http_headers.iter().chain(https) {
            let name_and_value = HeaderName::try_from(name.as_str())
                .ok()
                .zip(HeaderValue::try_from(value.as_str()).ok());
            if name_and_value.is_none() {
                tracing::error!("Invalid extra header \"{name}\" in the restapi section");
            }
            extra.extend(name_and_value);
        }
        Self {
            server: HeaderValue::try_from(settings.server_tokens.header())
                .unwrap_or(HeaderValue::from_static("Patroni")),
            extra,
        }
    }

    /// The response for an answer.
    pub(super) fn put_on(&self, answer: Answer) -> Response<Body> {
        let (content_type, body, extra) = match answer.content {
            Content::Bare => (None, Bytes::new(), false),
            Content::Json(body) => (Some("application/json"), body, true),
            Content::Text(body) => (Some("text/html"), body, true),
            Content::Page(body) => (Some("text/html; charset=utf-8"), body, true),
            Content::Metrics(body) => (Some("text/plain"), body, true),
            Content::ErrorPage(message) => return self.put_on_page(answer.status, message),
        };
        let mut response = Response::new(Body::Full(Full::new(body)));
        *response.status_mut() = answer.status;
        let headers = response.headers_mut();
        self.put_on_first(headers);
        for (name, value) in answer.headers {
            if let Ok(value) = HeaderValue::try_from(value) {
                headers.insert(HeaderName::from_static(name), value);
            }
        }
        if let Some(content_type) = content_type {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        }
        if extra {
            self.put_on_extra(headers);
        }
        response
    }

    /// A refusal of the HTTP layer: a message of its own is the reason phrase, too, and the
    /// connection ends.
    fn put_on_page(&self, status: StatusCode, message: Option<String>) -> Response<Body> {
        let page = error_page::render(status, message.as_deref());
        let mut response = Response::new(Body::Full(Full::new(page.into())));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        self.put_on_first(headers);
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("text/html;charset=utf-8"),
        );
        if let Some(Ok(reason)) = message.map(ReasonPhrase::try_from) {
            response.extensions_mut().insert(reason);
        }
        response
    }

    /// The response that goes on until its events end. The connection ends with it.
    pub(super) fn put_on_events(
        &self,
        frames: Frames,
        departure: Departure,
        busy: Busy,
    ) -> Response<Body> {
        let mut response = Response::new(Body::Events(frames, departure, busy));
        let headers = response.headers_mut();
        self.put_on_first(headers);
        for (name, value) in [
            (CONTENT_TYPE, "text/event-stream"),
            (CACHE_CONTROL, "no-cache"),
            (CONNECTION, "close"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        self.put_on_extra(headers);
        response
    }

    /// What every answer begins with (rest-api.md 1).
    fn put_on_first(&self, headers: &mut HeaderMap) {
        headers.insert(SERVER, self.server.clone());
        let now = Timestamp::now().strftime("%a, %d %b %Y %H:%M:%S GMT");
        if let Ok(now) = HeaderValue::try_from(now.to_string()) {
            headers.insert(DATE, now);
        }
    }

    fn put_on_extra(&self, headers: &mut HeaderMap) {
        for (name, value) in &self.extra {
            headers.insert(name.clone(), value.clone());
        }
    }

    /// The answer when a request was not finished in time.
    pub(super) fn too_late(&self) -> Response<Body> {
        self.put_on(Answer::error_page(StatusCode::GATEWAY_TIMEOUT))
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.get_mut() {
            Self::Full(body) => Pin::new(body).poll_frame(cx),
            Self::Events(frames, departure, _) => match departure.poll_next(cx) {
                Poll::Pending => frames.poll_next(cx),
                sign @ Poll::Ready(_) => sign,
            }
            .map(|frame| frame.map(|frame| Ok(Frame::data(frame)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Full(body) => body.is_end_stream(),
            Self::Events(..) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Full(body) => body.size_hint(),
            Self::Events(..) => SizeHint::default(),
        }
    }
}
