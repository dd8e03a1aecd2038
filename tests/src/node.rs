//! One node of a test cluster: its files, its daemon and its PostgreSQL.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::disk::Disk;
use crate::maker::Maker;
use crate::proc::{self, Proc};
use crate::{http, postgresql, sql, wait};

/// How long a single question to a node may take.
const ASK: Duration = Duration::from_secs(5);

/// The ports of a node.
#[derive(Clone, Copy, Debug)]
pub struct Ports {
    /// PostgreSQL.
    pub postgres: u16,
    /// REST.
    pub rest: u16,
    /// Raft; unused on other stores.
    pub raft: u16,
}

/// One node.
#[derive(Debug)]
pub struct Node {
    /// Member name.
    pub name: String,
    /// Ports.
    pub ports: Ports,
    /// Folder of everything the node owns.
    pub dir: PathBuf,
    /// The network namespace that it runs in, if it has one of its own.
    pub namespace: Option<String>,
    /// Whose daemon the next start takes.
    pub maker: Maker,
    /// Further environment variables of the daemon.
    pub environment: Vec<(String, String)>,
    daemon: Option<Proc>,
    /// The last field: it goes when nobody is left who uses it.
    disk: Option<Disk>,
}

impl Node {
    /// A node whose configuration is written and whose daemon is not started.
    ///
    /// # Errors
    /// Its files cannot be written.
    pub fn create(dir: PathBuf, name: &str, ports: Ports, config: &str) -> Result<Self> {
        std::fs::create_dir_all(&dir)?;
        proc::give_to_runner(&dir)?;
        let node = Self {
            name: name.to_owned(),
            ports,
            dir,
            namespace: None,
            maker: Maker::Ours,
            environment: Vec::new(),
            daemon: None,
            disk: None,
        };
        node.write_config(config)?;
        Ok(node)
    }

    /// The configuration file.
    pub fn config_path(&self) -> PathBuf {
        self.dir.join("patroni.yml")
    }

    /// PostgreSQL's data directory.
    pub fn data_dir(&self) -> PathBuf {
        self.disk
            .as_ref()
            .map_or(self.dir.as_path(), Disk::path)
            .join("data")
    }

    /// Moves the data directory, which is not there yet, to a disk of its own of so many MiB.
    ///
    /// # Errors
    /// It cannot be mounted, or the configuration cannot be written.
    pub fn use_disk(&mut self, mib: u32) -> Result<()> {
        let before = format!("data_dir: {}", self.data_dir().display());
        self.disk = Some(Disk::mount(&self.dir.join("disk"), mib)?);
        let after = format!("data_dir: {}", self.data_dir().display());
        self.change_config(&before, &after)
    }

    /// The disk of the data directory.
    ///
    /// # Panics
    /// It has none of its own.
    pub fn disk(&self) -> &Disk {
        self.disk.as_ref().expect("a disk of its own")
    }

    /// Puts a text in the place of another one in the configuration file, where it is.
    ///
    /// # Errors
    /// It is not there, or the file cannot be written.
    pub fn change_config(&self, before: &str, after: &str) -> Result<()> {
        let text = std::fs::read_to_string(self.config_path())?;
        ensure!(text.contains(before), "no {before:?} in {text}");
        self.write_config(&text.replace(before, after))
    }

