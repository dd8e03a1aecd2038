//! A real Consul agent for the time of one test.

use std::fs;
use std::io::ErrorKind;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use patroni_core::MemberName;
use patroni_dcs::consul::{Consul, Options};
use patroni_dcs::{Identity, StoreError, Timings};
use patroni_tests::{http, ports};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::shared::{TIMINGS, eventually};

/// Nothing expires while a test runs, however slow the machine is.
const LASTING: Timings = Timings {
    ttl: Duration::from_mins(1),
    ..TIMINGS
};

/// One agent that is a server, too; killed at the end.
pub(crate) struct Agent {
    child: Child,
    port: u16,
    pub(crate) url: String,
    folder: TempDir,
}

impl Agent {
    /// An agent that allows short sessions; `None`, with a message, where Consul is not
    /// installed.
    pub(crate) async fn start() -> Option<Self> {
        let agent = Self::start_with(json!({"session_ttl_min": "500ms"}))?;
        agent.wait_until_it_serves().await;
        Some(agent)
    }

    /// One with more settings, which may not serve yet.
    pub(crate) fn start_with(more: Value) -> Option<Self> {
        let port = ports::free();
        let mut settings = json!({
            "node_name": "host1",
            "server": true,
            "bootstrap_expect": 1,
            "bind_addr": "127.0.0.1",
            "log_level": "err",
            "leave_on_terminate": false,
            "performance": {"raft_multiplier": 1},
            "ports": {
                "http": port,
                "dns": -1,
                "grpc": -1,
                "serf_lan": ports::free(),
                "serf_wan": -1,
                "server": ports::free(),
            },
        });
        merge(&mut settings, more);
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("agent.json"), settings.to_string()).unwrap();
        match run(&folder) {
            Ok(child) => Some(Self {
                child,
                port,
                url: format!("http://127.0.0.1:{port}"),
                folder,
            }),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                eprintln!("skipped: consul is not installed");
                None
            }
            Err(error) => panic!("could not start consul: {error}"),
        }
    }

    pub(crate) async fn wait_until_it_serves(&self) {
        let probe = json!({"Datacenter": "dc1", "Node": "probe", "Address": "127.0.0.1"});
        let probe = probe.to_string();
        eventually("Consul to serve", || async {
            // A write: reads are answered before there is a leader to lock keys.
            let path = "catalog/register?token=root";
            (self.ask("PUT", path, &probe)? == json!(true)).then_some(())
        })
        .await;
    }

    /// A request past the store, to a path below `/v1`; `None` when it fails.
    pub(crate) fn ask(&self, method: &str, path: &str, body: &str) -> Option<Value> {
        let path = format!("/v1/{path}");
        let limit = Duration::from_secs(5);
        let answer = http::request(self.port, method, &path, Some(body), limit).ok()?;
        (answer.status == 200).then(|| answer.json().unwrap_or_default())
    }

    /// The text of a key.
    pub(crate) fn raw(&self, key: &str) -> String {
        let path = format!("/v1/kv/{key}?raw=1");
        let limit = Duration::from_secs(5);
        let answer = http::request(self.port, "GET", &path, None, limit).unwrap();
        answer.body
    }

    /// Opens a store through this agent.
    pub(crate) async fn store(&self, member: Option<&str>) -> Result<Consul, StoreError> {
        open(Options::new(self.url.as_str()), member).await
    }

    /// Freezes the process: connections stay open and nobody answers.
    pub(crate) fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on.
    pub(crate) fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// Ends it at once.
    pub(crate) fn kill(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }

    /// Starts it again, with what it stored.
    pub(crate) fn restart(&mut self) {
        self.child = run(&self.folder).unwrap();
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.kill();
    }
}

fn run(folder: &TempDir) -> std::io::Result<Child> {
    Command::new("consul")
        .arg("agent")
        .arg("-config-file")
        .arg(folder.path().join("agent.json"))
        .arg("-data-dir")
        .arg(folder.path().join("data"))
        .env_clear()
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
}

fn merge(settings: &mut Value, more: Value) {
    let (Some(settings), Value::Object(more)) = (settings.as_object_mut(), more) else {
        return;
    };
    for (key, value) in more {
        let present = settings.entry(key).or_insert(Value::Null);
        if present.is_object() {
            merge(present, value);
        } else {
            *present = value;
        }
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
        member: member.map(MemberName::new),
    }
}
