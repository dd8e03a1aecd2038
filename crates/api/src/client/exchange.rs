//! One request over one connection.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper::header::{
    ACCEPT, AUTHORIZATION, CONNECTION, CONTENT_TYPE, HOST, HeaderValue, USER_AGENT,
};
use hyper::{Method, Request, Uri};
use hyper_util::rt::TokioIo;
use patroni_tls::{Proof, ServerVerifier, Trust};
use rustls::client::ResolvesClientCert;
use rustls::sign::SingleCertAndKey;
use rustls_pki_types::ServerName;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::Response;
use super::settings::{ClientSettings, Verification};
use crate::error::{ClientErrorKind, TlsError};
use crate::tls::{self, Identity};

/// The largest answer that is read. The largest honest one is a history.
const MAX_ANSWER: usize = 16 << 20;

/// How requests are sent.
#[derive(Clone)]
pub(super) struct Exchange {
    tls: TlsConnector,
    authorization: Option<HeaderValue>,
}

/// Credentials stay out of debug output.
impl std::fmt::Debug for Exchange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Exchange").finish_non_exhaustive()
    }
}

impl Exchange {
    pub(super) fn new(settings: &ClientSettings) -> Result<Self, TlsError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Verifier)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier(settings)?));
        let config = match &settings.identity {
            None => builder.with_no_client_auth(),
            Some(files) => {
                let single = SingleCertAndKey::from(Identity::load(files)?.0);
                let resolver: Arc<dyn ResolvesClientCert> = Arc::new(single);
                builder.with_client_cert_resolver(resolver)
            }
        };
        let authorization = settings.credentials.as_ref().and_then(|(name, password)| {
            let pair = STANDARD.encode(format!("{name}:{}", password.expose()));
            let mut value = HeaderValue::try_from(format!("Basic {pair}")).ok()?;
            value.set_sensitive(true);
            Some(value)
        });
        Ok(Self {
            tls: TlsConnector::from(Arc::new(config)),
            authorization,
        })
    }

    pub(super) async fn call(
        &self,
        method: Method,
        url: &str,
        body: Option<&Value>,
    ) -> Result<Response, ClientErrorKind> {
        let target = Target::parse(url)?;
        let request = self.request(method, &target, body)?;
        let stream = TcpStream::connect((target.host.as_str(), target.port))
            .await
            .map_err(ClientErrorKind::Connect)?;
        stream.set_nodelay(true).map_err(ClientErrorKind::Connect)?;
        if !target.tls {
            return exchange(stream, request).await;
        }
        let name = ServerName::try_from(target.host)
            .map_err(|_| ClientErrorKind::Address("the host is no name that TLS knows"))?;
        let stream = self
            .tls
            .connect(name, stream)
            .await
            .map_err(ClientErrorKind::Connect)?;
        exchange(stream, request).await
    }

    fn request(
        &self,
        method: Method,
        target: &Target,
        body: Option<&Value>,
    ) -> Result<Request<Full<Bytes>>, ClientErrorKind> {
        let text = body.map(|body| Bytes::from(body.to_string()));
        let mut builder = Request::builder()
            .method(method)
            .uri(target.path.as_str())
            .header(HOST, target.authority.as_str())
            .header(
                USER_AGENT,
                concat!("patroni-rs/", env!("CARGO_PKG_VERSION")),
            )
            .header(ACCEPT, "*/*")
            .header(CONNECTION, "close");
        if let Some(authorization) = &self.authorization {
            builder = builder.header(AUTHORIZATION, authorization);
        }
        if text.is_some() {
            builder = builder.header(CONTENT_TYPE, "application/json");
        }
        builder
            .body(Full::new(text.unwrap_or_default()))
            .map_err(|_| ClientErrorKind::Address("it does not make a request"))
    }
}

fn verifier(settings: &ClientSettings) -> Result<ServerVerifier, TlsError> {
    let proof = match settings.verification {
        Verification::None => return Ok(ServerVerifier::blind()),
        Verification::Chain => Proof::Chain,
        Verification::Full => Proof::ChainAndName,
    };
    let trust = match &settings.cacert {
        Some(path) => tls::trust(path)?,
        None => Trust::system(),
    };
    ServerVerifier::new(proof, trust, Vec::new()).map_err(TlsError::Verifier)
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    request: Request<Full<Bytes>>,
) -> Result<Response, ClientErrorKind> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(ClientErrorKind::Http)?;
    let answer = async {
        let response = sender.send_request(request).await?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, MAX_ANSWER).collect().await;
        Ok::<_, hyper::Error>((head, body))
    };
    // The connection is driven beside the answer, in this very task. It may end first, with the
    // last bytes of the answer already handed over.
    let mut connection = std::pin::pin!(connection);
    let mut answer = std::pin::pin!(answer);
    let answered = tokio::select! {
        answered = &mut answer => answered,
        ended = &mut connection => {
            ended.map_err(ClientErrorKind::Http)?;
            answer.await
        }
    };
    let (head, body) = answered.map_err(ClientErrorKind::Http)?;
    match body {
        Ok(body) => Ok(Response {
            status: head.status,
            headers: head.headers,
            body: body.to_bytes(),
        }),
        Err(error) => Err(match error.downcast::<hyper::Error>() {
            Ok(error) => ClientErrorKind::Http(*error),
            Err(_) => ClientErrorKind::TooLarge(MAX_ANSWER),
        }),
    }
}

/// An address in parts.
#[derive(Debug, PartialEq, Eq)]
struct Target {
    tls: bool,
    host: String,
    port: u16,
    authority: String,
    path: String,
}

impl Target {
    fn parse(url: &str) -> Result<Self, ClientErrorKind> {
        let uri: Uri = url
            .parse()
            .map_err(|_| ClientErrorKind::Address("it is no URL"))?;
        let tls = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => {
                return Err(ClientErrorKind::Address(
                    "it begins with neither http nor https",
                ));
            }
        };
        let authority = uri
            .authority()
            .ok_or(ClientErrorKind::Address("it has no host"))?;
        let host = authority.host().trim_matches(['[', ']']);
        let port = authority.port_u16().unwrap_or(if tls { 443 } else { 80 });
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        Ok(Self {
            tls,
            host: host.to_owned(),
            port,
            authority: authority.host().to_owned() + &format!(":{port}"),
            path: path.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_apart() {
        let target = Target::parse("https://u:p@[::1]/patroni?x=1").unwrap();
        assert_eq!(
            (target.host.as_str(), target.port, target.authority.as_str()),
            ("::1", 443, "[::1]:443")
        );
        assert_eq!(target.path, "/patroni?x=1");
        for bad in ["", "h:8008", "ftp://h/", "/patroni"] {
            assert!(Target::parse(bad).is_err(), "{bad}");
        }
    }
}
