//! A real etcd of a test's own.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::proc::{self, Proc};
use crate::{http, ports, wait};

/// One etcd server on loopback.
#[derive(Debug)]
pub struct Etcd {
    /// Where clients connect.
    pub port: u16,
    /// The process.
    pub process: Proc,
}

impl Etcd {
    /// Starts a server and waits until it answers.
    ///
    /// # Errors
    /// `etcd` is not installed or does not come up.
    pub fn start(dir: &Path) -> Result<Self> {
        let (port, peer) = (ports::free(), ports::free());
        let mut command = proc::command("etcd");
        command
            .args(["--name", "test", "--log-level", "error"])
            .arg("--data-dir")
            .arg(dir.join("etcd"))
            .args(["--listen-client-urls", &format!("http://127.0.0.1:{port}")])
            .args([
                "--advertise-client-urls",
                &format!("http://127.0.0.1:{port}"),
            ])
            .args(["--listen-peer-urls", &format!("http://127.0.0.1:{peer}")])
            .args([
                "--initial-advertise-peer-urls",
                &format!("http://127.0.0.1:{peer}"),
            ])
            .args([
                "--initial-cluster",
                &format!("test=http://127.0.0.1:{peer}"),
            ]);
        let process = Proc::start("etcd", command, &dir.join("etcd.log"))?;
        wait::until("etcd answers", Duration::from_secs(20), || {
            let answer = http::request(port, "GET", "/health", None, Duration::from_secs(2))?;
            ensure!(answer.body.contains("true"), "{}", answer.body);
            Ok(())
        })?;
        Ok(Self { port, process })
    }
}
