//! TLS to servers that nobody verifies.
//!
//! The client library verifies each server and cannot be told not to. So with `verify: false` its
//! servers are ours: a port on loopback for each, behind which we take the connection on to the
//! real one with TLS that believes whoever answers. Both ends of that port are this process, and
//! each must show the certificate that the process has made for itself and keeps in memory alone.
//! Nobody else on the machine can use the port, or read what passes it.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use patroni_config::file::dcs::zookeeper::Access;
use patroni_core::Causes;
use patroni_tls::provider;
use rcgen::{CertificateParams, KeyPair};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::{PrivatePkcs8KeyDer, ServerName};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};
use zookeeper_client::{TlsCa, TlsCerts, TlsIdentity};

use super::failure::Failure;
use super::tls;

/// So many connections of one port are carried at a time. The client has one, and another while it
/// changes; strangers are turned away after `limit` at the latest.
const MOST_CONNECTIONS: usize = 32;

/// After a connection that could not be accepted.
const AGAIN: Duration = Duration::from_millis(100);

/// The ports in front of an ensemble, while it exists.
pub(super) struct Relay {
    hosts: Vec<String>,
    certificates: TlsCerts,
    _tasks: JoinSet<()>,
}

/// The way to one server.
struct Line {
    host: String,
    access: Access,
    /// How long each of the two connections may take to come about.
    limit: Duration,
    inward: TlsAcceptor,
    failed: AtomicBool,
}

impl Relay {
    /// Opens a port for each of these servers.
    pub(super) async fn start(
        hosts: &[String],
        access: &Access,
        limit: Duration,
    ) -> Result<Self, Failure> {
        let pair = Pair::new().map_err(|why| Failure::Rejected(format!("TLS to itself: {why}")))?;
        let (mut local, mut tasks) = (Vec::new(), JoinSet::new());
        for host in hosts {
            let bound = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
            let bound = bound.and_then(|listener| Ok((listener.local_addr()?, listener)));
            let (address, listener) =
                bound.map_err(|error| Failure::Rejected(format!("a port of its own: {error}")))?;
            local.push(address.to_string());
            let line = Arc::new(Line {
                host: host.clone(),
                access: access.clone(),
                limit,
                inward: pair.inward.clone(),
                failed: AtomicBool::new(false),
            });
            tasks.spawn(line.serve(listener));
        }
        Ok(Self {
            hosts: local,
            certificates: pair.outward,
            _tasks: tasks,
        })
    }

    /// What the client is told to connect to.
    pub(super) fn hosts(&self) -> &[String] {
        &self.hosts
    }

    /// What the client verifies and shows there.
    pub(super) fn certificates(&self) -> TlsCerts {
        self.certificates.clone()
    }
}

impl Line {
    async fn serve(self: Arc<Self>, listener: TcpListener) {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) if connections.len() < MOST_CONNECTIONS => {
                        connections.spawn(Arc::clone(&self).carry(stream));
                    }
                    Ok(_) => {}
                    // A client that has gone again, or no descriptors are left: what ends gives
                    // some back. The session waits behind this, so the pause is short.
                    Err(_) => sleep(AGAIN).await,
                },
                Some(_) = connections.join_next() => {}
            }
        }
    }

    async fn carry(self: Arc<Self>, stream: TcpStream) {
        let Ok(Ok(mut near)) = timeout(self.limit, self.take_in(stream)).await else {
            return;
        };
        let reached = match timeout(self.limit, self.reach()).await {
            Ok(reached) => reached,
            Err(_) => Err("no answer in time".to_owned()),
        };
        match reached {
            Ok(mut far) => {
                self.failed.store(false, Ordering::Relaxed);
                let ended = copy_bidirectional(&mut near, &mut far).await;
                tracing::debug!("the connection to {} is over: {ended:?}", self.host);
            }
            Err(why) if self.failed.swap(true, Ordering::Relaxed) => {
                tracing::debug!("no connection to {}: {why}", self.host);
            }
            Err(why) => tracing::warn!("no connection to ZooKeeper at {}: {why}", self.host),
        }
    }

    async fn take_in(&self, stream: TcpStream) -> std::io::Result<server::TlsStream<TcpStream>> {
        stream.set_nodelay(true)?;
        self.inward.accept(stream).await
    }

    /// Connects to the server, with the certificate of the files as they are now.
    async fn reach(&self) -> Result<client::TlsStream<TcpStream>, String> {
        let config = tls::unverified(&self.access).await;
        let config = config.map_err(|failure| failure.to_string())?;
        let name = ServerName::try_from(tls::host_name(&self.host));
        let name = name.map_err(|error| error.to_string())?.to_owned();
        let connected = async {
            let stream = TcpStream::connect(&self.host).await?;
            stream.set_nodelay(true)?;
            TlsConnector::from(Arc::new(config))
                .connect(name, stream)
                .await
        };
        connected.await.map_err(|error| Causes(&error).to_string())
    }
}

/// The two ends of a port: each shows the one certificate, and believes that one alone.
struct Pair {
    inward: TlsAcceptor,
    outward: TlsCerts,
}

impl Pair {
    fn new() -> Result<Self, Box<dyn std::error::Error>> {
        let key = KeyPair::generate()?;
        let certificate = CertificateParams::new(Vec::new())?.self_signed(&key)?;
        let mut roots = RootCertStore::empty();
        roots.add(certificate.der().clone())?;
        let ours = WebPkiClientVerifier::builder_with_provider(roots.into(), provider());
        let inward = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .with_client_cert_verifier(ours.build()?)
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
            )?;
        let certificate = certificate.pem();
        let identity = TlsIdentity::from_pem(&certificate, &key.serialize_pem())?;
        let outward = TlsCerts::builder()
            .with_ca(TlsCa::from_pem(&certificate)?)
            .with_identity(identity)
            .build()?;
        Ok(Self {
            inward: TlsAcceptor::from(Arc::new(inward)),
            outward,
        })
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    /// Whoever finds the port must not get through it to the server, with our certificate.
    #[tokio::test]
    async fn nobody_else_gets_through() {
        let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let hosts = [server.local_addr().unwrap().to_string()];
        let limit = Duration::from_secs(5);
        let relay = Relay::start(&hosts, &Access::default(), limit).await;
        let relay = relay.unwrap();
        let host = &relay.hosts()[0];

        let mut plain = TcpStream::connect(host).await.unwrap();
        plain.write_all(b"srvr").await.unwrap();
        drop(plain.read_to_end(&mut Vec::new()).await);

        let config = tls::unverified(&Access::default()).await.unwrap();
        let stream = TcpStream::connect(host).await.unwrap();
        let name = ServerName::try_from("127.0.0.1").unwrap();
        let connected = TlsConnector::from(Arc::new(config)).connect(name, stream);
        if let Ok(mut stream) = connected.await {
            let read = stream.read(&mut [0; 1]).await;
            assert!(read.is_err(), "{read:?}");
        }
        let reached = timeout(Duration::from_millis(300), server.accept()).await;
        assert!(reached.is_err(), "somebody got through");
    }
}
