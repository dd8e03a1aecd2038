//! Cipher lists, seen by clients that speak one suite each.

use std::sync::Arc;
use std::time::Duration;

use patroni_api::server::{Listen, Server, ServerSettings, TlsSettings, VerifyClient};
use patroni_api::tls::IdentityFiles;
use patroni_api::{BindError, CipherListError, TlsError};
use patroni_tls::ServerVerifier;
use rustls::crypto::ring::cipher_suite as suites;
use rustls::pki_types::ServerName;
use rustls::{CipherSuite, ClientConfig, SupportedCipherSuite};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::fake::FakeMember;

const AES256: SupportedCipherSuite = suites::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384;
const AES128: SupportedCipherSuite = suites::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256;
const CHACHA20: SupportedCipherSuite = suites::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256;
const TLS13_AES128: SupportedCipherSuite = suites::TLS13_AES_128_GCM_SHA256;

/// A server with a certificate for ECDSA; its folder must outlive it.
async fn server(list: &str) -> (Server, ServerSettings, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let cert = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let cert = cert.self_signed(&key).unwrap();
    let certfile = dir.path().join("all.pem");
    std::fs::write(&certfile, cert.pem() + &key.serialize_pem()).unwrap();
    let mut settings = ServerSettings::new(Listen::parse("127.0.0.1:0").unwrap());
    settings.tls = Some(TlsSettings {
        identity: IdentityFiles {
            certfile,
            keyfile: None,
            keyfile_password: None,
        },
        cafile: None,
        verify_client: VerifyClient::None,
        ciphers: Some(list.to_owned()),
    });
    let server = Server::start(settings.clone(), FakeMember::leader()).await;
    (server.unwrap(), settings, dir)
}

fn with_list(settings: &ServerSettings, list: &str) -> ServerSettings {
    let mut settings = settings.clone();
    settings.tls.as_mut().unwrap().ciphers = Some(list.to_owned());
    settings
}

/// Connects as a client that offers these suites in this order.
async fn connect(
    server: &Server,
    offered: &[SupportedCipherSuite],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut provider = rustls::crypto::ring::default_provider();
    provider.cipher_suites = offered.to_vec();
    let config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(ServerVerifier::blind()))
        .with_no_client_auth();
    let stream = TcpStream::connect(server.local_addr()).await?;
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let handshake = TlsConnector::from(Arc::new(config)).connect(name, stream);
    tokio::time::timeout(Duration::from_secs(10), handshake)
        .await
        .unwrap()
}

/// The suite that both agree on.
async fn agreed(server: &Server, offered: &[SupportedCipherSuite]) -> Option<CipherSuite> {
    let stream = connect(server, offered).await.ok()?;
    let suite = stream.get_ref().1.negotiated_cipher_suite();
    suite.map(|suite| suite.suite())
}

async fn accepted(server: &Server) -> Vec<CipherSuite> {
    let mut accepted = Vec::new();
    for suite in [AES256, AES128, CHACHA20, TLS13_AES128] {
        accepted.extend(agreed(server, &[suite]).await);
    }
    accepted
}

#[tokio::test]
async fn a_list_decides_which_suites_are_accepted() {
    let (server, _, _dir) = server("ECDHE+AESGCM:!AES128").await;
    let both = vec![AES256.suite(), TLS13_AES128.suite()];
    assert_eq!(accepted(&server).await, both);
}

#[tokio::test]
async fn the_order_of_the_list_counts_and_not_that_of_the_client() {
    let (server, _, _dir) = server("CHACHA20:AES128:AES256").await;
    let chosen = agreed(&server, &[AES256, AES128, CHACHA20]).await;
    assert_eq!(chosen, Some(CHACHA20.suite()));
    let chosen = agreed(&server, &[AES256, AES128]).await;
    assert_eq!(chosen, Some(AES128.suite()));
}

#[tokio::test]
async fn a_list_of_suites_that_are_not_there_leaves_tls_1_3() {
    let (server, settings, _dir) = server("AES256-SHA").await;
    let mut server = server;
    assert_eq!(accepted(&server).await, [TLS13_AES128.suite()]);
    // The one thing by which a list reaches TLS 1.3.
    let settings = with_list(&settings, "HIGH:@SECLEVEL=4");
    server.reload(settings).await.unwrap();
    assert_eq!(accepted(&server).await, [AES256.suite(), CHACHA20.suite()]);
}

#[tokio::test]
async fn a_reload_changes_the_list_and_keeps_connections() {
    let (mut server, settings, _dir) = server("AES256").await;
    let mut open = connect(&server, &[AES256]).await.unwrap();
    server
        .reload(with_list(&settings, "CHACHA20"))
        .await
        .unwrap();
    let only = vec![CHACHA20.suite(), TLS13_AES128.suite()];
    assert_eq!(accepted(&server).await, only);

    let request = b"GET /primary HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    open.write_all(request).await.unwrap();
    let mut answer = String::new();
    open.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn a_list_that_selects_nothing_is_refused_and_the_former_stays() {
    let (mut server, settings, _dir) = server("CHACHA20").await;
    for list in ["NOSUCH", "HIGH:!HIGH", "HIGH:@FOO", ":"] {
        let refused = server.reload(with_list(&settings, list)).await;
        assert!(
            matches!(refused, Err(BindError::Tls(TlsError::Ciphers { .. }))),
            "{list}: {refused:?}"
        );
    }
    let only = vec![CHACHA20.suite(), TLS13_AES128.suite()];
    assert_eq!(accepted(&server).await, only);

    let refused = Server::start(with_list(&settings, "NOSUCH"), FakeMember::leader()).await;
    let Err(BindError::Tls(TlsError::Ciphers { list, source })) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(list, "NOSUCH");
    assert!(matches!(source, CipherListError::Nothing { .. }));
    let source = source.to_string();
    assert!(source.contains("ECDHE-RSA-AES256-GCM-SHA384"), "{source}");
}
