//! Replication connections over TLS.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use patroni_core::Timeline;
use patroni_postgres::replication::{ConnectionError, ReplicationClient, Target};
use rustls::{ClientConfig, RootCertStore};
use tokio_postgres::config::{ChannelBinding, SslMode};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::support::{LIMIT, Server, server_test};

server_test! {
async fn the_start_up_packet_is_changed_inside_tls() {
    let server = Server::running("").await;
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let (cert, key) = (server.home().join("cert"), server.home().join("key"));
    fs::write(&cert, made.cert.pem()).unwrap();
    fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    fs::set_permissions(&key, PermissionsExt::from_mode(0o600)).unwrap();
    server.configure(&format!(
        "ssl = on\nssl_cert_file = '{}'\nssl_key_file = '{}'",
        cert.display(),
        key.display()
    ));
    fs::write(
        server.data_dir().join("pg_hba.conf"),
        "local all all trust\nhostssl replication all 127.0.0.1/32 scram-sha-256\n",
    )
    .unwrap();
    server.stop("fast");
    server.start();

    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let plain = server.target(&server.settings.superuser);
    let mut secure = tokio_postgres::Config::new();
    secure
        .host("localhost")
        .port(server.port())
        .user("postgres")
        .password(plain.config.get_password().unwrap())
        .ssl_mode(SslMode::Require)
        .channel_binding(ChannelBinding::Require);
    let secure = Target {
        config: secure,
        tls: Some(MakeRustlsConnect::new(config)),
    };
    let client = ReplicationClient::connect(&secure, LIMIT).await.unwrap();
    assert_eq!(client.identify_system().await.unwrap().timeline, Timeline::FIRST);
    assert_eq!(client.timeline_history(Timeline::FIRST).await.unwrap(), []);
    let missing = client.timeline_history(Timeline::new(7).unwrap()).await;
    assert!(matches!(missing, Err(ConnectionError::Postgres(_))));
    // Only the encrypted way is open.
    assert!(ReplicationClient::connect(&plain, LIMIT).await.is_err());
}
}

server_test! {
async fn sockets_and_several_hosts_work_and_silence_has_an_end() {
    let server = Server::running("").await;
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut target = Target { config: tokio_postgres::Config::new(), tls: None };
    target.config.host_path(server.home()).port(server.port()).user("postgres");
    ReplicationClient::connect(&target, LIMIT).await.unwrap();

    let password = server.target(&server.settings.superuser).config;
    let mut several = tokio_postgres::Config::new();
    several
        .host("127.0.0.1")
        .host("127.0.0.1")
        .port(silent.local_addr().unwrap().port())
        .port(server.port())
        .user("postgres")
        .password(password.get_password().unwrap());
    let limit = std::time::Duration::from_millis(1500);
    let several = Target { config: several, tls: None };
    let client = ReplicationClient::connect(&several, limit).await.unwrap();
    assert_eq!(client.identify_system().await.unwrap().timeline, Timeline::FIRST);
}
}
