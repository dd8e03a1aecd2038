//! A real PostgreSQL of this machine for one test.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use patroni_config::file::Postgresql;
use patroni_config::file::postgresql::{Credentials, Listen};
use patroni_core::{MemberName, Role, Scope, Upstream};
use patroni_postgres::{
    Cancel, Clock, Named, StartOutcome, StartRequest, StopMode, StopRequest, Supervisor, Until,
};
use patroni_tests::{postgresql, proc};
use serde_json::json;
use tempfile::TempDir;

/// Runs the body as the user `postgres`: the server refuses to run as root, so a test of root
/// starts its own executable again.
pub(crate) fn as_postgres(test: &str, body: impl Future<Output = ()>) {
    if nix::unistd::geteuid().is_root() {
        let status = Command::new("setpriv")
            .args(["--reuid=postgres", "--regid=postgres", "--init-groups"])
            .arg(std::env::current_exe().unwrap())
            .args([test, "--exact", "--nocapture"])
            .env_remove("CARGO_TARGET_TMPDIR")
            .current_dir("/tmp")
            .status()
            .unwrap();
        assert!(status.success(), "see the output above");
        return;
    }
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
        .block_on(async {
            tokio::time::timeout(Duration::from_mins(2), body)
                .await
                .expect("the test ends in two minutes");
        });
}

/// A directory with a data directory in it; what runs there is killed at the end.
pub(crate) struct Server {
    root: TempDir,
    pub(crate) port: u16,
    pub(crate) name: &'static str,
}

impl Server {
    /// A fresh database cluster.
    pub(crate) fn init(name: &'static str) -> Self {
        let server = Self::empty(name);
        let status = Command::new(postgresql::program("initdb"))
            .args(["-N", "-A", "trust", "-U", "postgres", "-D"])
            .arg(server.data_dir())
            .stdout(std::process::Stdio::null())
            .status()
            .unwrap();
        assert!(status.success());
        server
    }

    /// A copy of another, running one.
    pub(crate) fn copy_of(name: &'static str, primary: &Self) -> Self {
        let server = Self::empty(name);
        let status = Command::new(postgresql::program("pg_basebackup"))
            .args(["-c", "fast", "-X", "stream", "-U", "postgres", "-h"])
            .arg(primary.root.path())
            .args(["-p", &primary.port.to_string(), "-D"])
            .arg(server.data_dir())
            .status()
            .unwrap();
        assert!(status.success());
        server
    }

    /// A place for a server that somebody else makes.
    pub(crate) fn empty(name: &'static str) -> Self {
        Self {
            root: tempfile::tempdir().unwrap(),
            port: patroni_tests::ports::free(),
            name,
        }
    }

    pub(crate) fn data_dir(&self) -> PathBuf {
        self.root.path().join("data")
    }

    /// The directory of the data directory and of everything beside it.
    pub(crate) fn root(&self) -> &Path {
        self.root.path()
    }

    pub(crate) fn settings(&self) -> Postgresql {
        let user = Credentials {
            username: Some("postgres".to_owned()),
            ..Credentials::default()
        };
        Postgresql {
            name: Some(MemberName::new(self.name)),
            scope: Some(Scope::new("demo")),
            listen: Listen {
                hosts: vec!["127.0.0.1".to_owned()],
                port: self.port,
            },
            data_dir: self.data_dir(),
            config_dir: self.data_dir(),
            config_base_name: "postgresql".to_owned(),
            bin_dir: postgresql::bin_dir(),
            pgpass: self.root.path().join("pgpass"),
            database: "postgres".to_owned(),
            superuser: user.clone(),
            replication: user,
            use_pg_rewind: true,
            use_slots: true,
            pg_ctl_timeout: Duration::from_mins(1),
            parameters: json!({
                "unix_socket_directories": self.root.path(),
                "hot_standby": "on",
                "max_connections": 20,
                "wal_level": "replica",
                "wal_log_hints": "on",
                "shared_buffers": "1MB",
                "autovacuum": "off",
            })
            .as_object()
            .unwrap()
            .clone(),
            ..Postgresql::default()
        }
    }

    /// A supervisor that has looked at what is there.
    pub(crate) async fn adopt(&self) -> Supervisor {
        Supervisor::adopt(self.settings(), Clock::start())
            .await
            .unwrap()
    }

    /// A supervisor with a running server.
    pub(crate) async fn start(&self, role: Role, upstream: Upstream) -> Supervisor {
        self.start_with(self.settings(), role, upstream).await
    }

    /// The same with other settings.
    pub(crate) async fn start_with(
        &self,
        settings: Postgresql,
        role: Role,
        upstream: Upstream,
    ) -> Supervisor {
        let supervisor = Supervisor::adopt(settings, Clock::start()).await.unwrap();
        let request = StartRequest {
            role,
            upstream,
            timeout: None,
        };
        let outcome = supervisor.start(request, &Cancel::new()).await;
        assert_eq!(outcome, StartOutcome::Running);
        supervisor
    }

    /// How others reach it.
    pub(crate) fn as_upstream(&self) -> Upstream {
        Upstream::Member {
            name: MemberName::new(self.name),
            conn_url: format!("postgres://127.0.0.1:{}/postgres", self.port),
            slot: None,
        }
    }

    /// The postmaster's number by its own file.
    pub(crate) fn pid(&self) -> i32 {
        let file = std::fs::read_to_string(self.data_dir().join("postmaster.pid")).unwrap();
        file.lines().next().unwrap().parse().unwrap()
    }

    /// A process of the server by a word of its title.
    pub(crate) fn child(&self, word: &str) -> nix::unistd::Pid {
        let found = Command::new("pgrep")
            .args(["-f", "-P", &self.pid().to_string(), word])
            .output()
            .unwrap();
        let pid = String::from_utf8(found.stdout).unwrap();
        nix::unistd::Pid::from_raw(pid.trim().parse().unwrap())
    }

    pub(crate) fn signal(&self, signal: nix::sys::signal::Signal) {
        proc::signal(nix::unistd::Pid::from_raw(self.pid()), signal).unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.data_dir().join("postmaster.pid").exists() {
            let _ = Command::new(postgresql::program("pg_ctl"))
                .args(["stop", "-m", "immediate", "-s", "-t", "10", "-D"])
                .arg(self.data_dir())
                .stderr(std::process::Stdio::null())
                .status();
        }
    }
}

/// A fast stop until the process has ended.
pub(crate) fn fast_stop() -> StopRequest {
    StopRequest {
        mode: StopMode::Fast,
        until: Until::Exit,
        timeout: None,
        restart: false,
    }
}

/// One value of one row.
pub(crate) async fn ask(supervisor: &Supervisor, sql: &str) -> Option<String> {
    let rows = supervisor
        .query(Named::Heartbeat, sql, Duration::from_secs(5))
        .await
        .unwrap();
    rows.first()?.get(0).map(str::to_owned)
}

/// Waits until a question has the wanted answer.
pub(crate) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !holds().await {
        assert!(begun.elapsed() < Duration::from_secs(30), "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
