//! Answers on their way to the wire.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, SERVER};
use hyper::{Response, StatusCode};

use super::settings::ServerSettings;
use crate::wire::{Answer, Content, error_page};

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
    pub(super) fn put_on(&self, answer: Answer) -> Response<Full<Bytes>> {
        let (content_type, body, extra) = match answer.content {
            Content::Bare => (None, Bytes::new(), false),
            Content::Json(body) => (Some("application/json"), body, true),
            Content::Text(body) => (Some("text/html"), body, true),
            Content::Metrics(body) => (Some("text/plain"), body, true),
            Content::ErrorPage(message) => {
                let page = error_page::render(answer.status, message.as_deref());
                (Some("text/html;charset=utf-8"), page.into(), false)
            }
        };
        let mut response = Response::new(Full::new(body));
        *response.status_mut() = answer.status;
        let headers = response.headers_mut();
        headers.insert(SERVER, self.server.clone());
        for (name, value) in answer.headers {
            if let Ok(value) = HeaderValue::try_from(value) {
                headers.insert(HeaderName::from_static(name), value);
            }
        }
        if let Some(content_type) = content_type {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        }
        if extra {
            for (name, value) in &self.extra {
                headers.insert(name.clone(), value.clone());
            }
        }
        response
    }

    /// The answer when a request was not finished in time.
    pub(super) fn too_late(&self) -> Response<Full<Bytes>> {
        self.put_on(Answer::error_page(StatusCode::GATEWAY_TIMEOUT))
    }
}
