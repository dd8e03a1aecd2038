//! A real Kubernetes API server: one for all tests, and others for those that harm it.
//!
//! `PATRONI_TEST_KUBERNETES` names a program that is called with a folder, a port for the API and
//! a port for the etcd behind it (the next port, too). It serves in the foreground, writes the
//! administrator's `FOLDER/kubeconfig` and then says `ready`; the token `nobody` is somebody
//! without any rights.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use kube::Client;
use kube::config::{KubeConfigOptions, Kubeconfig};
use patroni_core::MemberName;
use patroni_dcs::kubernetes::{Environment, Kubernetes, Mode, Options};
use patroni_dcs::{Identity, StoreError, Timings};
use patroni_tests::ports;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

/// How long anything may take that does come in the end.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// With a short ttl, so that waiting for expiry is short too, and time for a busy machine.
pub(crate) const TIMINGS: Timings = Timings {
    ttl: Duration::from_secs(5),
    loop_wait: Duration::from_secs(1),
    retry_timeout: Duration::from_secs(10),
};

/// For what is expected to fail.
pub(crate) const BRIEF: Timings = Timings {
    retry_timeout: Duration::from_secs(4),
    ..TIMINGS
};

/// Ends the program with its children, frozen or not, and removes its folder, when the pipe from
/// here closes: at the latest with this process.
const KEEPER: &str = r#"
set -m; "$0" "$@" & group=$!
read -r _
kill -TERM -- "-$group"; kill -CONT -- "-$group"
wait "$group"; rm -rf -- "$1"
"#;

/// One API server with its etcd.
pub(crate) struct Api {
    keeper: Child,
    /// Closed at the end.
    life: Option<ChildStdin>,
    folder: PathBuf,
    pub(crate) port: u16,
}

impl Api {
    /// The server that all tests share, each in Kubernetes namespaces of its own; `None`, with a
    /// message, where there is none to start.
    pub(crate) fn shared() -> Option<&'static Self> {
        static SHARED: OnceLock<Option<Api>> = OnceLock::new();
        tokio::task::block_in_place(|| SHARED.get_or_init(Self::start).as_ref())
    }

    /// A server of one test's own.
    pub(crate) fn own() -> Option<Self> {
        tokio::task::block_in_place(Self::start)
    }

    fn start() -> Option<Self> {
        let Some(program) = std::env::var_os("PATRONI_TEST_KUBERNETES") else {
            eprintln!(
                "skipped: PATRONI_TEST_KUBERNETES names no program that starts an API server"
            );
            return None;
        };
        let folder = TempDir::new().unwrap().keep();
        let (port, etcd) = (ports::free(), two_ports());
        let mut keeper = Command::new("bash")
            .args(["-c", KEEPER])
            .arg(program)
            .arg(&folder)
            .args([port.to_string(), etcd.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let life = keeper.stdin.take();
        let lines = BufReader::new(keeper.stdout.take().unwrap()).lines();
        let is_ready = lines.map_while(Result::ok).any(|line| line == "ready");
        assert!(is_ready, "the API server did not start");
        Some(Self {
            keeper,
            life,
            folder,
            port,
        })
    }

    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.folder.join("kubeconfig")
    }

    pub(crate) fn ca(&self) -> PathBuf {
        self.folder.join("certs/apiserver.crt")
    }

    /// The administrator's client.
    pub(crate) async fn admin(&self) -> Admin {
        install_tls();
        let file = Kubeconfig::read_from(self.kubeconfig()).unwrap();
        let options = KubeConfigOptions::default();
        let config = kube::Config::from_custom_kubeconfig(file, &options).await;
        Admin(Client::try_from(config.unwrap()).unwrap())
    }

    /// The settings of a member or control tool that is the administrator.
    pub(crate) fn options(&self, namespace: &str) -> Options {
        options(namespace, &self.kubeconfig())
    }

    /// Opens a store of the cluster `demo`; a member gets its Pod.
    pub(crate) async fn store(
        &self,
        options: Options,
        member: Option<&str>,
    ) -> Result<Kubernetes, StoreError> {
        let admin = self.admin().await;
        admin.make_namespace(&options.namespace).await;
        if let Some(name) = member {
            admin.make_pod(&options.namespace, "demo", name).await;
        }
        let identity = identity(member);
        Kubernetes::connect(options, identity, TIMINGS).await
    }

    /// Freezes the server: connections stay open and nobody answers.
    pub(crate) fn freeze(&self) {
        kill_process(self.server(), Signal::STOP).unwrap();
    }

    /// Lets it go on.
    pub(crate) fn thaw(&self) {
        kill_process(self.server(), Signal::CONT).unwrap();
    }

    /// Ends the server and its etcd at once.
    pub(crate) fn kill(&self) {
        kill_process(self.server(), Signal::KILL).unwrap();
    }

    /// The server is a child of the program, which is a child of its keeper.
    fn server(&self) -> Pid {
        let mut level = vec![self.keeper.id()];
        loop {
            let next: Vec<u32> = level.iter().copied().flat_map(children).collect();
            assert!(!next.is_empty(), "no kube-apiserver is running");
            let found = next
                .iter()
                .find(|pid| name(**pid).contains("kube-apiserver"));
            if let Some(pid) = found {
                return Pid::from_raw(i32::try_from(*pid).unwrap()).unwrap();
            }
            level = next;
        }
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        drop(self.life.take());
        drop(self.keeper.wait());
    }
}

