//! A real Consul agent of a test's own, which is a server, too.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::place::Place;
use crate::proc::{self, Proc};
use crate::{http, wait};

/// One agent.
#[derive(Debug)]
pub struct Consul {
    /// Where clients connect.
    pub port: u16,
    /// Where agents connect.
    pub server_port: u16,
    /// The process.
    pub process: Proc,
}

/// What clients show to be let in.
#[derive(Clone, Debug)]
pub struct Token {
    id: String,
    /// What stands in a node's file.
    pub secret: String,
}

impl Consul {
    /// Whether there is a program to start.
    pub fn is_installed() -> bool {
        proc::is_on_path("consul")
    }

    /// Starts an agent that allows sessions as short as tests need, and waits until it serves.
    ///
    /// # Errors
    /// `consul` is not installed or does not come up.
    pub fn start(dir: &Path) -> Result<Self> {
        let agent = Self::launch(dir, json!({"session_ttl_min": "500ms"}))?;
        agent.wait_ready()?;
        Ok(agent)
    }

    /// Starts an agent that asks for tokens, and waits until it serves.
    ///
    /// # Errors
    /// `consul` is not installed or does not come up.
    pub fn start_with_tokens(dir: &Path) -> Result<Self> {
        let agent = Self::launch(
            dir,
            json!({
                "session_ttl_min": "500ms",
                "primary_datacenter": "dc1",
                "acl": {"enabled": true, "default_policy": "deny", "tokens": {"master": "root"}},
            }),
        )?;
        agent.wait_ready()?;
        let rules =
            r#"key_prefix "service/demo" {policy = "write"} session_prefix "" {policy = "write"}"#;
        let policy = json!({"Name": "patroni", "Rules": rules});
        agent.ask("PUT", "acl/policy?token=root", &policy.to_string())?;
        Ok(agent)
    }

    /// Makes a token for the cluster `demo`.
    ///
    /// # Errors
    /// The agent was not started by [`Self::start_with_tokens`].
    pub fn make_token(&self) -> Result<Token> {
        let body = json!({"Policies": [{"Name": "patroni"}]});
        let made = self.ask("PUT", "acl/token?token=root", &body.to_string())?;
        let text = |field: &str| made[field].as_str().map(str::to_owned).context("no token");
        Ok(Token {
            id: text("AccessorID")?,
            secret: text("SecretID")?,
        })
    }

    /// Takes the rights of a token away.
    ///
    /// # Errors
    /// There is no such token.
    pub fn revoke(&self, token: &Token) -> Result<()> {
        let path = format!("acl/token/{}?token=root", token.id);
        self.ask("DELETE", &path, "").map(drop)
    }

    /// Starts an agent with more settings, which may not serve yet. On the same folder it goes on
    /// with what it stored.
    ///
    /// # Errors
    /// `consul` is not installed, or its files cannot be written.
    pub fn launch(dir: &Path, more: Value) -> Result<Self> {
        Self::launch_at(dir, &Place::on_loopback(), more)
    }

    /// Starts servers, and agents in front of them that are none, as people run Consul. They may
    /// not serve yet.
    ///
    /// # Errors
    /// As [`Self::launch`].
    pub fn datacenter(
        dir: &Path,
        servers: &[Place],
        agents: &[Place],
    ) -> Result<(Vec<Self>, Vec<Self>)> {
        let all: Vec<String> = servers
            .iter()
            .map(|place| format!("{}:{}", place.host, place.meeting))
            .collect();
        let start = |name: String, place: &Place, more: Value| {
            let home = dir.join(&name);
            std::fs::create_dir_all(&home)?;
            proc::give_to_runner(&home)?;
            let mut settings = json!({"node_name": name, "retry_join": all});
            merge(&mut settings, more);
            Self::launch_at(&home, place, settings)
        };
        // Else one that hangs is put out, and the next failure is one of two.
        let autopilot = json!({"cleanup_dead_servers": false});
        let more = json!({
            "bootstrap_expect": servers.len(),
            "session_ttl_min": "500ms",
            "autopilot": autopilot,
        });
        let servers = servers.iter().enumerate();
        let servers = servers
            .map(|(index, place)| start(format!("server{}", index + 1), place, more.clone()));
        let servers: Vec<Self> = servers.collect::<Result<_>>()?;
        let more = json!({"server": false, "bootstrap_expect": 0});
        let agents = agents.iter().enumerate();
        let agents =
            agents.map(|(index, place)| start(format!("agent{}", index + 1), place, more.clone()));
        Ok((servers, agents.collect::<Result<_>>()?))
    }

