//! HAProxy and PgBouncer in front of a test cluster, with the files that `docs` gives to people.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::cluster::Cluster;
use crate::proc::{self, Proc};
use crate::{ports, wait};

/// A program of Debian's, also where an ordinary user's PATH does not lead.
fn program(name: &str) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain([PathBuf::from("/usr/sbin")])
        .map(|dir| dir.join(name))
        .find(|path| path.is_file())
        .with_context(|| format!("{name} is not installed"))
}

/// Whether a program is there.
pub fn is_installed(name: &str) -> bool {
    program(name).is_ok()
}

/// A file below `docs`.
fn example(path: &str) -> Result<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../docs")
        .join(path);
    std::fs::read_to_string(&path).with_context(|| path.display().to_string())
}

/// Replaces a text of an example, which must be there.
fn put(text: &str, old: &str, new: &str) -> Result<String> {
    ensure!(text.contains(old), "the example has no {old:?}");
    Ok(text.replace(old, new))
}

/// A running HAProxy over the nodes of a cluster.
#[derive(Debug)]
pub struct Haproxy {
    _process: Proc,
    /// The port that leads to the leader.
    pub write: u16,
    /// The port that leads to replicas.
    pub read: u16,
}

impl Haproxy {
    /// Starts it over a cluster of three nodes, with the example's file.
    ///
    /// # Errors
    /// It is not installed, or does not take the file.
    pub fn start(cluster: &Cluster) -> Result<Self> {
        let (write, read) = (ports::free(), ports::free());
        let mut text = example("haproxy/haproxy.cfg")?;
        text = put(&text, "bind *:5000", &format!("bind 127.0.0.1:{write}"))?;
        text = put(&text, "bind *:5001", &format!("bind 127.0.0.1:{read}"))?;
        for (index, node) in cluster.nodes.iter().enumerate() {
            let old = format!("10.0.0.1{}:5432 check port 8008", index + 1);
            let (sql, rest) = (node.ports.postgres, node.ports.rest);
            let new = format!("127.0.0.1:{sql} check port {rest}");
            text = put(&text, &old, &new)?;
        }
        ensure!(
            !text.contains("10.0.0."),
            "the example has more than the cluster's nodes"
        );
        let file = write_file(cluster, "haproxy.cfg", &text)?;
        let mut command = proc::command(program("haproxy")?);
        command.arg("-db").arg("-f").arg(file);
        let log = cluster.dir().join("haproxy.log");
        let process = Proc::start("haproxy", command, &log)?;
        Ok(Self {
            _process: process,
            write,
            read,
        })
    }
}

/// A running PgBouncer.
#[derive(Debug)]
pub struct PgBouncer {
    _process: Proc,
    /// Where clients connect.
    pub port: u16,
}

impl PgBouncer {
    /// Starts it behind a port, with the example's file, for the superuser of the cluster.
    ///
    /// # Errors
    /// It is not installed, or does not take the file.
    pub fn start(cluster: &Cluster, behind: u16) -> Result<Self> {
        let port = ports::free();
        let users = write_file(cluster, "userlist.txt", "\"postgres\" \"supersecret\"\n")?;
        let mut text = example("pgbouncer/pgbouncer.ini")?;
        text = put(&text, "port=5000", &format!("port={behind}"))?;
        text = put(
            &text,
            "listen_port = 6432",
            &format!("listen_port = {port}"),
        )?;
        let users = users.display().to_string();
        text = put(&text, "/etc/pgbouncer/userlist.txt", &users)?;
        // Otherwise a socket in /tmp, which another test's may have taken.
        text.push_str("unix_socket_dir =\n");
        let file = write_file(cluster, "pgbouncer.ini", &text)?;
        let mut command = proc::command(program("pgbouncer")?);
        command.arg(file);
        let log = cluster.dir().join("pgbouncer.log");
        let process = Proc::start("pgbouncer", command, &log)?;
        let server = Self {
            _process: process,
            port,
        };
        wait::until("PgBouncer", Duration::from_secs(20), || {
            let said = std::fs::read_to_string(&log)?;
            std::net::TcpStream::connect(("127.0.0.1", port)).context(said)
        })?;
        Ok(server)
    }
}

fn write_file(cluster: &Cluster, name: &str, text: &str) -> Result<PathBuf> {
    let path = cluster.dir().join(name);
    std::fs::write(&path, text)?;
    proc::give_to_runner(&path)?;
    Ok(path)
}
