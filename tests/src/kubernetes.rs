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
use serde_json::{Value, json};

use crate::proc::{self, Proc};
use crate::tap::Requests;
use crate::{ports, wait};

/// The environment variable that names the program.
pub const PROGRAM: &str = "PATRONI_TEST_KUBERNETES";

/// The section of a node's file.
pub const SECTION: &str = "kubernetes:\n  context: test\n  namespace: default\n  labels: \
     {application: patroni}\n  scope_label: cluster-name\n";

/// Where the objects of the tests are.
const NAMESPACE: &str = "/api/v1/namespaces/default";

const JSON: &str = "application/json";

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
    /// The words that the API server was started with, since a test has killed it.
    words: Vec<String>,
    /// The one in its place.
    successor: Option<Proc>,
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
            words: Vec::new(),
            successor: None,
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

    /// Waits until the API server takes requests.
    ///
    /// # Errors
    /// It does not come to that.
    pub fn wait_ready(&self) -> Result<()> {
        wait::until("the API server serves", Duration::from_mins(2), || {
            self.ask("GET", NAMESPACE, JSON, "").map(drop)
        })
    }

    /// Sends a signal to the API server.
    ///
    /// # Errors
    /// It does not run.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        match &self.successor {
            Some(successor) => {
                successor.signal(signal);
                Ok(())
            }
            None => proc::signal(self.first()?, signal),
        }
    }

    /// Kills the API server, and waits for its end. What it has stored stays.
    ///
    /// # Errors
    /// It does not run.
    pub fn kill(&mut self) -> Result<()> {
        if let Some(successor) = &mut self.successor {
            successor.kill();
            return Ok(());
        }
        let server = self.first()?;
        self.words = proc::words(server)?;
        // It would end everything with its child.
        proc::signal(proc::parent(server)?, Signal::SIGSTOP)?;
        proc::signal(server, Signal::SIGKILL)?;
        wait::until("the API server has ended", Duration::from_secs(10), || {
            ensure!(proc::words(server)?.is_empty(), "it runs");
            Ok(())
        })
    }

    /// Starts one like it in its place after [`Self::kill`].
    ///
    /// # Errors
    /// It was not killed, or cannot be started.
    pub fn restart(&mut self) -> Result<()> {
        if let Some(successor) = &mut self.successor {
            return successor.restart();
        }
        let (program, words) = self.words.split_first().context("it was not killed")?;
        let mut command = Command::new(program);
        command.args(words);
        let log = self.folder.join("successor.log");
        self.successor = Some(Proc::start("kube-apiserver", command, &log)?);
        Ok(())
    }

    /// The API server that the program has started: a child of it, which is a child of its keeper.
    fn first(&self) -> Result<Pid> {
        let mut level = vec![self.keeper.id()];
        while !level.is_empty() {
            level = level.into_iter().flat_map(children).collect();
            let found = level
                .iter()
                .find(|pid| name(**pid).contains("kube-apiserver"));
            if let Some(pid) = found {
                return Ok(Pid::from_raw(i32::try_from(*pid)?));
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
        let path = format!("{NAMESPACE}/pods");
        self.ask("POST", &path, JSON, &pod.to_string()).map(|_| ())
    }

    /// Takes over one object of a manifest in the namespace `default`. A field that the server
    /// does not know is an error.
    ///
    /// # Errors
    /// The server refuses, or the document is none that the tests know.
    pub fn apply(&self, document: &str) -> Result<()> {
        let field = |name: &str| {
            let line = document.lines().find_map(|line| line.strip_prefix(name));
            line.map(str::trim).context("no object of Kubernetes")
        };
        let (version, kind) = (field("apiVersion:")?, field("kind:")?);
        let metadata = document.split_once("\nmetadata:\n");
        let (_, metadata) = metadata.context("no metadata")?;
        let name = metadata.lines().find_map(|l| l.strip_prefix("  name: "));
        let name = name.context("no name")?;
        let api = if version == "v1" { "api" } else { "apis" };
        let plural = format!("{}s", kind.to_lowercase());
        let path = format!(
            "/{api}/{version}/namespaces/default/{plural}/{name}?fieldManager=tests&force=true"
        );
        let content = "application/apply-patch+yaml";
        self.ask("PATCH", &path, content, document)
            .map(|_| ())
            .with_context(|| format!("apply {kind} {name}"))
    }

    /// An object of the namespace `default`, by its path below that.
    ///
    /// # Errors
    /// There is none.
    pub fn get(&self, path: &str) -> Result<Value> {
        self.ask("GET", &format!("{NAMESPACE}/{path}"), JSON, "")
    }

    /// Deletes an object of the namespace `default`, by its path below that.
    ///
    /// # Errors
    /// There is none.
    pub fn delete(&self, path: &str) -> Result<()> {
        self.ask("DELETE", &format!("{NAMESPACE}/{path}"), JSON, "")
            .map(drop)
    }

    /// Whether this version of a group of objects is served.
    ///
    /// # Errors
    /// The server does not answer.
    pub fn serves(&self, version: &str) -> Result<bool> {
        let (group, _) = version.split_once('/').context("no group")?;
        let group = self.ask("GET", &format!("/apis/{group}"), JSON, "")?;
        let versions = group["versions"].as_array().context("no versions")?;
        Ok(versions.iter().any(|one| one["groupVersion"] == version))
    }

    /// Writes a file for clients that are this service account, in the context that `patroni`
    /// takes outside of a Pod when nothing else is said.
    ///
    /// # Errors
    /// There is no such account, or the file cannot be written.
    pub fn write_kubeconfig_of(&self, account: &str, file: &Path) -> Result<()> {
        let path = format!("{NAMESPACE}/serviceaccounts/{account}/token");
        let request = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
            "spec": {}});
        let answer = self.ask("POST", &path, JSON, &request.to_string())?;
        let token = answer["status"]["token"].as_str().context("no token")?;
        let (port, ca) = (self.port, self.ca());
        let text = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "kind-kind",
            "clusters": [{"name": "test", "cluster": {
                "server": format!("https://127.0.0.1:{port}"), "certificate-authority": ca}}],
            "users": [{"name": account, "user": {"token": token}}],
            "contexts": [{"name": "kind-kind", "context": {"cluster": "test", "user": account}}],
        });
        if let Some(folder) = file.parent() {
            std::fs::create_dir_all(folder)?;
            proc::give_to_runner(folder)?;
        }
        std::fs::write(file, text.to_string())?;
        proc::give_to_runner(file)
    }

    /// Asks the server as its administrator.
    ///
    /// # Errors
    /// It refuses; its words are in the text.
    pub fn ask(&self, method: &str, path: &str, content: &str, body: &str) -> Result<Value> {
        Ok(serde_json::from_str(
            &self.ask_text(method, path, content, body)?,
        )?)
    }

    /// How many requests for ConfigMaps and Pods were answered in namespaces, by their
    /// verb. A watch counts when it ends.
    ///
    /// # Errors
    /// The server does not tell.
    pub fn requests(&self) -> Result<Requests> {
        let text = self.ask_text("GET", "/metrics", JSON, "")?;
        let mut requests = Requests::new();
        for (kind, count) in text.lines().filter_map(answered) {
            *requests.entry(kind).or_default() += count;
        }
        Ok(requests)
    }

    fn ask_text(&self, method: &str, path: &str, content: &str, body: &str) -> Result<String> {
        let mut command = Command::new("curl");
        command
            .args(["--silent", "--show-error", "--max-time", "30"])
            .args(["--request", method, "--write-out", "\n%{http_code}"])
            .arg("--cacert")
            .arg(self.ca())
            .args(["-H", "Authorization: Bearer admin"])
            .args(["-H", &format!("Content-Type: {content}")]);
        if !body.is_empty() {
            command.args(["--data-binary", body]);
        }
        command.arg(format!("https://127.0.0.1:{}{path}", self.port));
        let output = command
            .output()
            .context("curl comes with the program that starts the server")?;
        let error = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{method} {path}: {error}");
        let answer = String::from_utf8(output.stdout)?;
        let (answer, status) = answer.rsplit_once('\n').context("no status")?;
        ensure!(
            status.starts_with('2'),
            "{method} {path}: {status} {answer}"
        );
        Ok(answer.to_owned())
    }
}

/// The kind and the count of one line of the metrics, if it is about what members ask for. What
/// the server itself keeps (`scope="cluster"`) is not.
fn answered(line: &str) -> Option<(String, u64)> {
    let labels = line.strip_prefix("apiserver_request_total{")?;
    let (labels, count) = labels.rsplit_once("} ")?;
    let label = |name: &str| {
        let (_, rest) = labels.split_once(&format!("{name}=\""))?;
        Some(rest.split_once('"')?.0)
    };
    let resource = label("resource")?;
    let is_ours = ["configmaps", "pods"].contains(&resource) && label("scope")? != "cluster";
    is_ours.then(|| {
        Some((
            format!("{} {resource}", label("verb")?),
            count.parse().ok()?,
        ))
    })?
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