    fn launch_at(dir: &Path, place: &Place, more: Value) -> Result<Self> {
        let mut settings = json!({
            "node_name": "host1",
            "server": true,
            "bootstrap_expect": 1,
            "bind_addr": place.host,
            "log_level": "err",
            "leave_on_terminate": false,
            "performance": {"raft_multiplier": 1},
            "ports": {
                "http": place.port,
                "dns": -1,
                "grpc": -1,
                "serf_lan": place.meeting,
                "serf_wan": -1,
                "server": place.peer,
            },
        });
        merge(&mut settings, more);
        let file = dir.join("consul.json");
        std::fs::write(&file, settings.to_string())?;
        proc::give_to_runner(&file)?;
        Ok(Self {
            port: place.port,
            server_port: place.peer,
            process: run(dir, place.namespace.as_deref())?,
        })
    }

    /// Waits until it takes writes: reads are answered before there is a leader to lock keys.
    ///
    /// # Errors
    /// It does not come to that.
    pub fn wait_ready(&self) -> Result<()> {
        let limit = Duration::from_mins(1);
        wait::until("Consul takes writes", limit, || self.register_probe())
    }

    /// Writes something of no meaning.
    ///
    /// # Errors
    /// It is not taken.
    pub fn register_probe(&self) -> Result<()> {
        let probe = json!({"Datacenter": "dc1", "Node": "probe", "Address": "127.0.0.1"});
        let answer = self.ask("PUT", "catalog/register?token=root", &probe.to_string())?;
        ensure!(answer == json!(true), "{answer}");
        Ok(())
    }

    /// Whether it leads the servers of its datacenter.
    ///
    /// # Errors
    /// It does not answer.
    pub fn leads(&self) -> Result<bool> {
        Ok(self.ask("GET", "agent/self", "")?["Stats"]["raft"]["state"] == "Leader")
    }

    /// Destroys the session that holds a key.
    ///
    /// # Errors
    /// None does, or the agent refuses.
    pub fn end_session_of(&self, key: &str) -> Result<()> {
        let path = format!("kv/{}", key.trim_start_matches('/'));
        let pairs = self.ask("GET", &path, "")?;
        let session = pairs[0]["Session"].as_str().context("no session")?;
        self.ask("PUT", &format!("session/destroy/{session}"), "")
            .map(drop)
    }

    /// A request past any store, to a path below `/v1`.
    ///
    /// # Errors
    /// There is no answer, or another one than 200.
    pub fn ask(&self, method: &str, path: &str, body: &str) -> Result<Value> {
        let path = format!("/v1/{path}");
        let limit = Duration::from_secs(5);
        let answer = http::request(self.port, method, &path, Some(body), limit)?;
        ensure!(answer.status == 200, "{}: {}", answer.status, answer.body);
        answer.json()
    }

    /// Every key below a prefix, with its value.
    ///
    /// # Errors
    /// The agent does not answer in its usual form.
    pub fn keys(&self, prefix: &str) -> Result<BTreeMap<String, String>> {
        let path = format!("kv/{}?recurse=1", prefix.trim_start_matches('/'));
        let answer = self.ask("GET", &path, "")?;
        let pairs = answer.as_array().context("no array")?;
        pairs
            .iter()
            .map(|pair| {
                let key = pair["Key"].as_str().context("a key without a name")?;
                let value = STANDARD.decode(pair["Value"].as_str().unwrap_or_default())?;
                Ok((format!("/{key}"), String::from_utf8(value)?))
            })
            .collect()
    }
}

fn run(dir: &Path, namespace: Option<&str>) -> Result<Proc> {
    let mut command = proc::command_in(namespace, "consul");
    command
        .arg("agent")
        .arg("-config-file")
        .arg(dir.join("consul.json"))
        .arg("-data-dir")
        .arg(dir.join("consul"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("CONSUL")) {
        command.env_remove(name);
    }
    Proc::start("consul", command, &dir.join("consul.log"))
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
