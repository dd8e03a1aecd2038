//! TLS between our own two ends, with the certificates people have.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::fake::FakeMember;
use hyper::Method;
use patroni_api::client::{Client, ClientSettings, Verification};
use patroni_api::server::{Listen, Server, ServerSettings, TlsSettings, VerifyClient};
use patroni_api::tls::IdentityFiles;
use patroni_api::{BindError, TlsError};
use patroni_core::Secret;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};

const SOON: Duration = Duration::from_secs(10);

/// A CA certificate for 127.0.0.1, which many people use as everything at once. Certificate and
/// key lie in one file.
fn everything_at_once(dir: &Path, change: impl FnOnce(&mut CertificateParams)) -> PathBuf {
    let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    change(&mut params);
    let key = KeyPair::generate().unwrap();
    let cert = params.self_signed(&key).unwrap();
    let path = dir.join("all.pem");
    std::fs::write(&path, cert.pem() + &key.serialize_pem()).unwrap();
    path
}

fn files(path: &Path) -> IdentityFiles {
    IdentityFiles {
        certfile: path.to_owned(),
        keyfile: None,
        keyfile_password: None,
    }
}

fn server_settings(path: &Path, verify_client: VerifyClient) -> ServerSettings {
    let mut settings = ServerSettings::new(Listen::parse("127.0.0.1:0").unwrap());
    settings.tls = Some(TlsSettings {
        identity: files(path),
        cafile: Some(path.to_owned()),
        verify_client,
        ciphers: None,
    });
    settings
}

async fn code(server: &Server, method: Method, client: &ClientSettings) -> Option<u16> {
    let client = Client::new(client).unwrap();
    let path = if method == Method::POST {
        "reload"
    } else {
        "primary"
    };
    let url = format!("https://{}/{path}", server.local_addr());
    let answer = client.request(method, &url, None, SOON).await;
    answer.ok().map(|response| response.status.as_u16())
}

#[tokio::test]
async fn one_ca_certificate_serves_as_everything() {
    let dir = tempfile::tempdir().unwrap();
    let path = everything_at_once(dir.path(), |_| ());
    let trusting = ClientSettings {
        cacert: Some(path.clone()),
        ..ClientSettings::default()
    };
    let showing = ClientSettings {
        identity: Some(files(&path)),
        ..trusting.clone()
    };
    let chain = ClientSettings {
        verification: Verification::Chain,
        ..showing.clone()
    };
    for (verify, client, get, post) in [
        (VerifyClient::None, &trusting, Some(200), Some(202)),
        (VerifyClient::Optional, &trusting, Some(200), Some(403)),
        (VerifyClient::Optional, &showing, Some(200), Some(202)),
        (VerifyClient::Required, &trusting, None, None),
        (VerifyClient::Required, &showing, Some(200), Some(202)),
        (VerifyClient::Required, &chain, Some(200), Some(202)),
    ] {
        let settings = server_settings(&path, verify);
        let server = Server::start(settings, FakeMember::leader()).await.unwrap();
        assert_eq!(code(&server, Method::GET, client).await, get, "{verify:?}");
        assert_eq!(
            code(&server, Method::POST, client).await,
            post,
            "{verify:?}"
        );
    }
}

#[tokio::test]
async fn without_trust_for_clients_no_certificate_is_good() {
    let dir = tempfile::tempdir().unwrap();
    let path = everything_at_once(dir.path(), |_| ());
    let silent = ClientSettings {
        cacert: Some(path.clone()),
        ..ClientSettings::default()
    };
    let showing = ClientSettings {
        identity: Some(files(&path)),
        ..silent.clone()
    };
    for (verify, client, get, post) in [
        (VerifyClient::Optional, &silent, Some(200), Some(403)),
        (VerifyClient::Optional, &showing, None, None),
        (VerifyClient::Required, &silent, None, None),
        (VerifyClient::Required, &showing, None, None),
    ] {
        let mut settings = server_settings(&path, verify);
        settings.tls.as_mut().unwrap().cafile = None;
        let server = Server::start(settings, FakeMember::leader()).await.unwrap();
        assert_eq!(code(&server, Method::GET, client).await, get, "{verify:?}");
        assert_eq!(
            code(&server, Method::POST, client).await,
            post,
            "{verify:?}"
        );
    }
}

#[tokio::test]
async fn trust_has_limits() {
    let dir = tempfile::tempdir().unwrap();
    let other = tempfile::tempdir().unwrap();
    let path = everything_at_once(dir.path(), |_| ());
    let stranger = everything_at_once(other.path(), |_| ());
    let settings = server_settings(&path, VerifyClient::Optional);
    let server = Server::start(settings, FakeMember::leader()).await.unwrap();
    let client = |cacert: &Path, identity: Option<&Path>, verification| ClientSettings {
        cacert: Some(cacert.to_owned()),
        identity: identity.map(files),
        verification,
        credentials: None,
    };
    for (settings, expected) in [
        (client(&stranger, None, Verification::Full), None),
        (client(&stranger, None, Verification::Chain), None),
        (client(&stranger, None, Verification::None), Some(200)),
        (client(&path, Some(&stranger), Verification::Full), None),
    ] {
        assert_eq!(
            code(&server, Method::GET, &settings).await,
            expected,
            "{settings:?}"
        );
    }
}

