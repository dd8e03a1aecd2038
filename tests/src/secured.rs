//! A server of a store that nodes reach by TLS alone, with certificates on both sides.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use serde_json::json;

use crate::authority::Authority;
use crate::consul::Consul;
use crate::etcd::Etcd;
use crate::store::{Server, StoreKind};
use crate::zookeeper::{Extras, ZooKeeper};
use crate::{ports, proc};

/// The server. Tests themselves ask it in plain text, on another port.
#[derive(Debug)]
pub struct Secured {
    /// The server.
    pub server: Server,
    /// The section of a node's file.
    pub section: String,
    files: PathBuf,
}

impl Secured {
    /// Starts a server whose certificates, and those of the nodes, are of this authority, and waits
    /// until it takes requests.
    ///
    /// # Errors
    /// It does not, or the tests know no such server of this kind.
    pub fn start(kind: StoreKind, dir: &Path, authority: &Authority) -> Result<Self> {
        let files = dir.join("certificates");
        fs::create_dir(&files)?;
        proc::give_to_runner(&files)?;
        authority.issue("server")?;
        authority.issue("client")?;
        certify_in(&files, "server", authority, &[authority])?;
        certify_in(&files, "client", authority, &[authority])?;
        let port = ports::free();
        let server = start(kind, dir, &files, port)?;
        server.wait_ready()?;
        Ok(Self {
            server,
            section: section(kind, &files, port),
            files,
        })
    }

    /// Puts a certificate of this authority in the place of the `server`'s or the `client`s', who
    /// believes those of `trusted` from now on. The server reads its files when it starts.
    ///
    /// # Errors
    /// The files cannot be written.
    pub fn certify(&self, who: &str, authority: &Authority, trusted: &[&Authority]) -> Result<()> {
        authority.issue(who)?;
        certify_in(&self.files, who, authority, trusted)
    }
}

fn certify_in(
    files: &Path,
    who: &str,
    authority: &Authority,
    trusted: &[&Authority],
) -> Result<()> {
    for kind in ["crt", "key", "both"] {
        let name = format!("{who}.{kind}");
        put(
            &files.join(&name),
            &fs::read_to_string(authority.path(&name))?,
        )?;
    }
    let trusted = trusted.iter();
    let trusted: Vec<String> = trusted
        .map(|authority| fs::read_to_string(authority.path("ca.pem")))
        .collect::<Result<_, _>>()?;
    put(&files.join(format!("{who}-trusts.pem")), &trusted.concat())
}

fn put(file: &Path, text: &str) -> Result<()> {
    fs::write(file, text)?;
    proc::give_to_runner(file)
}

fn start(kind: StoreKind, dir: &Path, files: &Path, port: u16) -> Result<Server> {
    let file = |name: &str| files.join(name).display().to_string();
    Ok(match kind {
        StoreKind::Etcd3 | StoreKind::Etcd2 => {
            let etcd = Etcd::start_secured(
                dir,
                port,
                &[
                    "--client-cert-auth",
                    "--cert-file",
                    &file("server.crt"),
                    "--key-file",
                    &file("server.key"),
                    "--trusted-ca-file",
                    &file("server-trusts.pem"),
                ],
            )?;
            if kind == StoreKind::Etcd3 {
                Server::Etcd(etcd)
            } else {
                Server::Etcd2(etcd)
            }
        }
        StoreKind::Consul => Server::Consul(Consul::launch(
            dir,
            json!({
                "session_ttl_min": "500ms",
                "ports": {"https": port},
                "ca_file": file("server-trusts.pem"),
                "cert_file": file("server.crt"),
                "key_file": file("server.key"),
                "verify_incoming_https": true,
            }),
        )?),
        StoreKind::ZooKeeper => {
            let settings = [
                format!("secureClientPort={port}"),
                "secureClientPortAddress=127.0.0.1".to_owned(),
                "serverCnxnFactory=org.apache.zookeeper.server.NettyServerCnxnFactory".to_owned(),
                format!("ssl.keyStore.location={}", file("server.both")),
                "ssl.keyStore.type=PEM".to_owned(),
                format!("ssl.trustStore.location={}", file("server-trusts.pem")),
                "ssl.clientAuth=need".to_owned(),
            ];
            let extras = Extras {
                settings: settings.to_vec(),
                ..Extras::default()
            };
            let home = dir.join("zookeeper");
            Server::ZooKeeper(ZooKeeper::launch(&home, 1, ports::free(), &extras)?)
        }
        StoreKind::Raft | StoreKind::Kubernetes => bail!("no such server of {kind:?}"),
    })
}

fn section(kind: StoreKind, files: &Path, port: u16) -> String {
    let file = |name: &str| files.join(name).display().to_string();
    let (place, protocol) = match kind {
        StoreKind::Consul => ("consul", "scheme: https\n  verify: true"),
        StoreKind::ZooKeeper => ("zookeeper", "use_ssl: true"),
        StoreKind::Etcd2 => ("etcd", "protocol: https"),
        _ => ("etcd3", "protocol: https"),
    };
    let hosts = match kind {
        StoreKind::ZooKeeper => format!("hosts: ['127.0.0.1:{port}']"),
        _ => format!("host: 127.0.0.1:{port}"),
    };
    format!(
        "{place}:\n  {hosts}\n  {protocol}\n  cacert: {}\n  cert: {}\n  key: {}\n",
        file("client-trusts.pem"),
        file("client.crt"),
        file("client.key")
    )
}
