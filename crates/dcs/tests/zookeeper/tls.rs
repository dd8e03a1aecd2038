//! The same over TLS with certificates on both sides.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use patroni_dcs::zookeeper::{Acl, Options, Permission, ZooKeeper};
use patroni_dcs::{Store, StoreErrorKind, Timings};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
};
use tempfile::TempDir;

use crate::support::{Extras, Server, TIMINGS, eventually, identity, lock_of, port, show_logs};

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
    options.access.verify = false;
    let refused = connect(&options).await.err().unwrap();
    assert!(refused.is_final(), "{refused}");
}
