//! A real Kubernetes API server of a test's own.
//!
//! `PATRONI_TEST_KUBERNETES` names a program that is called with a folder, a port for the API and
//! a port for the etcd behind it (the next port, too). It serves in the foreground, writes the
//! administrator's `FOLDER/kubeconfig` and then says `ready`.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::Signal;
use nix::unistd::Pid;
use serde_json::json;

use crate::proc::{self, Proc};
use crate::{ports, wait};

/// The environment variable that names the program.
pub const PROGRAM: &str = "PATRONI_TEST_KUBERNETES";

/// The section of a node's file.
pub const SECTION: &str = "kubernetes:\n  context: test\n  namespace: default\n  labels: \
     {application: patroni}\n  scope_label: cluster-name\n";

/// Ends the program with its children, frozen or not, and removes its folder, when the pipe from
/// here closes: at the latest with this process.
const KEEPER: &str = r#"
set -m; "$0" "$@" & group=$!
read -r _
kill -TERM -- "-$group"; kill -CONT -- "-$group"
wait "$group"; rm -rf -- "$1"
"#;

/// One API server with its etcd.
#[derive(Debug)]
pub struct Kubernetes {
    keeper: Child,
    /// Closed at the end.
    life: Option<ChildStdin>,
    folder: PathBuf,
    /// The port of the API.
    pub port: u16,
}

impl Kubernetes {
    /// Whether there is a program to start.
    pub fn is_installed() -> bool {
        std::env::var_os(PROGRAM).is_some()
    }

    /// Starts a server and waits until it serves. Its folder is made, and removed at the end.
    ///
    /// # Errors
    /// There is none, or it does not come up.
    pub fn start(folder: &Path) -> Result<Self> {
        let program = std::env::var_os(PROGRAM).with_context(|| format!("{PROGRAM} is not set"))?;
        let (port, etcd) = (ports::free(), ports::two_in_a_row());
        let mut keeper = Command::new("bash")
            .args(["-c", KEEPER])
            .arg(program)
            .arg(folder)
            .args([port.to_string(), etcd.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let life = keeper.stdin.take();
        let stdout = keeper.stdout.take().context("no output")?;
        let mut lines = BufReader::new(stdout).lines().map_while(Result::ok);
        let server = Self {
            keeper,
            life,
            folder: folder.to_owned(),
            port,
        };
        ensure!(
            lines.any(|line| line == "ready"),
            "the API server did not start"
        );
        Ok(server)
    }

    /// Starts the program without a keeper, as the leader of a process group, and gives it when it
    /// serves, with the port of the API. Its group has to be ended, and its folder removed, by the
    /// caller.
    ///
    /// # Errors
    /// There is none, or it does not come up.
    pub fn launch(folder: &Path, log: &Path) -> Result<(Proc, u16)> {
        use std::os::unix::process::CommandExt as _;
        let program = std::env::var_os(PROGRAM).with_context(|| format!("{PROGRAM} is not set"))?;
        let (port, etcd) = (ports::free(), ports::two_in_a_row());
        let mut command = Command::new(program);
        command
            .arg(folder)
            .args([port.to_string(), etcd.to_string()])
            .process_group(0);
        let mut process = Proc::start("kubernetes", command, log)?;
        wait::until("the API server serves", Duration::from_mins(2), || {
            let said = std::fs::read_to_string(log)?;
            ensure!(process.exit_code()?.is_none(), "it ended: {said}");
            ensure!(said.lines().any(|line| line == "ready"), "{said}");
            Ok(())
        })?;
        Ok((process, port))
    }

    /// The administrator's file for clients.
    pub fn kubeconfig(&self) -> PathBuf {
        self.folder.join("kubeconfig")
    }

    /// The certificate that clients have to trust.
    pub fn ca(&self) -> PathBuf {
        self.folder.join("certs/apiserver.crt")
    }

    /// Sends a signal to the API server, which is a child of the program, which is a child of its
    /// keeper.
    ///
    /// # Errors
    /// It does not run.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let mut level = vec![self.keeper.id()];
        while !level.is_empty() {
            level = level.into_iter().flat_map(children).collect();
            let found = level
                .iter()
                .find(|pid| name(**pid).contains("kube-apiserver"));
            if let Some(pid) = found {
                return proc::signal(Pid::from_raw(i32::try_from(*pid)?), signal);
            }
        }
        bail!("no kube-apiserver is running")
    }

    /// Makes the Pod of a member of the cluster `demo` in the namespace `default`.
    ///
    /// # Errors
    /// The server refuses.
    pub fn make_pod(&self, name: &str) -> Result<()> {
        let pod = json!({
            "metadata": {
                "name": name,
                "labels": {"application": "patroni", "cluster-name": "demo"},
            },
            "spec": {"containers": [{"name": "postgres", "image": "none"}]},
        });
        let url = format!(
            "https://127.0.0.1:{}/api/v1/namespaces/default/pods",
            self.port
        );
        let output = Command::new("curl")
            .args(["--silent", "--show-error", "--fail", "--cacert"])
            .arg(self.ca())
            .args(["-H", "Authorization: Bearer admin"])
            .args(["-H", "Content-Type: application/json"])
            .args(["-d", &pod.to_string(), &url])
            .output()
            .context("curl comes with the program that starts the server")?;
        let error = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "no Pod {name}: {error}");
        Ok(())
    }
}

fn children(pid: u32) -> Vec<u32> {
    let list = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    let list = list.unwrap_or_default();
    list.split_whitespace()
        .filter_map(|pid| pid.parse().ok())
        .collect()
}

fn name(pid: u32) -> String {
    let name = std::fs::read_to_string(format!("/proc/{pid}/comm"));
    name.unwrap_or_default().trim().to_owned()
}

impl Drop for Kubernetes {
    fn drop(&mut self) {
        drop(self.life.take());
        drop(self.keeper.wait());
    }
}
