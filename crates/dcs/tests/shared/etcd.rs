//! A real etcd for the time of one test.

use std::io::ErrorKind;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::unistd::Pid;
use patroni_tests::{http, ports, proc};
use serde_json::Value;
use tempfile::TempDir;

use crate::shared::eventually;
use crate::support::ARGUMENTS;

/// One etcd process, killed at the end.
pub(crate) struct Etcd {
    child: Child,
    port: u16,
    pub(crate) url: String,
    _data: TempDir,
}

impl Etcd {
    /// A cluster of so many nodes; `None`, with a message, where etcd is not installed.
    pub(crate) async fn cluster(size: usize) -> Option<Vec<Self>> {
        let addresses: Vec<(u16, String)> = (0..size).map(|_| (ports::free(), peer())).collect();
        let initial: Vec<String> = addresses
            .iter()
            .enumerate()
            .map(|(index, (_, peer))| format!("n{index}={peer}"))
            .collect();
        let initial = initial.join(",");
        let mut nodes = Vec::new();
        for (index, (client, peer)) in addresses.into_iter().enumerate() {
            nodes.push(Self::start("http", index, client, &peer, &initial, &[])?);
        }
        for node in &nodes {
            node.wait_until_it_serves().await;
        }
        Some(nodes)
    }

    /// A cluster of one node.
    pub(crate) async fn single() -> Option<Self> {
        Self::cluster(1).await?.pop()
    }

    /// A cluster of one node that speaks TLS with these arguments; it may not serve yet.
    pub(crate) fn secure(arguments: &[String]) -> Option<Self> {
        let (port, peer) = (ports::free(), peer());
        Self::start("https", 0, port, &peer, &format!("n0={peer}"), arguments)
    }

    fn start(
        scheme: &str,
        index: usize,
        port: u16,
        peer: &str,
        initial: &str,
        more: &[String],
    ) -> Option<Self> {
        let url = format!("{scheme}://127.0.0.1:{port}");
        let data = TempDir::new().unwrap();
        let started = Command::new("etcd")
            .args(["--name", &format!("n{index}"), "--initial-cluster", initial])
            .args([
                "--listen-client-urls",
                &url,
                "--advertise-client-urls",
                &url,
            ])
            .args([
                "--listen-peer-urls",
                peer,
                "--initial-advertise-peer-urls",
                peer,
            ])
            .args(["--heartbeat-interval", "100", "--election-timeout", "1000"])
            .arg("--data-dir")
            .arg(data.path())
            .args(ARGUMENTS)
            .args(more)
            .env_clear()
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        match started {
            Ok(child) => Some(Self {
                child,
                port,
                url,
                _data: data,
            }),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                eprintln!("skipped: etcd is not installed");
                None
            }
            Err(error) => panic!("could not start etcd: {error}"),
        }
    }

    async fn wait_until_it_serves(&self) {
        eventually("etcd to serve", || async {
            let health = self.ask("GET", "/health", "")?;
            (health["health"] == "true").then_some(())
        })
        .await;
    }

    /// A request past the store; `None` when it fails or is no JSON.
    pub(crate) fn ask(&self, method: &str, path: &str, body: &str) -> Option<Value> {
        let limit = Duration::from_secs(2);
        let answer = http::request(self.port, method, path, Some(body), limit).ok()?;
        answer.json().ok()
    }

    /// Freezes the process: connections stay open and nobody answers.
    pub(crate) fn freeze(&self) {
        self.signal(Signal::SIGSTOP);
    }

    /// Lets it go on.
    pub(crate) fn thaw(&self) {
        self.signal(Signal::SIGCONT);
    }

    /// Ends it at once.
    pub(crate) fn kill(&self) {
        self.signal(Signal::SIGKILL);
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).unwrap();
        proc::signal(Pid::from_raw(pid), signal).unwrap();
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn peer() -> String {
    format!("http://127.0.0.1:{}", ports::free())
}