#[tokio::test]
async fn names_and_dates_are_still_looked_at() {
    let dir = tempfile::tempdir().unwrap();
    let trusting = |path: &Path, verification| ClientSettings {
        cacert: Some(path.to_owned()),
        verification,
        ..ClientSettings::default()
    };
    let path = everything_at_once(dir.path(), |params| {
        params.subject_alt_names = vec![rcgen::SanType::DnsName("elsewhere".try_into().unwrap())];
    });
    let settings = server_settings(&path, VerifyClient::None);
    let server = Server::start(settings, FakeMember::leader()).await.unwrap();
    let full = trusting(&path, Verification::Full);
    assert_eq!(code(&server, Method::GET, &full).await, None);
    let chain = trusting(&path, Verification::Chain);
    assert_eq!(code(&server, Method::GET, &chain).await, Some(200));

    let path = everything_at_once(dir.path(), |params| {
        params.not_before = date_time_ymd(2001, 1, 1);
        params.not_after = date_time_ymd(2002, 1, 1);
    });
    let settings = server_settings(&path, VerifyClient::None);
    let server = Server::start(settings, FakeMember::leader()).await.unwrap();
    for verification in [Verification::Full, Verification::Chain] {
        let client = trusting(&path, verification);
        assert_eq!(
            code(&server, Method::GET, &client).await,
            None,
            "{verification:?}"
        );
    }
}

#[tokio::test]
async fn a_renewed_certificate_is_taken_up_and_a_broken_one_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let path = everything_at_once(dir.path(), |_| ());
    let settings = server_settings(&path, VerifyClient::None);
    let mut server = Server::start(settings.clone(), FakeMember::leader())
        .await
        .unwrap();
    everything_at_once(dir.path(), |_| ());
    let client = ClientSettings {
        cacert: Some(path.clone()),
        ..ClientSettings::default()
    };
    assert_eq!(code(&server, Method::GET, &client).await, None);
    server.reload(settings.clone()).await.unwrap();
    assert_eq!(code(&server, Method::GET, &client).await, Some(200));
    let good = std::fs::read(&path).unwrap();
    std::fs::write(&path, "no PEM at all").unwrap();
    assert!(matches!(
        server.reload(settings.clone()).await,
        Err(BindError::Tls(TlsError::Empty { .. }))
    ));
    std::fs::write(
        &path,
        [
            &good[..],
            b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nAA==\n-----END ENCRYPTED PRIVATE KEY-----\n",
        ]
        .concat(),
    )
    .unwrap();
    assert!(matches!(
        server.reload(settings).await,
        Err(BindError::Tls(TlsError::LockedKey { .. }))
    ));
    std::fs::write(&path, good).unwrap();
    assert_eq!(code(&server, Method::GET, &client).await, Some(200));
}

/// Certificate and key of one file, by OpenSSL; the password is `secret`.
#[tokio::test]
async fn a_key_may_have_a_password() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("locked.pem");
    std::fs::write(&path, include_str!("../golden/tls/locked.pem")).unwrap();
    let mut settings = server_settings(&path, VerifyClient::Required);
    for password in [None, Some("another")] {
        settings.tls.as_mut().unwrap().identity.keyfile_password = password.map(Secret::new);
        let refused = Server::start(settings.clone(), FakeMember::leader()).await;
        assert!(matches!(
            refused,
            Err(BindError::Tls(TlsError::LockedKey { .. }))
        ));
    }
    settings.tls.as_mut().unwrap().identity.keyfile_password = Some(Secret::new("secret"));
    let server = Server::start(settings, FakeMember::leader()).await.unwrap();
    let mut identity = files(&path);
    identity.keyfile_password = Some(Secret::new("secret"));
    let client = ClientSettings {
        cacert: Some(path),
        identity: Some(identity),
        ..ClientSettings::default()
    };
    assert_eq!(code(&server, Method::GET, &client).await, Some(200));
}

#[tokio::test]
async fn issued_certificates_and_passwords_work_too() {
    let dir = tempfile::tempdir().unwrap();
    let ca_key = KeyPair::generate().unwrap();
    let mut ca = CertificateParams::new(Vec::new()).unwrap();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca_cert = ca.self_signed(&ca_key).unwrap();
    let issuer = Issuer::new(ca, ca_key);
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let leaf = leaf.signed_by(&key, &issuer).unwrap();
    let (cert, roots) = (dir.path().join("leaf.pem"), dir.path().join("ca.pem"));
    std::fs::write(&cert, leaf.pem() + &key.serialize_pem()).unwrap();
    std::fs::write(&roots, ca_cert.pem()).unwrap();
    let mut settings = server_settings(&cert, VerifyClient::Required);
    settings.tls.as_mut().unwrap().cafile = Some(roots.clone());
    let server = Server::start(settings, FakeMember::leader()).await.unwrap();
    let client = ClientSettings {
        identity: Some(files(&cert)),
        cacert: Some(roots),
        credentials: Some(("u".to_owned(), Secret::new("p"))),
        ..ClientSettings::default()
    };
    assert_eq!(code(&server, Method::POST, &client).await, Some(202));
    let client = Client::new(&client).unwrap();
    let url = format!("https://{}/patroni", server.local_addr());
    let peer = client.peer_status(&url, SOON).await;
    assert_eq!(peer.reachable().unwrap().position.bytes(), 0x300_0000);
}
