//! The way to a node: HTTP/2, over TLS where its address says so.
//!
//! The TLS is that of the other stores and not the client library's, which refuses a server whose
//! certificate is its own authority, also where that is the one that was named.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use etcd_client::Channel;
use http::Uri;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use patroni_core::Causes;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::transport::Endpoint;
use tower::{ServiceExt as _, service_fn};

use super::failure::Failure;
use crate::store::Timings;
use crate::tls::{self, Files};
use crate::topology::Options;

/// etcd refuses clients that ping more often than every 5 s.
const PING_INTERVAL: Duration = Duration::from_secs(6);

/// How connections are kept, and noticed to be dead.
#[derive(Clone, Copy)]
pub(super) struct Patience {
    /// How long the making of one may take.
    pub(super) connect: Duration,
    /// The times of the loop.
    pub(super) timings: Timings,
}

/// A channel that connects with its first request, and again after each loss. Certificates and
/// key are read now.
pub(super) async fn open(
    url: &str,
    options: &Options,
    patience: Patience,
) -> Result<Channel, Failure> {
    let Patience { connect, timings } = patience;
    let answer_to_ping = (timings.retry_timeout / 4).max(Duration::from_secs(1));
    let silence = timings.loop_wait + timings.retry_timeout;
    let endpoint = Endpoint::from_shared(url.to_owned())
        .map_err(|error| Failure::Rejected(Causes(&error).to_string()))?
        .connect_timeout(connect)
        .http2_keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(answer_to_ping)
        .keep_alive_while_idle(false)
        .tcp_keepalive(Some(silence));
    if !url.starts_with("https://") {
        return Ok(Channel::Tonic(endpoint.connect_lazy()));
    }
    let files = Files {
        verify: true,
        cacert: options.cacert.as_deref(),
        cert: options.cert.as_deref(),
        key: options.key.as_deref(),
    };
    let loaded = tls::load(url, files).await;
    let config = loaded.map_err(|error| Failure::Node(Causes(&error).to_string()))?;
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_keepalive(Some(silence));
    tcp.set_connect_timeout(Some(connect));
    Ok(Channel::Tonic(over_tls(&endpoint, tcp, config)))
}

fn over_tls(
    endpoint: &Endpoint,
    tcp: HttpConnector,
    mut config: ClientConfig,
) -> tonic::transport::Channel {
    config.alpn_protocols = vec![b"h2".to_vec()];
    let tls = TlsConnector::from(Arc::new(config));
    endpoint.connect_with_connector_lazy(service_fn(move |uri| {
        let (tcp, tls) = (tcp.clone(), tls.clone());
        async move { connect(tcp, tls, uri).await.map(TokioIo::new) }
    }))
}

async fn connect(
    tcp: HttpConnector,
    tls: TlsConnector,
    uri: Uri,
) -> io::Result<TlsStream<TcpStream>> {
    let host = uri.host().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
    let stream = tcp.oneshot(uri).await.map_err(io::Error::other)?;
    tls.connect(name, stream.into_inner()).await
}