    /// Replaces the configuration file.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write_config(&self, text: &str) -> Result<()> {
        std::fs::write(self.config_path(), text)?;
        proc::give_to_runner(&self.config_path())
    }

    /// Starts the daemon of the node's maker.
    ///
    /// # Errors
    /// The program cannot be started.
    pub fn start(&mut self) -> Result<()> {
        let program = self.maker.program("patroni");
        let mut command = proc::command_in(self.namespace.as_deref(), program);
        command.arg(self.config_path()).env("HOME", &self.dir);
        let more = self.environment.iter().map(|(name, value)| (name, value));
        command.envs(more);
        self.daemon = Some(Proc::start(
            &self.name,
            command,
            &self.dir.join("patroni.log"),
        )?);
        Ok(())
    }

    /// The daemon's process.
    ///
    /// # Panics
    /// The daemon was never started.
    pub fn daemon(&mut self) -> &mut Proc {
        self.daemon.as_mut().expect("the daemon was started")
    }

    /// Ends the daemon as an operator does, and gives its exit code.
    ///
    /// # Errors
    /// It does not end.
    pub fn terminate(&mut self) -> Result<i32> {
        self.daemon().signal(Signal::SIGTERM);
        self.daemon().wait_exit(Duration::from_mins(1))
    }

    /// Sends a signal to the daemon.
    pub fn signal(&mut self, signal: Signal) {
        self.daemon().signal(signal);
    }

    /// Kills the daemon; PostgreSQL stays as it is.
    pub fn kill_daemon(&mut self) {
        self.daemon().kill();
    }

    /// The postmaster by its pid file.
    ///
    /// # Errors
    /// There is no pid file.
    pub fn postmaster(&self) -> Result<Pid> {
        let text = std::fs::read_to_string(self.data_dir().join("postmaster.pid"))?;
        let pid: i32 = text
            .lines()
            .next()
            .context("empty pid file")?
            .trim()
            .parse()?;
        Ok(Pid::from_raw(pid))
    }

    /// Kills the postmaster, and its children a moment later by their own death watch.
    ///
    /// # Errors
    /// There is none.
    pub fn kill_postmaster(&self) -> Result<()> {
        Ok(kill(self.postmaster()?, Signal::SIGKILL)?)
    }

    /// One of the server's processes, by a part of its title.
    ///
    /// # Errors
    /// There is none, or more than one.
    pub fn server_process(&self, title: &str) -> Result<Pid> {
        let found = self.server_processes(title);
        ensure!(found.len() == 1, "{title:?}: {found:?}");
        Ok(found[0])
    }

    /// All of the server's processes with this text in their title.
    pub fn server_processes(&self, title: &str) -> Vec<Pid> {
        let mut found = self.postgres_processes();
        found.retain(|pid| {
            std::fs::read(format!("/proc/{pid}/cmdline"))
                .is_ok_and(|line| String::from_utf8_lossy(&line).contains(title))
        });
        found
    }

    /// Kills all of the server's processes at once, and keeps the daemon.
    pub fn kill_server(&self) {
        for pid in self.postgres_processes() {
            let _ = kill(pid, Signal::SIGKILL);
        }
        let gone = wait::until(
            "end of PostgreSQL's processes",
            Duration::from_secs(10),
            || {
                let left = self.postgres_processes();
                ensure!(left.is_empty(), "{left:?}");
                Ok(())
            },
        );
        if let Err(error) = gone {
            eprintln!("{}: {error:#}", self.name);
        }
        self.remove_shared_memory();
    }

    /// Removes the System V segment of a killed postmaster. The next start does so, but after a
    /// test there is none, and the kernel has room for some thousands only.
    fn remove_shared_memory(&self) {
        let text = std::fs::read_to_string(self.data_dir().join("postmaster.pid"));
        let text = text.unwrap_or_default();
        // The line has the key and the number of the segment.
        let id = text
            .lines()
            .nth(6)
            .and_then(|line| line.split_whitespace().nth(1));
        if let Some(id) = id {
            // It is gone already when the postmaster had the time for that.
            let _ = proc::command("ipcrm").args(["-m", id]).output();
        }
    }

    /// Runs `pg_ctl` on the data directory, as an operator does by hand, and waits for its end.
    ///
    /// # Errors
    /// It fails; its words are in the text.
    pub fn pg_ctl(&self, args: &[&str]) -> Result<()> {
        let program = postgresql::bin_dir()
            .context("PostgreSQL is not installed")?
            .join("pg_ctl");
        let output = proc::command(program)
            .arg("-D")
            .arg(self.data_dir())
            .arg("-w")
            .args(args)
            .stdin(std::process::Stdio::null())
            .output()
            .context("run pg_ctl")?;
        ensure!(
            output.status.success(),
            "pg_ctl {args:?}: {}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(())
    }

    /// Everything at once: daemon and PostgreSQL, as a power cut would.
    pub fn kill_all(&mut self) {
        if let Some(daemon) = &mut self.daemon {
            daemon.kill();
        }
        self.kill_server();
    }

    /// Every process whose working directory is the data directory: all of the server's.
    fn postgres_processes(&self) -> Vec<Pid> {
        let data_dir = self.data_dir();
        let Ok(entries) = std::fs::read_dir("/proc") else {
            return Vec::new();
        };
        entries
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok())
            .filter(|pid| {
                std::fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd == data_dir)
            })
            .map(Pid::from_raw)
            .collect()
    }

    /// The status code of a health check.
    ///
    /// # Errors
    /// No answer.
    pub fn health(&self, path: &str) -> Result<u16> {
        Ok(http::request(self.ports.rest, "GET", path, None, ASK)?.status)
    }

    /// The status document.
    ///
    /// # Errors
    /// No answer.
    pub fn status(&self) -> Result<Value> {
        http::request(self.ports.rest, "GET", "/patroni", None, ASK)?.json()
    }

    /// A REST request with as much time as an action may take.
    ///
    /// # Errors
    /// No answer.
    pub fn rest(&self, method: &str, path: &str, body: Option<&str>) -> Result<http::Answer> {
        http::request(self.ports.rest, method, path, body, Duration::from_secs(90))
    }

    /// Runs statements on this node's PostgreSQL.
    ///
    /// # Errors
    /// It refuses or does not answer.
    pub fn sql(&self, statement: &str) -> Result<Vec<String>> {
        sql::query(self.ports.postgres, statement, ASK)
    }

    /// What the daemon logged so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.join("patroni.log")).unwrap_or_default()
    }

    /// Waits for a text in the log after the first `from` bytes.
    ///
    /// # Errors
    /// It does not come.
    pub fn wait_log(&self, from: usize, text: &str, at_most: Duration) -> Result<()> {
        wait::until(&format!("{} logs {text:?}", self.name), at_most, || {
            let log = self.log();
            let new = log.get(from..).unwrap_or_default();
            if new.contains(text) {
                Ok(())
            } else {
                bail!("{}", tail(new, 5))
            }
        })
    }

    /// Whether the node runs in this role and, as a replica, streams.
    ///
    /// # Errors
    /// It does not; the text says what it does.
    pub fn is(&self, role: &str) -> Result<()> {
        let status = self.status()?;
        ensure!(
            status["role"] == role && status["state"] == "running",
            "{}: {status}",
            self.name
        );
        if role == "replica" {
            ensure!(
                status["replication_state"] == "streaming",
                "{}: {status}",
                self.name
            );
        }
        Ok(())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill_all();
    }
}

