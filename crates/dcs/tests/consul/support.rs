//! A real Consul agent for the time of one test.

use std::time::Duration;

use nix::sys::signal::Signal;
use patroni_core::MemberName;
use patroni_dcs::consul::{Consul, Options};
use patroni_dcs::{Identity, StoreError, Timings};
use patroni_tests::consul::Consul as Server;
use patroni_tests::{http, proc};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::shared::TIMINGS;

/// Nothing expires while a test runs, however slow the machine is.
const LASTING: Timings = Timings {
    ttl: Duration::from_mins(1),
    ..TIMINGS
};

/// One agent that is a server, too; killed at the end.
pub(crate) struct Agent {
    server: Server,
    pub(crate) url: String,
    /// Removed with the agent.
    _folder: TempDir,
}

impl Agent {
    /// An agent that allows short sessions; `None`, with a message, where Consul is not
    /// installed.
    pub(crate) fn start() -> Option<Self> {
        let agent = Self::start_with(json!({"session_ttl_min": "500ms"}))?;
        agent.wait_until_it_serves();
        Some(agent)
    }

    /// One with more settings, which may not serve yet.
    pub(crate) fn start_with(more: Value) -> Option<Self> {
        if !Server::is_installed() {
            eprintln!("skipped: consul is not installed");
            return None;
        }
        let folder = TempDir::new().unwrap();
        proc::give_to_runner(folder.path()).unwrap();
        let server = Server::launch(folder.path(), more).unwrap();
        Some(Self {
            url: format!("http://127.0.0.1:{}", server.port),
            server,
            _folder: folder,
        })
    }

    pub(crate) fn wait_until_it_serves(&self) {
        tokio::task::block_in_place(|| self.server.wait_ready()).unwrap();
    }

    /// A request past the store, to a path below `/v1`; `None` when it fails.
    pub(crate) fn ask(&self, method: &str, path: &str, body: &str) -> Option<Value> {
        self.server.ask(method, path, body).ok()
    }

    /// The text of a key.
    pub(crate) fn raw(&self, key: &str) -> String {
        let path = format!("/v1/kv/{key}?raw=1");
        let limit = Duration::from_secs(5);
        let answer = http::request(self.server.port, "GET", &path, None, limit).unwrap();
        answer.body
    }

    /// Opens a store through this agent.
    pub(crate) async fn store(&self, member: Option<&str>) -> Result<Consul, StoreError> {
        open(Options::new(self.url.as_str()), member).await
    }

    /// Freezes the process: connections stay open and nobody answers.
    pub(crate) fn freeze(&self) {
        self.server.process.signal(Signal::SIGSTOP);
    }

    /// Lets it go on.
    pub(crate) fn thaw(&self) {
        self.server.process.signal(Signal::SIGCONT);
    }

    /// Ends it at once.
    pub(crate) fn kill(&mut self) {
        self.server.process.kill();
    }

    /// Starts it again, with what it stored.
    pub(crate) fn restart(&mut self) {
        self.server.process.restart().unwrap();
    }
}

/// Opens a store of the cluster `demo`.
pub(crate) async fn open(options: Options, member: Option<&str>) -> Result<Consul, StoreError> {
    Consul::connect(options, identity(member), LASTING).await
}

/// A member of the cluster `demo`, or its control tool.
pub(crate) fn identity(member: Option<&str>) -> Identity {
    Identity {
        base_path: "/service/demo".to_owned(),
        group: None,
        member: member.map(MemberName::new),
    }
}
