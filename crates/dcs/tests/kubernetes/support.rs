//! A real Kubernetes API server: one for all tests, and others for those that harm it.
//!
//! The program that starts it knows the token `nobody`, of somebody without any rights.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use kube::Client;
use kube::config::{KubeConfigOptions, Kubeconfig};
use nix::sys::signal::Signal;
use patroni_core::MemberName;
use patroni_dcs::kubernetes::{Environment, Kubernetes, Mode, Options};
use patroni_dcs::{Identity, StoreError, Timings};
use patroni_tests::kubernetes::Kubernetes as Server;
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

/// One API server with its etcd.
pub(crate) struct Api {
    server: Server,
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
        if !Server::is_installed() {
            eprintln!(
                "skipped: PATRONI_TEST_KUBERNETES names no program that starts an API server"
            );
            return None;
        }
        // Removed by the server's keeper, because what is shared is never dropped.
        let folder = TempDir::new().unwrap().keep();
        let server = Server::start(&folder).unwrap();
        let port = server.port;
        Some(Self { server, port })
    }

    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.server.kubeconfig()
    }

    pub(crate) fn ca(&self) -> PathBuf {
        self.server.ca()
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
        self.server.signal(Signal::SIGSTOP).unwrap();
    }

    /// Lets it go on.
    pub(crate) fn thaw(&self) {
        self.server.signal(Signal::SIGCONT).unwrap();
    }

    /// Ends the server at once.
    pub(crate) fn kill(&self) {
        self.server.signal(Signal::SIGKILL).unwrap();
    }
}

/// The provider that the binaries install.
pub(crate) fn install_tls() {
    drop(rustls::crypto::ring::default_provider().install_default());
}

pub(crate) fn identity(member: Option<&str>) -> Identity {
    Identity {
        base_path: "/service/demo".to_owned(),
        group: None,
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