/// The last lines of a text.
pub fn tail(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

/// Where a node without a network of its own is reached.
pub const LOOPBACK: &str = "127.0.0.1";

/// The configuration of a node, as a user would write it.
pub struct ConfigText<'a> {
    /// Cluster name.
    pub scope: &'a str,
    /// Member name.
    pub name: &'a str,
    /// Ports.
    pub ports: Ports,
    /// Folder of the node.
    pub dir: &'a Path,
    /// The section of the store.
    pub store: &'a str,
    /// Lines below `bootstrap.dcs`, indented by four.
    pub dynamic: &'a str,
    /// Further top-level lines.
    pub extra: &'a str,
    /// The address that others reach the node at; it also listens on loopback.
    pub host: &'a str,
}

impl ConfigText<'_> {
    /// The file's text.
    pub fn render(&self) -> String {
        let Self {
            scope,
            name,
            ports,
            dir,
            store,
            dynamic,
            extra,
            host,
        } = self;
        let listen = if *host == LOOPBACK {
            LOOPBACK
        } else {
            "0.0.0.0"
        };
        let others = if *host == LOOPBACK {
            String::new()
        } else {
            format!(
                "    - host replication replicator {host}/24 scram-sha-256\n    \
                 - host all all {host}/24 scram-sha-256\n"
            )
        };
        let dir = dir.display();
        let mut text = String::new();
        write!(
            text,
            "scope: {scope}
name: {name}
restapi:
  listen: {listen}:{rest}
  connect_address: {host}:{rest}
{store}
bootstrap:
  dcs:
{dynamic}
    postgresql:
      use_pg_rewind: true
      parameters:
        max_connections: 30
  initdb:
    - encoding: UTF8
    - data-checksums
postgresql:
  listen: {listen}:{postgres}
  connect_address: {host}:{postgres}
  data_dir: {dir}/data
  bin_dir: {bin_dir}
  pgpass: {dir}/pgpass
  pg_hba:
    - local all all trust
    - host replication replicator 127.0.0.1/32 scram-sha-256
    - host all all 127.0.0.1/32 scram-sha-256
{others}  authentication:
    superuser:
      username: postgres
      password: supersecret
    replication:
      username: replicator
      password: 'rep pass'
    rewind:
      username: rewind_user
      password: rewind
  parameters:
    unix_socket_directories: {dir}
    shared_buffers: 16MB
    fsync: 'off'
    logging_collector: 'off'
{extra}
",
            bin_dir = postgresql::bin_dir().unwrap_or_default().display(),
            rest = ports.rest,
            postgres = ports.postgres,
        )
        .expect("writing to a string");
        text
    }
}