fn children(pid: u32) -> Vec<u32> {
    let list = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    let list = list.unwrap_or_default();
    list.split_whitespace()
        .map(|pid| pid.parse().unwrap())
        .collect()
}

fn name(pid: u32) -> String {
    let name = std::fs::read_to_string(format!("/proc/{pid}/comm"));
    name.unwrap_or_default().trim().to_owned()
}

/// A free port whose next one is free, too.
fn two_ports() -> u16 {
    let mut before = ports::free();
    loop {
        let next = ports::free();
        if next == before + 1 {
            return before;
        }
        before = next;
    }
}

/// The provider that the binaries install.
pub(crate) fn install_tls() {
    drop(rustls::crypto::ring::default_provider().install_default());
}

pub(crate) fn identity(member: Option<&str>) -> Identity {
    Identity {
        base_path: "/service/demo".to_owned(),
        member: member.map(MemberName::new),
    }
}

/// Settings by a client's file with its current context.
pub(crate) fn options(namespace: &str, kubeconfig: &Path) -> Options {
    let environment = Environment {
        kubeconfig: vec![kubeconfig.to_owned()],
        ..Environment::default()
    };
    let labels = [("application".to_owned(), "patroni".to_owned())].into();
    let mut options = Options::new(labels, environment);
    namespace.clone_into(&mut options.namespace);
    options
}

pub(crate) fn with_endpoints(mut options: Options) -> Options {
    options.mode = Mode::Endpoints;
    "10.0.0.1".clone_into(&mut options.pod_ip);
    options
}

/// What an administrator does beside the stores under test.
pub(crate) struct Admin(Client);

impl Admin {
    pub(crate) async fn make_namespace(&self, name: &str) {
        let body = json!({"metadata": {"name": name}});
        self.make("/api/v1/namespaces", &body).await;
    }

    pub(crate) async fn make_pod(&self, namespace: &str, scope: &str, name: &str) {
        let body = json!({
            "metadata": {
                "name": name,
                "labels": {"application": "patroni", "cluster-name": scope},
            },
            "spec": {"hostname": name.replace('.', "-"),
                "containers": [{"name": "postgres", "image": "none"}]},
        });
        self.make(&format!("/api/v1/namespaces/{namespace}/pods"), &body)
            .await;
    }

    /// Makes an object unless it is there.
    pub(crate) async fn make(&self, path: &str, body: &Value) {
        match self.ask("POST", path, Some(body)).await {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if status.code == 409 => {}
            Err(error) => panic!("{path}: {error}"),
        }
    }

    /// One object or list.
    pub(crate) async fn get(&self, path: &str) -> Value {
        self.ask("GET", path, None).await.unwrap()
    }

    async fn ask(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, kube::Error> {
        let content = match method {
            "PATCH" => "application/merge-patch+json",
            _ => "application/json",
        };
        let body = body.map(Value::to_string).unwrap_or_default();
        let request = http::Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", content)
            .body(body.into_bytes())
            .unwrap();
        self.0.request(request).await
    }
}

/// Tries until there is something, with a deadline.
pub(crate) async fn eventually<T, F, Fut>(what: &str, mut attempt: F) -> T
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Option<T>>,
{
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = attempt().await {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        sleep(Duration::from_millis(50)).await;
    }
}

/// Shows what the store logs when a test fails, at the level that `RUST_LOG` says.
pub(crate) fn show_logs() {
    let filter = tracing_subscriber::EnvFilter::from_default_env();
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_test_writer();
    drop(logs.try_init());
}
