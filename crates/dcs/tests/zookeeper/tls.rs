//! The same over TLS with certificates on both sides.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use patroni_core::Secret;
use patroni_dcs::zookeeper::{Acl, Options, Permission, ZooKeeper};
use patroni_dcs::{Store, StoreErrorKind, Timings};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
};
use tempfile::TempDir;

use crate::support::{
    Extras, HASTY, PATIENCE, Server, TIMINGS, eventually, identity, lock_of, port, show_logs,
};

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    folder: TempDir,
}

fn named(name: &str) -> CertificateParams {
    // No address among the names: host names are not looked at.
    let mut params = CertificateParams::new(vec!["not-this-host".to_owned()]).unwrap();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = named("authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("ca.pem"), certificate.pem()).unwrap();
        Self {
            issuer: Issuer::new(params, key),
            folder,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Certificate and key, and a file with both.
    fn issue(&self, name: &str) {
        let key = KeyPair::generate().unwrap();
        let certificate = named(name).signed_by(&key, &self.issuer).unwrap();
        let write = |kind: &str, text: String| {
            fs::write(self.path(&format!("{name}.{kind}")), text).unwrap();
        };
        write("crt", certificate.pem());
        write("key", key.serialize_pem());
        write("pem", key.serialize_pem() + &certificate.pem());
    }

    /// A server that asks for certificates of this authority.
    fn server(&self) -> Option<Server> {
        let secure = port();
        let file = |name: &str| self.path(name).display().to_string();
        let settings = [
            format!("secureClientPort={secure}"),
            "secureClientPortAddress=127.0.0.1".to_owned(),
            "serverCnxnFactory=org.apache.zookeeper.server.NettyServerCnxnFactory".to_owned(),
            format!("ssl.keyStore.location={}", file("server.pem")),
            format!("ssl.trustStore.location={}", file("ca.pem")),
            "ssl.clientAuth=need".to_owned(),
        ];
        Server::with(&Extras {
            settings: settings.to_vec(),
            secure_port: Some(secure),
            ..Extras::default()
        })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_are_shown_and_verified_and_give_rights() {
    show_logs();
    let authority = Authority::new();
    authority.issue("server");
    authority.issue("client");
    let Some(server) = authority.server() else {
        return;
    };
    let connect =
        |options: &Options| ZooKeeper::connect(options.clone(), identity(Some("a")), TIMINGS);
    let mut options = Options::new([server.address.as_str()]);
    options.access.use_ssl = true;
    options.access.cacert = Some(authority.path("ca.pem"));
    options.access.cert = Some(authority.path("client.crt"));
    options.access.key = Some(authority.path("client.key"));
    options.access.set_acls = vec![Acl {
        scheme: "x509".to_owned(),
        id: "CN=client".to_owned(),
        permissions: vec![Permission::All],
    }];
    let store = eventually("ZooKeeper to serve", || async {
        connect(&options).await.ok()
    })
    .await;
    store.acquire_leader().await.unwrap();
    let lock = lock_of(&store, "a").await;
    store.update_leader(&lock).await.unwrap();

    // Renewed files are used by the next connection: here those of another client, who has no
    // right to what the first one created.
    authority.issue("other");
    fs::copy(authority.path("other.crt"), authority.path("client.crt")).unwrap();
    fs::copy(authority.path("other.key"), authority.path("client.key")).unwrap();
    store
        .load()
        .await
        .expect("the connection is not given up for it");
    store.set_timings(Timings {
        loop_wait: Duration::from_secs(2),
        ..TIMINGS
    });
    let refused = store.load().await.unwrap_err();
    assert!(
        matches!(refused.kind, StoreErrorKind::Denied(_)),
        "{refused}"
    );

    let mut without = options.clone();
    without.access.key = None; // a certificate alone is not used
    assert!(connect(&without).await.is_err(), "no client certificate");
    options.access.cacert = None;
    assert!(
        connect(&options).await.is_err(),
        "an authority nobody knows"
    );
    // Unless nobody wants to know: the certificate of the client counts all the same.
    options.access.verify = false;
    options.access.cacert = Some(authority.path("is-not-read"));
    let believing = connect(&options).await.unwrap();
    let refused = believing.load().await.unwrap_err();
    assert!(
        matches!(refused.kind, StoreErrorKind::Denied(_)),
        "{refused}"
    );
    authority.issue("client");
    believing.set_timings(Timings {
        loop_wait: Duration::from_secs(3),
        ..TIMINGS
    });
    lock_of(&believing, "a").await;
    options.access.key = None;
    assert!(connect(&options).await.is_err(), "no client certificate");
}

/// What `verify: false` is there for: a certificate that is an authority by itself, for another
/// host, and has expired.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_server_is_believed_without_verification() {
    show_logs();
    let authority = Authority::new();
    let mut params = named("server");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.not_after = rcgen::date_time_ymd(2001, 1, 1);
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let both = key.serialize_pem() + &certificate.pem();
    fs::write(authority.path("server.pem"), both).unwrap();
    authority.issue("client");
    lock_key(&authority.path("client.key"), "secret");
    let Some(server) = authority.server() else {
        return;
    };
    let mut options = Options::new([server.address.as_str()]);
    options.access.use_ssl = true;
    options.access.verify = false;
    options.access.cert = Some(authority.path("client.crt"));
    options.access.key = Some(authority.path("client.key"));
    options.access.key_password = Some(Secret::new("secret"));
    let connect =
        |options: &Options, name| ZooKeeper::connect(options.clone(), identity(Some(name)), HASTY);
    let store = eventually("ZooKeeper to serve", || async {
        connect(&options, "a").await.ok()
    })
    .await;
    store.acquire_leader().await.unwrap();
    let lock = lock_of(&store, "a").await;

    // A server that falls silent and comes back, and watches.
    server.freeze();
    assert!(store.update_leader(&lock).await.is_err());
    server.thaw();
    eventually("the lock to be kept", || async {
        store.update_leader(&lock).await.ok()
    })
    .await;
    let other = connect(&options, "b").await.unwrap();
    lock_of(&other, "a").await;
    let wait = other.watch(Some(&lock), PATIENCE);
    let (woken, released) = tokio::join!(wait, store.delete_leader(Some(&lock)));
    released.unwrap();
    assert!(woken);

    options.access.key_password = Some(Secret::new("another"));
    assert!(connect(&options, "c").await.is_err(), "another password");
    options.access.key_password = Some(Secret::new("secret"));
    options.access.verify = true;
    options.access.cacert = Some(authority.path("server.pem"));
    assert!(connect(&options, "c").await.is_err(), "not verified");
}

/// A client whose key has a password, and a server that is verified.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_with_a_password_is_used() {
    show_logs();
    let authority = Authority::new();
    authority.issue("server");
    authority.issue("client");
    lock_key(&authority.path("client.key"), "secret");
    let Some(server) = authority.server() else {
        return;
    };
    let mut options = Options::new([server.address.as_str()]);
    options.access.use_ssl = true;
    options.access.cacert = Some(authority.path("ca.pem"));
    options.access.cert = Some(authority.path("client.crt"));
    options.access.key = Some(authority.path("client.key"));
    options.access.key_password = Some(Secret::new("secret"));
    let connect =
        |options: &Options| ZooKeeper::connect(options.clone(), identity(Some("a")), HASTY);
    let store = eventually("ZooKeeper to serve", || async {
        connect(&options).await.ok()
    })
    .await;
    store.acquire_leader().await.unwrap();
    for password in [None, Some(Secret::new("another"))] {
        options.access.key_password = password;
        let refused = connect(&options).await.err().unwrap();
        assert!(refused.is_final(), "{refused}");
    }
}

/// Gives a key file a password, by the method that OpenSSL takes by itself.
fn lock_key(file: &Path, password: &str) {
    let locked = file.with_extension("locked");
    let done = Command::new("openssl")
        .args(["pkcs8", "-topk8", "-in"])
        .arg(file)
        .arg("-out")
        .arg(&locked)
        .args(["-passout", &format!("pass:{password}")])
        .output()
        .unwrap();
    assert!(done.status.success(), "{done:?}");
    fs::rename(locked, file).unwrap();
}
